"""The media types and charsets of a body: the common names of JSON, of JSON lines, and of CloudEvents."""

from __future__ import annotations

import re
from typing import Literal

from django.utils.http import parse_header_parameters
from rest_framework.exceptions import UnsupportedMediaType

JSON, NDJSON = "application/json", "application/x-ndjson"  # the names that the schema tells
LINES = frozenset(
    [
        NDJSON,
        "application/ndjson",
        "application/jsonl",
        "application/x-jsonl",
        "application/jsonlines",
        "application/x-jsonlines",
        "application/json-lines",
        "application/x-json-lines",
        "application/stream+json",
        "text/ndjson",
        "text/x-ndjson",
        "text/jsonl",
        "text/x-jsonl",
    ]
)
# https://github.com/cloudevents/spec/blob/main/cloudevents/formats/json-format.md
CLOUDEVENTS = frozenset(["application/cloudevents+json", "application/cloudevents-batch+json"])
UTF_8 = frozenset(["utf-8", "utf8", "us-ascii", "ascii"])
BOM = b"\xef\xbb\xbf"  # what marks a file as UTF-8
# The first characters of JSON are ASCII. This is how UTF-16 and UTF-32 write them, with or without a mark.
WIDE = re.compile(
    rb"(?:\xff\xfe\0\0|\0\0\xfe\xff|\xff\xfe|\xfe\xff)?"
    rb"(?:[^\0]\0[^\0]\0|\0[^\0]\0[^\0]|[^\0]\0\0\0|\0\0\0[^\0])",
    re.DOTALL,
)
TAKEN = f"send {JSON}, application/*+json, or {NDJSON} for one event a line"

Shape = Literal["json", "lines", "cloudevents"]


def choose_shape(content_type: str) -> Shape:
    """Return how to read a body of events. Raises UnsupportedMediaType, which names the accepted types."""
    name = parse_header_parameters(content_type)[0].strip()
    if name in LINES:
        return "lines"
    if name in CLOUDEVENTS:
        return "cloudevents"
    if name == JSON or (name.startswith("application/") and name.endswith("+json")):
        return "json"
    raise UnsupportedMediaType(content_type, f"unsupported media type {content_type[:100]!r}: {TAKEN}")


def decode_to_utf_8(body: bytes, content_type: str) -> bytes:
    """Return a body without a byte order mark. Raises UnsupportedMediaType if it is not UTF-8."""
    charset = parse_header_parameters(content_type)[1].get("charset", "utf-8")
    if charset.strip("' ").lower() not in UTF_8:
        raise UnsupportedMediaType(content_type, f"unsupported charset {charset[:100]!r}: send UTF-8")
    if WIDE.match(body):
        raise UnsupportedMediaType(content_type, "the body is in UTF-16 or UTF-32: send UTF-8")
    return body.removeprefix(BOM)
