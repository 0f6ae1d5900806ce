"""What the answers of a service mean, as data: whose fault a refusal is, and what is done next."""

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
    """What an answer means for what was sent."""

    TAKEN = "taken"  # delivered
    PASSING = "passing"  # may mend itself: the same again, later
    REFUSED = "refused"  # never this message; others may be taken
    PLAINER = "plainer"  # this message once more in plain words; refused, where it was plain already
    BROKEN = "broken"  # credentials or place: nothing until somebody repairs it
    UNLISTED = "unlisted"  # an error code of no row: in plain words where there are any, else as what passes


# What a status means where a service says nothing special of it. 410 is the receiver's word that it is gone, 401
# that our credentials are not good; what stands nowhere may mend itself.
# https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
GONE = 410
STATUSES = {401: Meaning.BROKEN, GONE: Meaning.BROKEN}
WHY = {"401": "its credentials are not accepted", "410": "it says that it is gone"}


def find_no_code(response: Response) -> str:
    """Return nothing: a service whose status says all has no error codes."""
    return ""


def read_pause(response: Response) -> float | None:
    """Return the seconds that `Retry-After` asks for."""
    return read_retry_after(response, datetime.now(UTC))


@dataclass(frozen=True)
class Answers:
    """The table of one service, whose name begins every reason.

    `codes` are its own error codes, as `code` reads them from an answer. They go before `statuses`, and mean
    nothing from the status `trouble_from` on; what stands in neither is judged by STATUSES. `why` explains a code
    or a status to a person; `words` are the service's own. `pause` reads for how many seconds it wants quiet.
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
        """Return what an answer means."""
        return self.meaning_of(response.status, self.code(response))

    def meaning_of(self, status: int, code: str) -> Meaning:
        """Return what a status with an error code means; "" is no code."""
        if status < self.trouble_from and (found := self.codes.get(code)):
            return found
        if (known := {**STATUSES, **self.statuses}.get(status)) is not None:
            return known
        if 200 <= status < 300:
            return Meaning.UNLISTED if code else Meaning.TAKEN
        return Meaning.PASSING

    def failure(self, response: Response, count: int = 1) -> SendFailure:
        """Return what an answer that did not take `count` messages means for them."""
        code = self.code(response) if response.status < self.trouble_from else ""
        parts = (f"{self.service} answered {response.status}", self.explained(response.status, code))
        said = cut(render_line(self.words(response) or code), MAX_REASON)  # which others wrote
        reason = ": ".join(filter(None, (*parts, said)))
        meaning = self.meaning_of(response.status, code)
        if meaning is Meaning.BROKEN and code not in self.codes and response.status != GONE:
            return DestinationGone(reason, response, sure=False)
        return self.as_failure(meaning, reason, response, count)

    def explained(self, status: int, code: str) -> str:
        """Return what a code, else a status, means to a person."""
        redirect = "redirects are not followed" if 300 <= status < 400 else ""
        return self.why.get(code) or {**WHY, **self.why}.get(str(status), redirect)

    def as_failure(
        self, meaning: Meaning, reason: str, response: Response | None = None, count: int = 1
    ) -> SendFailure:
        """Return the failure of a meaning. Of many messages that were refused together, halves are tried."""
        if meaning is Meaning.BROKEN:
            return DestinationGone(reason, response)
        if meaning in (Meaning.REFUSED, Meaning.PLAINER):
            return TooLarge(reason, response) if count > 1 else EventRefused(reason, response)
        asks = response is not None and not 300 <= response.status < 400  # a redirect's is about the new place
        return Temporary(reason, response, self.pause(response) if response and asks else None)
