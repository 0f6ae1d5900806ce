"""Manifest: lists the objects of each hour's batches, so that a reader can prove that none is missing.

Batches are numbered without a gap and settled in the order of their numbers, and a settled batch never changes. So
the manifest of a past hour is always the same, no matter which worker writes it and how often.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from django.conf import settings

from eventsinks.destinations.base import AnyDestinationType, ClientType, DestinationGone, HourManifest, SendFailure
from eventsinks.models import Batch, Position
from eventsinks.models.secrets.masking import mask_text
from eventsinks.models.stream import find_hour, find_unlisted
from eventsinks.sending.hold import park, weigh_failure
from eventsinks.sending.judge import log_fault
from eventsinks.streaming.transmit import MARGIN

log = logging.getLogger(__name__)

PAUSE = 30.0  # seconds; if a manifest can't be written now, a batch probably can't either


def write_manifests(position: Position, kind: AnyDestinationType) -> float | None:
    """Write the manifest of each past hour. Return None, or how many seconds the stream must wait.

    The caller must hold the lease.
    """
    if not (isinstance(kind, ClientType) and kind.keeps_manifests):
        return None
    while batches := find_unlisted(position):
        if not Position.objects.renew(position, settings.EVENTSINKS_LEASE):
            return 0.0
        kind.seconds = settings.EVENTSINKS_LEASE - MARGIN
        try:
            kind.write_manifest(make_manifest(position, batches))
        except SendFailure as failure:
            destination = position.destination
            if not isinstance(weigh_failure(destination.id, destination.version, failure), DestinationGone):
                return PAUSE
            reason = f"the manifest of an hour can't be written: {mask_text(failure.reason, kind)}"
            parked = park(destination.id, destination.version, reason)
            return PAUSE if parked is None else 0.0  # another process's lock prevented it
        except Exception:  # a fault in a type, or an answer it did not expect: the stream waits
            log_fault(log, kind, "the manifest of an hour could not be written")
            return PAUSE
        position.manifest_number = batches[-1].number
        if not Position.objects.held(position).update(manifest_number=position.manifest_number):
            return 0.0
    return None


def make_manifest(position: Position, batches: Sequence[Batch]) -> HourManifest:
    """Return the manifest of one hour's batches, in the order of their numbers."""
    first, last = batches[0], batches[-1]
    stored = [
        {"number": batch.number, "id": str(batch.id), **object}
        for batch in batches
        for object in list_objects(batch)
    ]
    return HourManifest(last.id, position.destination.uuid, find_hour(first), first.number, last.number, stored)


def list_objects(batch: Batch) -> Sequence[Mapping[str, Any]]:
    """Return the stored objects of a batch. Older batches have one object, newer ones one for each hour."""
    return [batch.stored] if isinstance(batch.stored, dict) else batch.stored or []
