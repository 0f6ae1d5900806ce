"""The form of new replays: whose deliveries, from when to when, and which of them."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.http import QueryDict
from unfold import widgets

from eventsinks.actions.replaying.replay_job import Selection
from eventsinks.event_types import EVENT_TYPES
from eventsinks.models import Destination, Tenant
from eventsinks.models.database.clock import read_database_clock

MOST = 100  # destinations of one form: each is counted while the browser waits
HOUR = timedelta(hours=1)
ANSWERS = [
    ("", "Any answer, or none"),
    ("5", "5xx: the far end failed"),
    ("4", "4xx: the far end refused it"),
    ("3", "3xx: it redirected"),
    ("2", "2xx: it took it"),
    ("0", "No answer"),
]
STATES = [("failed", "Failed"), ("delivered", "Delivered")]


class ByTenant(forms.ModelMultipleChoiceField):  # type: ignore[type-arg]
    """Destinations, each named with its tenant."""

    def label_from_instance(self, obj: Any) -> str:
        """Return the text of one choice."""
        return f"{obj.tenant.name}: {obj.name} ({obj.kind.label})"


class ReplayForm(forms.Form):
    """Whose deliveries to send again, and which. `destinations()` and `selection()` are what it says."""

    tenants = forms.ModelMultipleChoiceField(
        Tenant.objects.order_by("name"),
        required=False,
        help_text="None chosen: all tenants.",
        widget=widgets.UnfoldAdminSelect2MultipleWidget(),
    )
    where = ByTenant(
        Destination.objects.none(),
        label="Event sinks and integrations",
        required=False,
        help_text="None chosen: every event sink of these tenants.",
        widget=widgets.UnfoldAdminSelect2MultipleWidget(),
    )
    since = forms.SplitDateTimeField(label="From", widget=widgets.UnfoldAdminSplitDateTimeWidget())
    until = forms.SplitDateTimeField(
        label="To", required=False, help_text="Empty: until now.", widget=widgets.UnfoldAdminSplitDateTimeWidget()
    )
    states = forms.MultipleChoiceField(
        choices=STATES, initial=["failed"], widget=widgets.UnfoldAdminCheckboxSelectMultipleWidget()
    )
    answer = forms.ChoiceField(
        label="Last answer", choices=ANSWERS, required=False, widget=widgets.UnfoldAdminSelectWidget()
    )
    reason = forms.CharField(
        label="Reason contains", required=False, max_length=1000, widget=widgets.UnfoldAdminTextInputWidget()
    )
    event_type = forms.ChoiceField(
        choices=[("", "Every type"), *((key, found.label) for key, found in EVENT_TYPES.items())],
        required=False,
        widget=widgets.UnfoldAdminSelectWidget(),
    )
    rate = forms.FloatField(
        label="At most so many a second",
        required=False,
        min_value=0.01,
        max_value=500,
        help_text="Empty: as fast as each takes them.",
        widget=widgets.UnfoldAdminDecimalFieldWidget(),
    )

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        where: Any = self.fields["where"]
        where.queryset = Destination.objects.present().select_related("tenant").order_by("tenant__name", "name")

    def clean(self) -> dict[str, Any]:
        """Require that the destinations are of the tenants, and not too many for one request."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if self.errors:
            return cleaned
        tenants, found = set(cleaned["tenants"]), self.destinations()
        strangers = [one.name for one in found if tenants and one.tenant not in tenants]
        if strangers:
            self.add_error("where", f"Of another tenant: {', '.join(strangers)}.")
        if not found:
            self.add_error("where", "There is no event sink.")
        if len(found) > MOST:
            self.add_error("where", f"These are {len(found)}. Choose {MOST} at most.")
        return cleaned

    def destinations(self) -> list[Destination]:
        """Return the chosen destinations, or else every event sink of the chosen tenants."""
        if chosen := list(self.cleaned_data["where"]):
            return chosen
        sinks = Destination.objects.present().sinks().select_related("tenant").order_by("tenant__name", "name")
        tenants = self.cleaned_data["tenants"]
        return list(sinks.filter(tenant__in=tenants) if tenants else sinks)

    def selection(self) -> Selection:
        """Return which deliveries."""
        said = self.cleaned_data
        since: datetime = said["since"]
        status_class = int(said["answer"]) if said["answer"] else None
        return Selection(since, said["until"], said["states"], status_class, said["reason"], said["event_type"])

    @property
    def rate_per_s(self) -> float | None:
        """How many deliveries a second, at most."""
        rate: float | None = self.cleaned_data["rate"]
        return rate

    def fingerprint(self) -> str:
        """Return a text that changes with every field, so that nobody starts what was not counted."""
        data: Any = self.data
        said = [(name, data.getlist(name)) for name in sorted(data) if name not in IGNORED]
        return hashlib.sha256(repr(said).encode()).hexdigest()


IGNORED = {"csrfmiddlewaretoken", "count", "counted", "start"}


def make_first_values(given: QueryDict) -> dict[str, Any]:
    """Return the first values of the form, from the URL: by default all that failed within the last hour."""
    named = {name: given.getlist(name) for name in ("tenants", "where") if name in given}
    ids = {name: [id for id in found if is_id(name, id)] for name, found in named.items()}
    now = read_database_clock().replace(second=0, microsecond=0)
    return {"since": now - HOUR, "reason": given.get("reason", ""), **ids}


def is_id(name: str, text: str) -> bool:
    """Whether `text` can be the id of a tenant or a destination."""
    field: Any = (Tenant if name == "tenants" else Destination)._meta.pk
    try:
        field.to_python(text)
    except forms.ValidationError:
        return False
    return True
