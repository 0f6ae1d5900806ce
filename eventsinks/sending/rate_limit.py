"""Rate limit: reduces the quotas of a claim to what rate keys and sink limits allow now."""

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
    """Claim what rate keys and limits allow of `quotas`. Return it, and the quotas that the limits alone allow.

    All this is one transaction: if the claim fails, no key stays leased.
    """
    with transaction.atomic():
        limited = leave_what_limits_allow(quotas)
        turns = leave_one_per_key(limited)
        claimed = claim(turns, settings.EVENTSINKS_LEASE) if turns else []
        give_back_rate_keys(turns, claimed)
    return claimed, limited


def leave_one_per_key(quotas: Quotas) -> list[tuple[Lane, int]]:
    """Reduce the quotas to one message for each free rate key, and none for a key in use."""
    paced = {lane.rate_key: lane for lane, _ in reversed(quotas) if lane.rate_key}
    free = lease_rate_keys(paced, settings.EVENTSINKS_LEASE)
    turns = [(paced[key], 1) for key in free]
    return [(lane, quota) for lane, quota in quotas if not lane.rate_key] + turns


def give_back_rate_keys(quotas: Quotas, claimed: Sequence[ClaimedDelivery]) -> None:
    """Free the rate keys for which nothing was claimed."""
    used = {one.destination_id for one in claimed}
    for lane, _ in quotas:
        if lane.rate_key and lane.destination_id not in used:
            free_rate_key(lane.rate_key, 0.0)


def leave_what_limits_allow(quotas: Quotas) -> list[tuple[Lane, int]]:
    """Reduce the quota of each limited sink to one second's worth; to none if another worker is at it."""
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
    """Let each limited sink rest for as long as its claimed deliveries take. Return these pauses in seconds."""
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
