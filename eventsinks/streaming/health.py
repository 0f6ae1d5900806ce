"""Health: the breaker of an integration. The rule is sinks' own (sending/breaker.py). A try is a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from eventsinks.destinations.base import DestinationGone, SendFailure, TooLarge
from eventsinks.limits.isolation import isolate
from eventsinks.models import Destination
from eventsinks.models.database.clock import estimate_database_clock
from eventsinks.models.health import Breaker
from eventsinks.sending.breaker import Tally, get_ramp_share
from eventsinks.sending.health import PROBED, record_tries, take_probes, tally_try
from eventsinks.streaming.blame import is_certain


def is_probing(destination: Destination) -> bool:
    """Return whether its breaker was open when it was leased: the next batch is a probe."""
    return destination.breaker in PROBED


def may_send_batch(destination: Destination) -> bool:
    """Return whether its breaker lets a batch out now."""
    return not is_probing(destination) or bool(take_probes(destination.id, destination.version, 1))


def count_requests(destination: Destination, most: int) -> int:
    """Return how many requests its next batch may take: one for a probe, and more and more in the ramp."""
    if is_probing(destination):
        return 1
    if destination.breaker != Breaker.RAMP or destination.breaker_at is None:
        return most
    return min(most, get_ramp_share((estimate_database_clock() - destination.breaker_at).total_seconds()))


def record_batch(destination: Destination, members: Sequence[int], failures: Mapping[int, SendFailure]) -> None:
    """Count one try of a batch. It is a success if any event was accepted. `failures` are by event.

    While nothing fails, this writes nothing.
    """
    tally = tally_batch(members, failures)
    watched = destination.trouble_since is not None or destination.breaker != Breaker.CLOSED
    if tally.failed or (tally.taken and watched):
        with isolate(f"a try of destination {destination.id} is not counted"):
            record_tries(destination.id, destination.version, tally, probes=is_probing(destination))


def tally_batch(members: Sequence[int], failures: Mapping[int, SendFailure]) -> Tally:
    """Return one try of a batch as a tally; an empty one if it says nothing of the destination."""
    tally = Tally()
    asked = [failures[id] for id in members if id in failures and not is_certain(failures[id])]
    if any(id not in failures for id in members):
        tally_try(tally, None)
    elif asked and not any(isinstance(failure, TooLarge) for failure in asked):
        doubted = any(isinstance(failure, DestinationGone) for failure in asked)
        tally_try(tally, asked[0], doubted=doubted)
    return tally
