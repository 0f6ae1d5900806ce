"""Rate limit: of what a claim could take, leave what may be sent now, by rate keys and by limits of sinks."""

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
    free_limited_sink,
    free_rate_key,
    lease_limited_sinks,
    lease_rate_keys,
)
from eventsinks.sending.postpone import PostponedWrites

Quotas = Sequence[tuple[Lane, int]]


def claim_within_rates(quotas: Quotas) -> tuple[list[ClaimedDelivery], Quotas]:
    """Claim what rate keys and limits leave of `quotas`. Return it, and what the limits alone have left.

    In one transaction: who can't claim leases no key either.
    """
    with transaction.atomic():
        limited = leave_what_limits_allow(quotas)
        turns = leave_one_per_key(limited)
        claimed = claim(turns, settings.EVENTSINKS_LEASE) if turns else []
        give_back_rate_keys(turns, claimed)
    return claimed, limited


def leave_one_per_key(quotas: Quotas) -> list[tuple[Lane, int]]:
    """Leave one message of each rate key, where the key is free."""
    paced = {lane.rate_key: lane for lane, _ in reversed(quotas) if lane.rate_key}
    free = lease_rate_keys(paced, settings.EVENTSINKS_LEASE)
    turns = [(paced[key], 1) for key in free]
    return [(lane, quota) for lane, quota in quotas if not lane.rate_key] + turns


def give_back_rate_keys(quotas: Quotas, claimed: Sequence[ClaimedDelivery]) -> None:
    """Free the rate keys that nothing could be claimed for."""
    used = {one.destination_id for one in claimed}
    for lane, _ in quotas:
        if lane.rate_key and lane.destination_id not in used:
            free_rate_key(lane.rate_key, 0.0)


def leave_what_limits_allow(quotas: Quotas) -> list[tuple[Lane, int]]:
    """Leave of each sink that has a limit what it takes in a second, where nobody else is at it."""
    left = {lane.destination_id: math.ceil(lane.rate) for lane, _ in quotas if lane.rate}
    free = lease_limited_sinks(left, settings.EVENTSINKS_LEASE)
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
            functools.partial(free_limited_sink, destination_id, pause),
            settings.EVENTSINKS_LEASE,
        )
    return list(pauses.values())
