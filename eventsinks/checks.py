"""Checks: what `manage.py check`, and every command that runs the system, verifies before the start."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register
from django.core.checks import Warning as Caution
from django.core.exceptions import ImproperlyConfigured
from django.db import DEFAULT_DB_ALIAS, DatabaseError
from pydantic import ValidationError

from eventsinks.lib.net.addresses import AddressGuard
from eventsinks.lib.net.ports import parse_ports
from eventsinks.lib.net.proxies import Proxies
from eventsinks.lib.net.smtp import MAILBOX, Server
from eventsinks.lib.secrets.crypto import SecretBox
from eventsinks.lib.validation import list_errors

COUNTS = [
    "EVENTSINKS_WEB_PROCESSES",
    "EVENTSINKS_WEB_THREADS",
    "EVENTSINKS_TRIAL_THREADS",
    "EVENTSINKS_WEB_WAITING",
    "EVENTSINKS_BODIES",
    "EVENTSINKS_BODIES_EACH",
]
MARGIN = 10.0  # seconds of a lease beyond the timeout, in which a worker settles
STREAMS_STAND = "The log was restored from another PostgreSQL cluster: streams stand still, and skip what is new."
MAKE_THEM_GO = "Run `manage.py renumber_streams`."


def register_all() -> None:
    """Register the checks with Django."""
    register(lease_outlives_timeout)
    register(keys_are_keys)
    register(allowed_networks_are_networks)
    register(denied_ports_are_ports)
    register(services_are_https)
    register(schedule_is_usable)
    register(operator_tenant_is_an_id)
    register(mail_can_be_sent)
    register(keys_are_of_this_database)
    register(front_can_work)
    register(limits_are_limits)
    register(cell_is_a_name)
    register(log_is_of_this_cluster, Tags.database)


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
    """Refuse encryption keys that are not valid keys."""
    try:
        SecretBox(settings.EVENTSINKS_ENCRYPTION_KEYS)
    except ValueError as error:
        return [Error(f"EVENTSINKS_ENCRYPTION_KEYS: {error}", id="eventsinks.E002")]
    return []


def keys_are_of_this_database(**_: Any) -> list[CheckMessage]:
    """Refuse keys that did not seal the database's secrets. If the database can't be asked, report nothing."""
    from eventsinks.actions.secrets.reencrypt import count_strangers
    from eventsinks.actions.secrets.start import describe_strangers
    from eventsinks.models.secrets.sealing import WrongKeys, read_canary

    try:
        if keys_are_keys():
            return []  # that check reports the fault
        read_canary()
        count = count_strangers()
    except WrongKeys as error:
        return [Error(f"EVENTSINKS_ENCRYPTION_KEYS: {error}", id="eventsinks.E008")]
    except (DatabaseError, ImproperlyConfigured):  # away, or not migrated yet
        return []
    if not count:
        return []
    return [Error(f"EVENTSINKS_ENCRYPTION_KEYS: {describe_strangers(count)}", id="eventsinks.E009")]


def allowed_networks_are_networks(**_: Any) -> list[CheckMessage]:
    """Refuse an invalid entry of the allow list."""
    try:
        AddressGuard(settings.EVENTSINKS_ALLOWED_NETWORKS)
    except ValueError as error:
        return [Error(f"EVENTSINKS_ALLOWED_NETWORKS: {error}", id="eventsinks.E003")]
    return []


def denied_ports_are_ports(**_: Any) -> list[CheckMessage]:
    """Refuse an invalid entry of the list of ports: it would deny none."""
    try:
        parse_ports(settings.EVENTSINKS_DENIED_PORTS)
    except ValueError as error:
        return [Error(f"EVENTSINKS_DENIED_PORTS: {error}", id="eventsinks.E029")]
    return []


def services_are_https(**_: Any) -> list[CheckMessage]:
    """Refuse a service without TLS if EVENTSINKS_HTTPS_ONLY is set: no request could reach it."""
    if not settings.EVENTSINKS_HTTPS_ONLY:
        return []
    named = [
        name for name in ("SLACK_BASE_URL", "PAGERDUTY_URL") if urlsplit(getattr(settings, name)).scheme != "https"
    ]
    return [Error(f"{name} must be https:// with EVENTSINKS_HTTPS_ONLY", id="eventsinks.E030") for name in named]


def schedule_is_usable(**_: Any) -> list[CheckMessage]:
    """Refuse a retry schedule that is empty, or longer than the engine can count."""
    schedule = settings.EVENTSINKS_RETRY_SCHEDULE
    if 1 <= len(schedule) <= 100 and all(pause >= 0 for pause in schedule):
        return []
    return [Error("EVENTSINKS_RETRY_SCHEDULE must hold 1 to 100 pauses in seconds", id="eventsinks.E004")]


def mail_can_be_sent(**_: Any) -> list[CheckMessage]:
    """Refuse an invalid mail server, and a sender that is not an address."""
    try:
        if settings.SMTP_URL:
            Server.parse(settings.SMTP_URL)
    except ValueError as error:
        return [Error(f"SMTP_URL {error}", id="eventsinks.E005")]
    if MAILBOX.fullmatch(settings.SMTP_FROM):
        return []
    return [Error("SMTP_FROM must be a bare address, as alerts@example.com", id="eventsinks.E006")]


def front_can_work(**_: Any) -> list[CheckMessage]:
    """Refuse invalid proxy addresses, and bounds of the web server that leave no room for a request."""
    try:
        Proxies(settings.EVENTSINKS_TRUSTED_PROXIES)
    except ValueError as error:
        return [Error(f"EVENTSINKS_TRUSTED_PROXIES: {error}", id="eventsinks.E020")]
    needed = 4 * settings.EVENTSINKS_MAX_BODY_BYTES  # one caller gets half: a packed and an inflated body
    if needed > settings.EVENTSINKS_HELD_BYTES:
        return [Error(f"EVENTSINKS_HELD_BYTES must be at least {needed}", id="eventsinks.E021")]
    least = min(getattr(settings, name) for name in COUNTS)
    return [] if least >= 1 else [Error(f"{', '.join(COUNTS)} must be at least 1", id="eventsinks.E022")]


def limits_are_limits(**_: Any) -> list[CheckMessage]:
    """Refuse a limit that there is not, or a number that it can't be."""
    from eventsinks.models.limits import TenantLimits
    from eventsinks.models.retention import Retention

    found: list[CheckMessage] = []
    try:
        TenantLimits.model_validate(settings.EVENTSINKS_LIMITS)
    except ValidationError as error:
        said = "; ".join(f"{field}: {message}" for field, message in list_errors(error))
        found.append(Error(f"EVENTSINKS_LIMITS: {said}", id="eventsinks.E010"))
    try:
        Retention.model_validate(settings.EVENTSINKS_KEEP_DAYS)
    except ValidationError as error:
        said = "; ".join(f"{field}: {message}" for field, message in list_errors(error))
        found.append(Error(f"EVENTSINKS_KEEP_DAYS: {said}", id="eventsinks.E012"))
    if settings.EVENTSINKS_WRONG_KEYS_PER_MIN < 1:
        found.append(Error("EVENTSINKS_WRONG_KEYS_PER_MIN must be 1 or more", id="eventsinks.E011"))
    return found


def cell_is_a_name(**_: Any) -> list[CheckMessage]:
    """Refuse a name of the cell that no API key could have."""
    from eventsinks.models.tenant import KEY_SHAPE, make_key_text

    if KEY_SHAPE.fullmatch(make_key_text()):
        return []
    return [Error("EVENTSINKS_CELL must be up to four small letters and digits", id="eventsinks.E033")]


def operator_tenant_is_an_id(**_: Any) -> list[CheckMessage]:
    """Refuse an operator's tenant that can be nobody's id: the operator would be told nothing."""
    try:
        UUID(settings.EVENTSINKS_OPERATOR_TENANT or "0" * 32)
    except ValueError:
        return [Error("EVENTSINKS_OPERATOR_TENANT must be the id of a tenant", id="eventsinks.E031")]
    return []


def log_is_of_this_cluster(databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    """Warn that streams stopped after a restore. It is no error: the repair may need `migrate` first."""
    from eventsinks.models.stream import log_is_ahead  # the models are not loaded yet when this module loads

    if DEFAULT_DB_ALIAS not in (databases or ()) or not log_is_ahead():
        return []
    return [Caution(STREAMS_STAND, hint=MAKE_THEM_GO, id="eventsinks.W007")]
