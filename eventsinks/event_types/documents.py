"""Documents: reading an event strictly, and keeping its bytes."""

from __future__ import annotations

import gc
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

import orjson
from pydantic import BaseModel, Field, ValidationError

from eventsinks.event_types.base import NotAcceptable, read_epoch
from eventsinks.lib import numbers
from eventsinks.lib.moments import read_time
from eventsinks.lib.validation import get_first_error

MAX_DEPTH = 200  # levels; not every library can write deeper ones again
SPACE = b" \t\r\n"
LARGE = 100_000  # bytes

# The id of an event among those of its tenant and type.
Id = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f]+$")]
# An index contains these texts, so they are short, without characters that no database column takes.
IndexedText = Annotated[str, Field(max_length=255, pattern=r"^[^\x00-\x1f]*$")]
LongText = Annotated[str, Field(max_length=10_000)]
Document = TypeVar("Document", bound=BaseModel)


def read_document(raw: bytes, model: type[Document]) -> Document:
    """Read one document strictly: a JSON object (RFC 8259), no NaN, not too deep. Raises NotAcceptable."""
    try:
        with pause_collector(len(raw)):
            document = numbers.parse(raw)
            is_too_deep = isinstance(document, dict) and nests_too_deep(raw, document)
    except ValueError as error:
        raise NotAcceptable(f"not valid JSON: {find_complaint(raw) or error}", is_json=False) from None
    except RecursionError:
        raise NotAcceptable(f"is nested deeper than {MAX_DEPTH} levels") from None
    if not isinstance(document, dict):
        raise NotAcceptable("must be a JSON object", is_json=False)
    if is_too_deep:
        raise NotAcceptable(f"is nested deeper than {MAX_DEPTH} levels")
    try:
        return model.model_validate(document)
    except ValidationError as error:
        field, message = get_first_error(error)
        raise NotAcceptable(message, field) from None


def find_complaint(raw: bytes) -> str:
    """Return the error in a JSON text and its place, "" if there is none."""
    try:
        orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        return str(error)
    return ""


def parse_accepted(data: bytes) -> Any:
    """Return an accepted event as parsed JSON. Its numbers keep their text."""
    with pause_collector(len(data)):
        return numbers.parse(data)


@contextmanager
def pause_collector(size: int) -> Iterator[None]:
    """Pause the garbage collector while a large document is parsed: it would walk the parts again and again."""
    if size < LARGE or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def nests_too_deep(raw: bytes, document: Any) -> bool:
    """Whether a document is nested deeper than MAX_DEPTH. With few brackets the answer is no at once."""
    if raw.count(b"[") + raw.count(b"{") <= MAX_DEPTH:
        return False
    level = [document]
    for _ in range(MAX_DEPTH):
        inside = (list(value.values()) if isinstance(value, dict) else value for value in level)
        level = [value for values in inside for value in values if isinstance(value, dict | list)]
    return bool(level)


def give_id(raw: bytes, document: BaseModel, given: str | None) -> tuple[str, bytes]:
    """Return the id and the bytes of a document. If it has no id, put a new one at the front.

    Every other byte stays. Raises NotAcceptable for an id that is null.
    """
    data = raw.strip(SPACE)
    if given is not None:
        return given, data
    if "id" in document.model_fields_set:  # many readers would still see null if ours stood beside it
        raise NotAcceptable("must be a string", "id")
    made = str(uuid.uuid4())
    rest = data[1:].lstrip(SPACE)
    return made, b'{"id":"%s"%s%s' % (made.encode(), b"" if rest == b"}" else b",", rest)


def read_moment(timestamp: int | str | None, field: str = "timestamp") -> datetime:
    """Return when it happened, from epoch nanoseconds or RFC 3339, or now. Raises NotAcceptable."""
    try:
        if isinstance(timestamp, int):
            return read_epoch(timestamp)
        if isinstance(timestamp, str):
            return read_time(timestamp)
    except ValueError:
        raise NotAcceptable("must be epoch nanoseconds or an RFC 3339 time", field) from None
    return datetime.now(UTC)


def write_value(value: Any) -> str:
    """Return a JSON value as text: strings as they are, everything else as JSON."""
    if isinstance(value, str):
        return value
    try:
        return numbers.dumps(value).decode()
    except orjson.JSONEncodeError:  # orjson reads deeper nesting than it writes
        return "(nested too deeply to be shown)"


def read_text(value: Any, *path: str) -> str:
    """Return the value at `path` in a JSON value as text, "" if there is none."""
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return "" if value is None else write_value(value)


def write_time(at: datetime) -> str:
    """Return a time in UTC as RFC 3339."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def split_address(address: str) -> tuple[str, int | None]:
    """Return host and port of `10.0.0.1:443`, `[fd00::1]:443`, or a host alone. Port 0 means none."""
    host, port = address, ""
    if found := re.fullmatch(r"\[(.*)\](?::(\d{1,5}))?|([^:]*):(\d{1,5})", address):
        host, port = found[1] or found[3] or "", found[2] or found[4] or ""
    return host, int(port) or None if port else None
