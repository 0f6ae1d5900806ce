"""The form of an event sink: the Config of its type, and its options."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.urls import reverse
from django.utils.html import format_html
from unfold import widgets

from eventsinks.actions import configure
from eventsinks.admin.parts.destination_form import DestinationForm, make_config_fields
from eventsinks.admin.parts.forms import PREFIX
from eventsinks.admin.sinks.options import OptionFields, make_option_fields, make_option_initial
from eventsinks.intake.audit import SYSTEM, Initiator
from eventsinks.models import EventSink, SlackWorkspace, Tenant

WORKSPACE = "slack_integration_id"  # the field of a Config that names one of its tenant's workspaces


class SinkForm(OptionFields, DestinationForm):
    """The fields of an event sink. `configure` gets only the options that were changed."""

    class Meta:
        model = EventSink
        fields = ("name", "description")
        widgets: ClassVar = {"description": widgets.UnfoldAdminTextareaWidget(attrs={"rows": 2})}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not self.instance._state.adding:
            self.initial.update(make_option_initial(self.instance))

    def more(self) -> dict[str, Any]:
        """Return the options that were changed."""
        return {"options": self.options()}

    def field_of(self, error: configure.FieldError) -> str | None:
        """Return the form's field for an error."""
        return self.field_of_option(error.field) if error.option else super().field_of(error)


def make_sink_form(
    tenant: Tenant, key: str, sink: EventSink | None, initiator: Initiator = SYSTEM
) -> type[SinkForm]:
    """Return the form for a sink of this tenant and this type's key. None means a new one."""
    fields = make_config_fields(key, sink)
    if PREFIX + WORKSPACE in fields:
        fields[PREFIX + WORKSPACE] = make_workspace_field(tenant, fields[PREFIX + WORKSPACE])
    fields |= make_option_fields(tenant, sink)
    return type("SinkForm", (SinkForm,), {**fields, "tenant": tenant, "type_key": key, "initiator": initiator})


def make_workspace_field(tenant: Tenant, field: forms.Field) -> forms.Field:
    """Return a choice among the tenant's Slack workspaces in place of `field`."""
    workspaces = SlackWorkspace.objects.filter(tenant=tenant)
    choices = [("", "Select a workspace"), *((str(found.id), found.team_name) for found in workspaces)]
    add = reverse("admin:eventsinks_slackworkspace_add")
    return forms.ChoiceField(
        label="Slack workspace",
        help_text=format_html(
            'Not there? <a href="{}?tenant={}" class="es-link">Add a Slack workspace</a> first.',
            add,
            tenant.pk,
        ),
        choices=choices,
        initial=field.initial,
        required=field.required,
        widget=widgets.UnfoldAdminSelectWidget(),
    )
