"""The meanings of a service's answers, as data: who is at fault, and what happens next."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from eventsinks.destinations.base.failure import (
    DestinationGone,
    EventRefused,
    SendFailure,
    Temporary,
    TooLarge,
    read_retry_after,
)
from eventsinks.destinations.base.rendering import MAX_REASON, cut, render_line
from eventsinks.lib.net.wire import Response


class Meaning(StrEnum):
    """The meaning of an answer for the messages that were sent."""

    TAKEN = "taken"  # delivered
    PASSING = "passing"  # the trouble may pass: the same message is sent again later
    REFUSED = "refused"  # the service never accepts this message; it may accept others
    PLAINER = "plainer"  # the message is sent once more in plain words; if it was plain already, it is refused
    BROKEN = "broken"  # wrong credentials or place: nothing is sent until somebody repairs it
    UNLISTED = "unlisted"  # an unknown error code: the message is sent in plain words if it has any, else later


# The meaning of a status that the table of a service does not name. With 410 the receiver says that it is gone,
# and with 401 that our credentials are wrong. The trouble of any other error may pass.
# https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
GONE = 410
STATUSES = {401: Meaning.BROKEN, GONE: Meaning.BROKEN}
WHY = {"401": "its credentials are not accepted", "410": "it says that it is gone"}


def find_no_code(response: Response) -> str:
    """Return nothing. This is for services without error codes, where the status says all."""
    return ""


def read_pause(response: Response) -> float | None:
    """Return the seconds that `Retry-After` asks for."""
    return read_retry_after(response, datetime.now(UTC))


@dataclass(frozen=True)
class Answers:
    """The table of one service. The name of the service begins every reason.

    `code` reads the error code of an answer, and `codes` has the meanings. `codes` come before `statuses`, but do
    not count from the status `trouble_from` on. If neither has a meaning, STATUSES has it. `why` explains a code
    or a status to a person. `words` reads the service's own explanation, and `pause` the seconds that it asks for.
    """

    service: str = "the far end"
    codes: Mapping[str, Meaning] = field(default_factory=dict)
    statuses: Mapping[int, Meaning] = field(default_factory=dict)
    why: Mapping[str, str] = field(default_factory=dict)
    code: Callable[[Response], str] = find_no_code
    words: Callable[[Response], str] = find_no_code
    pause: Callable[[Response], float | None] = read_pause
    trouble_from: int = 500  # the least status that says that the service itself is in trouble

    def meaning(self, response: Response) -> Meaning:
        """Return the meaning of an answer."""
        return self.meaning_of(response.status, self.code(response))

    def meaning_of(self, status: int, code: str) -> Meaning:
        """Return the meaning of a status with an error code. "" is no code."""
        if status < self.trouble_from and (found := self.codes.get(code)):
            return found
        if (known := {**STATUSES, **self.statuses}.get(status)) is not None:
            return known
        if 200 <= status < 300:
            return Meaning.UNLISTED if code else Meaning.TAKEN
        return Meaning.PASSING

    def failure(self, response: Response, count: int = 1) -> SendFailure:
        """Return the failure of `count` messages that an answer did not accept."""
        code = self.code(response) if response.status < self.trouble_from else ""
        parts = (f"{self.service} answered {response.status}", self.explain(response.status, code))
        said = cut(render_line(self.words(response) or code), MAX_REASON)  # which others wrote
        reason = ": ".join(filter(None, (*parts, said)))
        meaning = self.meaning_of(response.status, code)
        if meaning is Meaning.BROKEN and code not in self.codes and response.status != GONE:
            return DestinationGone(reason, response, sure=False)
        return self.as_failure(meaning, reason, response, count)

    def explain(self, status: int, code: str) -> str:
        """Return the explanation of a code, or else of a status, for a person."""
        redirect = "redirects are not followed" if 300 <= status < 400 else ""
        return self.why.get(code) or {**WHY, **self.why}.get(str(status), redirect)

    def as_failure(
        self, meaning: Meaning, reason: str, response: Response | None = None, count: int = 1
    ) -> SendFailure:
        """Return the failure of a meaning. If many messages were refused together, the halves are tried."""
        if meaning is Meaning.BROKEN:
            return DestinationGone(reason, response)
        if meaning in (Meaning.REFUSED, Meaning.PLAINER):
            return TooLarge(reason, response) if count > 1 else EventRefused(reason, response)
        asks = response is not None and not 300 <= response.status < 400  # a redirect's is about the new place
        return Temporary(reason, response, self.pause(response) if response and asks else None)
