"""A budget of work: what compiles, renders or looks through what others wrote is counted against one.

A step is about a microsecond of a processor, rounded up. Steps are counted and not timed, so that the same alert
always comes out the same. The seconds are the second line: they end what was counted too low.
"""

from __future__ import annotations

import time
from collections.abc import Callable

ALERT_STEPS = 25_000  # for all that is rendered of one alert, over all of its sinks
TEMPLATE_STEPS = 10_000  # of them for one alert template, whatever the others take
FILTER_STEPS = 40_000  # for all filters that are asked of one event
RESERVE = 5_000  # of the steps of an event, for what is cheap: dear ones must not be in the way of it
CHEAP = 300  # steps
SECONDS = 0.25  # of a clock: ten times what the steps should take


class Spent(Exception):
    """There is no budget left for it."""


class Budget:
    """So many steps, and so many seconds. `parent` is a budget that pays too. `clock` tells seconds."""

    def __init__(
        self,
        steps: int = ALERT_STEPS,
        seconds: float = SECONDS,
        parent: Budget | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.left = steps
        self._taken = 0
        self.seconds = seconds
        self.is_spent = False  # whether anything was refused
        self._parent, self._clock = parent, clock
        self._began: float | None = None

    def charge(self, steps: int, leaving: int = 0) -> None:
        """Take `steps` away. Raises Spent where fewer than `leaving` would be left, and takes all down to that."""
        if self.left - steps < leaving or self._is_over():
            self.left = min(self.left, leaving)
            self._refuse()
        if self._parent is not None:
            try:
                self._parent.charge(steps, RESERVE if self._taken > CHEAP else 0)
            except Spent:
                self.is_spent = True
                raise
        self.left -= steps
        self._taken += steps

    def affords(self, steps: int) -> bool:
        """Take `steps` away if there are so many, for what is dear without the reserve; otherwise none."""
        leaving = RESERVE if steps > CHEAP else 0
        if self.left - steps < leaving or self._is_over():
            self.is_spent = True
            return False
        self.left -= steps
        return True

    def share(self, steps: int) -> Budget:
        """Return a budget of at most `steps` that this one pays for."""
        return Budget(steps, self.seconds, self, self._clock)

    def __enter__(self) -> Budget:
        """Begin to count seconds: only what happens inside of `with` takes any."""
        self._began = self._clock()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop counting seconds."""
        if self._began is not None:
            self.seconds -= self._clock() - self._began
            self._began = None

    def _is_over(self) -> bool:
        passed = 0.0 if self._began is None else self._clock() - self._began
        return passed > self.seconds

    def _refuse(self) -> None:
        budget: Budget | None = self
        while budget is not None:
            budget.is_spent = True
            budget = budget._parent
        raise Spent
