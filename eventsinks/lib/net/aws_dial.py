"""How boto3 dials: with our own certificates and no proxy of the environment, past the address guard if there is
one, under one deadline over the whole exchange and a cap on what is read.

The guard judges every address that a name resolves to, and the one that passed is what is dialled: there is no
second look-up that could answer differently.
"""

from __future__ import annotations

import logging
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, ClassVar

from botocore.awsrequest import (
    AWSHTTPConnection,
    AWSHTTPConnectionPool,
    AWSHTTPSConnection,
    AWSHTTPSConnectionPool,
    AWSResponse,
)
from botocore.exceptions import HTTPClientError
from botocore.httpsession import URLLib3Session
from urllib3.exceptions import NameResolutionError

from eventsinks.lib.net.addresses import AddressGuard
from eventsinks.lib.net.http import find_ca_bundle

log = logging.getLogger(__name__)

CAP = 1024 * 1024  # bytes of an answer's body that are read
MAX_ADDRESSES = 2  # of one name that are tried, each for as long as connecting may take
IN_USE = threading.local()  # `.connections` are what this thread's exchange goes over


class AddressRefused(Exception):
    """No address of a name may be dialled."""


class Overdue(Exception):
    """An exchange was cut off."""


class Dialler:
    """Makes the exchanges of one client, in the place of boto3's own session.

    `timeouts` are for connecting and for each read, `left` says how long a whole exchange may take, in seconds.
    """

    def __init__(
        self, guard: AddressGuard | None, timeouts: tuple[float, float], left: Callable[[], float], at_once: int
    ) -> None:
        # Any: its stubs know neither the file of certificates nor the two timeouts, which its source does.
        make: Any = URLLib3Session
        self._session = make(
            verify=find_ca_bundle(),
            proxies={},
            timeout=timeouts,
            max_pool_connections=at_once,
            socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],  # without it, a body waits 40 ms
        )
        self._left = left
        self._session._manager.pool_classes_by_scheme = {
            "http": _watch_pool(AWSHTTPConnectionPool, AWSHTTPConnection, guard, "http"),
            "https": _watch_pool(AWSHTTPSConnectionPool, AWSHTTPSConnection, guard, "https"),
        }
        tls: ssl.SSLContext = self._session._manager.connection_pool_kw["ssl_context"]
        tls.minimum_version = ssl.TLSVersion.TLSv1_2  # whatever this machine's OpenSSL thinks of older ones

    def dial(self, request: Any, **_: Any) -> Any:
        """Exchange one request: a handler of boto3's event `before-send`. Raises AddressRefused, Overdue."""
        request.stream_output = True  # or all of the body would be read, however long it is
        try:
            with cut_off_after(self._left()):
                return _cap_response(self._session.send(request))
        except HTTPClientError as error:
            cause = error.kwargs.get("error")
            if isinstance(cause, AddressRefused):  # which boto3 would take for trouble that passes
                raise cause from None
            raise


@contextmanager
def cut_off_after(seconds: float) -> Iterator[None]:
    """Close the connection that this thread's exchange goes over, should it take longer. Raises Overdue.

    A far end that sends a byte now and then keeps every other timeout from ending. Whatever was read by then
    counts for nothing: half an answer can look like a whole one.
    """
    if seconds <= 0:
        raise Overdue("there was no time left for the exchange")
    connections: list[Any] = []
    over = threading.Event()
    timer = threading.Timer(seconds, _cut_off, [connections, over])
    timer.daemon = True
    IN_USE.connections = connections
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        IN_USE.connections = None
        if over.is_set():
            raise Overdue(f"the exchange took longer than {seconds:.3g} seconds")


def _cut_off(connections: list[Any], over: threading.Event) -> None:
    over.set()
    for connection in connections:
        with suppress(OSError, AttributeError):  # it may be closed, or not open yet
            connection.sock.shutdown(socket.SHUT_RDWR)


def _cap_response(response: Any) -> Any:
    """Return the response with its body read; a longer one than CAP is cut."""
    body = response.raw.read(CAP + 1)
    if len(body) > CAP:
        response.raw.close()  # with what was not read, the connection is of no more use
    return AWSResponse(response.url, response.status_code, response.headers, _Read(body[:CAP]))


class _Read:
    """A body that was read, as boto3 wants to read it."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self) -> Iterator[bytes]:
        """Yield it."""
        yield self._body


def _watch_pool(pool: type[Any], connection: type[Any], guard: AddressGuard | None, scheme: str) -> type[Any]:
    watched = type(connection.__name__, (Watched, connection), {"guard": guard, "scheme": scheme})
    return type(pool.__name__, (pool,), {"ConnectionCls": watched})


class Watched:
    """What a connection of urllib3's is mixed with, so that the guard and the deadline know it."""

    guard: ClassVar[AddressGuard | None]
    scheme: ClassVar[str]
    host: str
    port: int

    def request(self, *args: Any, **kwargs: Any) -> Any:
        """Begin a request, on a new connection or one that was kept."""
        if (connections := getattr(IN_USE, "connections", None)) is not None:
            connections.append(self)
        return super().request(*args, **kwargs)  # type: ignore[misc]

    def _new_conn(self) -> socket.socket:
        """Dial the addresses of the host that the guard permits, until one answers. Raises AddressRefused."""
        if self.guard is None:
            return super()._new_conn()  # type: ignore[misc, no-any-return]
        name = self.host
        refused = f"{name} has no address"
        failed: Exception | None = None
        for address in self._addresses():
            if reason := self.guard.refusal(self.scheme, name, self.port, address):
                log.warning("refused to dial %s for %s: %s", address, name, reason)  # which no tenant is told
                refused = reason
                continue
            try:
                self.host = address
                return super()._new_conn()  # type: ignore[misc, no-any-return]
            except Exception as error:
                failed = error
            finally:
                self.host = name  # which the certificate must name
        raise failed or AddressRefused(refused)

    def _addresses(self) -> list[str]:
        try:
            found = socket.getaddrinfo(self.host.strip("[]"), self.port, type=socket.SOCK_STREAM)
        except (socket.gaierror, UnicodeError) as error:
            cause = error if isinstance(error, socket.gaierror) else socket.gaierror(str(error))
            raise NameResolutionError(self.host, self, cause) from error  # type: ignore[arg-type]
        return list(dict.fromkeys(str(info[4][0]) for info in found))[:MAX_ADDRESSES]
