"""JSON whose numbers keep their text: `1.10`, `1E5`, `-0`, and numbers that no float and no 64 bits can hold.

JSON sets no limit on a number: https://www.rfc-editor.org/rfc/rfc8259#section-6.
"""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec
import orjson

# The decoder makes integers without asking us. If one would lose digits, it gets this exponent, which nobody
# writes.
MARK = "e+" + "0" * 20
AS_ZEROS = bytes.maketrans(b"123456789", b"000000000")
LONG, LONG_NEGATIVE = b"0" * 20, b"-" + b"0" * 19  # as many digits as the first integers beyond 64 bits
MINUS_ZERO = re.compile(rb"-0(?![0-9.eE\w])")
TEXT_OR_INTEGER = re.compile(rb'"(?:[^"\\]++|\\.)*+"|(?<![0-9.eE+-])-?[0-9]++(?![0-9.eE])', re.DOTALL)

UP_TO_A_SEPARATOR = re.compile(r'(?:"(?:[^"\\]++|\\.)*+"|[^",:]++)++[,:]?')


class Number(float):
    """A number whose text differs from what Python would write. `text` is that text."""

    __slots__ = ("text",)
    text: str

    def __str__(self) -> str:
        return self.text

    __repr__ = __str__


def parse(data: bytes) -> Any:
    """Return the value of strict JSON. Its numbers keep their text. Raises ValueError, RecursionError.

    An integer that 64 bits can't hold becomes a float with its text. The float is infinite if it can't hold the
    number.
    """
    zeros = data.translate(AS_ZEROS)
    if LONG in zeros or LONG_NEGATIVE in zeros or MINUS_ZERO.search(data):
        data = TEXT_OR_INTEGER.sub(mark_integers, data)
    try:
        return DECODER.decode(data)
    except msgspec.MsgspecError as error:
        raise ValueError(str(error)) from None


def mark_integers(found: re.Match[bytes]) -> bytes:
    """Return an integer with the mark if it does not fit in 64 bits. Return texts and other integers unchanged."""
    text = found[0]
    if text.startswith(b'"') or (len(text) < 21 and text != b"-0" and -(2**63) <= int(text) < 2**64):
        return text
    return text + MARK.encode()


def make_number(text: str) -> float:
    """Return the number that a text stands for. The text is not a plain integer."""
    text = text.removesuffix(MARK)
    value = float(text)
    if repr(value) == text:
        return value
    found = Number(value)
    found.text = text
    return found


DECODER = msgspec.json.Decoder(float_hook=make_number)


def dumps(value: Any, option: int = 0) -> bytes:
    """Return the JSON of a value. Numbers keep their text, and a value that JSON does not have becomes text."""
    return orjson.dumps(value, default=write_number, option=option)


def write_number(value: Any) -> Any:
    """Return what orjson writes for a value that it does not know."""
    return orjson.Fragment(value.text) if isinstance(value, Number) else str(value)


def dumps_spaced(value: Any) -> str:
    """Return the JSON of a value on one line, with a space after each comma and colon, as people read it."""
    try:
        text = dumps(value, orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:  # a template made an integer too large, or the nesting is deeper than orjson writes
        return json.dumps(value, ensure_ascii=False, default=str)
    return " ".join(UP_TO_A_SEPARATOR.findall(text))
