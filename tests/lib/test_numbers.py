"""JSON whose numbers stay as they are written, and nothing else of it is taken more lightly."""

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventsinks.lib.fields import as_text
from eventsinks.lib.numbers import Number, dumps, dumps_spaced, parse
from eventsinks.lib.templates.template import TextTemplate

# What a reader of 64 bits and floats would write otherwise.
WRITTEN = [
    "123456789012345678901234567890",
    "-123456789012345678901234567890",
    "18446744073709551616",
    "-9223372036854775809",
    "1.10",
    "1E5",
    "1e5",
    "1e+05",
    "-0",
    "0.10",
    "1e400",
    "-1e400",
    "1e-400",
    "9" * 5_000,
    "0." + "1" * 5_000,
    "3.141592653589793238462643383279",
]
PLAIN = ["0", "-0.0", "-1", "18446744073709551615", "-9223372036854775808", "1.5", "0.1", "1776721873702228890"]
# Texts that look like such numbers stay what they are.
TEXTS = ['"-0"', '"1.10"', '"123456789012345678901234567890"', r'"\"-0,99999999999999999999\\"', '"T-0"']


@pytest.mark.parametrize("around", ["{}", "[{}]", '{{"a":{}}}', '{{"a":"x-0","b":[1,{},"-0"]}}', " [ {} , -0 ] "])
def test_a_value_is_written_as_it_was_read(around, subtests):
    for text in WRITTEN + PLAIN + TEXTS:
        with subtests.test(text=text):
            read = around.format(text).replace(" ", "")
            assert dumps(parse(around.format(text).encode())).decode() == read
            assert dumps_spaced(parse(read.encode())).replace(" ", "") == read


@pytest.mark.parametrize("text", PLAIN)
def test_what_python_writes_alike_is_a_plain_number(text):
    assert type(parse(text.encode())) in (int, float)


@pytest.mark.parametrize("text", WRITTEN)
def test_it_is_a_number_that_can_be_compared_and_counted_with(text):
    found = parse(text.encode())
    assert isinstance(found, Number)
    assert found == float(text)
    assert str(found) == f"{found}" == text


@pytest.mark.parametrize("text", WRITTEN)
def test_a_template_shows_every_digit(text):
    document = parse(b'{"n":%s,"rows":[{"n":%s}]}' % (text.encode(), text.encode()))
    told = "{{@alert.n}} {{@alert.rows}} {{ alert.rows[0].n }} {{@alert.n | append: '!'}}"
    assert TextTemplate(told).render(document) == f'{text} [{{"n": {text}}}] {text} {text}!'
    assert as_text(document["n"]) == text


NO_JSON = [
    b"",
    b"NaN",
    b"Infinity",
    b"01",
    b"1.",
    b"+1",
    b"[1,]",
    b'"\\ud800"',
    b'"\xff"',
    b'"a\n"',
    b"\xef\xbb\xbf1",
]
NO_JSON += [b"-", b"1e", b"--0", b"-00", b"[-0", b"99999999999999999999x", b'{"a":99999999999999999999 1}']


@pytest.mark.parametrize("raw", NO_JSON)
def test_what_is_no_json_is_refused(raw):
    with pytest.raises(ValueError, match=r"."):
        parse(raw)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(VALUES)
def test_it_reads_what_everybody_reads(value):
    raw = json.dumps(value).encode()
    try:
        expected = orjson.loads(raw)
    except orjson.JSONDecodeError:  # a lone surrogate
        return
    assert parse(raw) == expected
    assert orjson.loads(dumps(parse(raw))) == expected
    assert orjson.loads(dumps_spaced(parse(raw))) == expected
