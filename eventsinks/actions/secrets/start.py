"""Start: checks the encryption keys before a process may open or seal a secret."""

from __future__ import annotations

import logging

from django.conf import settings
from django.db import DatabaseError, connection

from eventsinks.actions.secrets.reencrypt import count_strangers
from eventsinks.models.secrets.sealing import WrongKeys, make_canary, read_canary

log = logging.getLogger(__name__)

_proved: set[tuple[str, ...]] = set()  # keys that this process has found to be the database's


def refuse_wrong_keys() -> None:
    """End this process if its encryption keys are not the database's. If the database is away, check later."""
    try:
        prove_keys()
    except WrongKeys as error:
        raise SystemExit(f"EVENTSINKS_ENCRYPTION_KEYS: {error}") from None
    except DatabaseError as error:
        log.warning("the encryption keys could not be compared with the database yet: %s", error)
    finally:
        if not connection.in_atomic_block:
            connection.close()  # the process that starts here may fork


def prove_keys() -> None:
    """Check that the encryption keys are the database's. Make its canary if there is none. Raises WrongKeys."""
    keys = tuple(settings.EVENTSINKS_ENCRYPTION_KEYS)
    if keys in _proved:
        return
    canary = read_canary()
    if count := count_strangers():
        raise WrongKeys(describe_strangers(count))
    if canary is None:
        make_canary()
    _proved.add(keys)


def describe_strangers(count: int) -> str:
    """Return the message for secrets that need a missing key."""
    return f"{count} secrets are sealed with keys that are not among them; `manage.py reencrypt` names them"
