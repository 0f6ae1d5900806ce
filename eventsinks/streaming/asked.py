"""Asked: which integrations have a stream task that waits, so that looks for due ones do not pile tasks up."""

from __future__ import annotations

from eventsinks.limits.broker_state import ask_broker, make_key

ASKED_FOR = 5_000  # milliseconds; the broker's clock decides


def is_first_to_ask(destination_id: int) -> bool:
    """Return whether no stream task of this integration was started for ASKED_FOR, and has not begun yet.

    A broker that can't be asked keeps nobody back.
    """
    key = make_key("stream", str(destination_id))
    said = ask_broker(lambda client: bool(client.set(key, 1, nx=True, px=ASKED_FOR)))
    return said is not False


def forget_asked(destination_id: int) -> None:
    """Let the next look start a task of this integration again."""
    ask_broker(lambda client: client.delete(make_key("stream", str(destination_id))))
