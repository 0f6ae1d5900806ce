"""Reads the documents of a request: one, a JSON array, or NDJSON. The bytes of each document stay as they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import IO, Annotated, Any, TypeVar

import msgspec
import orjson
from pydantic import Field
from rest_framework.exceptions import ParseError
from rest_framework.request import Request

from eventsinks.api.broken_arrays import split_elements
from eventsinks.api.json import BodyTooLarge, JSONParser, read_stream
from eventsinks.api.media_types import BOM, Shape, choose_shape, decode_to_utf_8

MAX_DOCUMENTS = 10_000  # events in one request

T = TypeVar("T")
# The schema of an array of events. An element that is not a T is rejected, and the others are accepted.
Other = Annotated[Any, Field(description="Not an event: it is rejected, and the other elements are accepted.")]
Many = Annotated[list[T | Other], Field(min_length=1)]
SPACE = b" \t\r\n"


class EventsParser(JSONParser):
    """Returns the bytes of the body. It accepts every media type of events."""

    media_type = "*/*"

    def parse(self, stream: IO[bytes], media_type: str | None = None, context: Any = None) -> Any:
        """Return the bytes. Raises TooLarge, and UnsupportedMediaType, which names the accepted types."""
        choose_shape(media_type or "")
        return decode_to_utf_8(read_stream(stream), media_type or "")


class Envelope(msgspec.Struct):
    """The fields that are read of a CloudEvents envelope."""

    specversion: str
    id: str
    data: msgspec.Raw
    time: str | None = None


def read_documents(request: Request) -> tuple[Sequence[bytes], bool]:
    """Return the documents of a request, and whether the body was a list. Raises the errors of `split_body`."""
    body = request.data if isinstance(request.data, bytes) else b""  # an empty body is never parsed
    return split_body(body, choose_shape(request.content_type) if body else "json")


def split_body(body: bytes, shape: Shape) -> tuple[Sequence[bytes], bool]:
    """Return the documents of a body, with their bytes unchanged, and whether the body was a list.

    Raises ParseError for an array that can't be split, and TooLarge for too many documents.
    """
    if shape == "lines":
        lines = (line.lstrip(SPACE).removeprefix(BOM) for line in body.split(b"\n"))  # files begin with the mark
        documents: Sequence[bytes] = [line for line in lines if line.strip(SPACE)]
    elif body.lstrip(SPACE).startswith(b"["):
        documents = split_array(body)
    else:
        return [unwrap_envelope(body) if shape == "cloudevents" else body], False
    if len(documents) > MAX_DOCUMENTS:
        raise BodyTooLarge(f"one request takes at most {MAX_DOCUMENTS} events")
    if not documents:
        raise ParseError("there is no event in the body")
    return list(map(unwrap_envelope, documents)) if shape == "cloudevents" else documents, True


def split_array(body: bytes) -> Sequence[bytes]:
    """Return the elements of an array, with the bad ones. Raises ParseError if the array can't be split."""
    try:
        return [bytes(raw) for raw in msgspec.json.decode(body, type=list[msgspec.Raw])]
    except (msgspec.DecodeError, RecursionError):
        try:
            return split_elements(body, MAX_DOCUMENTS + 1)
        except ValueError as error:
            raise ParseError(f"couldn't parse JSON request: an array, but {error}") from None


def unwrap_envelope(raw: bytes) -> bytes:
    """Return the event in a CloudEvents envelope. If the event has no id or time, it gets those of the envelope.

    A document that is not an envelope is returned unchanged: it is an event itself.
    """
    try:
        envelope = msgspec.json.decode(raw, type=Envelope)
        data = bytes(envelope.data)
        names = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, RecursionError):
        return raw
    lent = {"id": envelope.id, **({"timestamp": envelope.time} if envelope.time else {})}
    missing = orjson.dumps({name: value for name, value in lent.items() if name not in names})
    if missing == b"{}":
        return data
    return missing[:-1] + (b"," if names else b"") + data[1:].lstrip(SPACE)
