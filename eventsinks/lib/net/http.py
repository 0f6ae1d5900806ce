"""The one way out: many exchanges with the outside at once, over libcurl's multi interface.

The address guard checks each socket when it is opened, with the address that is dialled. So neither DNS rebinding
nor a second A record gets around it. There are no redirects, no proxies and no cookies, one deadline for the whole
exchange, and a cap on what is read. Mail goes only to the operator's own server (lib/net/smtp.py).
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Protocol

import pycurl

from eventsinks.lib.net import smtp
from eventsinks.lib.net.addresses import AddressGuard
from eventsinks.lib.net.call import CAP, Call, Outcome
from eventsinks.lib.net.handles import make_handle, prepare_handle
from eventsinks.lib.net.wire import ExchangeFailed, Request, Response

__all__ = ["CAP", "Exchange", "Outcome", "Outlet", "exchange_once", "open_outlet"]

KEPT_ALIVE = 1100  # connections, idle or not: more than are ever in flight, otherwise none would be reused

EPOLL_OF = {
    pycurl.POLL_IN: select.EPOLLIN,
    pycurl.POLL_OUT: select.EPOLLOUT,
    pycurl.POLL_INOUT: select.EPOLLIN | select.EPOLLOUT,
}


class Exchange(Protocol):
    """What the engine needs from the outside: start requests, and collect their outcomes."""

    @property
    def in_flight(self) -> int:
        """Return how many exchanges are in flight."""

    @property
    def rested(self) -> float:
        """Return for how many seconds `poll` has waited because there was nothing to do."""

    def start(self, request: Request, token: Any) -> None:
        """Begin an exchange. `token` comes back with its outcome."""

    def poll(self, wait: float) -> list[tuple[Any, Outcome]]:
        """Let exchanges proceed for at most `wait` seconds; return those that ended, as soon as any did."""

    def wake(self) -> None:
        """End the current wait of `poll`, or the next one. Any thread may call it."""

    def close(self) -> None:
        """Drop everything that is open."""


class Outlet:
    """An Exchange with the real world. One thread uses it, but any thread may call `wake`.

    `timeout` is the deadline for the whole exchange, in seconds. `mail_server` is the operator's, if there is one.
    """

    def __init__(self, guard: AddressGuard, timeout: float = 20.0, mail_server: smtp.Server | None = None) -> None:
        self.in_flight = 0
        self.rested = 0.0
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
        self._resting: set[int] = set()  # those of them for which nobody waits: idle connections
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._watch)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._set_timer)
        self._multi.setopt(pycurl.M_MAXCONNECTS, KEPT_ALIVE)

    def start(self, request: Request, token: Any) -> None:
        """Begin an exchange. If it can't begin, it ends as ExchangeFailed(`bad_request`)."""
        # A handle keeps its options, so a handle for SMTP never does HTTP, nor the reverse.
        idle = self._idle[smtp.MailCall if request.method == smtp.MAIL else Call]
        handle = idle.pop() if idle else make_handle(request.method, self._guard, self._timeout)
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
        """End the current wait of `poll`, or the next one. Any thread may call it. Many calls count as one."""
        os.eventfd_write(self._bell, 1)

    def close(self) -> None:
        """Drop everything that is open."""
        self._multi.close()
        self._epoll.close()
        os.close(self._bell)

    def _turn(self, wait: float) -> None:
        """Wait for sockets or curl's timer, at most `wait` seconds, and let curl act on them."""
        if self._wake_at is not None:
            wait = max(0.0, min(wait, self._wake_at - time.monotonic()))
        began = time.monotonic()
        heard = self._epoll.poll(wait, 1024)
        if wait:
            self.rested += time.monotonic() - began
        for descriptor, events in heard:
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
        """Wait for the events that curl asks for.

        An idle connection stays in the epoll: it is likely to be used again soon.
        """
        if what == pycurl.POLL_REMOVE:
            self._resting.add(descriptor)
        elif descriptor in self._watched:
            self._resting.discard(descriptor)
            try:
                self._epoll.modify(descriptor, EPOLL_OF[what])
            except FileNotFoundError:  # it was closed while idle, and this is a new one with the same number
                self._epoll.register(descriptor, EPOLL_OF[what])
        else:
            self._watched.add(descriptor)
            self._epoll.register(descriptor, EPOLL_OF[what])

    def _forget(self, descriptor: int) -> None:
        """Stop waiting for an idle connection: the far end closed it, or sent something that nobody asked for."""
        self._resting.discard(descriptor)
        self._watched.discard(descriptor)
        with suppress(OSError):  # we closed it, and that took it out of the epoll
            self._epoll.unregister(descriptor)

    def _set_timer(self, milliseconds: int) -> None:
        self._wake_at = None if milliseconds < 0 else time.monotonic() + milliseconds / 1000


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
