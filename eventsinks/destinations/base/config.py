"""What a tenant says about one destination, with secrecy as a property of its fields."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Self, TypeVar

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
    """Whether a dump is to show secrets."""
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
    """Return a URL in ASCII, before it is measured; what is none, or holds a mask, is judged afterwards."""
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


# Dumps as "****": secrecy is a property of the field, declared once.
Secret = Annotated[SecretStr, AfterValidator(_not_a_mask), PlainSerializer(_dump_secret, return_type=str)]
# Goes before a field that may be absent: where every value is a string, "" is how a client takes one away.
Absent = BeforeValidator(_none_if_empty)
# An http(s) URL that does not plainly name an internal place, where the guard is in the validation's context: kept
# in ASCII, as it is sent. What of it is a token or a webhook's secret is dumped as "****".
PublicUrl = Annotated[
    str, BeforeValidator(_encode_url), AfterValidator(_check_url), PlainSerializer(_dump_url, return_type=str)
]
# A PublicUrl that whoever knows it may post to: https only, and shown as "****".
SecretUrl = Annotated[Secret, BeforeValidator(_encode_url), AfterValidator(_check_secret_url)]


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

    def secret_texts(self) -> Iterator[str]:
        """Yield every text that gives a secret of it away, in clear: for masking, never to be shown or logged."""
        for value in read_leaves(dict(self)):
            if isinstance(value, SecretStr):
                yield from split_secret(value.get_secret_value())
            elif isinstance(value, str):
                yield from find_url_secrets(value)

    def origins(self) -> set[Any]:
        """Return where its secrets are sent: by default the scheme, host and port of every URL in it."""
        texts = (value for value in read_leaves(dict(self)) if isinstance(value, str) and split_url(value))
        return {get_origin(text) for text in texts}

    def changed(self, changes: Mapping[str, Any], guard: AddressGuard | None = None) -> Self:
        """Return it with `changes`; a `****` in them means "as it was", a None "not any more".

        A secret goes to the origin that it was given for: with another one, it must be given again. Raises
        pydantic.ValidationError, of the type NEEDED where that is what is wrong.
        """
        merged = unmask(self.revealed(), {**self.revealed(), **self.rewritten(changes)})
        kept = {name: value for name, value in merged.items() if value is not None}
        after = type(self).model_validate(kept, context={"guard": guard})
        if not after.origins() <= self.origins() and (names := self.secrets_kept(after, changes)):
            raise make_needed(type(self).__name__, names)
        return after

    def rewritten(self, changes: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return `changes` with what they mean beside what they say: a type's own rules."""
        return changes

    def secrets_kept(self, after: Self, changes: Mapping[str, Any]) -> list[str]:
        """Return the fields with a secret that `after` has from here: `changes` have not given them anew."""
        secret = {*self.secrets(), *after.secrets()}
        return [
            name for name in after.revealed() if (holds_mask(changes[name]) if name in changes else name in secret)
        ]


def make_needed(title: str, names: list[str]) -> ValidationError:
    """Return the error for secrets that must be given again."""
    what = PydanticCustomError(NEEDED, "must be given again: it would be sent to another scheme, host or port")
    details = [InitErrorDetails(type=what, loc=(name,), input=None) for name in names]
    return ValidationError.from_exception_data(title, details, hide_input=True)


def read_leaves(value: Any) -> Iterator[Any]:
    """Yield what stands in a value and in what it holds."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for child in value:
            yield from read_leaves(child)
    else:
        yield value


def holds_mask(value: Any) -> bool:
    """Whether a `****` stands anywhere in a value."""
    return any(MASK in leaf for leaf in read_leaves(value) if isinstance(leaf, str))


def unmask(before: Any, after: Any) -> Any:
    """Return `after` with every `****` in it, alone or within a URL, replaced by what stood there `before`."""
    if isinstance(after, str) and isinstance(before, str):
        return before if after == MASK else unmask_url(before, after)
    if isinstance(after, dict) and isinstance(before, dict):
        return {key: unmask(before.get(key), value) for key, value in after.items()}
    return after


ConfigT = TypeVar("ConfigT", bound=Config)
