"""Next batch: chooses the events that an integration gets next, and saves the choice before they are sent."""

from __future__ import annotations

import time
from collections.abc import Sequence

from eventsinks.destinations.base import AnyDestinationType
from eventsinks.event_types import EVENT_TYPES
from eventsinks.lib.budget import FILTER_STEPS
from eventsinks.lib.filters.asked import Asked
from eventsinks.lib.filters.event_filter import EventFilter, get_filter
from eventsinks.models import Batch, Destination, Position
from eventsinks.models.stream import find_last_settled, look_ahead, read_members
from eventsinks.models.stream.batch import LogPlace
from eventsinks.models.stream.read import Logged, Next
from eventsinks.streaming.health import count_requests

MOST_STEPS = 1_000_000  # filter steps for one batch; about a second
LONGEST_LOOK = 5.0  # seconds to search for events that a filter wants; then other integrations come first


def open_next_batch(position: Position, kind: AnyDestinationType) -> Batch | None:
    """Save the members of the next batch. If nothing is to be sent now, release the integration, return None.

    Batches of a replay and of new events alternate. Events that the filter does not want are skipped.
    """
    until = time.monotonic() + LONGEST_LOOK
    while True:
        events: Sequence[Next] = read_sent_before(position, kind) if position.next_number % 2 == 0 else []
        replayed, pause = bool(events), 0.0
        if not events:
            events, pause = read_unsent(position, kind)
        if not events:
            events = read_sent_before(position, kind)
            replayed = True
        if not events:
            Position.objects.release(position, pause)
            return None
        members, asked = choose_wanted(position.destination, events)
        place = LogPlace(events[asked - 1].xid, events[asked - 1].id)
        if members:
            return position.save_members(members, [], place)
        pass_by(position, place, replayed=replayed)
        if time.monotonic() > until:
            Position.objects.release(position)
            return None


def choose_wanted(destination: Destination, events: Sequence[Next]) -> tuple[list[int], int]:
    """Return the ids of the events that the integration's filter wants, and how many events it was asked about.

    Without a filter, all events are wanted. Events of an unknown type are wanted too: they become dead letters
    when they are sent. Events that are expensive to filter end the batch early, so that other integrations get
    their share.
    """
    ids = [event.id for event in events]
    if not destination.filter:
        return ids, len(ids)
    filter = get_filter(destination.filter)
    members: list[int] = []
    steps = 0
    for event in read_members(ids):
        found, cost = is_wanted(event, filter)
        members += [event.id] if found else []
        steps += cost
        if steps > MOST_STEPS:
            return members, ids.index(event.id) + 1
    return members, len(ids)


def is_wanted(event: Logged, filter: EventFilter) -> tuple[bool, int]:
    """Return whether a filter wants an event, and the cost of asking. It wants every event of an unknown type."""
    type_ = EVENT_TYPES.get(event.type)
    if type_ is None:
        return True, 0
    asked = Asked(type_.told_to_filters(event.document))
    return filter.rejects(asked) is None, FILTER_STEPS - asked.budget.left + len(event.data) // 100


def pass_by(position: Position, place: LogPlace, *, replayed: bool) -> None:
    """Move past events of which none is wanted."""
    if replayed:
        Position.objects.skip_replay(position, place)
    else:
        Position.objects.skip(position, place)


def read_unsent(position: Position, kind: AnyDestinationType) -> tuple[Sequence[Next], float]:
    """Return the next events. If it is better to wait for more, return none, and for how many seconds."""
    limits, destination = kind.limits, position.destination
    requests = count_requests(destination, limits.max_requests)
    most = limits.max_events * requests
    end = find_last_settled(destination.tenant_id)
    found = look_ahead(destination.tenant_id, destination.event_types, position.place, most)
    if not found:
        Position.objects.skip(position, end)  # or each search would read all the events that are not for it
        return [], 0.0
    fitting = cut_to_bytes(found, limits.max_bytes * requests)
    if len(found) < most and len(fitting) == len(found) and found[0].age < limits.linger:
        return [], min(limits.linger - found[0].age, limits.linger)
    return fitting, 0.0


def read_sent_before(position: Position, kind: AnyDestinationType) -> Sequence[Next]:
    """Return the next events of the replay. If there are no more, end the replay and return none."""
    if position.replay is None:
        return []
    limits, destination = kind.limits, position.destination
    most = limits.max_events * limits.max_requests
    found = look_ahead(destination.tenant_id, destination.event_types, position.replay, most, position.until)
    if not found:
        Position.objects.end_replay(position)
    return cut_to_bytes(found, limits.max_bytes * limits.max_requests)


def cut_to_bytes(events: Sequence[Next], most: int) -> Sequence[Next]:
    """Return as many of the first events as have at most `most` bytes together, but at least one."""
    total = 0
    for count, event in enumerate(events):
        total += event.size + 1
        if total > most and count:
            return events[:count]
    return events
