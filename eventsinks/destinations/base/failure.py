"""The failures of a send. The class says what to do next."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from eventsinks.lib.net.wire import Response

MAX_RETRY_AFTER = 24 * 3600.0  # seconds; what asks for more is held back this long


class NotConnected(ValueError):
    """The service says clearly that a config is wrong. `field` is the wrong field."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field
        self.message = message


class SendFailure(Exception):
    """A message did not arrive. The subclass says what to do next. People read `reason`.

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
    """Try again. If the far end named `retry_after` seconds, the whole destination is held back."""

    def __init__(self, reason: str, response: Response | None = None, retry_after: float | None = None) -> None:
        super().__init__(reason, response)
        self.retry_after = retry_after


class TooLarge(Temporary):
    """Try again in halves: the request is too large, or one bad event makes it fail.

    This is for more than one message. A single message is EventRefused.
    """


class EventRefused(SendFailure):
    """The far end never accepts this event. It may accept others."""


class DestinationGone(SendFailure):
    """The far end accepts nothing until somebody repairs the destination: it is disabled.

    If that is `sure`, it is disabled at once. A status alone may be a hiccup of a proxy, so it is counted first.
    """

    def __init__(self, reason: str, response: Response | None = None, *, sure: bool = True) -> None:
        super().__init__(reason, response)
        self.sure = sure


def read_retry_after(response: Response, now: datetime) -> float | None:
    """Return the seconds of `Retry-After`, from 0 to MAX_RETRY_AFTER. Return None if it is not usable.

    RFC 9110 section 10.2.3 has two forms: seconds, and an HTTP date. A date is compared with the `Date` of the far
    end, or with `now` if there is none.
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
    """Return the moment of an HTTP date. Return None if the text is not a date."""
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    return at.replace(tzinfo=at.tzinfo or UTC)
