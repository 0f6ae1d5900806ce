"""One exchange of libcurl: which socket it may open, how much of the answer is read, and the outcome."""

from __future__ import annotations

import logging
import socket
from typing import Any, ClassVar

import pycurl

from eventsinks.lib.net.addresses import AddressGuard, parse_url
from eventsinks.lib.net.wire import ExchangeFailed, Response, Timings

log = logging.getLogger(__name__)

CAP = 64 * 1024  # bytes of a response's body that are read

REASONS = {
    pycurl.E_URL_MALFORMAT: "bad_request",
    pycurl.E_UNSUPPORTED_PROTOCOL: "bad_request",
    pycurl.E_COULDNT_RESOLVE_HOST: "dns_error",
    pycurl.E_COULDNT_CONNECT: "connection_refused",
    pycurl.E_OPERATION_TIMEDOUT: "timeout",
    pycurl.E_SSL_CONNECT_ERROR: "tls_error",
    pycurl.E_PEER_FAILED_VERIFICATION: "tls_error",
    pycurl.E_SSL_CERTPROBLEM: "tls_error",
    pycurl.E_SSL_CIPHER: "tls_error",
    pycurl.E_SSL_CACERT_BADFILE: "tls_error",
    pycurl.E_SSL_ISSUER_ERROR: "tls_error",
    pycurl.E_USE_SSL_FAILED: "tls_error",
    pycurl.E_GOT_NOTHING: "connection_lost",
    pycurl.E_SEND_ERROR: "connection_lost",
    pycurl.E_RECV_ERROR: "connection_lost",
    pycurl.E_PARTIAL_FILE: "connection_lost",
}

Outcome = Response | ExchangeFailed


class Call:
    """The current exchange of a handle: what was read so far, and the address that was dialled."""

    protocols: ClassVar[int] = pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS
    __slots__ = ("guard", "headers", "parts", "refused", "room", "token", "url")

    def __init__(self, guard: AddressGuard) -> None:
        self.guard = guard

    def begin(self, token: Any, url: str) -> None:
        """Forget the previous exchange, and start the one of `token`."""
        self.token = token
        self.url = url
        self.headers: list[bytes] = []
        self.parts: list[bytes] = []
        self.room = CAP
        self.refused = ""

    def open_socket(self, purpose: int, address: Any) -> Any:
        """Open the socket that curl asks for, if the guard permits the address."""
        ip, url = str(address.addr[0]), parse_url(self.url)
        if refused := self.guard.refusal(url.scheme, url.host or "", url.port or 0, ip):
            log.warning("refused to dial %s for %s: %s", ip, url.host, refused)  # no tenant sees this
            self.refused = refused
            return pycurl.SOCKET_BAD
        return Opened(address.family, address.socktype, address.protocol)

    def read(self, chunk: bytes) -> int:
        """Keep what fits under the cap. Beyond the cap, tell curl to stop."""
        self.parts.append(chunk[: self.room])
        self.room -= len(chunk)
        return len(chunk) if self.room >= 0 else -1

    def outcome(self, handle: pycurl.Curl, error: tuple[int, str] | None) -> Outcome:
        """Return the outcome. It is a Response if the status and all headers were read; the body may be cut."""
        get = handle.getinfo
        reached = (0.0, 0.0, 0.0)  # as for a reused connection
        if get(pycurl.NUM_CONNECTS) or error is not None:
            reached = (get(pycurl.NAMELOOKUP_TIME), get(pycurl.CONNECT_TIME), get(pycurl.APPCONNECT_TIME))
        timings = Timings(*reached, get(pycurl.STARTTRANSFER_TIME), get(pycurl.TOTAL_TIME))
        peer = get(pycurl.PRIMARY_IP)
        if error is None or (error[0] == pycurl.E_WRITE_ERROR and self.room < 0):
            return Response(get(pycurl.RESPONSE_CODE), self.headers, b"".join(self.parts), timings, peer)
        if self.answered(handle):
            cut = f"{REASONS.get(error[0], 'bad_response')}: {error[1]}"
            return Response(get(pycurl.RESPONSE_CODE), self.headers, b"".join(self.parts), timings, peer, cut)
        if self.refused and error[0] == pycurl.E_COULDNT_CONNECT:  # and no other address worked
            return ExchangeFailed("address_refused", self.refused, timings=timings)
        reason, left = REASONS.get(error[0], "bad_response"), self.left(handle)
        if reason == "connection_refused" and timings.total >= 10.0:
            reason = "timeout"
        if reason == "bad_request" and left:  # curl calls an answer without a status line another "protocol"
            reason = "bad_response"
        sent = left and reason in ("timeout", "connection_lost", "bad_response")
        return ExchangeFailed(reason, error[1], outcome_unknown=sent, timings=timings, peer=peer)

    def answered(self, handle: pycurl.Curl) -> bool:
        """Whether a final status and all its headers were read. 100 and 103 only announce one."""
        return handle.getinfo(pycurl.RESPONSE_CODE) >= 200 and self.headers[-1:] in ([b"\r\n"], [b"\n"])

    def left(self, handle: pycurl.Curl) -> bool:
        """Whether the far end may have received something that it can act on."""
        return bool(handle.getinfo(pycurl.REQUEST_SIZE) > 0)


class Opened(socket.socket):
    """A socket for curl. curl uses a duplicate of it, so this one may be dropped without a warning."""

    def __del__(self) -> None:
        self.close()
