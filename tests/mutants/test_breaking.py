"""Mutants: each way to break a line is found, what nobody runs is left alone, a broken file is still Python."""

import ast
import random
from pathlib import Path

import pytest

from tests.mutants.__main__ import TOP, diff, owner, sample
from tests.mutants.breaking import breaks
from tests.mutants.nearness import nearest


def broken(source):
    """Return what each break makes of a source."""
    return [place.of(source) for place in breaks(source)]


@pytest.mark.parametrize(
    ("source", "instead"),
    [
        ("a < b", ["a <= b"]),
        ("a is not b", ["a is b"]),
        ("a and b or c", ["((a and b) and c)", "(a or b) or c"]),
        ("not a", ["(a)"]),
        ("a - b", ["(a + b)"]),
        ("x = 9", ["x = 10"]),
        ("x = True", ["x = False"]),
        ("min(a)", ["pass", "max(a)"]),
        ("x = BatchState.SENT", ["x = BatchState.SPLIT"]),
        ("nudge()", ["pass"]),
        ("if a:\n    return", ["if False:\n    return"]),
        ("é = 'é' if a == b else 1.5", ["é = 'é' if a != b else 1.5", "é = 'é' if a == b else 2.5"]),
    ],
)
def test_each_way_to_break_a_line_is_found(source, instead):
    assert sorted(broken(source)) == sorted(instead)


@pytest.mark.parametrize(
    "source",
    [
        "x: Literal[1]",
        "def f(x: Literal[1]) -> Literal[2]: ...",
        "x = f'{a < b}'",
        "x = models.CharField(max_length=9)",
        "log.info(a)",
        "'a text' + a",
        "if a:\n    b\nelse:\n    c",
    ],
)
def test_what_nobody_runs_or_hears_of_is_not_broken(source):
    assert broken(source) == []


@pytest.mark.parametrize(
    "file",
    ["streaming/streamer.py", "models/stream/position.py", "destinations/s3/__init__.py", "lib/net/http.py"],
)
def test_a_file_of_ours_that_is_broken_is_another_one_and_still_python(file):
    source = (TOP / "eventsinks" / file).read_text("utf-8")
    for other in broken(source):
        assert other != source
        ast.parse(other)


def test_the_same_seed_breaks_the_same_places_and_none_twice():
    one, other = (sample(TOP, ["lib/"], 50, random.Random(7)) for _ in range(2))
    assert one == other
    assert len(set(one)) == 50
    assert {file.parts[1] for file, _ in one} == {"lib"}


def test_no_more_places_are_broken_than_there_are():
    count = len(breaks((TOP / "eventsinks/lib/size.py").read_text("utf-8")))
    assert len(sample(TOP, ["lib/size.py"], 1000, random.Random(7))) == count


def test_the_nearest_tests_begin_with_those_of_the_same_name():
    found = nearest(TOP, Path("eventsinks/sweeping/fall_back.py"))
    assert found[0] == "tests/sweeping/test_fall_back.py"
    assert "tests/sweeping/test_account.py" in found  # it imports who imports it
    assert all((TOP / file).is_file() for file in found)


def test_tests_that_say_the_name_are_near_and_those_that_ask_by_url_are_not_far():
    failure, validation = Path("eventsinks/destinations/base/failure.py"), Path("eventsinks/lib/validation.py")
    assert "tests/destinations/every_type/test_retry_after.py" in nearest(TOP, failure, "retry_after")[:4]
    assert any(file.startswith("tests/api/") for file in nearest(TOP, validation, "given_twice"))


def test_a_place_belongs_to_the_function_that_begins_before_it():
    source = "x = 1\n\nclass A:\n    y = 2\n\n    def f(self):\n        return 3\n"
    assert [owner(source, place) for place in breaks(source)] == ["", "A", "f"]


def test_a_diff_says_where_a_place_is_and_what_it_changes():
    (file, place), *_ = sample(TOP, ["lib/size.py"], 1, random.Random(7))
    where, *lines = diff(TOP, file, place)
    assert where.startswith("eventsinks/lib/size.py:")
    assert {line[0] for line in lines} >= {"-", "+"}
