"""The form of one destination. It has no knowledge of its own of what is good: `configure` says so."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from unfold import widgets

from eventsinks.actions import configure
from eventsinks.admin.parts.forms import PREFIX, make_fields
from eventsinks.destinations import destination_type
from eventsinks.intake.audit import SYSTEM, Initiator
from eventsinks.limits.quotas import LimitReached
from eventsinks.models import Destination, Tenant


class DestinationForm(forms.ModelForm):  # type: ignore[type-arg]
    """Name, description and the Config of one type. Keeping it is its last step of validation.

    `configure` checks and keeps in one go, so it is called when all else is valid, inside the transaction of
    the page; what it refuses is shown at the field.
    """

    tenant: ClassVar[Tenant]
    type_key: ClassVar[str]
    initiator: ClassVar[Initiator] = SYSTEM

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]
        if self.errors:
            return
        more = self.more()
        if self.errors:
            return
        try:
            kept = self._created(more) if self.instance._state.adding else self._changed(more)
        except configure.NotConfigurable as error:
            for found in error.errors:
                self.add_error(self.field_of(found), found.message)
        except LimitReached as reached:
            self.add_error(None, f"{reached}.")
        except Destination.DoesNotExist:
            self.add_error(None, "It has just been deleted by somebody else.")
        else:
            self.instance = type(self.instance).objects.get(pk=kept.pk)

    def more(self) -> dict[str, Any]:
        """Return what else `configure` is given; adds errors to the fields."""
        return {}

    def field_of(self, error: configure.FieldError) -> str | None:
        """Return the form's field that an error is about; None for the form as a whole."""
        name = PREFIX + error.field.partition(".")[0]
        return name if name in self.fields else None

    def _created(self, more: dict[str, Any]) -> Destination:
        given = {name: value for name, value in self._config().items() if not is_empty(value)}
        return configure.create(
            self.tenant,
            self.type_key,
            given,
            name=self.cleaned_data["name"],
            description=self.cleaned_data["description"],
            enabled=self.cleaned_data["enabled"],
            initiator=self.initiator,
            **more,
        )

    def _changed(self, more: dict[str, Any]) -> Destination:
        changes = {
            name: None if is_empty(value) else value
            for name, value in self._config().items()
            if PREFIX + name in self.changed_data
        }
        return configure.change(
            self.instance,
            changes or None,
            name=self.cleaned_data["name"],
            description=self.cleaned_data["description"],
            initiator=self.initiator,
            **more,
        )

    def _config(self) -> dict[str, Any]:
        return {
            name.removeprefix(PREFIX): value
            for name, value in self.cleaned_data.items()
            if name.startswith(PREFIX)
        }


def is_empty(value: Any) -> bool:
    """Whether a field was left empty."""
    return value in (None, "", {}, [])


def make_config_fields(key: str, destination: Destination | None) -> dict[str, forms.Field]:
    """Return the fields of the type with this key, and the switch that a new destination starts with."""
    fields = make_fields(destination_type(key).Config, destination.config if destination else {})
    if destination is None:
        fields["enabled"] = forms.BooleanField(
            label="Send to it at once",
            help_text="Otherwise it starts paused, and keeps what it is owed.",
            initial=True,
            required=False,
            widget=widgets.UnfoldBooleanSwitchWidget(),
        )
    return fields
