"""JSON whose numbers stay as they are written: `1.10`, `1E5`, `-0`, and those that no float or 64 bits can hold.

https://www.rfc-editor.org/rfc/rfc8259#section-6 sets a number no limit.
"""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec
import orjson

# Integers are made without asking us, so those that would lose something get this exponent, which nobody writes.
MARK = "e+" + "0" * 20
AS_ZEROS = bytes.maketrans(b"123456789", b"000000000")
LONG, LONG_NEGATIVE = b"0" * 20, b"-" + b"0" * 19  # as many digits as the first integers that 64 bits can't hold
MINUS_ZERO = re.compile(rb"-0(?![0-9.eE\w])")
TEXT_OR_INTEGER = re.compile(rb'"(?:[^"\\]++|\\.)*+"|(?<![0-9.eE+-])-?[0-9]++(?![0-9.eE])', re.DOTALL)

UP_TO_A_SEPARATOR = re.compile(r'(?:"(?:[^"\\]++|\\.)*+"|[^",:]++)++[,:]?')


class Number(float):
    """A number that is written otherwise than Python would write it. `text` is how."""

    __slots__ = ("text",)
    text: str

    def __str__(self) -> str:
        return self.text

    __repr__ = __str__


def parse(data: bytes) -> Any:
    """Return the value of strict JSON, with numbers as written. Raises ValueError, RecursionError.

    What 64 bits can't hold is a float with its text, an infinite one where a float can't hold it either.
    """
    zeros = data.translate(AS_ZEROS)
    if LONG in zeros or LONG_NEGATIVE in zeros or MINUS_ZERO.search(data):
        data = TEXT_OR_INTEGER.sub(mark_integers, data)
    try:
        return DECODER.decode(data)
    except msgspec.MsgspecError as error:
        raise ValueError(str(error)) from None


def mark_integers(found: re.Match[bytes]) -> bytes:
    """Return an integer that can't be one of 64 bits with the mark; texts and other integers as they are."""
    text = found[0]
    if text.startswith(b'"') or (len(text) < 21 and text != b"-0" and -(2**63) <= int(text) < 2**64):
        return text
    return text + MARK.encode()


def make_number(text: str) -> float:
    """Return the number of a text that is no plain integer."""
    text = text.removesuffix(MARK)
    value = float(text)
    if repr(value) == text:
        return value
    found = Number(value)
    found.text = text
    return found


DECODER = msgspec.json.Decoder(float_hook=make_number)


def dumps(value: Any, option: int = 0) -> bytes:
    """Return the JSON of a value, with numbers as written, and what is no JSON as its text."""
    return orjson.dumps(value, default=write_number, option=option)


def write_number(value: Any) -> Any:
    """Return what orjson writes for what it does not know."""
    return orjson.Fragment(value.text) if isinstance(value, Number) else str(value)


def dumps_spaced(value: Any) -> str:
    """Return the JSON of a value on one line, with a space after each comma and colon, as people read it."""
    try:
        text = dumps(value, orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:  # an integer that a template made too large, or what is nested deeper than orjson writes
        return json.dumps(value, ensure_ascii=False, default=str)
    return " ".join(UP_TO_A_SEPARATOR.findall(text))
