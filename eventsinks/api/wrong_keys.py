"""Wrong API keys slow down the address that sends them, and nobody else. A valid key is never slowed down.

So each key is looked up, unless its form is wrong or the database did not have it a moment ago.
"""

from __future__ import annotations

import ipaddress
import threading
import time
from collections import OrderedDict

from django.conf import settings

from eventsinks import telemetry
from eventsinks.lib.token_bucket import BucketAsk
from eventsinks.limits import rates, refusals
from eventsinks.limits.broker_state import make_key
from eventsinks.models.tenant import KEY_SHAPE

NAME = "wrong_keys"
KNOWN_SECONDS = 5.0  # for which a key is remembered to be none
KNOWN = 10_000  # keys that are remembered

_lock = threading.Lock()
_known: OrderedDict[str, float] = OrderedDict()  # text: until when


def is_known(text: str) -> bool:
    """Whether a text can't be a key. This needs no look at the database."""
    if not KEY_SHAPE.fullmatch(text):
        return True
    with _lock:
        until = _known.get(text)
    return until is not None and until > time.monotonic()


def note_wrong_key(text: str, address: str) -> int:
    """Count a wrong key. Return 0, or the seconds for which the address must wait."""
    telemetry.WRONG_KEYS.inc()
    with _lock:
        _known[text[:100]] = time.monotonic() + KNOWN_SECONDS
        _known.move_to_end(text[:100])
        if len(_known) > KNOWN:
            _known.popitem(last=False)
    source = get_source(address)
    most = settings.EVENTSINKS_WRONG_KEYS_PER_MIN
    wait = rates.take_from(BucketAsk(make_key(f"rate:{NAME}", source), most / 60, most, 1), hold=False)
    if wait is None:
        return 0
    refusals.note_refusal(NAME, source, f"more than {most} wrong API keys a minute")
    return wait.seconds


def get_source(address: str) -> str:
    """Return the source to count: an IPv4 address, or the /64 network of an IPv6 address."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return "unknown"
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((found, 64), strict=False))
    return str(found)


def forget() -> None:
    """Forget the wrong keys."""
    with _lock:
        _known.clear()
