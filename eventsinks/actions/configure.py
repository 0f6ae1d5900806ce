"""Configure: create, change, pause, resume and delete destinations.

A caller unwraps its format to a destination type's key and the fields of its config; here they are checked,
sealed and kept. Every change raises `version` in one guarded UPDATE, so that two at once do not mix.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from django.conf import settings
from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now
from pydantic import ValidationError

from eventsinks.actions import audit
from eventsinks.actions.audit import SYSTEM, Initiator
from eventsinks.actions.nudge import STREAMS, nudge
from eventsinks.destinations import destination_type
from eventsinks.destinations.base import Config
from eventsinks.lib.addresses import AddressGuard
from eventsinks.lib.crypto import CannotOpen
from eventsinks.lib.validation import errors
from eventsinks.models import Delivery, Destination, SlackWorkspace, Tenant
from eventsinks.models.destination import DestinationState
from eventsinks.models.sealing import open_sealed
from eventsinks.models.stream import Place, Position, end_of_log

HEARS = {
    "event_sink": ["detection_alert"],
    "integration": ["audit", "network_traffic"],
}  # unless told otherwise
RACES = 5  # how often a lost race for the same row is run again


@dataclass(frozen=True, slots=True)
class FieldError:
    """What is wrong with one field of the config; `field` is its path inside the config."""

    field: str
    message: str


class NotConfigurable(ValueError):
    """A config can't be kept. `errors` names every field and what is wrong with it."""

    def __init__(self, *errors: FieldError) -> None:
        super().__init__("; ".join(f"{error.field}: {error.message}" for error in errors))
        self.errors = errors


def create(
    tenant: Tenant,
    type: str,
    config: Mapping[str, Any],
    *,
    name: str,
    description: str = "",
    enabled: bool = True,
    start: Place | None = None,
    initiator: Initiator = SYSTEM,
) -> Destination:
    """Make a destination of the type with key `type`. Raises NotConfigurable.

    An integration hears what comes from `start` in the tenant's event log on; from now on without it.
    """
    kind = destination_type(type)
    destination = Destination(
        tenant=tenant,
        type=type,
        name=name,
        description=description,
        event_types=HEARS[kind.face],
        state=DestinationState.ACTIVE if enabled else DestinationState.PAUSED,
        slack_workspace=workspace(tenant, config),
    )
    try:
        destination.set_config(kind.Config.model_validate(dict(config), context={"guard": guard()}))
    except ValidationError as error:
        raise not_configurable(error) from None
    with transaction.atomic():
        destination.save()
        if kind.face == "integration":
            place = start or end_of_log()
            Position.objects.create(destination=destination, xid=place.xid, event_id=place.event_id)
        audit.record_destination(audit.CREATED, destination, initiator)
    return destination


def change(
    destination: Destination,
    config: Mapping[str, Any] | None = None,
    *,
    name: str | None = None,
    description: str | None = None,
    enabled: bool | None = None,
    initiator: Initiator = SYSTEM,
) -> Destination:
    """Change what is given, leave the rest. A `****` in `config` means "as it was".

    A parked destination whose config changes is active again: somebody has repaired it.

    Raises NotConfigurable, and Destination.DoesNotExist where it was deleted meanwhile.
    """
    for _ in range(RACES):
        current = Destination.objects.present().select_related("slack_workspace", "tenant").get(id=destination.id)
        changes = changes_of(current, config, name, description, enabled)
        moved = Destination.objects.filter(id=current.id, version=current.version, deleted_at=None)
        with transaction.atomic():
            if moved.update(**changes, version=F("version") + 1, updated_at=Now()):
                audit.record_destination(audit.UPDATED, current, initiator)
                wake(current)
                return Destination.objects.get(id=current.id)
    raise NotConfigurable(FieldError("", "was changed by somebody else at the same time; try again"))


def changes_of(
    current: Destination,
    config: Mapping[str, Any] | None,
    name: str | None,
    description: str | None,
    enabled: bool | None,
) -> dict[str, Any]:
    """Return the columns that change. Raises NotConfigurable."""
    changes: dict[str, Any] = {}
    if name is not None:
        changes["name"] = name
    if description is not None:
        changes["description"] = description
    if config is not None:
        try:
            current.set_config(changed_config(current, config))
        except ValidationError as error:
            raise not_configurable(error) from None
        changes["sealed_signing_secret"] = current.sealed_signing_secret
        changes["slack_workspace"] = workspace(current.tenant, current.config)
        changes |= {"config": current.config, "sealed_secrets": current.sealed_secrets, "held_until": None}
        if current.state == DestinationState.PARKED:
            changes |= state(DestinationState.ACTIVE, "")
    if enabled is not None and enabled != current.enabled:
        changes |= state(DestinationState.ACTIVE if enabled else DestinationState.PAUSED, "")
    return changes


def changed_config(current: Destination, config: Mapping[str, Any]) -> Config:
    """Return the config with the changes. Raises pydantic.ValidationError.

    Where its secrets can't be opened any more they must all be given anew, and requests are signed anew too.
    """
    try:
        if current.sealed_signing_secret:
            open_sealed(current.sealed_signing_secret)
        return cast(Config, current.opened_config().changed(config, guard()))
    except CannotOpen:
        current.sealed_signing_secret = ""
        return current.kind.Config.model_validate({**current.config, **config}, context={"guard": guard()})


def pause(destination: Destination, reason: str = "", initiator: Initiator = SYSTEM) -> Destination:
    """active or parked -> paused. Its backlog is kept and grows."""
    return _move(destination, state(DestinationState.PAUSED, reason), initiator)


def resume(destination: Destination, initiator: Initiator = SYSTEM) -> Destination:
    """paused or parked -> active, at once and with its whole backlog."""
    return _move(destination, {**state(DestinationState.ACTIVE, ""), "held_until": None}, initiator)


def _move(destination: Destination, changes: Mapping[str, Any], initiator: Initiator) -> Destination:
    with transaction.atomic():
        there = Destination.objects.present().filter(id=destination.id).exclude(state=changes["state"])
        if there.update(**changes, version=F("version") + 1, updated_at=Now()):
            audit.record_destination(audit.UPDATED, destination, initiator)
        wake(destination)
    return Destination.objects.get(id=destination.id)


def wake(destination: Destination) -> None:
    """Have what waits for a destination looked at, now that it is another."""
    Position.objects.wake(destination.id)
    nudge()
    nudge(STREAMS)


def delete(destination: Destination, initiator: Initiator = SYSTEM) -> bool:
    """Take a destination away; what it was still owed is suppressed. Return False if it was gone already.

    The row stays for its history, without its secrets.
    """
    with transaction.atomic():
        gone = Destination.objects.present().filter(id=destination.id)
        if not gone.update(
            deleted_at=Now(), sealed_secrets="", sealed_signing_secret="", version=F("version") + 1
        ):
            return False
        Delivery.objects.filter(destination_id=destination.id).suppress("the event sink was deleted")
        audit.record_destination(audit.DELETED, destination, initiator)
    return True


def workspace(tenant: Tenant, config: Mapping[str, Any]) -> SlackWorkspace | None:
    """Return the tenant's Slack workspace that `config` names, if any. Raises NotConfigurable."""
    named = config.get("slack_integration_id")
    if named is None:
        return None
    try:
        return SlackWorkspace.objects.get(tenant=tenant, id=named)
    except SlackWorkspace.DoesNotExist:
        raise NotConfigurable(FieldError("slack_integration_id", "no such Slack integration")) from None
    except (DjangoValidationError, TypeError):
        raise NotConfigurable(FieldError("slack_integration_id", "must be a UUID")) from None


def state(new: DestinationState, reason: str) -> dict[str, Any]:
    """Return the columns of a new state."""
    return {"state": new, "state_reason": reason, "state_since": Now()}


def guard() -> AddressGuard:
    """Return the guard of the settings."""
    return AddressGuard(settings.EVENTSINKS_ALLOWED_NETWORKS)


def not_configurable(error: ValidationError) -> NotConfigurable:
    """Return pydantic's errors as ours."""
    return NotConfigurable(*(FieldError(field, message) for field, message in errors(error)))
