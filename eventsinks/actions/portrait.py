"""Portrait: the fields of a destination as the audit records them, and the differences of two portraits.

Secrets appear as fingerprints. So do URLs except for their host: a path or a query may hold a secret that no field
declares.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import orjson

from eventsinks.actions.options import show_option
from eventsinks.lib.secrets.crypto import CannotOpen
from eventsinks.models import Destination
from eventsinks.models.options import Options
from eventsinks.models.secrets.fingerprint import make_fingerprint

LONGEST = 300  # characters of one side of a difference
PLAIN = ("name", "description", "state", "mapping", "filter")
WHOLE = [name for name in Options.model_fields if name not in ("filter", "fallback")]
FALLBACK = ("fallback_id", "fallback_after_failures", "fallback_after_s")
UNREADABLE = "can’t be read"


def draw_portrait(destination: Destination) -> dict[str, str]:
    """Return the settings of a destination, each as text. Open its secrets, but return only fingerprints."""
    told = {name: str(getattr(destination, name)) for name in PLAIN}
    told |= {name: dump_value(show_option(destination, name)) for name in WHOLE}
    told |= {name: dump_value(getattr(destination, name)) for name in FALLBACK}
    told |= {f"config.{name}": text for name, text in draw_config(destination)}
    return {**told, "signing_secret": draw_signing(destination)}


def draw_config(destination: Destination) -> Iterator[tuple[str, str]]:
    """Yield the fields of the config. A field that contains a secret becomes a fingerprint of the whole."""
    try:
        config = destination.opened_config()
    except (CannotOpen, ValueError, KeyError):
        yield from ((name, UNREADABLE) for name in destination.config)
        return
    masked, revealed = config.dump_masked(), config.dump_revealed()
    for name, value in revealed.items():
        if isinstance(value, dict):
            shown = masked.get(name, {})
            yield from ((f"{name}.{key}", draw_value(one, shown.get(key))) for key, one in value.items())
        else:
            yield name, draw_value(value, masked.get(name))


def draw_value(value: Any, masked: Any) -> str:
    """Return a value as text. It becomes a fingerprint if it is masked, or may hold secrets as a URL does."""
    text = value if isinstance(value, str) else dump_value(value)
    if value != masked:
        return make_fingerprint(text)
    if isinstance(value, str) and "://" in value:
        return f"{urlsplit(value).scheme}://{urlsplit(value).hostname}/… {make_fingerprint(value)}"
    return text


def draw_signing(destination: Destination) -> str:
    """Return the fingerprint of the signing secret."""
    try:
        return make_fingerprint(destination.signing_secret) if destination.sealed_signing_secret else ""
    except CannotOpen:
        return UNREADABLE


def dump_value(value: Any) -> str:
    """Return a value as JSON, "" for an empty value."""
    return (
        orjson.dumps(value, default=str, option=orjson.OPT_SORT_KEYS).decode() if value not in (None, "") else ""
    )


def list_differences(before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, str]:
    """Return {field: "before → after"} of the fields that differ."""
    names = sorted({*before, *after})
    changed = [name for name in names if before.get(name, "") != after.get(name, "")]
    return {name: f"{cut_side(before.get(name))} → {cut_side(after.get(name))}" for name in changed}


def cut_side(text: str | None) -> str:
    """Return one side of a difference. A long text is cut."""
    if not text:
        return "nothing"
    return (
        text if len(text) <= LONGEST else f"{text[:LONGEST]}… ({len(text)} characters, {make_fingerprint(text)})"
    )
