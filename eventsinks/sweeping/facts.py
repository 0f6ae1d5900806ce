"""Facts: finds out what the metrics say of the database, and tells it to all processes."""

from __future__ import annotations

from eventsinks import telemetry
from eventsinks.actions.obstacles import count_by_obstacle
from eventsinks.actions.status import count_by_status
from eventsinks.limits.shared_facts import tell_facts
from eventsinks.models import Destination
from eventsinks.streaming import lag
from eventsinks.sweeping import retain
from eventsinks.sweeping.account import count_open


def find_facts(unaccounted: int) -> None:
    """Set all metrics of what the database knows, and tell them. `unaccounted` is what the audit misses."""
    waiting = count_open()
    telemetry.set_account(unaccounted, waiting.deliveries, waiting.late, waiting.clearing)
    telemetry.set_waiting(count_by_obstacle())
    telemetry.set_oldest(retain.measure_oldest())
    there = Destination.objects.present()
    telemetry.set_destinations("event_sink", count_by_status(there.sinks()))
    telemetry.set_destinations("integration", count_by_status(there.integrations()))
    telemetry.set_in_line(waiting.behind, waiting.longest_behind)
    telemetry.set_streams(lag.measure_streams())
    telemetry.set_log_held(lag.measure_hold())
    tell_facts(telemetry.write_facts())
