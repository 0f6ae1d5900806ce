"""The door to Django: a WSGI application in threads, of which a few are for requests that ask other services."""

from __future__ import annotations

from wsgiref.types import WSGIApplication

from eventsinks.front.answers import WholeAnswer, WholeRequest
from eventsinks.front.counts import BUSY, WAITING
from eventsinks.front.threads import Threads
from eventsinks.front.worldly import is_worldly
from eventsinks.front.wsgi import call_application


class DoorBehind:
    """Answers requests with a WSGI application, in `threads`.

    `worldly` more threads serve requests that may hang.
    """

    def __init__(self, application: WSGIApplication, threads: int, worldly: int, waiting: int) -> None:
        self._application = application
        self._threads = Threads("web", threads, waiting)
        self._worldly = Threads("world", worldly, waiting)
        observe_pool("web", self._threads)
        observe_pool("world", self._worldly)

    async def __call__(self, request: WholeRequest) -> WholeAnswer:
        """Return the answer. Raises Refusal if too many wait, Gone, and any error of the application."""
        pool = self._worldly if is_worldly(request) else self._threads
        return await pool.run(
            request.caller, lambda: call_application(self._application, request), request.is_gone
        )


def observe_pool(name: str, pool: Threads) -> None:
    """Let the metrics show how busy a pool is."""
    BUSY.labels(name).set_function(lambda: pool.busy)
    WAITING.labels(name).set_function(lambda: pool.waiting)
