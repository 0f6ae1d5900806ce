"""Silence: holds alerts back for a time and a reason, previews the effect, and ends a silence."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models.functions import Least, Now

from eventsinks.actions.errors import FieldError, NotConfigurable
from eventsinks.event_types.filter_preset import make_filter
from eventsinks.intake import audit
from eventsinks.intake.audit import SYSTEM, Initiator
from eventsinks.lib.budget import FILTER_STEPS, Budget
from eventsinks.lib.filters.asked import Asked
from eventsinks.lib.filters.event_filter import BadFilter, EventFilter
from eventsinks.limits.quotas import hold_room
from eventsinks.models import Destination, Event, QuietWindow, Silence, Tenant
from eventsinks.models.database.clock import read_database_clock
from eventsinks.models.quiet_window import WindowKind

LONGEST = timedelta(days=366)
ALIKE = timedelta(minutes=1)  # how much shorter a silence may be that serves as well
PREVIEWED = 1000  # alerts that a preview reads,
PREVIEW_STEPS = 1_000_000  # or fewer, if they take more than about a second
STARTED, ENDED = "silence.create", "silence.end"


@dataclass(frozen=True, slots=True)
class SilencePreview:
    """What a silence would have held back: `matching` of `looked_at` alerts, with the newest as examples."""

    looked_at: int
    matching: int
    examples: tuple[Event, ...]


def make_silence(
    tenant: Tenant,
    *,
    reason: str,
    author: str,
    ends_at: datetime,
    filter: str = "",
    starts_at: datetime | None = None,
    sink: Destination | None = None,
    initiator: Initiator = SYSTEM,
) -> Silence:
    """Create a silence at one sink, or at all of the tenant's. Raises NotConfigurable and LimitReached."""
    starts_at = starts_at or read_database_clock()
    check_silence(filter, starts_at, ends_at)
    with transaction.atomic():
        hold_room(tenant, "silences")
        made = Silence.objects.create(
            tenant=tenant,
            destination=sink,
            filter=filter.strip(),
            author=author,
            reason=reason,
            starts_at=starts_at,
            ends_at=ends_at,
        )
        record_silence(STARTED, made, initiator)
    return made


def silence_rule(event: Event, length: timedelta, initiator: Initiator = SYSTEM) -> Silence:
    """Silence the rule of an alert at all event sinks. Raises NotConfigurable and LimitReached.

    If such a silence is in force for that long already, return that one.
    """
    filter, ends_at = make_rule_filter(event), read_database_clock() + length
    alike = Silence.objects.of(event.tenant).in_force().filter(destination=None, filter=filter)
    if found := alike.filter(ends_at__gte=ends_at - ALIKE).order_by("-ends_at").first():
        return found
    return make_silence(
        event.tenant,
        reason=f"noisy rule: {event.name}",
        author=initiator.name[:200],
        ends_at=ends_at,
        filter=filter,
        initiator=initiator,
    )


def make_rule_filter(event: Event) -> str:
    """Return the filter for the alerts of the same rule; for those of the same name, if it names no rule."""
    document = event.document
    return make_filter(None, (), (str(document.get("detection_rule_id") or document.get("name") or ""),))


def check_silence(filter: str, starts_at: datetime, ends_at: datetime) -> None:
    """Check a silence. Raises NotConfigurable."""
    if filter.strip():
        try:
            EventFilter(filter)
        except BadFilter as error:
            raise NotConfigurable(FieldError("filter", str(error))) from None
    if ends_at <= max(starts_at, read_database_clock()):
        raise NotConfigurable(FieldError("ends_at", "must be later than the start, and than now"))
    if ends_at - starts_at > LONGEST:
        raise NotConfigurable(FieldError("ends_at", f"must be within {LONGEST.days} days of the start"))


def end_silence(silence: Silence, initiator: Initiator = SYSTEM) -> bool:
    """End a silence now; a digest reports what it held back. Return False if it had ended already."""
    with transaction.atomic():
        if not Silence.objects.filter(id=silence.id).end():
            return False
        sinks = list(Destination.objects.filter(tenant_id=silence.tenant_id).values_list("id", flat=True))
        windows = QuietWindow.objects.filter(kind=WindowKind.SILENCE, key=silence.id.hex, closed_at=None)
        windows.filter(destination_id__in=sinks).update(ends_at=Least("ends_at", Now()))
        QuietWindow.objects.filter(destination_id__in=sinks).stop_waiting()
        record_silence(ENDED, silence, initiator)
    return True


def count_held(silence: Silence) -> int:
    """Return how many alerts a silence has held back, counted once for each event sink."""
    windows = QuietWindow.objects.filter(kind=WindowKind.SILENCE, key=silence.id.hex)
    return sum(windows.values_list("held", flat=True))


def preview_silence(tenant: Tenant, filter: str, hours: int = 24) -> SilencePreview:
    """Find the alerts of the last `hours` that a filter matches, the newest first. Raises NotConfigurable.

    Large alerts are expensive to filter, so fewer of them are read. The time is checked after reading: it has no
    index, and a query would search all events for a few alerts.
    """
    try:
        wanted = EventFilter(filter) if filter.strip() else None
    except BadFilter as error:
        raise NotConfigurable(FieldError("filter", str(error))) from None
    since = read_database_clock() - timedelta(hours=hours)
    alerts = Event.objects.filter(tenant=tenant, type="detection_alert", expunged_at=None).order_by("-id")
    budget, looked_at, matching = Budget(PREVIEW_STEPS), 0, []
    for event in alerts[:PREVIEWED]:
        if event.received_at < since:
            continue
        if not budget.affords(len(event.data) // 50):
            break
        looked_at += 1
        if wanted is None or matches_alert(event, wanted, budget):
            matching.append(event)
    return SilencePreview(looked_at, len(matching), tuple(matching[:10]))


def matches_alert(event: Event, wanted: EventFilter, budget: Budget) -> bool:
    """Return whether a filter matches an alert, within what is left of `budget`."""
    asked = Asked(event.event_type.told_to_filters(event.document))
    held = wanted.rejects(asked) is None
    budget.affords(min(FILTER_STEPS - asked.budget.left, max(budget.left, 0)))
    return held


def record_silence(activity_code: str, silence: Silence, initiator: Initiator) -> None:
    """Record a silence in the tenant's audit log."""
    meta = {"reason": silence.reason, "author": silence.author, "filter": silence.filter}
    audit.record_change(silence.tenant, activity_code, f"silence:{silence.id}", meta, initiator)
