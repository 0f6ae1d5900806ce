"""What a tenant keeps, on its page: a field for each kind, since when it is kept, and when the oldest goes."""

from __future__ import annotations

from django import forms
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold import widgets

from eventsinks.actions.kept import Kept, describe_kept
from eventsinks.admin.parts import marks
from eventsinks.models import Tenant
from eventsinks.models.retention import FOR_EVER, KEPT, Retention, get_retention

PREFIX = "keep_"  # of the form's fields
FIELDS = [PREFIX + name for name in KEPT]


def make_days_field(name: str) -> forms.IntegerField:
    """Return the form's field for the days of one kind: empty, the server's hold."""
    server = getattr(get_retention({}), name)
    return forms.IntegerField(
        label=f"{name}, days",
        required=False,
        min_value=1,
        max_value=FOR_EVER,
        help_text=f"{Retention.model_fields[name].description} Empty: {server:,}.",
        widget=widgets.UnfoldAdminIntegerFieldWidget(),
    )


def make_kept_table(tenant: Tenant) -> SafeString:
    """Return a table of what is kept since when, and of what goes when."""
    rows = format_html_join(
        "", "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>", map(make_cells, describe_kept(tenant))
    )
    return format_html(
        '<table class="es-table"><thead><tr><th>Kept</th><th>Days</th><th>Oldest is of</th><th>It goes</th></tr>'
        "</thead><tbody>{}</tbody></table>",
        rows,
    )


def make_cells(kept: Kept) -> tuple[str, str, SafeString | str, SafeString | str]:
    """Return the row of one kind. What should have gone is needed longer, or goes with the next sweeps."""
    days = "for ever" if kept.days == FOR_EVER else f"{kept.days:,}"
    return (
        kept.name,
        days,
        marks.mark_moment(kept.oldest) if kept.oldest else "–",
        marks.mark_moment(kept.goes_at) if kept.goes_at else "–",
    )
