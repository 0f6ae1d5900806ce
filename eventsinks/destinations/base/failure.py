"""How a send can fail, each way saying what to do next."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from eventsinks.lib.net.wire import Response

MAX_RETRY_AFTER = 24 * 3600.0  # seconds; what asks for more is held back this long


class NotConnected(ValueError):
    """The service says clearly that a config can't be right. `field` is its field."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field
        self.message = message


class SendFailure(Exception):
    """A message did not arrive; the subclass says what to do next. `reason` is shown to people.

    SendFailure
     ├─ Temporary         try again, not before `retry_after` seconds if that is given
     │   └─ TooLarge      try again in halves
     ├─ EventRefused      never this event; others may
     └─ DestinationGone   nothing until somebody repairs the destination
    """

    def __init__(self, reason: str, response: Response | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.response = response


class Temporary(SendFailure):
    """Try again. `retry_after` seconds, if the far end said so, hold back the whole destination."""

    def __init__(self, reason: str, response: Response | None = None, retry_after: float | None = None) -> None:
        super().__init__(reason, response)
        self.retry_after = retry_after


class TooLarge(Temporary):
    """Try again in halves: the request is too large, or it holds an event that spoils it for the others.

    Means more than one message. Of one alone, it is EventRefused.
    """


class EventRefused(SendFailure):
    """This event will never be taken; others may."""


class DestinationGone(SendFailure):
    """Nothing will be taken until somebody repairs the destination: it is disabled.

    At once where that is `sure`. What only a status says may be a hiccup of a proxy: it is counted first.
    """

    def __init__(self, reason: str, response: Response | None = None, *, sure: bool = True) -> None:
        super().__init__(reason, response)
        self.sure = sure


def read_retry_after(response: Response, now: datetime) -> float | None:
    """Return the seconds that `Retry-After` asks for, from 0 to MAX_RETRY_AFTER, None if it says nothing usable.

    Both forms of RFC 9110 section 10.2.3: seconds, and an HTTP date. A date is compared with what the far end says
    that it is (`Date`), and with `now` only where it does not say.
    """
    text = (response.header("Retry-After") or "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:12]), MAX_RETRY_AFTER)
    at = read_http_date(text)
    if at is None:
        return None
    seconds = (at - (read_http_date(response.header("Date") or "") or now)).total_seconds()
    return min(seconds, MAX_RETRY_AFTER) if seconds > 0 else None


def read_http_date(text: str) -> datetime | None:
    """Return the moment of an HTTP date, None for what is none."""
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    return at.replace(tzinfo=at.tzinfo or UTC)
