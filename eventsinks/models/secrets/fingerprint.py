"""Fingerprints: what may be told of a secret in a log, so that equal ones are recognised and none is guessed."""

from __future__ import annotations

from django.utils.crypto import salted_hmac


def make_fingerprint(secret: str) -> str:
    """Return `#` and twelve digits that stand for a secret, "" for none. Keyed with SECRET_KEY."""
    if not secret:
        return ""
    return f"#{salted_hmac('eventsinks.fingerprint', secret, algorithm='sha256').hexdigest()[:12]}"
