"""Dispatcher: claims due deliveries, sends them all at once and settles them in bulk, until none is due.

No transaction is open during a request: a claim is one short transaction, a settlement is another. When a worker
dies, the deliveries that it claimed are due again as soon as its lease runs out.
"""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from django.conf import settings
from django.db import OperationalError

from eventsinks.destinations.base import MAX_REQUESTS, DestinationGone, Message, SendFailure
from eventsinks.lib.net.http import Exchange, Outcome
from eventsinks.lib.net.wire import Request
from eventsinks.limits.isolation import isolate
from eventsinks.models.database import sql
from eventsinks.models.delivery import ClaimedDelivery, Lookout, claim, free_rate_key
from eventsinks.sending.fairness import CongestionWindows
from eventsinks.sending.health import HealthWrites
from eventsinks.sending.hold import DOUBTED_FOR, explain_held_or_parked, forget_doubts
from eventsinks.sending.judge import get_max_tries, judge_outcome, make_following_request, make_settlement
from eventsinks.sending.lag import LagWatch
from eventsinks.sending.open_sinks import OpenSinks
from eventsinks.sending.postpone import AGAIN, PostponedWrites
from eventsinks.sending.prepare import ReadySink, make_messages, make_request
from eventsinks.sending.rate_limit import Quotas, claim_within_rates, count_against_limits
from eventsinks.sending.remember import MemoryWrites
from eventsinks.sending.settle_attempts import EndedTries

log = logging.getLogger(__name__)

SLOTS = 1000  # exchanges in flight at once
CLAIM = 800  # deliveries of one claim
LOW = 64  # with less than this in flight, claim at once
LOOK_AGAIN = 0.05  # seconds until the next claim while requests are in flight and no wake-up came
LOOK_REST = 0.005  # after a wake-up, the next claim waits at least so many seconds,
LOOK_PART = 3  # and at least so many times the duration of the last claim
LONGEST_WAIT = 0.5  # seconds; the dispatcher waits for answers no longer than this


class SentRequest(NamedTuple):
    """One message in flight."""

    claimed: ClaimedDelivery
    ready: ReadySink
    message: Message
    started_at: datetime
    request: Request
    requests: int = 1  # of this try, until now


class Dispatcher:
    """The deliveries of one process, from claim to settlement. One thread at a time runs it.

    `exchange` sends the requests. When `stopping` returns true, the dispatcher claims no more. It never waits for
    a lock that another process holds.
    """

    def __init__(self, exchange: Exchange, stopping: Callable[[], bool] = lambda: False) -> None:
        self._exchange = exchange
        self._stopping = stopping
        self._windows = CongestionWindows()
        self._lag = LagWatch(self._windows.is_wide)
        self._lookout = Lookout()
        self._aside = PostponedWrites()
        self._sinks = OpenSinks(self._aside)
        self._memories = MemoryWrites(self._aside)
        self._ended = EndedTries()
        self._health = HealthWrites(self._aside)
        self._doubted: set[int] = set()  # sinks with doubts, which have accepted nothing since
        self._claim_at = 0.0
        self._woken = False  # whether a wake-up came,
        self._woken_at = 0.0  # and the earliest time of the claim that answers it
        self._found = False
        self._paced_at = 0.0  # when rate keys may be leased again, after a lock prevented it
        self._key_free_at = 0.0  # when the next rate key or limited sink may be free

    def wake(self) -> None:
        """Make a running dispatcher look for work now. Any thread may call this."""
        self._woken = True
        self._exchange.wake()

    def run(self) -> int:
        """Deliver until nothing is due and nothing is in flight. Return how many deliveries were settled."""
        settled = 0
        with sql.wait_shortly():
            while True:
                self._aside.again()
                idle = not self._exchange.in_flight and time.monotonic() >= self._key_free_at
                found = self._claim() if self._may_claim() else None
                self._end(self._poll())
                settled += self._ended.settle_if_due(self._exchange.in_flight)
                if self._ended.has_called:
                    self._woken, self._ended.has_called = True, False
                self._health.write_if_due()
                nothing_due = (idle and found == 0) or self._stopping()
                if nothing_due and not self._exchange.in_flight and not self._ended:
                    self._health.write_if_due(now=True)
                    return settled

    def _poll(self) -> list[tuple[SentRequest, Outcome]]:
        """Wait for answers, and note how long there were none."""
        rested = self._exchange.rested
        ended = self._exchange.poll(self._patience())
        self._lag.note_rest(self._exchange.rested - rested)
        return ended

    def _may_claim(self) -> bool:
        """Return whether it is time for a claim and fewer than SLOTS requests are in flight."""
        in_flight, now = self._exchange.in_flight, time.monotonic()
        nothing_else = not in_flight and now >= self._key_free_at
        soon = nothing_else or (self._found and in_flight < LOW) or now >= self._next_look()
        return soon and not self._stopping() and in_flight < SLOTS

    def _next_look(self) -> float:
        """Return the time of the next claim while requests are in flight."""
        return min(self._claim_at, self._woken_at) if self._woken else self._claim_at

    def _claim(self) -> int:
        """Claim and send as many deliveries as there are free slots. Return how many."""
        began = time.monotonic()
        self._claim_at = began + LOOK_AGAIN
        self._woken = False  # before the claim: a wake-up from here on is for the next claim
        try:
            claimed = self._claim_lanes(min(SLOTS - self._exchange.in_flight, CLAIM))
        except OperationalError as error:
            if not sql.is_locked(error):
                raise
            log.warning("nothing can be claimed now: %s", error)
            claimed = []
        looked = time.monotonic()
        self._woken_at = looked + max(LOOK_PART * (looked - began), LOOK_REST)
        self._found = bool(claimed)
        claimed = self._ended.without_untold(claimed)
        messages = make_messages(claimed, self._sinks.ready)
        self._memories.remind(claimed, messages)
        at = datetime.now(UTC)
        for one, message in zip(claimed, messages, strict=True):
            self._send(one, message, at)
        return len(claimed)

    def _claim_lanes(self, room: int) -> list[ClaimedDelivery]:
        """Claim at most `room` deliveries, and open their sinks."""
        resting = self._aside.resting()
        lanes = [lane for lane in self._lookout.due_lanes(get_max_tries()) if lane.destination_id not in resting]
        self._doubted = {lane.destination_id for lane in lanes if lane.doubts}
        quotas = self._health.leave_probes(self._windows.share_out(self._health.watch(lanes), room))
        paced = [(lane, quota) for lane, quota in quotas if lane.rate_key or lane.rate]
        free = [(lane, quota) for lane, quota in quotas if not (lane.rate_key or lane.rate)]
        claimed = claim(free, settings.EVENTSINKS_LEASE) if free else []
        if paced and time.monotonic() >= self._paced_at:
            claimed += self._claim_paced(paced)
        self._health.note_claimed(quotas, claimed)
        self._lookout.note(claimed)
        self._lag.note_claim(lanes, claimed)
        versions = {lane.destination_id: lane.version for lane, _ in quotas}
        self._sinks.open({c.destination_id: versions[c.destination_id] for c in claimed})
        return claimed

    def _claim_paced(self, quotas: Quotas) -> list[ClaimedDelivery]:
        """Claim from lanes that have a rate key or a limit. If a lock prevents it, claim none for a moment."""
        try:
            claimed, limited = claim_within_rates(quotas)
        except OperationalError as error:
            if not sql.is_locked(error):
                raise
            log.warning("no rate key can be leased now: %s", error)
            self._paced_at = time.monotonic() + AGAIN
            return []
        pauses = count_against_limits(limited, claimed, self._aside)
        if soon := [pause for pause in pauses if pause < LONGEST_WAIT]:  # the sweep serves the longer pauses
            self._key_free_at = max(self._key_free_at, time.monotonic() + max(soon) + LOOK_AGAIN)
        return claimed

    def _send(self, claimed: ClaimedDelivery, message: Message | SendFailure, at: datetime) -> None:
        """Start one exchange. If the request can't be built, settle the delivery without one."""
        ready = self._sinks.ready.get(claimed.destination_id)
        if ready is None:
            why = self._sinks.why_not(claimed.destination_id)
            self._ended.add("unknown", make_settlement(claimed, at, None, why))
            return
        if isinstance(message, SendFailure):
            self._settle_unsent(claimed, ready, at, message)
            return
        try:
            request = make_request(ready.kind, message, at)
        except SendFailure as failure:
            self._settle_unsent(claimed, ready, at, failure)
        else:
            self._windows.note_sent(claimed.destination_id)
            self._exchange.start(request, SentRequest(claimed, ready, message, at, request))

    def _settle_unsent(
        self, claimed: ClaimedDelivery, ready: ReadySink, at: datetime, failure: SendFailure
    ) -> None:
        """Settle a delivery whose request can't be built."""
        self._free_rate_key(ready)
        settled_with = explain_held_or_parked(claimed.destination_id, ready.version, failure, self._aside)
        self._ended.add("unknown", make_settlement(claimed, at, None, settled_with))

    def _free_rate_key(self, ready: ReadySink) -> None:
        """Free the sink's rate key after its interval, and claim again at that time."""
        if ready.rate_key:
            key, interval = ready.rate_key, ready.kind.rate_interval
            with isolate(f"the rate key {key} is free when its lease ends"):
                free = functools.partial(free_rate_key, key, interval)
                self._aside.write(("rate key", key), free, settings.EVENTSINKS_LEASE)
            self._key_free_at = time.monotonic() + interval + LOOK_AGAIN

    def _end(self, outcomes: Sequence[tuple[SentRequest, Outcome]]) -> None:
        """Judge what has ended."""
        for sent, outcome in outcomes:
            if (after := next_request(sent, outcome)) is not None:
                self._exchange.start(after, sent._replace(request=after, requests=sent.requests + 1))
                continue
            failure, memory = judge_outcome(sent.ready.kind, sent.message, outcome)
            destination_id = sent.claimed.destination_id
            self._windows.note_ended(destination_id, well=failure is None, seconds=outcome.timings.total)
            if memory is not None:  # before it is settled: a try that is made again knows what it did
                self._memories.remember(sent.claimed, sent.message, memory)
            self._free_rate_key(sent.ready)
            if failure is None and destination_id in self._doubted:
                self._trust(destination_id)
            self._settle(sent, outcome, failure)

    def _settle(self, sent: SentRequest, outcome: Outcome, failure: SendFailure | None) -> None:
        """Count a try for the breaker of its sink, hold or park the sink if need be, and settle the delivery."""
        kind, claimed, version = sent.ready.kind, sent.claimed, sent.ready.version
        told = explain_held_or_parked(claimed.destination_id, version, failure, self._aside)
        doubted = isinstance(failure, DestinationGone) and told is not failure
        probed = self._health.note(claimed, version, told, doubted=doubted)
        settled = make_settlement(claimed, sent.started_at, outcome, told, kind, probed=probed)
        self._ended.add(kind.key, settled)

    def _trust(self, destination_id: int) -> None:
        """Forget the doubts about a sink that has accepted something."""
        self._doubted.discard(destination_id)
        with isolate(f"the next that destination {destination_id} takes ends the doubts about it"):
            self._aside.write(("trust", destination_id), lambda: forget_doubts(destination_id), DOUBTED_FOR)

    def _patience(self) -> float:
        """Return how many seconds to wait for answers before the loop goes on."""
        now = time.monotonic()
        if not self._exchange.in_flight:
            return max(0.0, min(self._key_free_at - now, LOOK_AGAIN))
        moments = [now + LONGEST_WAIT]
        if self._exchange.in_flight < SLOTS and not self._stopping():
            moments.append(self._next_look())
        if self._ended:
            moments.append(self._ended.settle_at)
        return max(0.0, min(moments) - now)


def next_request(sent: SentRequest, outcome: Outcome) -> Request | None:
    """Return what a type sends after `outcome` in the same try, None if that was all."""
    if sent.requests == MAX_REQUESTS:
        return None
    return make_following_request(sent.ready.kind, sent.message, sent.request, outcome)
