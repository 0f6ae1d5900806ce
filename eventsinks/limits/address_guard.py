"""Address guard: where a tenant may point a destination, as the settings say."""

from __future__ import annotations

from django.conf import settings

from eventsinks.lib.net.addresses import AddressGuard


def make_guard() -> AddressGuard:
    """Return the guard of the settings."""
    return AddressGuard(
        settings.EVENTSINKS_ALLOWED_NETWORKS, settings.EVENTSINKS_DENIED_PORTS, settings.EVENTSINKS_HTTPS_ONLY
    )
