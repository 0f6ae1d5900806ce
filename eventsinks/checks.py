"""What is checked before anything starts: `manage.py check`, and every command that runs the system."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from eventsinks.lib.addresses import AddressGuard
from eventsinks.lib.crypto import SecretBox

MARGIN = 10.0  # seconds of a lease beyond the timeout, in which a worker settles


def register_all() -> None:
    """Register the checks with Django."""
    register(lease_outlives_timeout)
    register(keys_are_keys)
    register(allowed_networks_are_networks)
    register(schedule_is_usable)


def lease_outlives_timeout(**_: Any) -> list[CheckMessage]:
    """Refuse a lease that could end while its owner still waits for an answer."""
    if settings.EVENTSINKS_LEASE >= settings.EVENTSINKS_TIMEOUT + MARGIN:
        return []
    needed = settings.EVENTSINKS_TIMEOUT + MARGIN
    return [
        Error(
            f"EVENTSINKS_LEASE must be at least {needed:g} s: the timeout and {MARGIN:g} s",
            id="eventsinks.E001",
        )
    ]


def keys_are_keys(**_: Any) -> list[CheckMessage]:
    """Refuse encryption keys that are not keys."""
    try:
        SecretBox(settings.EVENTSINKS_ENCRYPTION_KEYS)
    except ValueError as error:
        return [Error(f"EVENTSINKS_ENCRYPTION_KEYS: {error}", id="eventsinks.E002")]
    return []


def allowed_networks_are_networks(**_: Any) -> list[CheckMessage]:
    """Refuse an entry of the allow list that means nothing."""
    try:
        AddressGuard(settings.EVENTSINKS_ALLOWED_NETWORKS)
    except ValueError as error:
        return [Error(f"EVENTSINKS_ALLOWED_NETWORKS: {error}", id="eventsinks.E003")]
    return []


def schedule_is_usable(**_: Any) -> list[CheckMessage]:
    """Refuse a retry schedule with nothing in it, or more than the engine can count."""
    schedule = settings.EVENTSINKS_RETRY_SCHEDULE
    if 1 <= len(schedule) <= 100 and all(pause >= 0 for pause in schedule):
        return []
    return [Error("EVENTSINKS_RETRY_SCHEDULE must hold 1 to 100 pauses in seconds", id="eventsinks.E004")]
