"""The form of one event sink. It has no knowledge of its own of what is good: `configure` says so."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.urls import reverse
from django.utils.html import format_html
from unfold import widgets

from eventsinks.actions import configure
from eventsinks.admin.forms import PREFIX, fields_of
from eventsinks.destinations import destination_type
from eventsinks.models import Destination, EventSink, SlackWorkspace, Tenant

WORKSPACE = "slack_integration_id"  # the field of a Config by which it names one of its tenant's workspaces


class SinkForm(forms.ModelForm):  # type: ignore[type-arg]
    """Name, description and the Config of one type. Keeping it is its last step of validation.

    `configure` checks and keeps in one go, so it is called when all else is valid, inside the transaction of
    the page; what it refuses is shown at the field.
    """

    tenant: ClassVar[Tenant]
    type_key: ClassVar[str]

    class Meta:
        model = EventSink
        fields = ("name", "description")
        widgets: ClassVar = {"description": widgets.UnfoldAdminTextareaWidget(attrs={"rows": 2})}

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]
        if self.errors:
            return
        try:
            kept = self._created() if self.instance._state.adding else self._changed()
        except configure.NotConfigurable as error:
            for found in error.errors:
                self.add_error(self._field_of(found.field), found.message)
        except Destination.DoesNotExist:
            self.add_error(None, "This event sink has just been deleted by somebody else.")
        else:
            self.instance = EventSink.objects.get(pk=kept.pk)

    def _created(self) -> Destination:
        given = {name: value for name, value in self._config().items() if value not in (None, "", {})}
        return configure.create(
            self.tenant,
            self.type_key,
            given,
            name=self.cleaned_data["name"],
            description=self.cleaned_data["description"],
            enabled=self.cleaned_data["enabled"],
        )

    def _changed(self) -> Destination:
        changes = {
            name: None if value in (None, "", {}) else value
            for name, value in self._config().items()
            if PREFIX + name in self.changed_data
        }
        return configure.change(
            self.instance,
            changes or None,
            name=self.cleaned_data["name"],
            description=self.cleaned_data["description"],
        )

    def _config(self) -> dict[str, Any]:
        return {
            name.removeprefix(PREFIX): value
            for name, value in self.cleaned_data.items()
            if name.startswith(PREFIX)
        }

    def _field_of(self, path: str) -> str | None:
        """Return the form's field for a path inside the Config; None for the form as a whole."""
        name = PREFIX + path.partition(".")[0]
        return name if name in self.fields else None


def sink_form(tenant: Tenant, key: str, sink: EventSink | None) -> type[SinkForm]:
    """Return the form for a sink of this tenant and of the type with this key; None: a new one."""
    fields = fields_of(destination_type(key).Config, sink.config if sink else {})
    if PREFIX + WORKSPACE in fields:
        fields[PREFIX + WORKSPACE] = workspace_field(tenant, fields[PREFIX + WORKSPACE])
    if sink is None:
        fields["enabled"] = forms.BooleanField(
            label="Send to it at once",
            help_text="Otherwise it starts paused, and keeps what it is owed.",
            initial=True,
            required=False,
            widget=widgets.UnfoldBooleanSwitchWidget(),
        )
    return type("SinkForm", (SinkForm,), {**fields, "tenant": tenant, "type_key": key})


def workspace_field(tenant: Tenant, field: forms.Field) -> forms.Field:
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
