"""JSON in and out: strict (RFC 8259, no NaN, bounded depth and size) and fast."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import IO, Any

import orjson
from django.conf import settings
from rest_framework import status
from rest_framework.exceptions import APIException, ParseError
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer

from eventsinks.api.media_types import decode_to_utf_8
from eventsinks.lib.numbers import write_number
from eventsinks.lib.validation import NUL, find_fields_with_nul

ESCAPED_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


class BodyTooLarge(APIException):
    """The body is larger than this server accepts."""

    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_code = "too_large"


class NulFound(ParseError):
    """The body has a NUL, which no database column can hold. `problems` name its field."""

    def __init__(self, field: str) -> None:
        self.problems = [(field, NUL)]
        where = f"{field}: " if field else ""
        super().__init__(f"couldn't parse JSON request: {where}{NUL}")


class JSONParser(BaseParser):
    """Parses a JSON body."""

    media_type = "application/json"

    def parse(self, stream: IO[bytes], media_type: str | None = None, context: Any = None) -> Any:
        """Return the document. Raises ParseError, NulFound, TooLarge and UnsupportedMediaType."""
        body = decode_to_utf_8(read_stream(stream), media_type or "")
        try:
            document = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise ParseError(f"couldn't parse JSON request: {error}") from None
        if ESCAPED_NUL.search(body):
            for field in find_fields_with_nul(document):
                raise NulFound(field)
        return document


def read_stream(stream: IO[bytes]) -> bytes:
    """Return the whole body. Raises TooLarge."""
    body = stream.read(settings.EVENTSINKS_MAX_BODY_BYTES + 1)
    if len(body) > settings.EVENTSINKS_MAX_BODY_BYTES:
        raise BodyTooLarge(f"the body is larger than {settings.EVENTSINKS_MAX_BODY_BYTES} bytes")
    return body


class JSONRenderer(BaseRenderer):
    """JSON with UTC times that end in Z, and UUIDs as text."""

    media_type = "application/json"
    format = "json"
    charset = None

    def render(self, data: Any, accepted_media_type: str | None = None, context: Any = None) -> bytes:
        """Return the body. It is empty for None."""
        return b"" if data is None else dumps(data)


def dumps(data: Any) -> bytes:
    """Return `data` as JSON."""
    return orjson.dumps(data, default=_dump_unknown, option=orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS)


def _dump_unknown(value: Any) -> Any:
    """Convert a value that orjson can't write: a number with its text, a lazy text, a dictionary of DRF."""
    return dict(value) if isinstance(value, Mapping) else write_number(value)
