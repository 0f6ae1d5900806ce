"""Waiting until streams may read what was written: an event is read once no older transaction runs any more."""

from __future__ import annotations

import time

from eventsinks.models import Event
from eventsinks.models.stream import find_last_settled

WITHIN = 60  # seconds; other users of a shared PostgreSQL, other tests too, may hold old transactions


def visible(tenant):
    """Wait until the last event of a tenant may be read."""
    last = Event.objects.filter(tenant=tenant).latest("id")
    end = time.monotonic() + WITHIN
    while find_last_settled(tenant.id) < (last.xid, last.id):
        assert time.monotonic() < end, "an old transaction of somebody else's is in the way"
        time.sleep(0.05)
