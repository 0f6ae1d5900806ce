"""The limits of a tenant on its page: a field for each, and its use."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold import widgets

from eventsinks.actions.usage import Used, measure_usage
from eventsinks.admin.tenants import retention
from eventsinks.models import Tenant
from eventsinks.models.limits import NAMES, TenantLimits, describe_limit, get_server_limits
from eventsinks.models.retention import KEPT

PREFIX = "limit_"  # of the form's fields
FIELDS = [PREFIX + name for name in NAMES]


class TenantForm(forms.ModelForm):  # type: ignore[type-arg]
    """A tenant's name, and the limits and days that differ from the server's."""

    class Meta:
        model = Tenant
        fields = ("name",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, value in self.instance.own_limits.items():
            self.initial.setdefault(PREFIX + name, value)
        for name, days in self.instance.own_retention.items():
            self.initial.setdefault(retention.PREFIX + name, days)

    def limits(self) -> dict[str, int | None]:
        """Return each limit from the form, None if the server's applies."""
        return {name: self.cleaned_data.get(PREFIX + name) for name in NAMES}

    def retention(self) -> dict[str, int | None]:
        """Return the days of each kind from the form, None if the server's apply."""
        return {name: self.cleaned_data.get(retention.PREFIX + name) for name in KEPT}


def make_tenant_form() -> type[TenantForm]:
    """Return the form for an existing tenant."""
    limits = {PREFIX + name: make_limit_field(name) for name in NAMES}
    days = {retention.PREFIX + name: retention.make_days_field(name) for name in KEPT}
    return type("TenantForm", (TenantForm,), {**limits, **days})


def make_limit_field(name: str) -> forms.IntegerField:
    """Return the form's field for one limit: empty, the server's holds."""
    field, server = TenantLimits.model_fields[name], getattr(get_server_limits(), name)
    bounds = TenantLimits.model_json_schema()["properties"][name]
    return forms.IntegerField(
        label=name,
        required=False,
        min_value=bounds["minimum"],
        max_value=bounds["maximum"],
        help_text=f"{field.description} Empty: {describe_limit(name, server)}.",
        widget=widgets.UnfoldAdminIntegerFieldWidget(),
    )


def make_usage_table(tenant: Tenant) -> SafeString:
    """Return a table of the limits and what the tenant uses of them now."""
    found = measure_usage(tenant)
    rows = format_html_join(
        "", "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>", map(make_cells, found.limits)
    )
    since = f" since {found.since:%Y-%m-%d %H:%M} UTC" if found.since else ""
    return format_html(
        '<table class="es-table"><thead><tr><th>Limit</th><th>Is</th><th>Used</th><th>Refused{}</th></tr></thead>'
        "<tbody>{}</tbody></table>",
        since,
        rows,
    )


def make_cells(used: Used) -> tuple[str, str, str, str]:
    """Return the row of one limit."""
    told = f"{used.used:,} of {used.burst:,} at once" if used.burst is not None else f"{used.used:,}"
    return used.name, describe_limit(used.name, used.limit), told, f"{used.refused:,}"
