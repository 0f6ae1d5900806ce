"""The door before Django, in this process, and Django alone beside it."""

from __future__ import annotations

import asyncio
import functools
import json
import threading

import pytest

from eventsinks.door.door import EventsDoor
from eventsinks.front.answers import WholeRequest
from eventsinks.front.behind import DoorBehind
from project import wsgi

BOUND = 40  # requests that may wait
ALERTS = "/v1/detection_alert"


@functools.cache
def get_django():
    """Return Django alone, with its threads, which never end."""
    return DoorBehind(wsgi.application, threads=4, worldly=1, waiting=100)


class Road:
    """A way to post: through the door, or to Django alone. It runs on an event loop in a thread."""

    def __init__(self):
        self.django = get_django()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.door = EventsDoor(self.django, BOUND)

    def post(self, key, document, path=ALERTS, *, alone=False, wait=True, gone=False, **headers):
        """Post a document, or bytes as they are. Return the answer, or a future of it."""
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        named = {"authorization": f"Bearer {key}", "content-type": "application/json", "host": "localhost"}
        named |= {name.replace("_", "-"): value for name, value in headers.items()}
        scope = {
            "type": "http",
            "method": "POST",
            "path": path,
            "query_string": b"",
            "http_version": "1.1",
            "headers": [
                (b"content-length", str(len(body)).encode()),
                *[(name.encode(), value.encode("latin1")) for name, value in named.items() if value is not None],
                (b"x-request-id", b"0" * 32),
            ],
        }
        request = WholeRequest(scope, body, "127.0.0.1", key, "0" * 32, lambda: gone)
        future = asyncio.run_coroutine_threadsafe((self.django if alone else self.door)(request), self.loop)
        return future.result(30) if wait else future

    def learn(self, key, path=ALERTS, document=None, **headers):
        """Let Django answer the first request of a kind."""
        answer = self.post(key, document or {"name": "first", "severity": "Low"}, path, **headers)
        assert answer.status == 200, answer.body
        return self

    def close(self):
        """End the threads."""
        self.door.close()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()


@pytest.fixture
def road(transactional_db):
    """Return the road of a new web process."""
    made = Road()
    yield made
    made.close()


@pytest.fixture
def taken(monkeypatch):
    """Count the requests that go on to Django."""
    asked = []
    ask = DoorBehind.__call__

    async def counting(self, request):
        asked.append(request)
        return await ask(self, request)

    monkeypatch.setattr(DoorBehind, "__call__", counting)
    return asked
