"""What is wrong with what somebody wants to keep: every field, and why."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FieldError:
    """What is wrong with one field; `field` is its path inside the config, or inside the options."""

    field: str
    message: str
    option: bool = False


class NotConfigurable(ValueError):
    """Something can't be kept. `errors` names every field and what is wrong with it."""

    def __init__(self, *errors: FieldError) -> None:
        super().__init__("; ".join(f"{error.field}: {error.message}" for error in errors))
        self.errors = errors


class SecretsNeeded(NotConfigurable):
    """What is kept must be given again: it would go to another scheme, host or port than it was given for."""
