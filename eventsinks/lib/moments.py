"""Times in text: RFC 3339 (https://www.rfc-editor.org/rfc/rfc3339), and forms close to it."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
# A leap second is added now and then before midnight UTC. Our clocks do not have it: we read it as midnight.
LEAP_SECOND = re.compile(r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d):60(?:[.,]\d+)?(Z|[+-]\d\d:\d\d|)", re.ASCII)


def read_time(text: str) -> datetime:
    """Return the moment in UTC. A text without an offset is in UTC, and a day begins at midnight.

    `t` and `z` may be lower case. Digits beyond a microsecond are dropped. Raises ValueError.
    """
    capital = text.upper()
    try:
        if found := LEAP_SECOND.fullmatch(capital):
            return add_leap_second(convert_to_utc(datetime.fromisoformat(f"{found[1]}:59{found[2]}")))
        return convert_to_utc(datetime.fromisoformat(capital))
    except OverflowError:
        raise ValueError(f"{text} is before the first year or after the last") from None


def read_end(text: str) -> datetime:
    """Return the moment at which something with this end is over: for a day, its last microsecond.

    Raises ValueError.
    """
    at = read_time(text)
    return at + timedelta(days=1, microseconds=-1) if DAY.fullmatch(text) else at


def convert_to_utc(at: datetime) -> datetime:
    """Return a time in UTC. A time without an offset is in UTC already. Raises OverflowError."""
    return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)


def add_leap_second(before: datetime) -> datetime:
    """Return the second after `before`. Raises ValueError if no leap second can come between the two."""
    if (before.hour, before.minute) != (23, 59):
        raise ValueError("a leap second is the last of a day of UTC")
    return before + timedelta(seconds=1)
