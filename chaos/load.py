"""The load: threads that post events, each until it is answered with 2xx, and remember what was accepted."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections import Counter
from dataclasses import dataclass

from chaos.names import OWED

HOST = "127.0.0.1"
PATHS = {"audit": "/api/events/audit", "flow": "/api/events/network-traffic"}
PATIENCE = 10.0  # seconds for one answer
AGAIN = 0.1  # seconds
# How many of a kind are posted, of a hundred. Slack's stand-in takes one message a second, as Slack does.
SHARES = {"alert": 46, "page": 12, "chat": 2, "ordered": 10, "audit": 18, "flow": 12}


@dataclass(frozen=True, slots=True)
class Accepted:
    """An event that was answered with 2xx, when (monotonic seconds), and how often it was posted until then."""

    event: str
    kind: str
    at: float
    posts: int


class Load:
    """All that is posted: `rate` events a second, one thread for each kind."""

    def __init__(self, port: int, key: str, rate: float) -> None:
        self._port, self._key = port, key
        self.accepted: list[Accepted] = []
        self.statuses: Counter[int] = Counter()
        self._numbers: Counter[str] = Counter()
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._rate = rate

    def start(self) -> None:
        """Begin, or begin again."""
        self._stopping.clear()
        self._threads = [threading.Thread(target=self._post_all, args=[kind], daemon=True) for kind in OWED]
        for thread in self._threads:
            thread.start()

    def stop(self, seconds: float = 90.0) -> None:
        """Post nothing new, and wait until all that was posted is accepted. Raises TimeoutError."""
        self._stopping.set()
        until = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
            if thread.is_alive():
                raise TimeoutError(f"something is not accepted within {seconds:g} s")

    def _post_all(self, kind: str) -> None:
        pause = 100 / (self._rate * SHARES[kind])
        while not self._stopping.wait(pause):
            self._numbers[kind] += 1
            self._post_until_accepted(kind, f"chaos-{kind}-{self._numbers[kind]:06}")

    def _post_until_accepted(self, kind: str, event: str) -> None:
        posts = 1
        while not self._post(kind, event):
            posts += 1
            time.sleep(AGAIN)
        self.accepted.append(Accepted(event, kind, time.monotonic(), posts))

    def _post(self, kind: str, event: str) -> bool:
        """Return whether the event was accepted."""
        client = http.client.HTTPConnection(HOST, self._port, timeout=PATIENCE)
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        try:
            client.request("POST", PATHS.get(kind, "/v1/detection_alert"), make_document(kind, event), headers)
            status = client.getresponse().status
        except (OSError, http.client.HTTPException):
            status = 0
        finally:
            client.close()
        self.statuses[status] += 1
        return 200 <= status < 300


def make_document(kind: str, event: str) -> bytes:
    """Return the document of an event. Its id is in it where each destination shows it."""
    if kind == "audit":
        code = {
            "activity": "Policy added",
            "activity_code": "policy.add",
            "initiator_id": "u-1",
            "target_id": "p-1",
        }
        return json.dumps(
            {"id": event, "timestamp": "2026-05-04T09:30:00Z", **code, "meta": {"name": event}}
        ).encode()
    if kind == "flow":
        ends = {"source": {"id": "p1", "type": "PEER"}, "destination": {"id": "p2", "type": "PEER"}}
        told = [{"type": "TYPE_START", "timestamp": "2026-05-04T09:30:00Z"}]
        more = {"flow_id": event, "reporter_id": "p1", "protocol": 6, "direction": "EGRESS", "events": told}
        return json.dumps({"id": event, **ends, **more}).encode()
    return json.dumps({"id": event, "name": event, "severity": "High", "tags": [kind]}).encode()
