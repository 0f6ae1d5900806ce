"""Signatures of Standard Webhooks 1.0.0.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import hmac
import secrets
from binascii import b2a_base64
from collections.abc import Sequence

PREFIX = "whsec_"
SIZE = 32  # bytes of a new secret; the specification allows 24 to 64


def make_secret() -> str:
    """Return a new signing secret in the form that people see, `whsec_<base64>`."""
    return PREFIX + base64.b64encode(secrets.token_bytes(SIZE)).decode()


def decode_key(secret: str) -> bytes:
    """Return the key inside `whsec_<base64>`. Raises ValueError unless it holds 24 to 64 bytes."""
    key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    if not 24 <= len(key) <= 64:
        raise ValueError("a signing secret holds 24 to 64 bytes")
    return key


def make_signature_headers(
    keys: Sequence[bytes], message_id: str, timestamp: int, body: bytes
) -> tuple[tuple[str, str], ...]:
    """Return the three headers for one attempt. Every key signs, so old and new keys work during a rotation.

    `timestamp` is the Unix time of this attempt in seconds. `message_id` stays the same for all attempts.
    """
    if not keys:
        return ()
    signed = b"%s.%d.%s" % (message_id.encode(), timestamp, body)
    signatures = " ".join(
        ["v1," + b2a_base64(hmac.digest(key, signed, "sha256"), newline=False).decode() for key in keys]
    )
    return (
        ("webhook-id", message_id),
        ("webhook-timestamp", str(timestamp)),
        ("webhook-signature", signatures),
    )
