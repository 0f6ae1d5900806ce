"""Quotas: checks the limits of a tenant, and refuses what exceeds them.

What a tenant has is counted in the transaction that adds to it, with the tenant's row locked. So two transactions
at the same time can't both use the last free place. (SQLite has one writer.)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from django.db import transaction
from django.db.models.functions import Now

from eventsinks.limits import rates, refusals
from eventsinks.models import ApiKey, Destination, Position, Replay, Silence, Tenant
from eventsinks.models.limits import RATES, describe_limit, get_burst

ROOM_COMES = 60  # seconds to suggest if there is room only after a removal: worth asking again, no promise

# How many of each limited thing a tenant has.
HAS: Mapping[str, Callable[[Tenant], int]] = {
    "event_sinks": lambda tenant: Destination.objects.of(tenant).sinks().count(),
    "integrations": lambda tenant: Destination.objects.of(tenant).integrations().count(),
    "api_keys": lambda tenant: ApiKey.objects.filter(tenant=tenant).usable().count(),
    "silences": lambda tenant: Silence.objects.of(tenant).filter(ends_at__gt=Now()).count(),
    "replays_at_once": lambda tenant: (
        Replay.objects.of(tenant).running().count() + Position.objects.replaying(tenant).count()
    ),
}


class LimitReached(Exception):
    """A limit of the tenant is reached. `wait`: seconds until the request can succeed, or is worth repeating."""

    def __init__(self, name: str, limit: int, used: int, wait: int, more: int = 1) -> None:
        self.name, self.limit, self.used, self.wait = name, limit, used, wait
        super().__init__(describe_refusal(name, limit, used, wait, more))

    @property
    def brief(self) -> str:
        """The limit and how much of it is used."""
        return f"the limit is {describe_limit(self.name, self.limit)}, and {self.used:,} are used"


def describe_refusal(name: str, limit: int, used: int, wait: int, more: int) -> str:
    """Return a refusal as text: the limit, its value, how much is used, and what to do."""
    at_once = f" and {get_burst(name, limit):,} at once" if name in RATES else ""
    asked = f", and {more:,} more were asked for" if more > 1 else ""
    after = "" if name in HAS else f"; try again in {wait} s"
    return (
        f"the limit {name} of {describe_limit(name, limit)}{at_once} is reached: {used:,} are used{asked}{after}"
    )


def take_rate(tenant: Tenant, name: str, number: int = 1) -> None:
    """Take `number` from a rate, all or nothing. Raises LimitReached."""
    wait = rates.take_tokens(tenant, name, number)
    if wait is not None:
        raise note_refusal(tenant, name, wait.used, wait.seconds, number)


def check_room(tenant: Tenant, name: str) -> None:
    """Check that there is room for one more, before any expensive work. Raises LimitReached."""
    has = HAS[name](tenant)
    if has >= getattr(tenant.limits, name):
        raise note_refusal(tenant, name, has, ROOM_COMES)


def hold_room(tenant: Tenant, name: str) -> None:
    """Let no other process add to what a tenant has until this transaction ends. Raises LimitReached without room.

    This reads the limit again with the lock: it may have been lowered since the tenant was read.
    """
    assert transaction.get_connection().in_atomic_block
    check_room(Tenant.objects.select_for_update(no_key=True).get(id=tenant.id), name)


def note_refusal(tenant: Tenant, name: str, used: int, wait: int, more: int = 1) -> LimitReached:
    """Record a refusal, and return the exception to raise."""
    reached = LimitReached(name, getattr(tenant.limits, name), used, wait, more)
    refusals.note_refusal(name, tenant.id, str(reached))
    return reached
