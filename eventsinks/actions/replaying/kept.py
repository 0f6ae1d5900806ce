"""Kept: whether anything is left of a time that somebody wants to replay."""

from __future__ import annotations

from datetime import datetime

from eventsinks.actions.errors import FieldError, NotKept
from eventsinks.event_types import EVENT_TYPES
from eventsinks.event_types.documents import write_time
from eventsinks.models import Tenant
from eventsinks.models.database.clock import read_database_clock
from eventsinks.models.retention import get_days


def find_kept_since(tenant: Tenant) -> datetime:
    """Return the time before which a tenant keeps no events that have ended, of any type."""
    return read_database_clock() - max(get_days(tenant, key) for key in EVENT_TYPES)


def check_kept(tenant: Tenant, until: datetime) -> None:
    """Check that some of what came up to `until` may be there still. Raises NotKept."""
    if until < (since := find_kept_since(tenant)):
        told = write_time(since.replace(microsecond=0))
        raise NotKept(FieldError("until", f"nothing from before {told} is kept: it can't be sent again"))
