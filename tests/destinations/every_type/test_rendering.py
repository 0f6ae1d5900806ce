"""How an alert with several rows is told: as a table, or as the facts of its row, never both."""

from dataclasses import replace

from eventsinks.destinations.base.rendering import render_letter, render_pairs, render_rows
from tests.destinations.examples import TEMPLATED, make_message


def told(**changes):
    return replace(make_message().summary, **changes)


def test_several_rows_are_told_once():
    summary = told(**TEMPLATED)
    assert summary.facts
    assert not set(summary.facts) & set(render_pairs(summary))
    assert render_letter(summary, 500, 10).count("kim@acme.example") == 1


def test_one_row_of_many_says_so():
    assert ("Rows", "1 of 40") in render_pairs(told(row_count=40))
    assert "Rows" not in dict(render_pairs(told()))


def test_a_cell_without_a_text_is_a_dash():
    assert render_rows(told(columns=("a", "b"), rows=(("", "x"), ("y", " "))), 5, 5, 9)[1:] == [
        ["–", "x"],
        ["y", "–"],
    ]
