"""Trouble: every event sink and integration that needs somebody, the worst first, with the next steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from operator import or_

from django.db.models import Q, QuerySet
from django.urls import reverse
from django.utils.safestring import SafeString

from eventsinks.actions.obstacles import MOST_COUNTED
from eventsinks.actions.status import LABELS, DestinationStatus, find_status, make_rank, status_condition
from eventsinks.admin.parts import marks
from eventsinks.models import Batch, Destination, EventSink, Integration, Tenant
from eventsinks.models.counting.read import count_failed
from eventsinks.models.delivery import count_open
from eventsinks.models.stream.batch import BatchState

MOST = 500  # destinations
REASON = 140  # characters

TROUBLES = (
    DestinationStatus.DISABLED,
    DestinationStatus.OPEN,
    DestinationStatus.FAILING,
    DestinationStatus.HELD,
)
NEEDS_SOMEBODY = reduce(or_, map(status_condition, TROUBLES))
PAUSED = status_condition(DestinationStatus.PAUSED)


@dataclass(frozen=True, slots=True)
class Trouble:
    """A destination that needs somebody."""

    id: int
    word: str  # of its status
    chip: SafeString
    link: SafeString | str
    tenant: str
    reason: str
    since: SafeString | str
    given_up: str
    waiting: str
    test: str  # the URL of the button that sends a test, "" for an integration
    edit: str  # the URL of its page, where it is resumed too
    is_stopped: bool  # until somebody resumes it
    replay: str  # the URL of a replay, "" if nothing was given up


def find_troubled_sinks(tenant: Tenant | None) -> list[Trouble]:
    """Return all event sinks with a status of TROUBLES, and the paused ones for which something waits."""
    found = list_worst_first(EventSink.objects.filter(NEEDS_SOMEBODY | PAUSED), tenant)
    waiting = count_open([sink.id for sink in found], MOST_COUNTED)
    given_up = count_failed([sink.id for sink in found])
    return [
        show_trouble(sink, waiting.get(sink.id, 0), given_up.get(sink.id, 0))
        for sink in found
        if find_status(sink) is not DestinationStatus.PAUSED or waiting.get(sink.id)
    ]


def list_worst_first(found: QuerySet[Destination], tenant: Tenant | None) -> list[Destination]:
    """Return destinations that are there, of one tenant or of all. The worst come first, then the longest ago."""
    present = found.filter(deleted_at=None).select_related("tenant")
    return list((present.filter(tenant=tenant) if tenant else present).order_by(make_rank(), "state_since")[:MOST])


def find_troubled_integrations(tenant: Tenant | None) -> list[Trouble]:
    """Return the integrations with a status of TROUBLES, and those whose batch failed and is tried again."""
    batches = Batch.objects.filter(state=BatchState.OPEN, tries__gt=0).exclude(reason="").defer("members")
    why = {batch.destination_id: batch for batch in batches[:MOST]}
    again = Q(pk__in=why) & status_condition(DestinationStatus.ACTIVE)
    found = list_worst_first(Integration.objects.filter(NEEDS_SOMEBODY | again), tenant)
    return [show_trouble(one, 0, 0, why.get(one.pk)) for one in found]


def show_trouble(one: Destination, waiting: int, given_up: int, batch: Batch | None = None) -> Trouble:
    """Return a destination for the page. An active one is told by its batch that is tried again."""
    status = find_status(one)
    tone, text = marks.name_status(one)
    word, reason, since = LABELS[status], *explain(one, status)
    if status is DestinationStatus.ACTIVE and batch:
        word, tone, reason, since = "Trying again", "warning", batch.reason, batch.created_at
    page = "integration" if one.kind.face == "integration" else "eventsink"
    is_sink = page == "eventsink"
    return Trouble(
        id=one.pk,
        word=word.lower(),
        chip=marks.make_chip(tone, word, text),
        link=marks.link_sink(one),
        tenant=one.tenant.name,
        reason=marks.shorten(reason, REASON),
        since=marks.mark_moment(since) if since else "",
        given_up=f"{given_up:,}" if given_up > 0 else "",
        waiting=("" if not waiting else f"{waiting:,}" if waiting < MOST_COUNTED else f"{MOST_COUNTED:,}+"),
        test=reverse("admin:eventsinks_eventsink_test", args=[one.pk]) if is_sink else "",
        edit=reverse(f"admin:eventsinks_{page}_change", args=[one.pk]),
        is_stopped=status in (DestinationStatus.DISABLED, DestinationStatus.PAUSED),
        replay=f"{reverse('admin:eventsinks_replay_add')}?where={one.pk}" if given_up > 0 else "",
    )


def explain(one: Destination, status: DestinationStatus) -> tuple[str, datetime | None]:
    """Return why a destination has its status, and since when."""
    told: Mapping[DestinationStatus, tuple[str, datetime | None]] = {
        DestinationStatus.OPEN: (one.trouble_reason, one.trouble_since),
        DestinationStatus.FAILING: (one.trouble_reason, one.trouble_since),
        DestinationStatus.HELD: (
            f"The far end asked for a pause until {marks.write_clock(one.held_until)}" if one.held_until else "",
            None,
        ),
    }
    return told.get(status, (one.state_reason, one.state_since))
