"""Pace: of what a claim could take, leave what may be sent now, by places that are slow and by limits of sinks."""

from __future__ import annotations

import functools
import math
from collections import Counter
from collections.abc import Sequence

from django.conf import settings
from django.db import transaction

from eventsinks.models.delivery import (
    ClaimedDelivery,
    Lane,
    claim,
    end_limited,
    end_turn,
    take_limited,
    take_turns,
)
from eventsinks.sending.postpone import PostponedWrites

Quotas = Sequence[tuple[Lane, int]]


def claim_within_rates(quotas: Quotas) -> tuple[list[ClaimedDelivery], Quotas]:
    """Claim what turns and limits leave of `quotas`. Return it, and what the limits alone have left.

    In one transaction: who can't claim takes no turn either.
    """
    with transaction.atomic():
        limited = take_sink_limits(quotas)
        turns = take_key_turns(limited)
        claimed = claim(turns, settings.EVENTSINKS_LEASE) if turns else []
        give_back_turns(turns, claimed)
    return claimed, limited


def take_key_turns(quotas: Quotas) -> list[tuple[Lane, int]]:
    """Leave of each place that takes so many messages a second one message, where it is our turn."""
    paced = {lane.place: lane for lane, _ in reversed(quotas) if lane.place}
    free = take_turns(paced, settings.EVENTSINKS_LEASE)
    turns = [(paced[place], 1) for place in free]
    return [(lane, quota) for lane, quota in quotas if not lane.place] + turns


def give_back_turns(quotas: Quotas, claimed: Sequence[ClaimedDelivery]) -> None:
    """Let others have the turns that nothing could be claimed for."""
    used = {one.destination_id for one in claimed}
    for lane, _ in quotas:
        if lane.place and lane.destination_id not in used:
            end_turn(lane.place, 0.0)


def take_sink_limits(quotas: Quotas) -> list[tuple[Lane, int]]:
    """Leave of each sink that has a limit what it takes in a second, where nobody else is at it."""
    left = {lane.destination_id: math.ceil(lane.rate) for lane, _ in quotas if lane.rate}
    free = take_limited(left, settings.EVENTSINKS_LEASE)
    allowed = []
    for lane, quota in quotas:
        if lane.rate:
            quota = min(quota, left[lane.destination_id]) if lane.destination_id in free else 0
            left[lane.destination_id] -= quota
        if quota:
            allowed.append((lane, quota))
    return allowed


def count_against_limits(
    quotas: Quotas, claimed: Sequence[ClaimedDelivery], aside: PostponedWrites
) -> list[float]:
    """Leave each sink that has a limit alone for as long as what was claimed takes. Return these pauses (s)."""
    rates = {lane.destination_id: lane.rate for lane, _ in quotas if lane.rate}
    if not rates:
        return []
    counts = Counter(one.destination_id for one in claimed)
    pauses = {destination_id: counts[destination_id] / rate for destination_id, rate in rates.items()}
    for destination_id, pause in pauses.items():
        aside.write(
            ("limit", destination_id),
            functools.partial(end_limited, destination_id, pause),
            settings.EVENTSINKS_LEASE,
        )
    return list(pauses.values())
