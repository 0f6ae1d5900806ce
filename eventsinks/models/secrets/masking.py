"""Masking: removes secrets of a destination and of the settings from texts that are stored, logged or shown."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from urllib.parse import unquote, urlsplit

from django.conf import settings

from eventsinks.destinations.base import AnyDestinationType, SendFailure
from eventsinks.lib.secrets.redact import MASK, Redactor
from eventsinks.lib.secrets.secret_texts import mask_url

# Secrets with a known form: our own keys, Slack tokens, signing secrets, AWS keys, authorization headers.
KNOWN = re.compile(
    r"(?:(?<![A-Za-z0-9])(?:es_(?=[A-Za-z0-9_-]{16})|xox[a-z](?:\.xox[a-z])?-|xapp-|whsec_|AKIA|ASIA)[A-Za-z0-9_=+/.-]+)"
    r"|(?<=Bearer )[^\s'\",]+|(?<=Basic )[A-Za-z0-9+/=_-]{8,}|(?<=Token )es_\S+|(?<=GenieKey )[^\s'\",]+"
    r"|(?<=DD-API-KEY: )[^\s'\",]+|(?<=://)[^\s/@'\"]+(?=@)",
    re.IGNORECASE,
)
URL = re.compile(r"https?://[^\s'\"<>\\]+", re.IGNORECASE)


def mask_text(text: str, kind: AnyDestinationType | None = None) -> str:
    """Return a text without the secrets of `kind` and of the settings."""
    return get_settings_redactor().mask(kind.redactor.mask(text) if kind else text)


def mask_bytes(data: bytes, kind: AnyDestinationType | None = None) -> bytes:
    """Return bytes without the secrets of `kind` and of the settings."""
    return get_settings_redactor().mask_bytes(kind.redactor.mask_bytes(data) if kind else data)


def mask_failure(failure: SendFailure, kind: AnyDestinationType) -> SendFailure:
    """Return a failure whose reason is safe to store and show."""
    failure.reason = mask_text(failure.reason, kind)
    failure.args = (failure.reason,)
    return failure


def mask_line(line: str) -> str:
    """Return a log line without the secrets of the settings, and without text that looks like a secret."""
    line = URL.sub(lambda url: mask_url(url[0]), get_settings_redactor().mask(line))
    return KNOWN.sub(MASK, line)


def get_settings_redactor() -> Redactor:
    """Return the redactor of the operator's own secrets."""
    keys = (settings.SECRET_KEY, settings.SLACK_CLIENT_SECRET, *settings.EVENTSINKS_ENCRYPTION_KEYS)
    return _redactor(keys, (settings.DATABASE_URL, settings.REDIS_URL, settings.SMTP_URL))


@functools.lru_cache(maxsize=4)
def _redactor(keys: tuple[str, ...], urls: tuple[str, ...]) -> Redactor:
    return Redactor([*keys, *(password for url in urls for password in find_passwords(url))])


def find_passwords(url: str) -> Iterator[str]:
    """Yield the password in a URL, both encoded and decoded."""
    try:
        password = urlsplit(url).password or ""
    except ValueError:
        return
    yield from (password, unquote(password))
