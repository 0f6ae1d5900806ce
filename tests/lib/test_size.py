"""How large a JSON value is: to the last level, value and character."""

import pytest

from eventsinks.lib.size import Size, measure_size


def nested(levels, inner=1):
    """Return a value in so many lists."""
    return nested(levels - 1, [inner]) if levels else inner


@pytest.mark.parametrize(("levels", "fits"), [(2, True), (3, True), (4, False)])
@pytest.mark.parametrize("inner", [1, "text", {}])
def test_the_deepest_that_is_measured_is_exact(levels, fits, inner):
    assert (measure_size([nested(levels, inner)], 3) is not None) is fits


def test_every_value_key_and_digit_counts_and_the_longest_is_known():
    assert measure_size([{"ab": [1, "cde", None]}, "f"], 9) == Size(longest=3, values=6, characters=6)
    assert measure_size(["text"], 0) == Size(longest=0, values=1, characters=4)
    assert measure_size([10**30], 9).characters == 33


@pytest.mark.parametrize(("most", "values"), [(5, 5), (4, 5), (3, 4)])
def test_more_than_the_most_is_told_as_one_more_without_looking_further(most, values):
    assert measure_size([[1, 2, [3]]], 9, most).values == values
