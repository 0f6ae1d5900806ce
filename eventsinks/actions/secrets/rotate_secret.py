"""Rotate secret: shows or rotates a signing secret. During the overlap, the new and the old secret both sign."""

from __future__ import annotations

from datetime import timedelta

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now

from eventsinks.actions.portrait import draw_signing
from eventsinks.intake import audit
from eventsinks.intake.audit import SYSTEM, Initiator
from eventsinks.lib.secrets.crypto import CannotOpen
from eventsinks.lib.secrets.signing import make_secret
from eventsinks.models import Destination
from eventsinks.models.secrets.fingerprint import make_fingerprint
from eventsinks.models.secrets.sealing import seal


def rotate_secret(sink: Destination, overlap_s: int, initiator: Initiator = SYSTEM) -> str | None:
    """Give a sink a new signing secret and return it. Return None if somebody changed the sink at the same time.

    If an earlier rotation still overlaps, its old secret no longer signs.
    """
    secret = make_secret()
    old = keep_old_secret(sink) if overlap_s else ""
    same = Destination.objects.present().filter(id=sink.id, version=sink.version)
    with transaction.atomic():
        moved = same.update(
            sealed_old_signing_secret=old,
            old_signing_secret_until=Now() + timedelta(seconds=overlap_s) if old else None,
            sealed_signing_secret=seal(secret, sink, "sealed_signing_secret"),
            version=F("version") + 1,
            updated_at=Now(),
        )
        if not moved:
            return None
        before, after = draw_signing(sink), make_fingerprint(secret)
        told = {"signing_secret": f"rotated: {before} → {after}", "overlap_s": str(overlap_s)}
        audit.record_destination(audit.UPDATED, sink, initiator, told)
    return secret


def reveal_secret(sink: Destination, initiator: Initiator) -> str:
    """Return the secret that signs a sink's requests, and record who saw it.

    Raises CannotOpen.
    """
    secret = sink.signing_secret
    audit.record_destination(audit.SECRET_SHOWN, sink, initiator, {"signing_secret": make_fingerprint(secret)})
    return secret


def keep_old_secret(sink: Destination) -> str:
    """Return the signing secret, sealed for its overlap. Return "" if no key opens it: then it could not sign."""
    try:
        return seal(sink.signing_secret, sink, "sealed_old_signing_secret")
    except CannotOpen:
        return ""


def end_overlaps() -> int:
    """Delete old secrets whose overlap is over, so that workers open the sinks again. Return how many.

    A sink that another process has locked waits for the next time: an expired old secret signs nothing anyway.
    """
    over = Destination.objects.filter(old_signing_secret_until__lte=Now())
    with transaction.atomic():
        free = over.select_for_update(skip_locked=True, no_key=True).order_by("id")
        mine = over.filter(id__in=list(free.values_list("id", flat=True)))
        return mine.update(sealed_old_signing_secret="", old_signing_secret_until=None, version=F("version") + 1)
