"""What the filters of a template may be given, to the last one; and what it costs to make a pattern."""

import pytest
from liquid.exceptions import ResourceLimitError

from eventsinks.lib.filters.pattern import CHARACTER, count_pattern_steps
from eventsinks.lib.size import Size
from eventsinks.lib.templates.filter_steps import MAX_BITS, MAX_LIST, MAX_VALUE, check_size, count_made


def is_too_much(size, *values):
    try:
        check_size(size, *values)
    except ResourceLimitError:
        return True
    return False


@pytest.mark.parametrize(("more", "refused"), [(0, False), (1, True)])
def test_the_most_that_a_filter_may_be_given_is_exact(more, refused):
    assert is_too_much(Size(values=10, characters=MAX_VALUE - 10 + more)) is refused
    assert is_too_much(Size(), range(MAX_LIST + more)) is refused
    assert is_too_much(Size(), 2 ** (MAX_BITS - 1 + more)) is refused
    assert is_too_much(Size(), "a text", [], 1, range(MAX_LIST + more)) is refused


def test_the_most_that_a_filter_may_make_is_exact():
    assert count_made(MAX_VALUE) == MAX_VALUE // 40
    with pytest.raises(ResourceLimitError):
        count_made(MAX_VALUE + 1)


def test_letters_cost_more_where_their_case_does_not_matter_and_only_there():
    for flags in ("(?:", "(?s:", "(?P<i>"):
        assert count_pattern_steps(f"{flags}ab)") - count_pattern_steps(f"{flags})") == 2 * CHARACTER
    for flags in ("(?i:", "(?si:"):
        assert count_pattern_steps(f"{flags}ab)") - count_pattern_steps(f"{flags})") == 2 * 20
