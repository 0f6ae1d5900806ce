"""Budgets: what alerts bring to be compiled and rendered is counted, and no alert costs more than a bound."""

from contextlib import suppress

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventsinks.event_types import event_type
from eventsinks.event_types.alert_template import AlertTemplate
from eventsinks.event_types.reading import Reading
from eventsinks.lib.budget import ALERT_STEPS, CHEAP, RESERVE, TEMPLATE_STEPS, Budget, Spent
from eventsinks.lib.fields import MISSING, find_at
from eventsinks.lib.templates.liquid_engine import ENVIRONMENT
from eventsinks.lib.templates.template import (
    KEPT,
    BadTemplate,
    CompiledTemplates,
    TextTemplate,
    count_compile_steps,
)
from eventsinks.lib.templates.template_text import MAX_TEMPLATE
from tests.helpers.work import calls_of

ALERT = event_type("detection_alert")
LOOP = "{% for i in (1..1000) %}{{ alert.a | sort | reverse | join | size }}{% endfor %}"


def test_what_is_taken_of_a_share_is_taken_of_the_whole():
    whole = Budget(100)
    whole.share(50).charge(30)
    assert (whole.left, whole.is_spent) == (70, False)
    with pytest.raises(Spent):
        whole.share(1_000).charge(71)
    assert whole.is_spent


def test_what_is_dear_leaves_a_reserve_for_what_is_cheap():
    whole = Budget(10_000)
    dear = whole.share(10_000)
    dear.charge(CHEAP + 1)
    with pytest.raises(Spent):
        dear.charge(9_000)
    assert whole.left == RESERVE
    whole.share(10_000).charge(CHEAP)
    assert not whole.affords(CHEAP + 1)
    assert whole.affords(CHEAP)


def test_a_share_that_is_spent_leaves_the_rest_of_the_whole():
    whole = Budget(100)
    share = whole.share(10)
    with pytest.raises(Spent):
        share.charge(11)
    whole.charge(50)
    with pytest.raises(Spent):
        share.charge(1)


def test_a_filter_that_is_slow_and_counted_too_low_is_ended_by_the_clock(monkeypatch):
    now = [0.0]

    def slow(value):
        now[0] += 0.1
        return value

    monkeypatch.setitem(ENVIRONMENT.filters, "slow", slow)
    text = "{% for i in (1..900) %}{{ alert.name | slow }}{% endfor %}"
    budget = Budget(clock=lambda: now[0])
    assert TextTemplate(text).render({"name": "x"}, budget) == text
    assert budget.is_spent
    assert now[0] < 1  # and not 90


def test_seconds_pass_only_while_something_is_rendered():
    now = [0.0]
    budget = Budget(clock=lambda: now[0])
    for _ in range(3):
        now[0] += 1_000
        assert TextTemplate("{{@alert.name | upcase}}").render({"name": "x"}, budget) == "X"


@pytest.mark.parametrize(
    "text",
    [
        "{{" * 4_990,
        "{%" * 4_990,
        "{{" * 4_990 + "}}",
        "{% if alert.a %}" * 600,
        "{{ alert.a" + " " * 9_980 + "}}",
        "{{" + " " * 9_900 + "}}",
        "{{ alert.a" + " | upcase" * 1_000 + "}}",
        "{{a}}" * 2_000,
        "{% doc %}" * 1_100,
        "{% comment %}" * 700,
        "{{ '" * 2_000,
        "{{@alert." + "a " * 4_000 + "}}",
        "{{ alert" + "[0]" * 3_000 + "}}",
        "{% if " + "1 or " * 1_900 + "1 %}{% endif %}",
        '{{ "' + "'" * 9_900 + "}}",
        "x" * 1_000_000,
    ],
)
def test_what_is_hard_for_the_lexer_is_refused_in_one_pass(text):
    with pytest.raises(BadTemplate):
        TextTemplate(text)
    assert calls_of(lambda: refused(text)) < 20 * MAX_TEMPLATE


def refused(text):
    with pytest.raises(BadTemplate):
        TextTemplate(text)


@settings(deadline=None, max_examples=150)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["{{", "}}", "{%", "%}", " ", "-", "'", '"', "|", "@alert.a", "alert", "if ", "for "]),
            st.integers(1, 2_000),
        ),
        max_size=8,
    )
)
def test_compiling_costs_no_more_than_is_said_beforehand(parts):
    text = "".join(part * times for part, times in parts)[:MAX_TEMPLATE]
    try:
        said = count_compile_steps(text)
    except BadTemplate:
        said = MAX_TEMPLATE // 10

    def compiled():
        with suppress(BadTemplate):
            TextTemplate(text)

    assert calls_of(compiled) < 4_000 + 40 * said


VALUES = st.recursive(
    st.integers(-(2**63), 2**63) | st.text(max_size=8) | st.none(),
    lambda inside: (
        st.lists(inside, max_size=4) | st.dictionaries(st.sampled_from(["a", "b", "a.b", "a.a"]), inside)
    ),
    max_leaves=12,
)
# How a document is made: a value, a sign and how often it stands in a text, a value and how often in a list.
DOCUMENTS = st.tuples(
    VALUES,
    st.tuples(st.sampled_from(["a", "<", "&amp;", "é", "\n", "%41", "9"]), st.integers(0, 30_000)),
    st.tuples(VALUES, st.integers(0, 3_000)),
)


def document_of(parts):
    value, (sign, times), (item, count) = parts
    return {"a": value, "s": sign * times, "l": [item] * count, "n": [str(i % 7) for i in range(count)]}


FILTERS = sorted(name for name in ENVIRONMENT.filters if name not in ("t", "gettext", "ngettext", "pgettext"))
PIPES = st.lists(
    st.sampled_from(
        [*FILTERS, *(f"{name}: alert.s" for name in FILTERS), *(f"{name}: 'a', alert.s" for name in FILTERS)]
    ),
    max_size=5,
)
OUTPUTS = st.tuples(
    st.sampled_from(["alert", "alert.a", "alert.s", "alert.l", "alert.n", "x", "'y'", "(1..999)"]), PIPES
).map(lambda pair: "{{ " + " | ".join([pair[0] if pair[0] != "x" else "alert.a.a.b.a", *pair[1]]) + " }}")
ASSIGNS = OUTPUTS.map(
    lambda text: "{% assign y = " + text[2:-2] + "%}{% capture z %}{{ y }}{{ z }}{% endcapture %}"
)
TESTS = st.sampled_from(
    [
        "{% if alert.l == alert.a or alert.s contains 'x' %}1{% elsif alert == alert %}2{% endif %}",
        "{% case alert.s %}{% when 'a', 'b' %}1{% endcase %}",
        "{% unless 1 == 2 and 2 == 3 %}{% endunless %}",
    ]
)


def looped(inside):
    return st.tuples(st.sampled_from(["(1..1000)", "alert.l", "alert.n", "alert.a", "alert"]), inside).map(
        lambda pair: "{% for i in " + pair[0] + " %}" + "".join(pair[1]) + "{% endfor %}"
    )


TEXTS = st.recursive(
    st.lists(OUTPUTS | ASSIGNS | TESTS, min_size=1, max_size=4),
    lambda inside: st.lists(looped(inside), max_size=3),
).map("".join)


@settings(deadline=None, max_examples=200)
@given(TEXTS, DOCUMENTS)
def test_whatever_a_template_does_with_a_document_takes_no_more_calls_than_its_budget_has_steps(text, parts):
    """Calls of Python and of what it calls in C: counted by the interpreter, and not by us.

    The dearest step is that of measuring a list: four items, with six short calls for each.
    """
    try:
        made = TextTemplate(text)
    except BadTemplate:
        return
    budget, document = Budget(TEMPLATE_STEPS), document_of(parts)
    assert calls_of(lambda: made.render(document, budget)) < 32 * (TEMPLATE_STEPS - budget.left) + 4_000


@pytest.mark.guarantee("S15")
@pytest.mark.parametrize(
    "text",
    [
        LOOP,
        "{% for i in (1..1000) %}" + "{% if 1 == 2 %}{% endif %}" * 300 + "{% endfor %}",
        "{% for i in (1..1000) %}" + "{{1}}" * 900 + "{% endfor %}",
        "{% for i in (1..1000) %}{% if alert.l == alert.m %}{% endif %}{% endfor %}",
        "{% for i in (1..1000) %}{{ alert.l | uniq | size }}{% endfor %}",
        "{{ alert.s | strip_html }}{{ alert.s | escape_once | url_encode | url_decode }}",
        "{{ alert.s | split: '' | join: alert.s }}",
        "{% assign n = 9 %}{% for i in (1..1000) %}{% assign n = n | times: n %}{% endfor %}{{ n }}",
        "".join(f"{{% assign a{i} = 1 %}}" for i in range(450)),
        "{% capture a %}x{% endcapture %}"
        + "{% capture a %}{{ a }}{{ a }}{% endcapture %}" * 60
        + "{{ a | size }}",
        "{{ alert" + ".a" * 40 + ".z | upcase }}",
        "{{@alert" + ".a" * 40 + ".z}}",
        "{{ alert }}{{ alert.l | json }}",
    ],
)
def test_a_hostile_template_ends_within_its_budget(text):
    document = {
        "a": branching(4, 6),
        "s": "<" * 100_000,
        "l": [[i, [i]] for i in range(1_900)],
        "m": [[i, [i]] for i in range(1_900)],
    }
    made = TextTemplate(text)
    assert calls_of(lambda: made.render(document)) < 12 * TEMPLATE_STEPS


def branching(depth, ways):
    """Return an object in which a path begins in many ways: `a.a` is `a` and then `a`, or all of it."""
    return {".".join("a" * n): branching(depth - 1, ways) if depth else 1 for n in range(1, ways)}


def test_a_path_with_many_ways_is_charged_for_each():
    budget = Budget(1_000)
    with pytest.raises(Spent):
        find_at(branching(5, 6), ["a"] * 40 + ["z"], budget.charge)
    assert find_at(branching(1, 3), ["a"] * 9, Budget(1_000).charge) is MISSING


def test_the_same_alert_is_told_the_same_whatever_was_rendered_before():
    template = {
        "info": [{"label": str(n), "value": f"{n} {LOOP}"} for n in range(40)] + [{"label": "n", "value": "ok"}]
    }
    told = []
    for first in (None, "other"):
        reading = Reading(ALERT, alert(a=[str(n) for n in range(500)], alert_template=template))
        if first:
            reading.summary(ALERT_TEMPLATE)
        told.append(reading.summary(None))
    assert told[0] == told[1]
    assert told[0].info[-1] == ("n", "ok")


def test_what_is_over_the_budget_shows_as_itself_and_the_budget_says_so():
    template = {"info": [{"label": str(n), "value": f"{n} {LOOP}"} for n in range(40)]}
    reading = Reading(ALERT, alert(a=[str(n) for n in range(500)], alert_template=template))
    assert reading.summary(None).info[-1] == ("39", f"39 {LOOP}")
    assert reading.budget.is_spent


@pytest.mark.guarantee("S15")
def test_all_sinks_of_an_alert_share_one_budget():
    reading = Reading(ALERT, alert(a=[str(n) for n in range(1_500)]))
    templates = [make_template(f"{n} {LOOP}") for n in range(100)]
    calls = calls_of(lambda: [reading.summary(template) for template in templates])
    assert reading.budget.left <= RESERVE
    assert calls < 15 * ALERT_STEPS


def test_an_alert_is_told_once_for_all_sinks_with_the_same_template():
    reading = Reading(ALERT, alert(user="root"))
    assert reading.summary(make_template("{{@alert.user}}")) is reading.summary(make_template("{{@alert.user}}"))


def test_what_is_compiled_is_forgotten_by_number_and_by_size_and_refusals_are_remembered():
    among = CompiledTemplates(most=3, characters=1_000)
    for number in range(10):
        among.get(f"{{{{@alert.a{number}}}}}")
    assert len(among) == 3
    for number in range(10):
        among.get(f"{number}" + "x" * 400)
    assert len(among) == 2
    budget = Budget(1_000)
    for _ in range(2):
        with pytest.raises(BadTemplate, match="there is no nobody"):
            among.get("{{ nobody }}", budget)
    assert 900 < budget.left < 1_000  # the second time for nothing


def test_templates_that_alerts_bring_push_out_none_of_the_sinks():
    kept = make_template("{{@alert.user | upcase}}")
    compiled = KEPT.get("{{@alert.user | upcase}}")
    for number in range(1_100):
        brought = {"info": [{"label": "x", "value": f"{{{{@alert.user}}}} {number}"}]}
        Reading(ALERT, alert(user="root", alert_template=brought)).summary(None)
    assert KEPT.get("{{@alert.user | upcase}}") is compiled
    assert Reading(ALERT, alert(user="root")).summary(kept).info == (("x", "ROOT"),)


def make_template(value):
    return AlertTemplate.model_validate({"info": [{"label": "x", "value": value}]})


ALERT_TEMPLATE = make_template("{{@alert.name}}")


def alert(**more):
    return orjson.dumps({"id": "7", "name": "Root login", "severity": "High", **more})
