"""Times: the classes of the durations that are counted. Only pages show them; no account depends on them."""

from __future__ import annotations

from eventsinks.models.counting.tables import What

# The upper bounds of the classes of durations, in seconds. The last class has no bound.
BOUNDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0, 36000.0)
FIRSTS = [f"{What.FIRST}{place}" for place in range(len(BOUNDS) + 1)]
DONES = [f"{What.DONE}{place}" for place in range(len(BOUNDS) + 1)]
