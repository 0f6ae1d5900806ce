"""Counts, as sums and as the rows say them."""

from collections import Counter

from django.db.models import Sum

from eventsinks.models import Count, CountDelta, Delivery, Event
from eventsinks.sweeping.account import read_account
from eventsinks.sweeping.auditing.walk import audit_all


def read_counts():
    """Return the sums of counts and deltas by destination and what, without durations and zeros."""
    found = Counter()
    for table in (Count, CountDelta):
        for sink, what, n in table.objects.values_list("destination_id", "what").annotate(Sum("n")):
            kind = what.split(":")[0]
            if kind not in ("first", "done"):
                found[sink, kind] += n
    return {key: n for key, n in found.items() if n}


def count_rows():
    """Return what `read_counts` must say."""
    found = Counter()
    for sink, state in Delivery.objects.values_list("destination_id", "state"):
        found[sink, "accepted"] += 1
        if state not in ("pending", "sending"):
            found[sink, state] += 1
    found[0, "event"] = Event.objects.count()
    return {key: n for key, n in found.items() if n}


def audit_account(tenant=None):
    """Let the audit look at everything, and return the account. The counts say what the rows say before that."""
    assert read_counts() == count_rows()
    assert audit_all() == 0
    return read_account(tenant)
