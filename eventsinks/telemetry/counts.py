"""Counts: the metrics of what this process itself has done."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter as Tally
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Literal

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    Counter,
    disable_created_metrics,
    generate_latest,
    start_http_server,
)
from prometheus_client.metrics_core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from eventsinks.models.database.clock import estimate_database_clock
from eventsinks.models.delivery import Settlement
from eventsinks.telemetry.family import join_pages
from eventsinks.telemetry.lines import write_tries

disable_created_metrics()  # type: ignore[no-untyped-call]  # when a process began to count says nothing of the whole

ATTEMPTS = Counter("eventsinks_attempts_total", "Tries, by destination type and outcome.", ["type", "outcome"])
OVER_BUDGET = Counter(
    "eventsinks_over_budget_total",
    "Events of which not all was rendered or asked: it would cost too much.",
    ["what"],
)
REMOVED = Counter("eventsinks_removed_total", "Deleted rows that were kept long enough, by table.", ["table"])
WRONG_KEYS = Counter("eventsinks_wrong_keys_total", "API keys that opened nothing.")
REFUSED = Counter("eventsinks_refused_total", "What a limit refused, by the limit's name.", ["limit"])


class Seconds(Collector):
    """Durations by destination type: a histogram to which adding is very cheap."""

    def __init__(self, name: str, told: str, bounds: Sequence[float]) -> None:
        self._name, self._told, self._bounds = name, told, bounds
        self._counts: dict[str, list[int]] = {}
        self._sums: dict[str, float] = {}
        REGISTRY.register(self)

    def observe(self, key: str, seconds: float) -> None:
        """Add one."""
        counts = self._counts.setdefault(key, [0] * (len(self._bounds) + 1))
        counts[bisect_left(self._bounds, seconds)] += 1
        self._sums[key] = self._sums.get(key, 0.0) + seconds

    def collect(self) -> Iterator[Metric]:
        """Yield the histogram."""
        family = HistogramMetricFamily(self._name, self._told, labels=["type"])
        names = [*map(str, self._bounds), "+Inf"]
        for key, counts in list(self._counts.items()):
            family.add_metric([key], list(zip(names, accumulate(counts), strict=True)), self._sums[key])
        yield family


EXCHANGES = Seconds(
    "eventsinks_exchange_seconds",
    "Seconds of an exchange, by destination type.",
    (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0),
)
FIRST_TRIES = Seconds(
    "eventsinks_first_try_seconds",
    "Seconds from the acceptance of an event until its first try at an event sink has ended.",
    (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0),
)


def count_tries(settlements: Sequence[tuple[str, Settlement]]) -> None:
    """Count tries and write a line for each. Each comes with the key of its destination type."""
    for (key, outcome), count in Tally((key, settled.outcome) for key, settled in settlements).items():
        ATTEMPTS.labels(key, outcome).inc(count)
    now = estimate_database_clock().timestamp()
    for key, settled in settlements:
        EXCHANGES.observe(key, settled.timings.total)
        claimed = settled.claimed
        if claimed.tries == 1 and not claimed.replayed:
            accepted_at = (claimed.id.int >> 80) / 1000  # an id begins with the milliseconds of its making
            FIRST_TRIES.observe(key, max(0.0, now - accepted_at))
    write_tries(settlements)


def count_over_budget(what: Literal["templates", "filters"]) -> None:
    """Count an event whose templates or filters exceed their budget."""
    OVER_BUDGET.labels(what).inc()


def count_removed(removed: Mapping[str, int]) -> None:
    """Count rows that the retention has deleted, by table."""
    for table, count in removed.items():
        REMOVED.labels(table).inc(count)


def write_exposition() -> tuple[bytes, str]:
    """Return what this process and its siblings count, in Prometheus' text format, and its content type."""
    return join_pages(generate_latest()), CONTENT_TYPE_LATEST


def serve(port: int) -> None:
    """Serve the metrics at a port of this process."""
    start_http_server(port)
