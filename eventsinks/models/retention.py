"""Retention: for how many days a tenant's rows are kept, declared once, and how far the sweep has come with it.

These use it: the setting EVENTSINKS_KEEP_DAYS, the stored days of a tenant, the form of the admin, /v1/tenant and
/v1/usage. The rules are in docs/operating.md.
"""

from __future__ import annotations

import functools
import uuid
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, ClassVar

from django.conf import settings
from django.db import models
from django.db.models.functions import Now
from pydantic import BaseModel, ConfigDict, Field, StrictInt, create_model

from eventsinks.event_types import EVENT_TYPES
from eventsinks.models.tenant import Tenant

FOR_EVER = 36_500  # days: a hundred years
ATTEMPTS, UNSTREAMED = "attempts", "unstreamed"
Days = Annotated[StrictInt, Field(ge=1, le=FOR_EVER)]

_fields: dict[str, Any] = {
    **{
        key: (Days, Field(90, description=f"{kind.label}: the events, with their deliveries."))
        for key, kind in sorted(EVENT_TYPES.items())
    },
    ATTEMPTS: (
        Days,
        Field(30, description="Attempts of deliveries, and sent batches; then the delivery says all."),
    ),
    UNSTREAMED: (
        Days,
        Field(
            FOR_EVER,
            description="Events that an integration has not sent yet, also a paused one. After that, it is moved "
            "past them. 36500 keeps them until they are sent.",
        ),
    ),
}
Retention: type[BaseModel] = create_model(
    "Retention", __config__=ConfigDict(frozen=True, extra="forbid"), **_fields
)
KEPT = tuple(Retention.model_fields)
_own: dict[str, Any] = {
    name: (field.rebuild_annotation() | None, Field(None, description=field.description))
    for name, field in Retention.model_fields.items()
}
# Some of them, to set a tenant's own; None means the server's.
OwnRetention: type[BaseModel] = create_model(
    "OwnRetention", __config__=ConfigDict(extra="forbid", hide_input_in_errors=True), **_own
)


def get_retention(own: Mapping[str, int]) -> Any:
    """Return the days of a tenant, by name: its own where there are any, the server's otherwise."""
    return _retention(tuple(settings.EVENTSINKS_KEEP_DAYS.items()), tuple(own.items()))


@functools.lru_cache(10_000)
def _retention(*said: tuple[tuple[str, int], ...]) -> BaseModel:
    return Retention(**{name: days for some in said for name, days in some if name in KEPT})


def get_days(tenant: Tenant, name: str) -> timedelta:
    """Return for how long a tenant keeps something of KEPT."""
    return timedelta(days=getattr(get_retention(tenant.own_retention), name))


class RetentionWalk(models.Model):
    """How far the sweep has come in one tenant's events of a type, or in the attempts of one destination.

    A walk goes from the oldest row to the newest that may go. The next begins at the first row that it kept.
    """

    id = models.BigAutoField(primary_key=True)
    tenant = models.ForeignKey(Tenant, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False)
    name = models.CharField(max_length=32)  # the key of an event type, or `attempts`
    destination_id = models.BigIntegerField(default=0)  # of attempts
    first_event = models.BigIntegerField(default=0)  # before the oldest event that the last walk kept
    event = models.BigIntegerField(default=0)  # the walk has come to here: an event,
    kept_event = models.BigIntegerField(null=True)  # and this is before the first that it has kept
    delivery = models.UUIDField(default=uuid.UUID(int=0))  # or a delivery, whose attempts are gone
    batch = models.BigIntegerField(default=0)  # the last batch of the destination that was deleted
    due_at = models.DateTimeField(db_default=Now())  # it goes on then

    class Meta:
        verbose_name = "walk of the retention"
        verbose_name_plural = "walks of the retention"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["tenant", "name", "destination_id"], name="retention_walk_once")
        ]
        indexes: ClassVar = [models.Index(fields=["due_at"], name="retention_walk_due")]

    def __str__(self) -> str:
        return f"{self.name} of {self.tenant_id}"


def make_due(tenant: Tenant) -> None:
    """Let all walks of a tenant begin now, because the days have changed for which it keeps its rows."""
    walks = RetentionWalk.objects.filter(tenant=tenant, due_at__gt=Now())
    walks.update(due_at=Now(), event=models.F("first_event"))
