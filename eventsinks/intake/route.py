"""Route: decides which event sinks of a tenant an event goes to, and which of them do not want it."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import DurationField, ExpressionWrapper, F
from django.db.models.functions import Now

from eventsinks import telemetry
from eventsinks.event_types import EventType
from eventsinks.event_types.alert_template import AlertTemplate, load_template
from eventsinks.event_types.base import Accepted, NotAcceptable
from eventsinks.event_types.documents import parse_accepted
from eventsinks.intake.line_up import Ordering, find_incident, make_incident_key
from eventsinks.lib.filters.asked import Asked
from eventsinks.lib.filters.event_filter import BadFilter, get_filter, shorten_clause
from eventsinks.models import Destination, Silence, Tenant
from eventsinks.models.delivery import Phase
from eventsinks.models.options import Quiet
from eventsinks.models.quiet_window import WindowClaim, WindowKind


class RouteVerdict(NamedTuple):
    """One event at one event sink: owed to it, unless a reason says why not.

    If the reason is a silence, `silence` is the window that counts it. `full`: the sink wants the event but has no
    room. `unasked`: the event does not go there, unless it is the end of an incident whose beginning the sink got.
    """

    sink: int
    reason: str = ""
    silence: WindowClaim | None = None
    full: bool = False
    ordering_key: UUID | None = None  # deliveries with the same key are sent one by one
    incident: UUID | None = None  # the hash of its incident,
    phase: Phase | None = None  # and the phase that it reports
    unasked: bool = False


@dataclass(frozen=True)
class Sink:
    """What routing must know of an event sink. Its options are parsed when they are first used."""

    id: int
    uuid: UUID
    event_types: Sequence[str]
    filter: str
    kept_template: Mapping[str, Any] | None
    kept_quiet: Mapping[str, Any]
    mode: str
    expression: str

    @functools.cached_property
    def template(self) -> AlertTemplate | None:
        """The sink's alert template, None if alerts are sent as they are."""
        return load_template(self.kept_template) if self.kept_template else None

    @functools.cached_property
    def ordering(self) -> Ordering:
        """How the sink orders its deliveries."""
        return Ordering(self.mode, self.expression)

    @functools.cached_property
    def marks(self) -> bool:
        """Whether its template tells incidents apart. An unreadable template does not, and blocks nothing."""
        told = (self.kept_template or {}).get("info")
        return any(info.get("use_for_dedup") for info in told or () if isinstance(info, dict))

    @functools.cached_property
    def quiet(self) -> Quiet | None:
        """The sink's quiet options, None if it has none."""
        return Quiet.model_validate(self.kept_quiet) if self.kept_quiet else None


@dataclass(frozen=True, slots=True)
class KnownSilence:
    """A silence that has not ended. `sink` is None if it applies to all the tenant's sinks.

    `starts_at` and `ends_at` are moments of this process's monotonic clock, in seconds.
    """

    id: UUID
    sink: int | None
    filter: str
    why: str
    starts_at: float
    ends_at: float

    @property
    def seconds(self) -> float:
        """For how many seconds it is still in force."""
        return max(self.ends_at - time.monotonic(), 0.0)

    def is_in_force(self, now: float) -> bool:
        """Whether it holds alerts back at a moment of the monotonic clock."""
        return self.starts_at <= now < self.ends_at

    def holds(self, sink: int, asked: Asked) -> bool:
        """Return whether it holds an event back at a sink."""
        if self.sink not in (None, sink):
            return False
        return not self.filter or find_rejection(self.filter, asked) is None


class Route:
    """Where the events of one tenant and type go. It reads the sinks and silences once."""

    def __init__(self, tenant: Tenant, event_type: EventType) -> None:
        self.tenant, self.event_type = tenant, event_type
        rows = Destination.objects.of(tenant).sinks()
        columns = ("id", "uuid", "event_types", "filter", "alert_template", "quiet", "ordering", "ordering_key")
        self.sinks = {row[0]: Sink(*row) for row in rows.values_list(*columns)}
        self._by_uuid = {sink.uuid: sink for sink in self.sinks.values()}
        self._hearing = [sink for sink in self.sinks.values() if event_type.key in sink.event_types]
        self._plain = [RouteVerdict(sink.id) for sink in self._hearing]

    @functools.cached_property
    def _known_silences(self) -> Sequence[KnownSilence]:
        return [] if self.event_type.ours else find_silences(self.tenant)

    @property
    def _silences(self) -> Sequence[KnownSilence]:
        if not self._known_silences:
            return ()
        now = time.monotonic()
        return [silence for silence in self._known_silences if silence.is_in_force(now)]

    @functools.cached_property
    def _filters(self) -> bool:
        return any(sink.filter for sink in self._hearing)

    @property
    def _looks(self) -> bool:
        """Whether routing must read the event. If no sink wants this type, it need not."""
        return self._filters or bool(self._hearing and self._silences)

    @functools.cached_property
    def streamed(self) -> bool:
        """Whether an integration of the tenant gets this type."""
        integrations = Destination.objects.of(self.tenant).integrations().values_list("event_types", flat=True)
        return any(self.event_type.key in event_types for event_types in integrations)

    @functools.cached_property
    def _orders(self) -> bool:
        """Whether a sink also orders events that belong to no incident."""
        return any(sink.mode == "event_sink" or sink.expression for sink in self.sinks.values())

    @functools.cached_property
    def _marks(self) -> bool:
        """Whether a sink has a template that tells incidents apart."""
        return any(sink.marks for sink in self.sinks.values())

    def of(self, accepted: Accepted) -> Sequence[RouteVerdict]:
        """Return a verdict for each sink that it concerns. Raises NotAcceptable for one that there is not.

        An event that names its sinks skips their filters, but not the silences. The end of an incident concerns
        all sinks: the commit checks which of them got the beginning.
        """
        verdicts = self._wanted(accepted)
        is_end = accepted.status != "firing" and not accepted.held
        if not (verdicts or is_end):
            return verdicts
        tells = bool(accepted.incident or accepted.marks or self._marks)
        if is_end and tells:
            asked = {verdict.sink for verdict in verdicts}
            verdicts = [*verdicts, *(RouteVerdict(id, unasked=True) for id in self.sinks if id not in asked)]
        return self._with_keys(accepted, verdicts) if tells or self._orders else verdicts

    def _with_keys(self, accepted: Accepted, verdicts: Sequence[RouteVerdict]) -> list[RouteVerdict]:
        """Return the verdicts with what they tell of and stand in line with. The event is read if need be."""
        document = functools.cache(lambda: parse_accepted(accepted.data))
        asked = functools.cache(lambda: Asked(self.event_type.told_to_filters(document())))
        reads = not accepted.incident
        phase, found = Phase[accepted.status.upper()], []
        for verdict in verdicts:
            sink = self.sinks[verdict.sink]
            text = accepted.incident
            if reads and (accepted.marks or sink.marks):
                text = find_incident(self.event_type, accepted.key, document(), sink.template)
            key = sink.ordering.key(text, asked)
            if text:
                incident = make_incident_key(self.tenant.id, text)
                verdict = verdict._replace(ordering_key=key, incident=incident, phase=phase)
            else:
                verdict = verdict._replace(ordering_key=key)
            found.append(verdict)
        return found

    def _wanted(self, accepted: Accepted) -> Sequence[RouteVerdict]:
        if accepted.held:
            return ()
        if accepted.routed_to is not None:
            named = [self._named(index, uuid) for index, uuid in enumerate(accepted.routed_to)]
            if not (named and self._silences):
                return [RouteVerdict(sink.id) for sink in named]
            return self._verdicts(accepted, named, self._silenced)
        return self._verdicts(accepted, self._hearing, self._judged) if self._looks else self._plain

    def _verdicts(
        self, accepted: Accepted, sinks: Sequence[Sink], judge: Callable[[Sink, Asked], RouteVerdict]
    ) -> list[RouteVerdict]:
        """Return the verdict of each sink: all filters and silences ask of the event on one budget."""
        asked = Asked(self.event_type.told_to_filters(parse_accepted(accepted.data)))
        verdicts = [judge(sink, asked) for sink in sinks]
        if asked.budget.is_spent:
            telemetry.count_over_budget("filters")
        return verdicts

    def _named(self, index: int, uuid: UUID) -> Sink:
        if uuid not in self._by_uuid:
            raise NotAcceptable("no such event sink", f"event_sink_ids.{index}")
        return self._by_uuid[uuid]

    def _judged(self, sink: Sink, asked: Asked) -> RouteVerdict:
        rejected = find_rejection(sink.filter, asked) if sink.filter else None
        if rejected is not None:
            return RouteVerdict(sink.id, f"filtered: not {rejected}")
        return self._silenced(sink, asked)

    def _silenced(self, sink: Sink, asked: Asked) -> RouteVerdict:
        for silence in self._silences:
            if silence.holds(sink.id, asked):
                window = WindowClaim(sink.id, WindowKind.SILENCE, silence.id.hex, 0, silence.seconds)
                return RouteVerdict(sink.id, silence.why, window)
        return RouteVerdict(sink.id)


def find_rejection(filter: str, asked: Asked) -> str | None:
    """Return why a filter rejects an event, None if it does not. An invalid filter rejects all events."""
    if filter not in asked.answers:
        try:
            asked.answers[filter] = get_filter(filter).rejects(asked)
        except BadFilter as error:
            asked.answers[filter] = f"{shorten_clause(filter)} ({error})"
    return asked.answers[filter]


def find_silences(tenant: Tenant) -> list[KnownSilence]:
    """Return the silences that have not ended, the longest first, by the database's clock."""
    began, ended = (ExpressionWrapper(F(column) - Now(), DurationField()) for column in ("starts_at", "ends_at"))
    now = time.monotonic()
    found = Silence.objects.of(tenant).filter(ends_at__gt=Now()).annotate(starts_in=began, ends_in=ended)
    return [
        KnownSilence(
            id,
            sink,
            filter,
            f"silenced by {author} until {ends_at:%Y-%m-%d %H:%M:%S} UTC: {reason}",
            now + starts_in.total_seconds(),
            now + ends_in.total_seconds(),
        )
        for id, sink, filter, author, ends_at, reason, starts_in, ends_in in found.order_by(
            "-ends_at", "id"
        ).values_list("id", "destination_id", "filter", "author", "ends_at", "reason", "starts_in", "ends_in")
    ]
