"""A budget of work: it limits what we spend on compiling, rendering and searching text that others wrote.

One step is about a microsecond of processor time, rounded up. We count steps and do not measure time, so the same
alert always gives the same result. The limit in seconds comes second: it ends work whose steps were counted too
low.
"""

from __future__ import annotations

import time
from collections.abc import Callable

ALERT_STEPS = 25_000  # for everything that is rendered from one alert, for all of its sinks
TEMPLATE_STEPS = 10_000  # the most that one alert template may use of them
FILTER_STEPS = 40_000  # for all filters that are evaluated on one event
RESERVE = 5_000  # steps of an event that only cheap work may use, so that costly work can't block it
CHEAP = 300  # steps
SECONDS = 0.25  # of wall time: ten times what the steps should take


class Spent(Exception):
    """The budget does not have enough left."""


class Budget:
    """A number of steps and of seconds. `parent` is a budget that pays too. `clock` returns seconds."""

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
        self.is_spent = False  # whether the budget refused anything
        self._parent, self._clock = parent, clock
        self._began: float | None = None

    def charge(self, steps: int, leaving: int = 0) -> None:
        """Take `steps` away.

        Raises Spent if fewer than `leaving` would be left, and then leaves at most that many.
        """
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
        """Take `steps` away and return True, or none and return False. Costly work can't use the reserve."""
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
        """Begin to count seconds. Only the time inside `with` counts."""
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
