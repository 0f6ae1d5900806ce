"""Templates: whatever a value is, what was JSON stays JSON and says the same; times are written as Go does."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventsinks.lib.templates.go_template import GoTemplate, RawJson
from eventsinks.lib.templates.go_time import GoTime

NAMES = ("ID", "Timestamp", "Message", "Meta")
MOMENT = "2026-05-04T09:07:05.00483949+02:00"

texts = st.text(st.characters(exclude_categories=["Cs"]))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda children: st.lists(children, max_size=3) | st.dictionaries(texts, children, max_size=3),
    max_leaves=8,
)
slots = st.sampled_from((".ID", ".Message", ".Meta", ".Meta.a", ".Timestamp", '.Timestamp.Format "2006"'))
inside = st.lists(
    texts.map(lambda text: json.dumps(text)[1:-1].replace("{", "(")) | slots.map("{{{{ {} }}}}".format)
)
quoted = inside.map(lambda parts: f'"{"".join(parts)}"')
templates = st.recursive(
    slots.map("{{{{{}}}}}".format) | quoted | st.sampled_from(("null", "-1.5e3", "true")),
    lambda children: (
        st.lists(children, max_size=4).map(lambda items: f"[{' , '.join(items)}]")
        | st.lists(st.tuples(quoted, children), max_size=4).map(
            lambda pairs: "{" + ",".join(f"{key}: {value} " for key, value in pairs) + "}"
        )
    ),
    max_leaves=10,
)


def filled(text, meta=None, **values):
    template = GoTemplate(text, NAMES, nested="Meta", time="Timestamp")
    meta = {"a": 1} if meta is None else meta
    variables = {"ID": 1, "Message": "m", "Timestamp": GoTime(MOMENT), "Meta": RawJson(json.dumps(meta), meta)}
    return template.render({**variables, **values}, 100_000)


@pytest.mark.guarantee("S15")
@settings(deadline=None, max_examples=100, database=None)
@given(
    text=templates, id=st.integers() | texts, message=texts, meta=st.dictionaries(texts, json_values, max_size=3)
)
def test_a_template_of_json_is_json_with_any_values(text, id, message, meta):
    text = f'{{"all": [{text}]}}'
    json.loads(filled(text, {**meta, "a": meta}, ID=id, Message=message))


@settings(deadline=None, max_examples=200, database=None)
@given(text=texts, value=json_values)
def test_a_value_arrives_as_it_was(text, value):
    written = filled(
        '{"quoted":"{{.Message}}","bare":{{.Message}},"meta":{{.Meta.a}}}', {"a": value}, Message=text
    )
    assert json.loads(written) == {"quoted": text, "bare": text, "meta": value}


@settings(deadline=None, max_examples=300, database=None)
@given(text=st.text(st.sampled_from('{}[]":,\\u0 .IDMeta-1x\n')))
def test_what_is_called_json_is_json(text):
    try:
        template = GoTemplate(text, NAMES, nested="Meta", time="Timestamp")
    except ValueError:
        return
    if template.is_json:
        for id in ("", 'a"b\\', 7, "\n"):
            decoded, _ = json.JSONDecoder().raw_decode(filled(text, ID=id).lstrip())
            assert isinstance(decoded, (dict, list))


def test_documents_one_after_the_other_are_json_too():
    lines = filled('{"index":{}}\n{"a":"{{.Message}}"}\n', Message='"\n').splitlines()
    assert [json.loads(line) for line in lines] == [{"index": {}}, {"a": '"\n'}]


def test_a_number_of_meta_keeps_every_digit():
    raw = RawJson('{"a":123456789012345678901234567890,"b":1.10}', {})
    assert filled('{"m":{{.Meta}}}', Meta=raw) == f'{{"m":{raw.text}}}'
    assert json.loads(filled('{"m":"{{.Meta}}"}', Meta=raw))["m"] == raw.text


@pytest.mark.parametrize(
    ("layout", "expected"),
    [
        ("2006-01-02T15:04:05.999999999Z07:00", "2026-05-04T09:07:05.00483949+02:00"),
        ("2006-01-02T15:04:05.000000000Z0700", "2026-05-04T09:07:05.004839490+0200"),
        ("2006-01-02T15:04:05Z07", "2026-05-04T09:07:05+02"),
        ("Mon, 02 Jan 2006 15:04:05 -0700", "Mon, 04 May 2026 09:07:05 +0200"),
        ("Monday, January 2, 06 3:4:5pm", "Monday, May 4, 26 9:7:5am"),
        ("03:04 PM 002 __2", "09:07 AM 124 124"),
        ("05,000 05.99 05.00x", "05,004 05 05.00x"),
        ("_2/1 MST -07:00 -07", " 4/5 +0200 +02:00 +02"),
        ("hello", "hello"),
    ],
)
def test_a_time_is_written_as_the_layout_shows(layout, expected):
    assert GoTime(MOMENT).format(layout) == expected


def test_a_time_in_utc_is_zulu_where_asked_for():
    assert GoTime("2026-05-04T00:07:05Z").format("3PM Z07:00 MST -0700 .999") == "12AM Z UTC +0000 "


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-01T00:00:00.000000001Z", 1),
        ("1969-12-31T23:59:59.5Z", -500_000_000),
        (MOMENT, 1777878425004839490),
    ],
)
def test_the_unix_time_is_exact(text, expected):
    assert GoTime(text).nanoseconds == expected
