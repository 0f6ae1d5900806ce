"""Tell: sends notices when a destination is failing, open, disabled, or well again.

A notice goes to the other event sinks of the tenant that hear notices. Another goes to those of the operator's
tenant, if EVENTSINKS_OPERATOR_TENANT names it. News wait TELL_AFTER seconds and are told together: when 50 sinks
fail in one minute, one notice names them. What is over by then is not told at all.

Each news is told once: the transaction that writes the notice marks it as told, and the notice's id comes from it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now

from eventsinks.event_types.documents import write_time
from eventsinks.event_types.notice import NEWS, NamedDestination
from eventsinks.intake.notify import notify_sinks
from eventsinks.limits.isolation import do_each
from eventsinks.models import Destination, Tenant
from eventsinks.models.database.clock import read_database_clock
from eventsinks.models.health import Trouble

TELL_AFTER = 60.0  # seconds
TENANTS = 100  # tenants that are told in one sweep
MOST = 500  # destinations of one notice
NAMED = 20  # in its text; its `destinations` are all of them
REASON = 300  # characters of a reason

SOMETIMES = "only tried from time to time, because too much failed"
REPAIR = "disabled until somebody repairs"
# By how bad it is: the word of the notice, what it says of one and of many, and its severity.
WORDS = {
    Trouble.NONE: ("recovered", "works again", "work again", ("Informational", 1)),
    Trouble.FAILING: ("failing", "is failing", "are failing", ("Medium", 3)),
    Trouble.OPEN: ("open", f"is {SOMETIMES}", f"are {SOMETIMES}", ("High", 4)),
    Trouble.DISABLED: ("disabled", f"is {REPAIR} it", f"are {REPAIR} them", ("High", 4)),
}


@dataclass(frozen=True, slots=True)
class Audience:
    """Who is told: the tenant whose sinks hear it, and the column that says what it was told."""

    tenant: Tenant
    column: str
    is_operator: bool = False

    def news(self) -> QuerySet[Destination]:
        """Return the destinations of which it was not told what they are now."""
        there = Destination.objects.present().filter(find_untold(self.column))
        return there.exclude(tenant=self.tenant) if self.is_operator else there.filter(tenant=self.tenant)


def tell_trouble() -> int:
    """Tell each tenant and the operator what is new. Return how many notices were accepted."""
    ripe = Destination.objects.present().filter(find_untold("told"), find_ripe())
    tenants = Tenant.objects.filter(id__in=ripe.order_by().values("tenant_id").distinct()[:TENANTS])
    return do_each(tenants, tell_tenant) + do_each(find_operator(), tell_operator)


def find_operator() -> QuerySet[Tenant]:
    """Return the operator's tenant, none if there is none."""
    id = settings.EVENTSINKS_OPERATOR_TENANT
    return Tenant.objects.filter(id=id) if id else Tenant.objects.none()


def tell_tenant(tenant: Tenant) -> int:
    """Tell a tenant what is new of its own destinations. Return how many notices that took."""
    return tell(Audience(tenant, "told"))


def tell_operator(tenant: Tenant) -> int:
    """Tell the operator what is new of the destinations of all others. Return how many notices that took."""
    audience = Audience(tenant, "told_operator", is_operator=True)
    return tell(audience) if audience.news().filter(find_ripe()).exists() else 0


def find_untold(column: str) -> Q:
    """Return the condition for news: it is worse than was told, or well again for a while."""
    worse = Q(trouble__gt=0) & Q(trouble__gt=F(column))
    well = Q(trouble=0) & Q(**{f"{column}__gt": 0}) & find_ripe()
    return worse | well


def find_ripe() -> Q:
    """Return the condition for news that have waited long enough for others."""
    return Q(trouble_at__lte=Now() - timedelta(seconds=TELL_AFTER))


def tell(audience: Audience) -> int:
    """Tell all that is new, in one notice for each kind of news. Return how many.

    What another process has locked is told the next time.
    """
    with transaction.atomic():
        news = audience.news().select_for_update(no_key=True, skip_locked=True, of=("self",))
        found = list(news.select_related("tenant").order_by("id")[:MOST])
        kinds = sorted({(one.kind.face, one.trouble) for one in found})
        for face, trouble in kinds:
            these = [one for one in found if (one.kind.face, one.trouble) == (face, trouble)]
            Destination.objects.filter(id__in=[one.id for one in these]).update(**{audience.column: trouble})
            tell_kind(audience, face, Trouble(trouble), these)
    return len(kinds)


def tell_kind(audience: Audience, face: str, trouble: Trouble, these: Sequence[Destination]) -> None:
    """Accept one notice about destinations that are in the same trouble."""
    word, one, many, severity = WORDS[trouble]
    what = face.replace("_", " ")
    names = ", ".join(name_for(audience, found) for found in these[:NAMED])
    more = f" and {len(these) - NAMED} more" if len(these) > NAMED else ""
    said = (
        f"{what.capitalize()} {names} {one}" if len(these) == 1 else f"{len(these)} {what}s {many}: {names}{more}"
    )
    lines = [f"{name_for(audience, found)}: {explain(found, trouble)}" for found in these[:NAMED]]
    about = [f"{found.uuid} {found.trouble} {found.trouble_at}" for found in these]
    key = hashlib.blake2b("\n".join([audience.column, *about]).encode(), digest_size=16).hexdigest()
    notify_sinks(
        audience.tenant,
        find_hearing(audience.tenant, these),
        f"{word}-{key}",
        NEWS[face, word],
        said[:500],
        "\n".join(lines),
        severity=severity[0],
        severity_id=severity[1],
        destinations=[name_destination(found).model_dump() for found in these],
    )


def find_hearing(tenant: Tenant, these: Sequence[Destination]) -> list[UUID]:
    """Return the event sinks of a tenant that hear notices, without those that the notice is about."""
    sinks = Destination.objects.of(tenant).sinks().exclude(id__in=[found.id for found in these])
    return [uuid for uuid, types in sinks.values_list("uuid", "event_types") if "notice" in types]


def name_for(audience: Audience, found: Destination) -> str:
    """Return the name of a destination; for the operator with its tenant's."""
    name = found.name or found.kind.label
    return f"{name} ({found.tenant.name})" if audience.is_operator else name


def explain(found: Destination, trouble: Trouble) -> str:
    """Return since when a destination is in trouble, and why, in one line."""
    if trouble == Trouble.NONE:
        return "it works again, or somebody has repaired it"
    since = f"since {found.trouble_since or read_database_clock():%Y-%m-%d %H:%M} UTC"
    warning = "; it is disabled if that goes on" if found.doubts and trouble < Trouble.DISABLED else ""
    return f"{since}: {cut_reason(found)}{warning}"


def name_destination(found: Destination) -> NamedDestination:
    """Return a destination as a notice names it."""
    return NamedDestination(
        id=str(found.uuid) if found.kind.face == "event_sink" else str(found.id),
        name=found.name,
        tenant_id=str(found.tenant_id),
        tenant=found.tenant.name,
        type=found.type,
        since=write_time(found.trouble_since) if found.trouble_since else "",
        reason=cut_reason(found),
    )


def cut_reason(found: Destination) -> str:
    """Return the reason of a trouble on one line."""
    return " ".join((found.state_reason or found.trouble_reason).split())[:REASON]
