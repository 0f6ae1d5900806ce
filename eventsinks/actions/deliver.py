"""Deliver: claim what is due, send it all concurrently, settle it in bulk, until nothing is due.

Nothing is open while we talk to the world: a claim is one short transaction, a settlement another. What a
worker that dies leaves behind is due again when its lease runs out.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from django.conf import settings
from django.db import DatabaseError, connection

from eventsinks import telemetry
from eventsinks.actions.fairness import Shares
from eventsinks.actions.hold import held_or_parked
from eventsinks.actions.judge import following, max_tries, settlement, verdict_of
from eventsinks.actions.pace import count_against_limits, in_turn, within_limits
from eventsinks.actions.prepare import Ready, messages_of, request_of
from eventsinks.actions.unharmed import unharmed
from eventsinks.destinations.base import (
    MAX_REQUESTS,
    AnyDestinationType,
    DestinationGone,
    Message,
    SendFailure,
)
from eventsinks.lib.http import Exchange, Outcome
from eventsinks.lib.wire import Request
from eventsinks.models import Destination, Incident
from eventsinks.models.delivery import (
    Claimed,
    Settlement,
    claim,
    due_lanes,
    end_turn,
    settle,
)

log = logging.getLogger(__name__)

SLOTS = 1000  # exchanges under way at once
CLAIM = 800  # deliveries of one claim
LOW = 64  # with less than this in flight, claim at once
LOOK_AGAIN = 0.05  # seconds until the next claim while others are in flight
SETTLE = 800  # settle when so many have ended,
SETTLE_AFTER = 0.02  # or after so many seconds
SETTLE_TRIES = 5
LONGEST_WAIT = 0.5  # seconds without a look at anything but the world


class Sent(NamedTuple):
    """One message in flight."""

    claimed: Claimed
    ready: Ready
    message: Message
    started_at: datetime
    request: Request
    requests: int = 1  # of this try, so far


class Pump:
    """One process's deliveries, from claim to settlement. To be run by one thread at a time.

    `exchange` is the world; `stopping` says that no more is to be claimed.
    """

    def __init__(self, exchange: Exchange, stopping: Callable[[], bool] = lambda: False) -> None:
        self._exchange = exchange
        self._stopping = stopping
        self._shares = Shares()
        self._opened: dict[int, Ready] = {}
        self._unopened: dict[int, SendFailure | None] = {}  # of the last claim, and why
        self._unsettled: list[tuple[str, Settlement]] = []  # with the keys of their types
        self._settle_at = 0.0
        self._claim_at = 0.0
        self._found = False
        self._turn_at = 0.0  # when the next message may go to a place that takes so many a second

    def run(self) -> int:
        """Deliver until nothing is due and nothing in flight. Return how many were settled."""
        settled = 0
        while True:
            idle = not self._exchange.in_flight and time.monotonic() >= self._turn_at
            found = self._claim() if self._may_claim() else None
            self._end(self._exchange.poll(self._patience()))
            settled += self._settle_if_due()
            nothing_due = (idle and found == 0) or self._stopping()
            if nothing_due and not self._exchange.in_flight and not self._unsettled:
                return settled

    def _may_claim(self) -> bool:
        """Whether there is room, and it is time to look."""
        in_flight = self._exchange.in_flight
        soon = not in_flight or (self._found and in_flight < LOW)
        return not self._stopping() and in_flight < SLOTS and (soon or time.monotonic() >= self._claim_at)

    def _claim(self) -> int:
        """Claim and send what there is room for. Return how many."""
        room = min(SLOTS - self._exchange.in_flight, CLAIM)
        self._claim_at = time.monotonic() + LOOK_AGAIN
        lanes = due_lanes(max_tries())
        limited = within_limits(self._shares.quotas(lanes, room))
        quotas = in_turn(limited)
        claimed = claim(quotas, settings.EVENTSINKS_LEASE) if quotas else []
        self._found = bool(claimed)
        pauses = count_against_limits(limited, claimed)
        if soon := [pause for pause in pauses if pause < LONGEST_WAIT]:  # for the others the sweep is soon enough
            self._turn_at = max(self._turn_at, time.monotonic() + max(soon) + LOOK_AGAIN)
        versions = {lane.destination_id: lane.version for lane, _ in quotas}
        self._open({c.destination_id: versions[c.destination_id] for c in claimed})
        at = datetime.now(UTC)
        for one, message in zip(claimed, messages_of(claimed, self._opened), strict=True):
            self._send(one, message, at)
        return len(claimed)

    def _open(self, versions: dict[int, int]) -> None:
        """Make the destination types ready whose configuration is new."""
        self._unopened = {}
        known = {id: ready.version for id, ready in self._opened.items()}
        stale = [id for id, version in versions.items() if known.get(id) != version]
        if not stale:
            return
        for id in stale:
            self._opened.pop(id, None)
        present = Destination.objects.present().select_related("slack_workspace")
        for destination in present.filter(id__in=stale):  # one deleted since the claim has lost its secrets
            try:
                kind, template = destination.opened(), destination.template
                self._opened[destination.id] = Ready(destination.version, kind, template, destination.place)
            except Exception as error:  # whatever it is, it must not stop the others
                gone = DestinationGone(f"its configuration can't be read: {error}")
                self._unopened[destination.id] = held_or_parked(destination.id, destination.version, gone)

    def _send(self, claimed: Claimed, message: Message | SendFailure, at: datetime) -> None:
        """Start one exchange; what can't even be built is settled without."""
        ready = self._opened.get(claimed.destination_id)
        if ready is None:
            gone = DestinationGone("its configuration can't be read")
            self._ended(settlement(claimed, at, None, self._unopened.get(claimed.destination_id, gone)))
            return
        if isinstance(message, SendFailure):
            self._not_sent(claimed, ready, at, message)
            return
        try:
            request = request_of(ready.kind, message, at)
        except SendFailure as failure:
            self._not_sent(claimed, ready, at, failure)
        else:
            self._shares.sent(claimed.destination_id)
            self._exchange.start(request, Sent(claimed, ready, message, at, request))

    def _not_sent(self, claimed: Claimed, ready: Ready, at: datetime, failure: SendFailure) -> None:
        """Settle what can't even be built."""
        self._turn_over(ready)
        settled_with = held_or_parked(claimed.destination_id, ready.version, failure)
        self._ended(settlement(claimed, at, None, settled_with))

    def _turn_over(self, ready: Ready) -> None:
        """Let the next message go to a place that takes so many a second, and be there when it may."""
        if ready.place:
            with unharmed(f"the turn at {ready.place} ends with its lease"):
                end_turn(ready.place, ready.kind.pace)
            self._turn_at = time.monotonic() + ready.kind.pace + LOOK_AGAIN

    def _end(self, outcomes: Sequence[tuple[Sent, Outcome]]) -> None:
        """Judge what has ended, and hold or park the sinks that need it."""
        for sent, outcome in outcomes:
            if (after := next_request(sent, outcome)) is not None:
                self._exchange.start(after, sent._replace(request=after, requests=sent.requests + 1))
                continue
            failure, memory = verdict_of(sent.ready.kind, sent.message, outcome)
            destination_id = sent.claimed.destination_id
            self._shares.ended(destination_id, well=failure is None, seconds=outcome.timings.total)
            if memory is not None:  # before it is settled: a try that is made again knows what it did
                # What can't be remembered was told all the same: to try again would be to tell it twice.
                with unharmed(f"what was told of {sent.claimed.id} is not remembered"):
                    Incident.objects.remember((destination_id, sent.message.summary.dedup_key), memory)
            self._turn_over(sent.ready)
            failure = held_or_parked(destination_id, sent.ready.version, failure)
            self._ended(settlement(sent.claimed, sent.started_at, outcome, failure), sent.ready.kind)

    def _ended(self, settled: Settlement, kind: AnyDestinationType | None = None) -> None:
        if not self._unsettled:
            self._settle_at = time.monotonic() + SETTLE_AFTER
        self._unsettled.append((kind.key if kind else "unknown", settled))

    def _settle_if_due(self) -> int:
        due = len(self._unsettled) >= SETTLE or time.monotonic() >= self._settle_at
        if not self._unsettled or (self._exchange.in_flight and not due):
            return 0
        ended, self._unsettled = self._unsettled, []
        settle_surely([settled for _, settled in ended])
        telemetry.tried(ended)
        return len(ended)

    def _patience(self) -> float:
        """Return how many seconds to wait for the world before looking at the rest."""
        if not self._exchange.in_flight:
            return max(0.0, min(self._turn_at - time.monotonic(), LOOK_AGAIN))
        moments = [time.monotonic() + LONGEST_WAIT]
        if self._exchange.in_flight < SLOTS and not self._stopping():
            moments.append(self._claim_at)
        if self._unsettled:
            moments.append(self._settle_at)
        return max(0.0, min(moments) - time.monotonic())


def next_request(sent: Sent, outcome: Outcome) -> Request | None:
    """Return what a type sends after `outcome` in the same try, None if that was all."""
    if sent.requests == MAX_REQUESTS:
        return None
    return following(sent.ready.kind, sent.message, sent.request, outcome)


def settle_surely(settlements: Sequence[Settlement]) -> None:
    """Settle, over a database that comes back. What stays unsettled is due again when its lease runs out."""
    for attempt in range(1, SETTLE_TRIES + 1):
        try:
            moved = settle(settlements)
        except DatabaseError:
            if attempt == SETTLE_TRIES:
                raise
            connection.close()
            time.sleep(attempt)
        else:
            if moved < len(settlements):
                log.warning("%d deliveries were not ours any more", len(settlements) - moved)
            return
