"""How boto3 dials: with our certificates, no proxy, an address guard, one deadline, and a cap on the answer.

The environment's proxies are ignored. The deadline covers the whole exchange. The guard, if there is one, checks
every address that a name resolves to, and the address that passed is dialled: no second look-up could give another
answer.
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
from eventsinks.lib.net.handles import find_ca_bundle

log = logging.getLogger(__name__)

CAP = 1024 * 1024  # bytes of an answer's body that are read
MAX_ADDRESSES = 2  # addresses of one name that are tried; each may take the full time to connect
IN_USE = threading.local()  # `.connections` are those that this thread's exchange uses


class AddressRefused(Exception):
    """No address of the name may be dialled."""


class Overdue(Exception):
    """The deadline cut off an exchange."""


class Dialler:
    """Makes the exchanges of one client, in place of boto3's own session.

    `timeouts` limit connecting and each read, in seconds. `left` returns the seconds that a whole exchange may
    take.
    """

    def __init__(
        self, guard: AddressGuard | None, timeouts: tuple[float, float], left: Callable[[], float], at_once: int
    ) -> None:
        # Any: the stubs lack the file of certificates and the two timeouts, but the code has them.
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
        tls.minimum_version = ssl.TLSVersion.TLSv1_2  # even if this machine's OpenSSL allows older ones

    def dial(self, request: Any, **_: Any) -> Any:
        """Exchange one request, as a handler of boto3's event `before-send`. Raises AddressRefused, Overdue."""
        request.stream_output = True  # otherwise the whole body would be read, at any length
        try:
            with cut_off_after(self._left()):
                return _cap_response(self._session.send(request))
        except HTTPClientError as error:
            cause = error.kwargs.get("error")
            if isinstance(cause, AddressRefused):  # boto3 would take it for a temporary problem
                raise cause from None
            raise


@contextmanager
def cut_off_after(seconds: float) -> Iterator[None]:
    """Close the connection of this thread's exchange if the exchange takes longer. Raises Overdue.

    A far end that sends a byte now and then prevents every other timeout. What was read until then does not count:
    half an answer can look like a whole one.
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
    """Return the response with its body, cut at CAP."""
    body = response.raw.read(CAP + 1)
    if len(body) > CAP:
        response.raw.close()  # the rest of the body makes the connection useless
    return AWSResponse(response.url, response.status_code, response.headers, _Read(body[:CAP]))


class _Read:
    """A body that was read, with the interface that boto3 expects."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self) -> Iterator[bytes]:
        """Yield the whole body."""
        yield self._body


def _watch_pool(pool: type[Any], connection: type[Any], guard: AddressGuard | None, scheme: str) -> type[Any]:
    watched = type(connection.__name__, (Watched, connection), {"guard": guard, "scheme": scheme})
    return type(pool.__name__, (pool,), {"ConnectionCls": watched})


class Watched:
    """A mixin for urllib3's connections that applies the guard and the deadline."""

    guard: ClassVar[AddressGuard | None]
    scheme: ClassVar[str]
    host: str
    port: int

    def request(self, *args: Any, **kwargs: Any) -> Any:
        """Begin a request, on a new connection or a reused one."""
        if (connections := getattr(IN_USE, "connections", None)) is not None:
            connections.append(self)
        return super().request(*args, **kwargs)  # type: ignore[misc]

    def _new_conn(self) -> socket.socket:
        """Dial the host's addresses that the guard permits, until one answers. Raises AddressRefused."""
        if self.guard is None:
            return super()._new_conn()  # type: ignore[misc, no-any-return]
        name = self.host
        refused = f"{name} has no address"
        failed: Exception | None = None
        for address in self._addresses():
            if reason := self.guard.refusal(self.scheme, name, self.port, address):
                log.warning("refused to dial %s for %s: %s", address, name, reason)  # no tenant sees this
                refused = reason
                continue
            try:
                self.host = address
                return super()._new_conn()  # type: ignore[misc, no-any-return]
            except Exception as error:
                failed = error
            finally:
                self.host = name  # the certificate must name it
        raise failed or AddressRefused(refused)

    def _addresses(self) -> list[str]:
        try:
            found = socket.getaddrinfo(self.host.strip("[]"), self.port, type=socket.SOCK_STREAM)
        except (socket.gaierror, UnicodeError) as error:
            cause = error if isinstance(error, socket.gaierror) else socket.gaierror(str(error))
            raise NameResolutionError(self.host, self, cause) from error  # type: ignore[arg-type]
        return list(dict.fromkeys(str(info[4][0]) for info in found))[:MAX_ADDRESSES]
