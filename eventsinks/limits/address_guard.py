"""Address guard: the addresses that a tenant's destination may have, according to the settings."""

from __future__ import annotations

from django.conf import settings

from eventsinks.lib.net.addresses import AddressGuard


def make_guard() -> AddressGuard:
    """Return the guard that the settings describe."""
    return AddressGuard(
        settings.EVENTSINKS_ALLOWED_NETWORKS, settings.EVENTSINKS_DENIED_PORTS, settings.EVENTSINKS_HTTPS_ONLY
    )
