"""What is told about the running system: metrics, and one wide log line per send."""

from __future__ import annotations

from eventsinks.destinations.base import AnyDestinationType
from eventsinks.models.delivery import Settlement


def set_up_logging() -> None: ...


def tried(settled: Settlement, kind: AnyDestinationType | None) -> None: ...
