"""The form of an integration: the Config of its type, what it receives, in which shape, and from when on."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, ClassVar

from django import forms
from unfold import widgets

from eventsinks.admin.parts.destination_form import DestinationForm, make_config_fields
from eventsinks.admin.sinks.options import make_event_types_field
from eventsinks.destinations import destination_type
from eventsinks.intake.audit import SYSTEM, Initiator
from eventsinks.mappings import MAPPINGS
from eventsinks.models import Integration, Tenant
from eventsinks.models.database.clock import read_database_clock
from eventsinks.models.options import Options, check_filter
from eventsinks.models.stream import LogPlace, find_moment_of_log, get_beginning

NOW, HOURS, BEGINNING = "now", "hours", "beginning"
STARTS = {
    NOW: "With what comes from now on",
    HOURS: "With the last hours, as many as said below",
    BEGINNING: "With the first event that is kept",
}


class IntegrationForm(DestinationForm):
    """The fields of an integration."""

    class Meta:
        model = Integration
        fields = ("name", "description")
        widgets: ClassVar = {"description": widgets.UnfoldAdminTextareaWidget(attrs={"rows": 2})}

    def clean(self) -> dict[str, Any]:
        """Require a number of hours if the start needs one, and a valid filter."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if cleaned.get("start") == HOURS and cleaned.get("hours") is None and "hours" not in self.errors:
            self.add_error("hours", "Say how many hours.")
        try:
            check_filter(cleaned.get("filter", ""))
        except ValueError as error:
            self.add_error("filter", str(error))
        return cleaned

    def more(self) -> dict[str, Any]:
        """Return what it receives and in which shape, if that changed, and for a new one from when on."""
        said, more = self.cleaned_data, {}
        if options := {name: said[name] for name in ("event_types", "filter") if name in self.changed_data}:
            more["options"] = Options.model_validate(options)
        if "mapping" in self.changed_data:
            more["mapping"] = said["mapping"]
        return more | ({"start": self._start()} if self.instance._state.adding else {})

    def _start(self) -> LogPlace | None:
        said = self.cleaned_data
        if said["start"] == BEGINNING:
            return get_beginning()
        if said["start"] == HOURS:
            return find_moment_of_log(self.tenant.pk, read_database_clock() - timedelta(hours=said["hours"]))
        return None


def make_integration_form(
    tenant: Tenant, key: str, integration: Integration | None, initiator: Initiator = SYSTEM
) -> type[IntegrationForm]:
    """Return the form for an integration of this tenant and this type's key. None means a new one."""
    fields = make_config_fields(key, integration)
    fields["event_types"] = make_event_types_field(
        integration.event_types if integration else ["audit", "network_traffic"]
    )
    fields["filter"] = forms.CharField(
        label="Filter in CEL",
        required=False,
        initial=integration.filter if integration else "",
        help_text='Which of them: activity_code.startsWith("user."), or protocol == 6. Empty: all.',
        widget=widgets.UnfoldAdminTextareaWidget(attrs={"rows": 2, "spellcheck": "false"}),
    )
    fields["mapping"] = forms.ChoiceField(
        label="Shape",
        choices=[(found.key, f"{found.label} {found.version}".strip()) for found in MAPPINGS.values()],
        initial=integration.mapping if integration else destination_type(key).usual_mapping,
        help_text="The schema in which events are sent. What waits already is sent in the new shape.",
        widget=widgets.UnfoldAdminSelectWidget(),
    )
    if integration is None:
        fields |= make_start_fields()
    said = {"tenant": tenant, "type_key": key, "initiator": initiator}
    return type("IntegrationForm", (IntegrationForm,), {**fields, **said})


def make_start_fields() -> dict[str, forms.Field]:
    """Return the fields for the moment from which a new integration receives events."""
    return {
        "start": forms.ChoiceField(
            label="Begins",
            choices=list(STARTS.items()),
            initial=NOW,
            widget=widgets.UnfoldAdminSelectWidget(),
        ),
        "hours": forms.IntegerField(
            label="Hours",
            required=False,
            min_value=1,
            max_value=24 * 366,
            initial=24,
            widget=widgets.UnfoldAdminIntegerFieldWidget(),
        ),
    }
