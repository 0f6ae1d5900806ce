"""The wire: a request, the response to it, and how an exchange can fail."""

from __future__ import annotations

from typing import NamedTuple


class Request(NamedTuple):
    """One HTTP request, ready to send. Only Host and Content-Length are added to its headers."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


class Timings(NamedTuple):
    """Seconds from the start of the exchange to the end of each step, 0.0 for a step that did not happen."""

    dns: float = 0.0
    connect: float = 0.0
    tls: float = 0.0
    first_byte: float = 0.0
    total: float = 0.0


class Response(NamedTuple):
    """The answer of the far end. `headers` are raw lines as received. `body` is cut at the exchange's cap.

    `cut` says why the answer ended early, if it did so after its status and headers.
    """

    status: int
    headers: list[bytes]
    body: bytes
    timings: Timings = Timings()
    peer: str = ""
    cut: str = ""

    @property
    def ok(self) -> bool:
        """Whether the status is 2xx. Nothing else is success."""
        return 200 <= self.status < 300

    def header(self, name: str) -> str | None:
        """Return the last header with this name in any case, or None."""
        wanted = name.lower().encode("latin-1") + b":"
        for line in reversed(self.headers):
            if line[: len(wanted)].lower() == wanted:
                return line[len(wanted) :].strip().decode("latin-1")
        return None


class ExchangeFailed(Exception):
    """No response came.

    `reason` is one of a fixed set (`dns_error`, `address_refused`, `connection_refused`, `connection_failed`,
    `tls_error`, `timeout`, `connection_lost`, `bad_response`, `bad_request`). `outcome_unknown` says that the
    request was sent, so the far end may have acted on it.
    """

    def __init__(
        self,
        reason: str,
        message: str,
        *,
        outcome_unknown: bool = False,
        timings: Timings = Timings(),
        peer: str = "",
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.outcome_unknown = outcome_unknown
        self.timings = timings
        self.peer = peer
