"""Errors: the faults of a configuration, field by field."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FieldError:
    """The fault of one field. `field` is its path in the config, or in the options."""

    field: str
    message: str
    option: bool = False


class NotConfigurable(ValueError):
    """A configuration can't be stored. `errors` names each wrong field and its fault."""

    def __init__(self, *errors: FieldError) -> None:
        super().__init__("; ".join(f"{error.field}: {error.message}" for error in errors))
        self.errors = errors


class NotKept(NotConfigurable):
    """What was asked for is older than all that is kept."""


class SecretsNeeded(NotConfigurable):
    """Stored secrets must be entered again: they would go to another scheme, host or port than before."""
