"""The configuration of one destination. Each field declares whether it is secret."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    SecretStr,
    SerializationInfo,
    ValidationError,
    ValidationInfo,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from eventsinks.lib.net.addresses import AddressGuard, parse_url
from eventsinks.lib.net.urls import encode_url
from eventsinks.lib.secrets.redact import MASK as MASK
from eventsinks.lib.secrets.secret_texts import (
    find_url_secrets,
    get_origin,
    mask_url,
    split_secret,
    split_url,
    unmask_url,
)

LONG_TEXT = "long-text"  # the format, in a schema, of a text that may have several lines
NEEDED = "secret_needed"  # the type of the error where a secret would go to another origin than it was given for
KEPT = f"{MASK} stands for a secret that is kept, and there is none here yet"


def is_revealed(info: SerializationInfo) -> bool:
    """Whether a dump shows secrets."""
    return bool(info.context and info.context.get("reveal"))


def _dump_secret(value: SecretStr, info: SerializationInfo) -> str:
    return value.get_secret_value() if is_revealed(info) or not value.get_secret_value() else MASK


def _dump_url(url: str, info: SerializationInfo) -> str:
    return url if is_revealed(info) else mask_url(url)


def _not_a_mask(value: SecretStr) -> SecretStr:
    if value.get_secret_value() == MASK:
        raise ValueError(KEPT)
    return value


def _none_if_empty(value: Any) -> Any:
    return None if value == "" else value


def _encode_url(value: Any) -> Any:
    """Return a URL in ASCII, which is measured later. Text that is not a URL, or has a mask, stays."""
    return encode_url(value) if isinstance(value, str) and MASK not in value else value


def _check_url(url: str, info: ValidationInfo) -> str:
    guard: AddressGuard | None = (info.context or {}).get("guard")
    if MASK in url:
        raise ValueError(KEPT)
    parse_url(url)
    if guard is not None:
        guard.check_url(url)
    return url


def _check_secret_url(url: SecretStr, info: ValidationInfo) -> SecretStr:
    text = _check_url(url.get_secret_value(), info)
    if parse_url(text).scheme != "https":
        raise ValueError("a URL that is a secret must start with https://")
    return url


# A secret field. A dump shows it as "****".
Secret = Annotated[SecretStr, AfterValidator(_not_a_mask), PlainSerializer(_dump_secret, return_type=str)]
# For an optional field. On APIs where every value is a string, a client removes the value with "".
Absent = BeforeValidator(_none_if_empty)
# An http(s) URL in ASCII. If the context of the validation has the guard, the URL must not plainly name an
# internal place. A dump shows a token or a webhook's secret in it as "****".
PublicUrl = Annotated[
    str, BeforeValidator(_encode_url), AfterValidator(_check_url), PlainSerializer(_dump_url, return_type=str)
]
# A PublicUrl that is a secret, because everybody who knows it can post to it. It is https, and shown as "****".
SecretUrl = Annotated[Secret, BeforeValidator(_encode_url), AfterValidator(_check_secret_url)]


class Config(BaseModel):
    """The configuration of one destination. The names of its fields are the names on the wire."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
    spellings: ClassVar[Sequence[tuple[str, str]]] = ()  # pairs of names for the same field

    def dump_masked(self) -> dict[str, Any]:
        """Return the config for showing: every secret is `****`."""
        return self.model_dump(mode="json", exclude_none=True)

    def dump_revealed(self) -> dict[str, Any]:
        """Return the config with its secrets in clear. Never show or log them."""
        return self.model_dump(mode="json", exclude_none=True, context={"reveal": True})

    def secrets(self) -> dict[str, Any]:
        """Return the fields with a secret, in clear."""
        masked = self.dump_masked()
        return {name: value for name, value in self.dump_revealed().items() if masked.get(name) != value}

    def secret_texts(self) -> Iterator[str]:
        """Yield each text that reveals a secret, in clear. They are for masking only: never show or log them."""
        for value in read_leaves(dict(self)):
            if isinstance(value, SecretStr):
                yield from split_secret(value.get_secret_value())
            elif isinstance(value, str):
                yield from find_url_secrets(value)

    def origins(self) -> set[Any]:
        """Return the origins that get its secrets: by default the scheme, host and port of each URL in it."""
        texts = (value for value in read_leaves(dict(self)) if isinstance(value, str) and split_url(value))
        return {get_origin(text) for text in texts}

    def apply_changes(self, changes: Mapping[str, Any], guard: AddressGuard | None = None) -> Self:
        """Return the config with `changes`. A `****` keeps the stored value, and None removes it.

        A secret is for one origin. With a new origin, the secret must be given again. Raises
        pydantic.ValidationError; its type is NEEDED if a secret is missing.
        """
        merged = unmask(self.dump_revealed(), {**self.dump_revealed(), **self.complete_changes(changes)})
        kept = {name: value for name, value in merged.items() if value is not None}
        after = type(self).model_validate(kept, context={"guard": guard})
        if not after.origins() <= self.origins() and (names := self.list_kept_secrets(after, changes)):
            raise make_needed(type(self).__name__, names)
        return after

    def complete_changes(self, changes: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return `changes` after a type's own rules: one change may mean another."""
        return changes

    def list_kept_secrets(self, after: Self, changes: Mapping[str, Any]) -> list[str]:
        """Return the fields whose secret `after` has from this config, because `changes` have no new one."""
        secret = {*self.secrets(), *after.secrets()}
        return [
            name
            for name in after.dump_revealed()
            if (holds_mask(changes[name]) if name in changes else name in secret)
        ]


def make_needed(title: str, names: list[str]) -> ValidationError:
    """Return the error for secrets that must be given again."""
    what = PydanticCustomError(NEEDED, "must be given again: it would be sent to another scheme, host or port")
    details = [InitErrorDetails(type=what, loc=(name,), input=None) for name in names]
    return ValidationError.from_exception_data(title, details, hide_input=True)


def read_leaves(value: Any) -> Iterator[Any]:
    """Yield the simple values in a JSON value, at every depth."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for child in value:
            yield from read_leaves(child)
    else:
        yield value


def holds_mask(value: Any) -> bool:
    """Whether a value has `****` at any depth."""
    return any(MASK in leaf for leaf in read_leaves(value) if isinstance(leaf, str))


def unmask(before: Any, after: Any) -> Any:
    """Return `after`. Each `****` in it, alone or in a URL, is replaced by the value at this place in `before`."""
    if isinstance(after, str) and isinstance(before, str):
        return before if after == MASK else unmask_url(before, after)
    if isinstance(after, dict) and isinstance(before, dict):
        return {key: unmask(before.get(key), value) for key, value in after.items()}
    return after


ConfigT = TypeVar("ConfigT", bound=Config)
