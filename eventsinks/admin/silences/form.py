"""The form of a new silence. The last step of validation makes it: `silence` finds the errors."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, ClassVar
from urllib.parse import urlencode

from django import forms
from django.http import HttpRequest, QueryDict
from django.urls import reverse
from unfold import widgets

from eventsinks.actions.errors import NotConfigurable
from eventsinks.actions.silence import make_silence
from eventsinks.admin.parts.filter_field import FilterFields
from eventsinks.intake.audit import SYSTEM, Initiator
from eventsinks.limits.quotas import LimitReached
from eventsinks.models import Destination, Event, Silence, Tenant
from eventsinks.models.database.clock import read_database_clock

LENGTHS = {
    "1h": ("In 1 hour", timedelta(hours=1)),
    "4h": ("In 4 hours", timedelta(hours=4)),
    "1d": ("In 1 day", timedelta(days=1)),
    "7d": ("In 7 days", timedelta(days=7)),
}
PREFILLED = ("sink", "severity_at_least", "filter_tags", "filter_rules", "filter", "reason")


class SilenceForm(FilterFields, forms.ModelForm):  # type: ignore[type-arg]
    """Where, which alerts, why, and until when."""

    tenant: ClassVar[Tenant]
    author: ClassVar[str]
    initiator: ClassVar[Initiator] = SYSTEM

    ends = forms.ChoiceField(
        label="Ends",
        choices=[*((key, label) for key, (label, _) in LENGTHS.items()), ("until", "At the moment below")],
        initial="1h",
        widget=widgets.UnfoldAdminSelectWidget(),
    )
    until = forms.SplitDateTimeField(
        label="Until",
        required=False,
        help_text="At most 366 days from now.",
        widget=widgets.UnfoldAdminSplitDateTimeWidget(),
    )

    class Meta:
        model = Silence
        fields = ("reason",)
        widgets: ClassVar = {"reason": widgets.UnfoldAdminTextareaWidget(attrs={"rows": 2})}

    def clean(self) -> dict[str, Any]:
        """Require the moment if the answer needs one."""
        cleaned = super().clean()
        if cleaned.get("ends") == "until" and not cleaned.get("until") and "until" not in self.errors:
            self.add_error("until", "Say until when.")
        return cleaned

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]
        if self.errors:
            return
        try:
            self.instance = self._made()
        except LimitReached as reached:
            self.add_error(None, f"{reached}.")
        except NotConfigurable as error:
            for found in error.errors:
                self.add_error("until" if found.field == "ends_at" else found.field, found.message)

    def _made(self) -> Silence:
        said = self.cleaned_data
        sinks = Destination.objects.of(self.tenant).sinks()
        return make_silence(
            self.tenant,
            sink=sinks.get(uuid=said["sink"]) if said["sink"] else None,
            filter=said["filter"],
            reason=said["reason"],
            author=self.author,
            ends_at=self._ends_at(),
            initiator=self.initiator,
        )

    def _ends_at(self) -> datetime:
        chosen: str = self.cleaned_data["ends"]
        until: datetime = self.cleaned_data["until"]
        return until if chosen == "until" else read_database_clock() + LENGTHS[chosen][1]


def make_silence_form(tenant: Tenant, initiator: Initiator) -> type[SilenceForm]:
    """Return the form for a new silence of this tenant, made by the signed-in user."""
    sinks = Destination.objects.of(tenant).sinks().order_by("name", "id")
    sink = forms.ChoiceField(
        label="Where",
        required=False,
        choices=[("", "At all event sinks"), *((str(found.uuid), found.name) for found in sinks)],
        widget=widgets.UnfoldAdminSelectWidget(),
    )
    said = {"sink": sink, "tenant": tenant, "author": initiator.name[:200], "initiator": initiator}
    return type("SilenceForm", (SilenceForm,), said)


def read_prefilled(given: QueryDict) -> dict[str, str]:
    """Return the first values of the form, from the URL."""
    return {name: str(given[name]) for name in PREFILLED if name in given}


def may_silence(request: HttpRequest, event: Event) -> bool:
    """Whether this user may silence alerts like this one."""
    return event.type == "detection_alert" and request.user.has_perm("eventsinks.add_silence")


def make_silence_link(event: Event) -> str:
    """Return the URL of a form for a silence of alerts with the same rule or name."""
    document = event.document
    rule = str(document.get("detection_rule_id") or document.get("name") or "")
    said = {"tenant": event.tenant_id, "filter_rules": " ".join(rule.split()), "now": "1"}
    return f"{reverse('admin:eventsinks_silence_add')}?{urlencode(said)}"
