"""What a tenant says about one destination, with secrecy as a property of its fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    SecretStr,
    SerializationInfo,
    ValidationInfo,
)

from eventsinks.lib.addresses import AddressGuard, parse_url

MASK = "****"


def _dump_secret(value: SecretStr, info: SerializationInfo) -> str:
    revealed = bool(info.context and info.context.get("reveal"))
    return value.get_secret_value() if revealed or not value.get_secret_value() else MASK


def _not_a_mask(value: SecretStr) -> SecretStr:
    if value.get_secret_value() == MASK:
        raise ValueError(f"{MASK} stands for a secret that is kept, and there is none here yet")
    return value


def _none_if_empty(value: Any) -> Any:
    return None if value == "" else value


def _check_url(url: str, info: ValidationInfo) -> str:
    guard: AddressGuard | None = (info.context or {}).get("guard")
    parse_url(url)
    if guard is not None:
        guard.check_url(url)
    return url


def _check_secret_url(url: SecretStr, info: ValidationInfo) -> SecretStr:
    text = _check_url(url.get_secret_value(), info)
    if parse_url(text).scheme != "https":
        raise ValueError("a URL that is a secret must start with https://")
    return url


# Dumps as "****": secrecy is a property of the field, declared once.
Secret = Annotated[SecretStr, AfterValidator(_not_a_mask), PlainSerializer(_dump_secret, return_type=str)]
# Goes before a field that may be absent: where every value is a string, "" is how a client takes one away.
Absent = BeforeValidator(_none_if_empty)
# An http(s) URL that does not plainly name an internal place, where the guard is in the validation's context.
PublicUrl = Annotated[str, AfterValidator(_check_url)]
# A PublicUrl that whoever knows it may post to: https only, and shown as "****".
SecretUrl = Annotated[Secret, AfterValidator(_check_secret_url)]


class Config(BaseModel):
    """What a tenant says about one destination. Field names are the names on the wire."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    def masked(self) -> dict[str, Any]:
        """Return it with every secret as `****`: fit to be shown."""
        return self.model_dump(mode="json", exclude_none=True)

    def revealed(self) -> dict[str, Any]:
        """Return it with its secrets in clear: never to be shown or logged."""
        return self.model_dump(mode="json", exclude_none=True, context={"reveal": True})

    def secrets(self) -> dict[str, Any]:
        """Return the fields that hold a secret, in clear."""
        masked = self.masked()
        return {name: value for name, value in self.revealed().items() if masked.get(name) != value}

    def changed(self, changes: Mapping[str, Any], guard: AddressGuard | None = None) -> Self:
        """Return it with `changes`; a `****` in them means "as it was", a None "not any more".

        Raises pydantic.ValidationError.
        """
        merged = unmasked(self.revealed(), {**self.revealed(), **changes})
        kept = {name: value for name, value in merged.items() if value is not None}
        return type(self).model_validate(kept, context={"guard": guard})


def unmasked(before: Any, after: Any) -> Any:
    """Return `after` with every `****` in it replaced by what stood in its place `before`."""
    if after == MASK and isinstance(before, str):
        return before
    if isinstance(after, dict) and isinstance(before, dict):
        return {key: unmasked(before.get(key), value) for key, value in after.items()}
    return after


ConfigT = TypeVar("ConfigT", bound=Config)
