"""The form of a destination. It has no rules of its own: `configure` checks the values."""

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
    """Name, description and the Config of one type. The last step of validation saves it.

    `configure` checks and saves in one call. So the form calls it when everything else is valid, inside the page's
    transaction, and shows its errors at the fields.
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
        """Return the other arguments of `configure`. Add errors to the fields."""
        return {}

    def field_of(self, error: configure.FieldError) -> str | None:
        """Return the form's field for an error, None for the form as a whole."""
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
    """Whether a field is empty."""
    return value in (None, "", {}, [])


def make_config_fields(key: str, destination: Destination | None) -> dict[str, forms.Field]:
    """Return the fields of this key's type, and the switch with which a new destination starts."""
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
