"""Times as they are written: RFC 3339 (https://www.rfc-editor.org/rfc/rfc3339), and what is near it."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
# The second that is put in now and then before a midnight of UTC. No clock of ours has it: it is the midnight.
LEAP_SECOND = re.compile(r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d):60(?:[.,]\d+)?(Z|[+-]\d\d:\d\d|)", re.ASCII)


def read_time(text: str) -> datetime:
    """Return the moment in UTC, which it is in unless it says otherwise; a day begins at midnight.

    `t` and `z` may be small, and more digits than a microsecond has are cut. Raises ValueError.
    """
    capital = text.upper()
    try:
        if found := LEAP_SECOND.fullmatch(capital):
            return add_leap_second(convert_to_utc(datetime.fromisoformat(f"{found[1]}:59{found[2]}")))
        return convert_to_utc(datetime.fromisoformat(capital))
    except OverflowError:
        raise ValueError(f"{text} is before the first year or after the last") from None


def read_end(text: str) -> datetime:
    """Return the moment at which what ends then is over: of a day, its last. Raises ValueError."""
    at = read_time(text)
    return at + timedelta(days=1, microseconds=-1) if DAY.fullmatch(text) else at


def convert_to_utc(at: datetime) -> datetime:
    """Return a time in UTC, where it is unless it says otherwise. Raises OverflowError."""
    return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)


def add_leap_second(before: datetime) -> datetime:
    """Return the second after `before`. Raises ValueError where there can be no leap second between the two."""
    if (before.hour, before.minute) != (23, 59):
        raise ValueError("a leap second is the last of a day of UTC")
    return before + timedelta(seconds=1)
