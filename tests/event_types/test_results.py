"""The results of an alert: a small table of text, whatever shape they came in."""

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventsinks.event_types import event_type

ALERT = event_type("detection_alert")
JO, KIM = {"user": "jo", "n": 1}, {"user": "kim", "n": None, "more": [1]}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(st.text(max_size=8), inner, max_size=8),
    max_leaves=20,
)


def told(**table):
    return ALERT.summary({"name": "x", "severity": "High", "results_table": table})


def test_rows_are_told_as_text_under_their_columns():
    summary = told(columns=["user", "n", "more"], rows=[JO, KIM], total_row_count=7)
    assert summary.columns == ("user", "n", "more")
    assert summary.rows == (("jo", "1", ""), ("kim", "", "[1]"))
    assert summary.row_count == 7
    assert summary.facts == (("user", "jo"), ("n", "1"))


def test_no_more_than_five_rows_of_six_columns_are_told():
    summary = told(rows=[{str(number): number for number in range(9)}] * 8)
    assert (len(summary.columns), {len(row) for row in summary.rows}) == (6, {6})
    assert (len(summary.rows), summary.row_count) == (5, 8)


@pytest.mark.parametrize("columns", [None, [], "user", {"user": 1}, [1, None], ["nobody has it"]])
def test_columns_that_say_nothing_are_those_of_the_first_row(columns):
    assert told(columns=columns, rows=[JO, KIM]).columns == ("user", "n")


@pytest.mark.parametrize("total", [None, -1, 0, 1, "7", 7.0, True, [7]])
def test_there_are_never_fewer_rows_than_came(total):
    assert told(rows=[JO, KIM], total_row_count=total).row_count == 2


def test_rows_that_are_none_are_left_out():
    summary = told(rows=["x", None, JO, [KIM], {}])
    assert summary.rows == (("jo", "1"), ("", ""))


def test_a_cell_that_is_nested_too_deeply_is_said_to_be():
    deep = orjson.loads("[" * 400 + "]" * 400)
    assert told(rows=[{"deep": deep}]).rows == (("(nested too deeply to be shown)",),)


@settings(deadline=None, database=None)
@given(JSON | st.fixed_dictionaries({}, optional={"rows": JSON, "columns": JSON, "total_row_count": JSON}))
def test_no_results_of_any_shape_raise(table):
    summary = ALERT.summary({"name": "x", "severity": "High", "results_table": table})
    assert {len(row) for row in summary.rows} <= {len(summary.columns)}
    assert summary.row_count >= len(summary.rows)
