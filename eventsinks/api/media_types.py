"""Which media types and charsets a body may have: the names in use for JSON, for JSON lines, and CloudEvents."""

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
# How UTF-16 and UTF-32 write the first characters of JSON, which are of ASCII, with a mark before them or without.
WIDE = re.compile(
    rb"(?:\xff\xfe\0\0|\0\0\xfe\xff|\xff\xfe|\xfe\xff)?"
    rb"(?:[^\0]\0[^\0]\0|\0[^\0]\0[^\0]|[^\0]\0\0\0|\0\0\0[^\0])",
    re.DOTALL,
)
TAKEN = f"send {JSON}, application/*+json, or {NDJSON} for one event a line"

Shape = Literal["json", "lines", "cloudevents"]


def choose_shape(content_type: str) -> Shape:
    """Return how a body of events is to be read. Raises UnsupportedMediaType, which says what is taken."""
    name = parse_header_parameters(content_type)[0].strip()
    if name in LINES:
        return "lines"
    if name in CLOUDEVENTS:
        return "cloudevents"
    if name == JSON or (name.startswith("application/") and name.endswith("+json")):
        return "json"
    raise UnsupportedMediaType(content_type, f"unsupported media type {content_type[:100]!r}: {TAKEN}")


def decode_to_utf_8(body: bytes, content_type: str) -> bytes:
    """Return a body without the mark that some editors put first. Raises UnsupportedMediaType if not UTF-8."""
    charset = parse_header_parameters(content_type)[1].get("charset", "utf-8")
    if charset.strip("' ").lower() not in UTF_8:
        raise UnsupportedMediaType(content_type, f"unsupported charset {charset[:100]!r}: send UTF-8")
    if WIDE.match(body):
        raise UnsupportedMediaType(content_type, "the body is in UTF-16 or UTF-32: send UTF-8")
    return body.removeprefix(BOM)
