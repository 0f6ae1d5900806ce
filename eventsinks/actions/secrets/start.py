"""Start: what must be true before a process may open or seal a secret."""

from __future__ import annotations

import logging

from django.conf import settings
from django.db import DatabaseError, connection

from eventsinks.actions.secrets.reencrypt import count_strangers
from eventsinks.models.secrets.sealing import WrongKeys, make_canary, read_canary

log = logging.getLogger(__name__)

_proved: set[tuple[str, ...]] = set()  # keys that this process has seen to be the database's


def refuse_wrong_keys() -> None:
    """End this process where its encryption keys are not the database's. If it is away, it is asked later."""
    try:
        prove_keys()
    except WrongKeys as error:
        raise SystemExit(f"EVENTSINKS_ENCRYPTION_KEYS: {error}") from None
    except DatabaseError as error:
        log.warning("the encryption keys could not be compared with the database yet: %s", error)
    finally:
        if not connection.in_atomic_block:
            connection.close()  # what is started here may fork


def prove_keys() -> None:
    """Raise WrongKeys unless the encryption keys are the database's; make its canary if there is none."""
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
    """Return what is wrong where secrets need a key that is not there."""
    return f"{count} secrets are sealed with keys that are not among them; `manage.py reencrypt` names them"
