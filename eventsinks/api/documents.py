"""Documents as they come in: one, a JSON array of them, or NDJSON; each to the byte."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, TypeVar

import msgspec
from pydantic import Field
from rest_framework.exceptions import ParseError
from rest_framework.request import Request

from eventsinks.api.json import NDJSONParser, TooLarge

MAX_DOCUMENTS = 10_000  # events in one request

T = TypeVar("T")
# How a schema tells an array of events: one that is no T is rejected, and its neighbours are taken.
Many = Annotated[list[T | Any], Field(min_length=1)]
SPACE = b" \t\r\n"
NDJSON = NDJSONParser.media_type


def documents_of(request: Request) -> tuple[Sequence[bytes], bool]:
    """Return the documents of a request's body, and whether it was a list of them. Raises as `split` does."""
    body = request.data if isinstance(request.data, bytes) else b""  # an empty body is never parsed
    return split(body, is_ndjson=request.content_type.lower().startswith(NDJSON))


def split(body: bytes, *, is_ndjson: bool) -> tuple[Sequence[bytes], bool]:
    """Return the documents of a body, each to the byte, and whether it was a list of them.

    Raises ParseError for an array that is broken as a whole, TooLarge for too many.
    """
    if is_ndjson:
        documents: Sequence[bytes] = [line for line in body.split(b"\n") if line.strip(SPACE)]
    elif body.lstrip(SPACE).startswith(b"["):
        try:
            documents = [bytes(raw) for raw in msgspec.json.decode(body, type=list[msgspec.Raw])]
        except (msgspec.DecodeError, RecursionError) as error:
            raise ParseError(f"couldn't parse JSON request: {error}") from None
    else:
        return [body], False
    if len(documents) > MAX_DOCUMENTS:
        raise TooLarge(f"one request takes at most {MAX_DOCUMENTS} events")
    if not documents:
        raise ParseError("there is no event in the body")
    return documents, True
