"""The box in which models keep secrets, with the keys of the settings."""

from __future__ import annotations

import functools

from django.conf import settings

from eventsinks.lib.crypto import SecretBox


@functools.lru_cache(maxsize=4)
def _box(keys: tuple[str, ...]) -> SecretBox:
    return SecretBox(keys)


def box() -> SecretBox:
    """Return the box of the current settings."""
    return _box(tuple(settings.EVENTSINKS_ENCRYPTION_KEYS))


def seal(text: str) -> str:
    """Encrypt `text` for keeping."""
    return box().seal(text)


def open_sealed(sealed: str) -> str:
    """Decrypt what `seal` made. Raises lib.crypto.CannotOpen."""
    return box().open(sealed)
