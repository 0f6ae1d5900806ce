"""The one way out: exchanges with the outside, many at once, over libcurl's multi interface.

Every socket passes the address guard at the moment it is opened, on the address that is dialled, so neither
DNS rebinding nor a second A record gets around it. No redirects, no proxies, no cookies; one deadline over the
whole exchange; a cap on what is read. Mail goes to the operator's own server alone (lib/net/smtp.py).
"""

from __future__ import annotations

import os
import select
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import certifi
import pycurl

from eventsinks.lib.net import smtp
from eventsinks.lib.net.addresses import AddressGuard
from eventsinks.lib.net.call import CAP, Call, Outcome
from eventsinks.lib.net.wire import ExchangeFailed, Request, Response
from eventsinks.lib.version import VERSION

__all__ = ["CAP", "Exchange", "Outcome", "Outlet", "exchange_once", "find_ca_bundle", "open_outlet"]

OWN_HEADERS = (f"User-Agent: eventsinks/{VERSION}", "Expect:")  # no 100-continue: it would cost a round trip
KEPT_ALIVE = 1100  # connections, idle or not: more than are ever in flight, or none would be used again

EPOLL_OF = {
    pycurl.POLL_IN: select.EPOLLIN,
    pycurl.POLL_OUT: select.EPOLLOUT,
    pycurl.POLL_INOUT: select.EPOLLIN | select.EPOLLOUT,
}


class Exchange(Protocol):
    """What the engine needs of the world: hand over requests, collect what came of them."""

    @property
    def in_flight(self) -> int:
        """How many exchanges have begun and not ended."""

    def start(self, request: Request, token: Any) -> None:
        """Begin an exchange. `token` comes back with its outcome."""

    def poll(self, wait: float) -> list[tuple[Any, Outcome]]:
        """Let exchanges proceed for at most `wait` seconds; return those that ended, as soon as any did."""

    def wake(self) -> None:
        """End the wait of `poll`, or of the next one. To be called from any thread."""

    def close(self) -> None:
        """Drop everything that is open."""


class Outlet:
    """An Exchange with the real world, to be used by one thread, but for `wake`.

    `timeout` is the deadline over the whole exchange, in seconds; `mail_server` the operator's, if there is one.
    """

    def __init__(self, guard: AddressGuard, timeout: float = 20.0, mail_server: smtp.Server | None = None) -> None:
        self.in_flight = 0
        self._guard = guard
        self._timeout = timeout
        self._mail_server = mail_server
        self._idle: dict[type[Call], list[pycurl.Curl]] = {Call: [], smtp.MailCall: []}
        self._ended: list[tuple[Any, Outcome]] = []
        self._wake_at: float | None = None
        self._epoll = select.epoll()
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._rung = False
        self._epoll.register(self._bell, select.EPOLLIN)
        self._watched: set[int] = set()  # descriptors that are in the epoll
        self._resting: set[int] = set()  # those of them that nobody waits for: connections kept alive
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._watch)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._set_timer)
        self._multi.setopt(pycurl.M_MAXCONNECTS, KEPT_ALIVE)

    def start(self, request: Request, token: Any) -> None:
        """Begin an exchange; one that can't even begin ends as ExchangeFailed(`bad_request`)."""
        # What has spoken SMTP never speaks HTTP, nor the reverse: a handle keeps its options.
        idle = self._idle[smtp.MailCall if request.method == smtp.MAIL else Call]
        handle = idle.pop() if idle else self._new_handle(request)
        handle.call.begin(token, request.url)
        try:
            if request.method == smtp.MAIL:
                smtp.prepare_mail(handle, request, self._mail_server)
            else:
                prepare_handle(handle, request)
        except (ValueError, pycurl.error) as error:
            idle.append(handle)
            self._ended.append((token, ExchangeFailed("bad_request", str(error))))
            return
        self._multi.add_handle(handle)
        self.in_flight += 1

    def poll(self, wait: float) -> list[tuple[Any, Outcome]]:
        """Let exchanges proceed for at most `wait` seconds; return those that ended, as soon as any did."""
        deadline = time.monotonic() + wait
        self._turn(0.0)
        while not self._ended and not self._rung and (left := deadline - time.monotonic()) > 0:
            self._turn(left)
        ended, self._ended, self._rung = self._ended, [], False
        return ended

    def wake(self) -> None:
        """End the wait of `poll`, or of the next one. To be called from any thread; many calls are one."""
        os.eventfd_write(self._bell, 1)

    def close(self) -> None:
        """Drop everything that is open."""
        self._multi.close()
        self._epoll.close()
        os.close(self._bell)

    def _new_handle(self, request: Request) -> Any:
        handle: Any = pycurl.Curl()
        handle.call = (smtp.MailCall if request.method == smtp.MAIL else Call)(self._guard)
        for option, value in (
            (pycurl.NOSIGNAL, 1),
            (pycurl.OPENSOCKETFUNCTION, handle.call.open_socket),
            (pycurl.WRITEFUNCTION, handle.call.read),
            (pycurl.PROTOCOLS, handle.call.protocols),
            (pycurl.FOLLOWLOCATION, 0),
            (pycurl.PROXY, ""),
            (pycurl.NOPROXY, "*"),
            (pycurl.NETRC, pycurl.NETRC_IGNORED),
            (pycurl.PATH_AS_IS, 1),
            (pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1),
            (pycurl.SSLVERSION, pycurl.SSLVERSION_TLSv1_2),
            (pycurl.CAINFO, find_ca_bundle()),
            (pycurl.TIMEOUT_MS, int(self._timeout * 1000)),
            (pycurl.CONNECTTIMEOUT_MS, int(min(self._timeout, 10.0) * 1000)),
        ):
            handle.setopt(option, value)
        return handle

    def _turn(self, wait: float) -> None:
        """Wait for sockets or curl's timer, at most `wait` seconds, and let curl act on them."""
        if self._wake_at is not None:
            wait = max(0.0, min(wait, self._wake_at - time.monotonic()))
        for descriptor, events in self._epoll.poll(wait, 1024):
            if descriptor == self._bell:
                os.eventfd_read(descriptor)
                self._rung = True
                continue
            if descriptor in self._resting:
                self._forget(descriptor)
                continue
            mask = (pycurl.CSELECT_IN if events & ~select.EPOLLOUT else 0) | (
                pycurl.CSELECT_OUT if events & select.EPOLLOUT else 0
            )
            self._multi.socket_action(descriptor, mask)
        if self._wake_at is not None and self._wake_at <= time.monotonic():
            self._wake_at = None
            self._multi.socket_action(pycurl.SOCKET_TIMEOUT, 0)
        self._collect()

    def _collect(self) -> None:
        more = 1
        while more:
            more, done, failed = self._multi.info_read()
            for handle in done:
                self._end(handle, None)
            for handle, code, message in failed:
                self._end(handle, (code, message))

    def _end(self, handle: Any, error: tuple[int, str] | None) -> None:
        call = handle.call
        self._ended.append((call.token, call.outcome(handle, error)))
        self._multi.remove_handle(handle)
        self._idle[type(call)].append(handle)
        self.in_flight -= 1

    def _watch(self, what: int, descriptor: int, multi: object, data: object) -> None:
        """Wait for what curl asks. A connection at rest stays where it is: it is likely to be used again soon."""
        if what == pycurl.POLL_REMOVE:
            self._resting.add(descriptor)
        elif descriptor in self._watched:
            self._resting.discard(descriptor)
            try:
                self._epoll.modify(descriptor, EPOLL_OF[what])
            except FileNotFoundError:  # it was closed while at rest, and this is another of the same number
                self._epoll.register(descriptor, EPOLL_OF[what])
        else:
            self._watched.add(descriptor)
            self._epoll.register(descriptor, EPOLL_OF[what])

    def _forget(self, descriptor: int) -> None:
        """Stop waiting for a connection at rest: the far end closed it, or speaks without being asked."""
        self._resting.discard(descriptor)
        self._watched.discard(descriptor)
        with suppress(OSError):  # it was closed here, and is out of the epoll by that
            self._epoll.unregister(descriptor)

    def _set_timer(self, milliseconds: int) -> None:
        self._wake_at = None if milliseconds < 0 else time.monotonic() + milliseconds / 1000


def prepare_handle(handle: Any, request: Request) -> None:
    """Set on `handle` what differs from exchange to exchange. Raises ValueError for a header that could split."""
    lines: list[Any] = [f"{name}: {value}" if value else f"{name};" for name, value in request.headers]
    joined = "".join(lines)
    if "\n" in joined or "\r" in joined or "\0" in joined:
        raise ValueError("a header must not contain line breaks")
    if not joined.isascii():
        lines = [line.encode("latin-1") for line in lines]
    option = handle.setopt  # looked up once: a handle's attributes are slow
    option(pycurl.URL, request.url)
    if request.method == "GET":
        option(pycurl.HTTPGET, 1)
    else:
        option(pycurl.POSTFIELDS, request.body)
    option(pycurl.CUSTOMREQUEST, request.method)
    option(pycurl.HTTPHEADER, [*lines, *OWN_HEADERS])
    option(pycurl.HEADERFUNCTION, handle.call.headers.append)


def find_ca_bundle() -> str:
    """Return the file of trusted certificates: the operator's, the machine's, or certifi's."""
    named = os.environ.get("SSL_CERT_FILE") or ssl.get_default_verify_paths().cafile
    for candidate in (named, "/etc/ssl/certs/ca-certificates.crt"):
        if candidate and Path(candidate).is_file():
            return candidate
    return certifi.where()


def exchange_once(outlet: Exchange, request: Request, timeout: float = 30.0) -> Response:
    """Send one request and wait for its response. Raises ExchangeFailed."""
    outlet.start(request, None)
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        for _, outcome in outlet.poll(1.0):
            if isinstance(outcome, ExchangeFailed):
                raise outcome
            return outcome
    raise ExchangeFailed("timeout", f"no answer within {timeout:g} s", outcome_unknown=True)


@contextmanager
def open_outlet(
    guard: AddressGuard, timeout: float = 20.0, mail_server: smtp.Server | None = None
) -> Iterator[Outlet]:
    """Open an Outlet and close it again."""
    opened = Outlet(guard, timeout, mail_server)
    try:
        yield opened
    finally:
        opened.close()
