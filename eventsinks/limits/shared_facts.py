"""Shared facts: the page of metrics that the account wrote last, through the broker's Redis for all web servers.

If the broker is away, or nobody has written one for a while, there is no page: nothing is better than what is old.
"""

from __future__ import annotations

from eventsinks.limits.broker_state import ask_broker, make_key

KEPT_FOR = 180_000  # milliseconds; the account writes one each minute


def tell_facts(page: bytes) -> None:
    """Give a page to all web servers."""
    ask_broker(lambda client: client.set(make_key("facts", ""), page, px=KEPT_FOR))


def read_facts() -> bytes:
    """Return the last page, empty if there is none."""
    found = ask_broker(lambda client: client.get(make_key("facts", "")))
    return found if isinstance(found, bytes) else b""
