"""Templates: fields of a document in a text, which nothing can make fail or run away."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventsinks.lib.fields import MISSING, find_at, split_path
from eventsinks.lib.templates.template import MAX_OUTPUT, BadTemplate, TextTemplate, get_template

ALERT = {
    "name": "Root login",
    "timestamp": 1776721873702228890,
    "tags": ["a", "b"],
    "user": {"id": None, "admin": True, "score": 1.5},
    "View in Scanner": "https://app.scanner.dev",
    "results_table": {
        "rows": [{"userIdentity.arn": "flat", "@q.count": 3, "request": {"user": {"a.b": "deep"}}}],
        "total_row_count": 1,
    },
    "huge": 2**80,
}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("as it is } {", "as it is } {"),
        ("{{@alert.name}}!", "Root login!"),
        ("{{ @alert.results_table.rows[0].userIdentity.arn }}", "flat"),
        ("{{@alert.results_table.rows[0].request.user.a.b}}", "deep"),
        ("{{@alert.results_table.rows[0].@q.count}}", "3"),
        ('{{@alert.results_table.rows[0]["@q.count"]}}', "3"),
        ("{{@alert.View in Scanner}}", "https://app.scanner.dev"),
        ("{{@alert.timestamp}} {{@alert.huge}}", f"1776721873702228890 {2**80}"),
        ("{{@alert.tags}} {{@alert.user}}", '["a", "b"] {"id": null, "admin": true, "score": 1.5}'),
        ("{{@alert.user.id}} {{@alert.user.admin}} {{@alert.user.score}}", "null true 1.5"),
        ("{{@alert.name | upcase}}", "ROOT LOGIN"),
        ('{{ alert.tags | join: ", " }}', "a, b"),
        ('{% if @alert.name == "Root login" %}yes{% else %}no{% endif %}', "yes"),
        ('{{ "@alert.name" }}', "@alert.name"),
        ("{% for row in alert.results_table.rows %}{{ row.userIdentity.arn }};{% endfor %}", "flat;"),
        ("{% assign who = @alert.name %}{{ who }}", "Root login"),
        ('{{@alert.missing | default: "nobody"}}', "nobody"),
        ("{{ alert.user | json }}", '{"id": null, "admin": true, "score": 1.5}'),
    ],
)
def test_a_field_shows_what_the_document_holds(text, shown):
    assert TextTemplate(text).render(ALERT) == shown


@pytest.mark.parametrize(
    "text",
    [
        "{{@alert.missing}}",
        "{{@alert.tags[9].x}}",
        "{{@alert.name.x}}",
        "{{@alert.View in Splunk}}",
        "{{@alert.name.__class__}}",
        "{{@alert.tags.append}}",
    ],
)
def test_what_does_not_resolve_shows_as_itself(text):
    assert TextTemplate(f"a {text} b").render(ALERT) == f"a {text} b"


def test_what_does_not_resolve_passes_filters_as_it_is():
    assert TextTemplate("{{@alert.missing | upcase | truncate: 3}}").render(ALERT) == "{{@alert.missing}}"


@pytest.mark.parametrize(
    "text",
    [
        '{{ (1..1000000000) | join: "x" }}',
        "{% for i in (1..1000000000) %}x{% endfor %}",
        '{% assign a = "aaaaaaaaaa" %}{% for i in (1..900) %}{% assign a = a | append: a %}{% endfor %}{{ a }}',
        '{% for i in (1..900) %}{{ "' + "x" * 100 + '" }}{% endfor %}',
        '{% assign a = "aaaaaaaaaa" %}{{ a' + " | replace: 'a', 'aaaaaaaaaa'" * 20 + " }}",
        "{% assign n = 9 %}{% for i in (1..900) %}{% assign n = n | times: n %}{% endfor %}{{ n }}",
        '{{ alert.name | split: "" | join: "x"' + ' | split: "" | join: "xxxx"' * 50 + " }}",
        "{{ alert.name | divided_by: 0 }}",
        "{% for i in (1..900) %}" + "{% if alert.long == alert.long %}{% endif %}" * 50 + "{% endfor %}",
    ],
)
def test_a_template_that_fails_or_does_too_much_shows_as_itself(text):
    assert TextTemplate(text).render({**ALERT, "long": [1] * 100_000}) == text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{{", "line 1: expected '}}'"),
        ("\n{{ a b }}", "line 2: expected end of expression"),
        ("{{@other.name}}", "unexpected '@'"),
        ("{{ name }}", "there is no name to show, only alert"),
        ("{{@alert.name | shout}}", "there is no filter shout"),
        ("{{@alert.name | date: '%999999d'}}", "there is no filter date"),
        ("{% include 'a' %}", "unexpected tag 'include'"),
        ("{% render 'a' %}", "unexpected tag 'render'"),
        ("{% raw %}{{@alert.name}}{% endraw %}", "raw can't be used"),
        ("{% if true %}", "endif"),
        ("{% if true %}" * 11 + "{% endif %}" * 11, "nesting"),
        ("x" * 10_001, "has 10,001 characters"),
    ],
)
def test_what_is_no_template_is_refused_with_a_reason(text, reason):
    with pytest.raises(BadTemplate, match=reason):
        TextTemplate(text)


@settings(deadline=None)
@given(
    st.text(alphabet="{}%@alertnm.[0]\"'| if:", max_size=40), st.dictionaries(st.text(), st.integers() | st.text())
)
def test_a_text_is_refused_or_always_rendered(text, document):
    try:
        found = TextTemplate(text)
    except BadTemplate:
        return
    assert len(found.render(document)) <= MAX_OUTPUT


@given(st.dictionaries(st.text(alphabet="ab.", min_size=1, max_size=5), st.integers(), min_size=1))
def test_every_flat_name_is_found(document):
    for name in document:
        if (path := split_path(name)) is not None:
            assert find_at(document, path) == document[name]


def test_a_longer_name_goes_before_a_shorter_one_and_a_dead_end_is_left():
    assert find_at({"a": {"b": 1}, "a.b": 2}, ["a", "b"]) == 2
    assert find_at({"a": {"b": {"c": 1}}, "a.b": {}}, ["a", "b", "c"]) == 1
    assert find_at({"a": [1]}, ["a", "0"]) is MISSING


def test_a_template_is_compiled_once():
    assert get_template("{{@alert.name}}") is get_template("{{@alert.name}}")
