"""Secrets at rest: sealed with the newest key, opened with the key whose id they carry.

A sealed text is `<key id>:<Fernet token>` (https://github.com/fernet/spec), where the id is the first eight
hexadecimal digits of the key's SHA-256, so that a missing key can be named and never guessed.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken

KEY_ID = re.compile(r"[0-9a-f]{8}")


class CannotOpen(Exception):
    """A sealed text can't be opened: its key is not among the given ones, or it was altered."""


class SecretBox:
    """Seal and open texts. `keys` are url-safe base64 of 32 bytes, newest first; ValueError for a bad one."""

    def __init__(self, keys: Sequence[str]) -> None:
        if not keys:
            raise ValueError("at least one encryption key is needed")
        self._newest = key_id(keys[0])
        self._boxes = {key_id(key): Fernet(key) for key in keys}

    def seal(self, text: str) -> str:
        """Encrypt `text` with the newest key."""
        return f"{self._newest}:{self._boxes[self._newest].encrypt(text.encode()).decode()}"

    def open(self, sealed: str) -> str:
        """Decrypt what `seal` made, with whichever key it names. Raises CannotOpen."""
        name, _, token = sealed.partition(":")
        if not KEY_ID.fullmatch(name):  # not to be repeated: it may be a secret that was never sealed
            raise CannotOpen("it was not sealed")
        if name not in self._boxes:
            raise CannotOpen(f"sealed with key {name!r}, which is not among EVENTSINKS_ENCRYPTION_KEYS")
        try:
            return self._boxes[name].decrypt(token).decode()
        except (InvalidToken, ValueError):
            raise CannotOpen(f"sealed with key {name!r}, but the text was altered") from None

    def is_current(self, sealed: str) -> bool:
        """Whether `sealed` was sealed with the newest key."""
        return sealed.startswith(f"{self._newest}:")


def key_id(key: str) -> str:
    """Return the short public name of a key."""
    return hashlib.sha256(key.encode()).hexdigest()[:8]


def new_key() -> str:
    """Return a new random key."""
    return Fernet.generate_key().decode()
