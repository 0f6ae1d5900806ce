"""Configure: creates, changes, pauses, resumes and deletes destinations.

A caller translates its wire format to the key of a destination type and the fields of its config. Here they are
checked, sealed and stored. Every change raises `version` in one guarded UPDATE, so that two changes do not mix.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now

from eventsinks.actions.clear import DELETED, SKIPPED, clear
from eventsinks.actions.config import change_config, check_config, connect_to_service, find_workspace
from eventsinks.actions.errors import FieldError as FieldError
from eventsinks.actions.errors import NotConfigurable as NotConfigurable
from eventsinks.actions.errors import SecretsNeeded as SecretsNeeded
from eventsinks.actions.options import make_columns
from eventsinks.actions.portrait import draw_portrait, list_differences
from eventsinks.destinations import destination_type
from eventsinks.event_types.documents import write_time
from eventsinks.intake import audit
from eventsinks.intake.audit import SYSTEM, Initiator
from eventsinks.intake.nudge import STREAMS, nudge
from eventsinks.limits.quotas import check_room, hold_room
from eventsinks.models import Clearing, Destination, Tenant
from eventsinks.models.delivery import make_least_id
from eventsinks.models.destination import DestinationState
from eventsinks.models.health import begin_anew
from eventsinks.models.options import Options
from eventsinks.models.secrets.sealing import seal
from eventsinks.models.stream import LogPlace, Position, find_end_of_log

HEARS = {
    "event_sink": ["detection_alert"],
    "integration": ["audit", "network_traffic"],
}  # the default event types
LIMITS = {"event_sink": "event_sinks", "integration": "integrations"}  # the limit of each face
RACES = 5  # tries, when somebody changes the same row at the same time


def create(
    tenant: Tenant,
    type: str,
    config: Mapping[str, Any],
    *,
    name: str,
    description: str = "",
    enabled: bool = True,
    start: LogPlace | None = None,
    mapping: str | None = None,
    options: Options | None = None,
    signing_secret: str = "",
    initiator: Initiator = SYSTEM,
) -> Destination:
    """Create a destination of the type with key `type`. Raises NotConfigurable and LimitReached.

    It signs with `signing_secret` if given (a test may have used it), else with a new secret. An integration gets
    the events of the tenant's log after `start` in `mapping`; the defaults are from now on, and the type's usual
    mapping. An integration uses only the event types of `options`.
    """
    kind = destination_type(type)
    check_room(tenant, LIMITS[kind.face])
    destination = Destination(
        tenant=tenant,
        type=type,
        name=name,
        description=description,
        event_types=HEARS[kind.face],
        state=DestinationState.ACTIVE if enabled else DestinationState.PAUSED,
        slack_workspace=find_workspace(tenant, config),
    )
    if signing_secret:
        destination.sealed_signing_secret = seal(signing_secret, destination, "sealed_signing_secret")
    checked = check_config(type, config)
    destination.set_config(checked)
    destination.mapping = mapping or kind(checked).usual_mapping
    for column, value in make_columns(tenant, options or Options()).items():
        setattr(destination, column, value)
    connect_to_service(destination)
    with transaction.atomic():
        hold_room(tenant, LIMITS[kind.face])
        destination.save()
        if kind.face == "integration":
            place = start or find_end_of_log()
            Position.objects.create(destination=destination, xid=place.xid, event_id=place.event_id)
        set_to = {name: text for name, text in draw_portrait(destination).items() if name.startswith("config.")}
        audit.record_destination(audit.CREATED, destination, initiator, set_to)
    return destination


def change(
    destination: Destination,
    config: Mapping[str, Any] | None = None,
    *,
    name: str | None = None,
    description: str | None = None,
    enabled: bool | None = None,
    mapping: str | None = None,
    options: Options | None = None,
    initiator: Initiator = SYSTEM,
) -> Destination:
    """Change the given fields and leave the rest. `****` in `config` means "as it was".

    A parked destination becomes active when its config changes: somebody has repaired it. Raises NotConfigurable.
    Raises Destination.DoesNotExist if it was deleted meanwhile.
    """
    plain = {"name": name, "description": description, "mapping": mapping}
    for _ in range(RACES):
        current = load_present(destination)
        before = draw_portrait(current)
        changes = check_changes(current, config, plain, enabled)
        changes |= make_columns(current.tenant, options or Options(), current)
        moved = Destination.objects.filter(id=current.id, version=current.version, deleted_at=None)
        with transaction.atomic():
            if moved.update(**changes, version=F("version") + 1, updated_at=Now()):
                changed = load_present(destination)
                audit.record_destination(
                    audit.UPDATED, changed, initiator, list_differences(before, draw_portrait(changed))
                )
                wake_destination(current)
                return Destination.objects.get(id=current.id)
    raise NotConfigurable(FieldError("", "was changed by somebody else at the same time; try again"))


def load_present(destination: Destination) -> Destination:
    """Return a destination as it is in the database now. Raises Destination.DoesNotExist."""
    return Destination.objects.present().select_related("slack_workspace", "tenant").get(id=destination.id)


def check_changes(
    current: Destination,
    config: Mapping[str, Any] | None,
    plain: Mapping[str, Any],
    enabled: bool | None,
) -> dict[str, Any]:
    """Return the columns that change; `plain` ones need no check. Raises NotConfigurable."""
    changes = {column: value for column, value in plain.items() if value is not None}
    if config is not None:
        before = current.config
        current.set_config(change_config(current, config))
        signing = ("sealed_signing_secret", "sealed_old_signing_secret", "old_signing_secret_until")
        changes |= {column: getattr(current, column) for column in signing}
        changes["slack_workspace"] = current.slack_workspace = find_workspace(current.tenant, current.config)
        if current.config != before:
            connect_to_service(current)
        changes |= {"config": current.config, "sealed_secrets": current.sealed_secrets, **begin_anew()}
        changes |= {"doubts": 0, "doubted_since": None}
        changes["rate_key"] = current.rate_key
        if current.state == DestinationState.PARKED:
            changes |= make_state(decide_state_after(current.id), "")
    if enabled is not None and enabled != current.enabled:
        changes |= make_state(decide_state_after(current.id) if enabled else DestinationState.PAUSED, "")
        changes |= begin_anew() if enabled else {}
    return changes


def pause(destination: Destination, reason: str = "", initiator: Initiator = SYSTEM) -> Destination:
    """Move from active or parked to paused. The backlog stays and grows."""
    return _move(destination, make_state(DestinationState.PAUSED, reason), initiator)


def resume(
    destination: Destination,
    initiator: Initiator = SYSTEM,
    since: datetime | None = None,
    *,
    skip: bool = False,
) -> Destination:
    """Move from paused or parked to active. With `since`, suppress the older backlog; with `skip`, all of it.

    If much is to be suppressed, it is resuming until the sweep has done so. Deliveries that come meanwhile wait.
    """
    with transaction.atomic():
        list(Destination.objects.select_for_update(no_key=True).filter(id=destination.id).values_list("id"))
        more = {}
        if skip or since is not None:
            clear(destination, SKIPPED, None if skip or since is None else make_least_id(since))
            more = {"backlog_since": "skipped" if skip or since is None else write_time(since)}
        changes = {**make_state(decide_state_after(destination.id), ""), **begin_anew()}
        return _move(destination, changes, initiator, more)


def decide_state_after(destination_id: int) -> DestinationState:
    """Return the state of a destination that resumes: RESUMING until its skipped deliveries are suppressed."""
    busy = Clearing.objects.runs_at(destination_id)
    return DestinationState.RESUMING if busy else DestinationState.ACTIVE


def _move(
    destination: Destination,
    changes: Mapping[str, Any],
    initiator: Initiator,
    more: Mapping[str, str] | None = None,
) -> Destination:
    with transaction.atomic():
        before = Destination.objects.filter(id=destination.id).values_list("state", flat=True).first()
        there = Destination.objects.present().filter(id=destination.id).exclude(state=changes["state"])
        if there.update(**changes, version=F("version") + 1, updated_at=Now()):
            told = {"state": str(changes["state"]), "state_before": str(before), **(more or {})}
            audit.record_destination(audit.UPDATED, destination, initiator, told)
        wake_destination(destination)
    return Destination.objects.get(id=destination.id)


def wake_destination(destination: Destination) -> None:
    """Make workers look again at what waits for a destination that has changed."""
    Position.objects.wake(destination.id)
    nudge()
    nudge(STREAMS)


def delete(destination: Destination, initiator: Initiator = SYSTEM) -> bool:
    """Delete a destination; its open deliveries are suppressed soon. Return False if it was deleted already.

    The row stays for its history, without its secrets.
    """
    with transaction.atomic():
        gone = Destination.objects.present().filter(id=destination.id)
        if not gone.update(
            deleted_at=Now(),
            sealed_secrets="",
            sealed_signing_secret="",
            sealed_old_signing_secret="",
            old_signing_secret_until=None,
            slack_workspace=None,
            version=F("version") + 1,
        ):
            return False
        clear(destination, DELETED)
        audit.record_destination(audit.DELETED, destination, initiator)
    return True


def make_state(new: DestinationState, reason: str) -> dict[str, Any]:
    """Return the columns of a new state."""
    return {"state": new, "state_reason": reason, "state_since": Now()}
