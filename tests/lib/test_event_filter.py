"""Filters: what they let through, what they say of the rest, and that nothing makes them fail."""

import cel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventsinks.lib.filters.cel_text import measure_shape, quote, split_clauses
from eventsinks.lib.filters.event_filter import BadFilter, EventFilter

ALERT = {
    "name": "Root login",
    "severity_id": 5,
    "tags": ["tactics.ta0001", "aws"],
    "user": {"name": "root", "id": None},
    "timestamp": 1776721873702228890,
    "View in Scanner": "https://app.scanner.dev",
    "if": 1,
    "rows": [{"@q.count": 3}],
}


@pytest.mark.parametrize(
    "text",
    [
        "severity_id >= 4",
        '"aws" in tags && severity_id > 4',
        'tags.exists(tag, tag.startsWith("tactics."))',
        'user.name == "root" || missing == 1',
        'name.matches("(?i)^root")',
        'alert["View in Scanner"].startsWith("https://")',
        'alert["if"] == 1',
        'rows[0]["@q.count"] == 3',
        "timestamp == 1776721873702228890",
        "user.id == null",
        "has(user.name) && !has(user.mail)",
        "// only the bad ones\nseverity_id >= 4 // && false",
        'severity_id > 9 ? false : name == "Root login"',
        "true",
    ],
)
def test_a_filter_lets_through_what_it_describes(text):
    assert EventFilter(text).rejects(ALERT) is None


def test_comments_after_a_macro_s_name_are_read_in_one_way():
    assert EventFilter("tags.all" + " //" * 60 + "x\n == 1").rejects(ALERT)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("severity_id >= 6", "severity_id >= 6"),
        ('severity_id >= 4 && "gcp" in tags', '"gcp" in tags'),
        ("severity_id >= 4 &&\n  name\n == 'x'", "name == 'x'"),
        ('actor.name == "root"', 'actor.name == "root" (no such key: actor)'),
        ('user.mail == "x" && true', 'user.mail == "x" (no such key: mail)'),
        ("tags[7] == 'x'", "tags[7] == 'x' (index out of bounds: 7)"),
        ("name > 3", "name > 3 (the values are not of types that this can be asked of)"),
        ('name == "a && b" && true', 'name == "a && b"'),
        ("(severity_id > 9 && true)", "(severity_id > 9 && true)"),
        ("false || severity_id > 9 && true", "false || severity_id > 9 && true"),
        ("severity_id > 9 ? true && true : false && true", "severity_id > 9 ? true && true : false && true"),
        ("name", "name"),
        ("1 / (severity_id - 5) == 1", "1 / (severity_id - 5) == 1 (division by zero in CEL expression)"),
        ("r'\\' == name && true", "r'\\' == name"),
        ("'''a'&&'b''' == name && true", "'''a'&&'b''' == name"),
    ],
)
def test_the_first_clause_that_is_not_true_is_named(text, reason):
    assert EventFilter(text).rejects(ALERT) == reason


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "can't be empty"),
        (" \n", "can't be empty"),
        ("severity_id >=", "line 1, column 15"),
        ("true &&\n  )", "line 2, column 3"),
        ("if == 1", "reserved identifier: if"),
        ('name == "\0"', r"U\+0000"),
        ('name == "\ud800"', r"U\+D800"),
        ("x" * 4001, "at most 4,000 characters"),
        ("lower(name) == 'x'", "there is no function lower"),
        ("size(tags)", r"size\(tags\) is neither true nor false"),
        ('true && "x"', '"x" is neither true nor false'),
        ("severity_id + 1", "neither true nor false"),
        ("1 / 0 == 1", "can't be evaluated: division by zero"),
        ("(" * 21 + "true" + ")" * 21, "nested 21 levels"),
        (" && ".join(["a.all(x, x)"] * 6), "used 6 times"),
        ("a.all(x, a.all(y, a.all(z, true)))", "nested 3 levels"),
        ("a.all(x, a . //c\n all //c\n (y, a.all(z, true)))", "nested 3 levels"),
        ("a" + " + a" * 11 + " == a", r"\+ is used 11 times"),
        ("[a].map(x, x + x) == [a]", r"\+ is used 1 times inside"),
        ("name.matches('(?=a)')", "look-around"),
        ("name.matches('(')", "is no pattern: unclosed group"),
        ("name.matches(description)", "one pattern, in quotes"),
        ("name.matches('a' + description)", "one pattern, in quotes"),
        ("matches(name, 'a')", "one pattern, in quotes"),
        ("tags.exists(t, t.matches('a{1000}'))", "counts with"),
    ],
)
def test_what_is_no_filter_is_refused_with_a_reason(text, reason):
    with pytest.raises(BadFilter, match=reason):
        EventFilter(text)


def nested(depth):
    inner = {}
    for _ in range(depth):
        inner = {"b": inner}
    return inner


@pytest.mark.parametrize("value", [2**70, -(2**70), float("nan"), 1.5, None, "\0", "x" * 10**6, nested(200), []])
@pytest.mark.parametrize("text", ["a >= 4", "a.b.c == 1", "a.exists(x, x == 1)", "size(a) > 1", "alert.a == a"])
def test_no_value_makes_a_filter_fail(text, value):
    assert isinstance(EventFilter(text).rejects({"a": value}), str | None)


def test_what_is_nested_too_deep_does_not_match():
    assert EventFilter("a.b != 1").rejects({"a": nested(100_000)}) == "a.b != 1 (nested deeper than 250 levels)"


def test_a_macro_within_a_macro_does_not_walk_a_list_that_is_too_long():
    text = "a.all(x, a.all(y, x + 0 == y))".replace(" + 0", "")
    assert EventFilter(text).rejects({"a": [1] * 200}) is None
    assert EventFilter(text).rejects({"a": [1] * 100_000}) == f"{text} (too large to be looked through)"


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(max_size=3), inside, max_size=3),
    max_leaves=8,
)
DOCUMENTS = st.dictionaries(st.sampled_from(["a", "b", "c", "alert", "in", "x y", ""]), VALUES)
ATOMS = ["a", "b", "a == b", 'a == "&&"', "a > 1", "(a || b)", "a.c == 1", "has(b.c)", "[a, b].exists(x, x)", "!a"]
ATOMS += ['"x" in a', "b[0] == 1", "size(a) == 0", 'r"\\" != a', "{'a && b': a}['a && b']", "alert.b == b"]
TEXTS = st.lists(
    st.tuples(st.sampled_from(ATOMS), st.sampled_from([" && ", "&&", " || ", " ? a : "])), min_size=1
).map(lambda parts: "".join(atom + operator for atom, operator in parts[:6]) + "true")


@settings(deadline=None, max_examples=300)
@given(TEXTS, DOCUMENTS)
def test_a_document_passes_exactly_where_the_whole_expression_is_true(text, document):
    try:
        whole = cel.evaluate(text, {**document, "alert": document})
    except Exception:
        whole = None
    assert (EventFilter(text).rejects(document) is None) == (whole is True)


@settings(deadline=None)
@given(st.text(alphabet="abtru e&|?:()[]\"'r\\/.\n=1", max_size=40), DOCUMENTS)
def test_a_text_is_refused_or_never_fails(text, document):
    try:
        found = EventFilter(text)
    except BadFilter:
        return
    found.rejects(document)


@settings(deadline=None)
@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_a_quoted_text_is_that_text(text):
    assert cel.evaluate(quote(text)) == text


def test_clauses_are_split_only_where_and_is_outermost():
    assert split_clauses("a && (b && c) && d[x && y] && {1: a && b}[1]") == [
        "a",
        "(b && c)",
        "d[x && y]",
        "{1: a && b}[1]",
    ]


def test_what_stands_in_strings_and_comments_counts_for_nothing():
    assert measure_shape("'a.all(x, x) + ((' == a // b.all(y, y) + [[") == measure_shape("a == a")
