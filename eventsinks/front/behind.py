"""The door behind all others: a WSGI application in threads, a few of which are for what talks to the world."""

from __future__ import annotations

from wsgiref.types import WSGIApplication

from eventsinks.front.answers import WholeAnswer, WholeRequest
from eventsinks.front.counts import BUSY, WAITING
from eventsinks.front.threads import Threads
from eventsinks.front.worldly import is_worldly
from eventsinks.front.wsgi import call_application


class DoorBehind:
    """Answers requests by a WSGI application. `threads` answer; `worldly` more answer what may hang."""

    def __init__(self, application: WSGIApplication, threads: int, worldly: int, waiting: int) -> None:
        self._application = application
        self._threads = Threads("web", threads, waiting)
        self._worldly = Threads("world", worldly, waiting)
        observe_pool("web", self._threads)
        observe_pool("world", self._worldly)

    async def __call__(self, request: WholeRequest) -> WholeAnswer:
        """Return the answer. Raises Refusal where too many wait, Gone, and what the application raises."""
        pool = self._worldly if is_worldly(request) else self._threads
        return await pool.run(
            request.caller, lambda: call_application(self._application, request), request.is_gone
        )


def observe_pool(name: str, pool: Threads) -> None:
    """Have the metrics tell how busy a pool is."""
    BUSY.labels(name).set_function(lambda: pool.busy)
    WAITING.labels(name).set_function(lambda: pool.waiting)
