"""Work that the interpreter counts: the calls of functions, in Python and in C. The same on every machine."""

import sys


def calls_of(function):
    """Return how many calls `function` leads to in this thread."""
    count = 0

    def called(frame, event, argument):
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(called)
    try:
        function()
    finally:
        sys.setprofile(before)
    return count
