"""Fingerprints: stand for secrets in a log. Equal secrets are recognised, and no secret can be guessed."""

from __future__ import annotations

from django.utils.crypto import salted_hmac


def make_fingerprint(secret: str) -> str:
    """Return `#` and twelve hex digits that stand for a secret, "" for none. SECRET_KEY is the key of the hash."""
    if not secret:
        return ""
    return f"#{salted_hmac('eventsinks.fingerprint', secret, algorithm='sha256').hexdigest()[:12]}"
