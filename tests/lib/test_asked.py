"""What filters cost: told before they run, at least as much as it is, and shared by all who ask of one event."""

from contextlib import suppress

import cel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventsinks.lib.budget import FILTER_STEPS, Budget
from eventsinks.lib.filters.asked import Asked, count_filter_steps
from eventsinks.lib.filters.cel_text import measure_shape
from eventsinks.lib.filters.event_filter import BadFilter, EventFilter
from eventsinks.lib.filters.pattern import count_pattern_steps
from eventsinks.lib.size import measure_size
from tests.helpers.work import calls_of

LARGE = {"a": [{"k": n, "s": "x" * 20} for n in range(5_000)], "name": "root"}
TOO_LARGE = "too large to be looked through"

RANGES = st.sampled_from(["a", "b", "a[0]", "x", "x.l", "y.l", "a.map(z, z)", "b.filter(z, true)"])
MACROS = st.sampled_from(["all", "exists_one", "map", "filter"])


def macro(name, inside):
    range, kind, body = inside
    return f"{range}.{kind}({name}, {body})" + (" != []" if kind in ("map", "filter") else "")


BODIES = st.recursive(
    st.sampled_from(["tick(1)", "tick(1) && tick(2)"]),
    lambda inside: st.tuples(RANGES, MACROS, inside).map(lambda parts: macro("y", parts)),
    max_leaves=1,
)
TEXTS = st.tuples(RANGES, MACROS, BODIES).map(lambda parts: macro("x", parts))
ITEMS = st.integers() | st.lists(st.integers(), max_size=6) | st.fixed_dictionaries({"l": st.lists(st.integers())})


@settings(deadline=None, max_examples=300)
@given(TEXTS, st.lists(ITEMS, max_size=40), st.lists(ITEMS, max_size=40))
def test_a_filter_goes_no_more_rounds_than_its_steps_say(text, a, b):
    ticks = []

    def tick(number):
        ticks.append(number)
        return True

    context = cel.Context({"a": a, "b": b}, {"tick": tick})
    with suppress(Exception):
        cel.evaluate(text, context)
    size = measure_size([a, b], 250)
    assert len(ticks) <= 4 * count_filter_steps(len(text), measure_shape(text), 0, size)


@pytest.mark.parametrize(
    "text",
    [
        "a.map(x, a.map(y, y)) == []",
        "a.all(x, a.exists(y, y.k == x.k))",
        "a.filter(x, size(a.filter(y, y == x)) > 3) == []",
        "a.all(x, a == a)",
        r"a.exists(x, x.s.matches('\\w+@\\w+'))",
    ],
)
def test_what_would_take_longer_than_the_budget_is_not_asked(text):
    assert EventFilter(text).rejects(LARGE) == f"{text} ({TOO_LARGE})"


@pytest.mark.parametrize(
    "text",
    [
        "a.exists(x, x.k == 4999)",
        "a.exists(x, x.s.contains('xx') && x.k > 10)",
        "name == 'root'",
        "size(a) == 5000",
        "alert.name.startsWith('r')",
    ],
)
def test_a_usual_filter_is_asked_of_thousands_of_rows(text):
    assert EventFilter(text).rejects(LARGE) is None


def test_all_filters_of_an_event_share_one_budget_and_what_is_cheap_is_asked_until_it_is_spent():
    asked = Asked(LARGE)
    dear = [EventFilter(f"a.exists(x, x.k == {n})") for n in range(500)]
    said = [one.rejects(asked) for one in dear]
    assert said[0] is None
    assert TOO_LARGE in said[-1]
    assert asked.budget.is_spent
    assert EventFilter("name == 'root'").rejects(asked) is None


def test_what_many_filters_name_is_handed_to_the_engine_once():
    asked = Asked(LARGE)
    EventFilter("size(a) == 5000").rejects(asked)
    left = asked.budget.left
    EventFilter("size(a) == 5001").rejects(asked)
    assert FILTER_STEPS - left > 20 * (left - asked.budget.left)


def test_the_same_filters_say_the_same_of_the_same_event():
    texts = [f"a.exists(x, x.k == {n} || name == 'r{n}')" for n in range(300)]
    said = [[EventFilter(text).rejects(asked) for text in texts] for asked in (Asked(LARGE), Asked(LARGE))]
    assert said[0] == said[1]


def test_a_document_of_many_values_is_not_measured_to_its_end():
    document = {f"k{n}": [[]] * 300 for n in range(1_000)}
    filters = [EventFilter("alert.k1 == []"), *(EventFilter(f"k{n} == []") for n in range(100))]
    asked = Asked(document, Budget(20_000))
    assert calls_of(lambda: [one.rejects(asked) for one in filters]) < 100_000


@pytest.mark.parametrize(
    ("pattern", "is_dear"),
    [
        (r"^\\d{4}-\\d{2}-\\d{2}T", False),
        ("(?i)^(root|admin|administrator)$", False),
        (r"^arn:aws:iam::\\d+:user/[\\w+=,.@-]+$", False),
        (r"\\w" * 100, True),
        (r"(\\w{5}){5}", True),
        (r"[\\w-]{100}", True),
        (r"[a[\\w]]{100}", True),
        ("(((a{10}){10}){10}){10}", True),
    ],
)
def test_a_pattern_that_takes_long_to_be_made_is_refused_before_it_is_made(pattern, is_dear):
    if not is_dear:
        assert EventFilter(f'name.matches("{pattern}")')
        return
    with pytest.raises(BadFilter, match="is too slow"):
        EventFilter(f'name.matches("{pattern}")')


@given(st.text(alphabet=r"\wpL[]^-{}()0123459,ai?|.", max_size=60))
def test_any_text_has_a_price_as_a_pattern(text):
    assert 0 < count_pattern_steps(text) <= 10_000_000
