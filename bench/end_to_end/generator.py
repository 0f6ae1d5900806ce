"""The load: posts events over kept connections, in a process of its own, whose cost does not count.

It fails if any answer is not 2xx. It writes when each POST was due or sent, and when it was answered, to a file.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import subprocess
import sys
import time
from array import array
from collections import deque
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.end_to_end.documents import make_body, make_template
from bench.receiver import END
from eventsinks.management.processes import make_preexec

ROOT = Path(__file__).resolve().parent.parent.parent
PATIENCE = 60.0  # seconds for one answer


@dataclass(frozen=True, slots=True)
class Load:
    """What to post where. `rate` 0: each connection posts again when it has its answer."""

    port: int
    path: str
    key: str
    kind: str
    array: bool  # whether a body is an array
    each: int  # events in a POST
    connections: int
    first: int  # the first number
    seconds: float
    rate: float  # POSTs a second


@dataclass(frozen=True, slots=True)
class Posted:
    """What was posted: when each POST was sent, or was due if there is a rate, and when it was answered."""

    sent: array[float]
    answered: array[float]


def post_load(load: Load, path: Path) -> Posted:
    """Post in another process, which writes the times to `path`, and return them. Raises CalledProcessError."""
    command = [sys.executable, "-m", "bench.end_to_end.generator", json.dumps(asdict(load)), str(path)]
    subprocess.run(command, cwd=ROOT, check=True, preexec_fn=make_preexec(os.getpid()))
    times: array[float] = array("d", path.read_bytes())
    return Posted(times[: len(times) // 2], times[len(times) // 2 :])


class Wire:
    """One kept connection."""

    def __init__(self, load: Load) -> None:
        self.socket = socket.create_connection(("127.0.0.1", load.port), PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.post = 0  # the number of the POST that is under way
        self._kept = b""

    def take_answer(self) -> bool:
        """Read what came. Return whether the answer is whole. Raises SystemExit if it is not 2xx."""
        data = self.socket.recv(262_144)
        self._kept += data
        if not data:
            raise SystemExit(f"the server closed a connection after {self._kept[:500]!r}")
        head = self._kept.find(END)
        if head < 0:
            return False
        length = self._kept[:head].lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        if not length and self._kept[9:12] != b"204":
            raise SystemExit(f"an answer without a length: {self._kept[:500]!r}")
        if len(self._kept) < head + len(END) + int(length or 0):
            return False
        if self._kept[9:10] != b"2":
            raise SystemExit(f"not accepted: {self._kept[:1000]!r}")
        self._kept = b""
        return True


class Generator:
    """Posts one load."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._template = make_template(load.kind)
        self._wires = {wire.socket.fileno(): wire for wire in (Wire(load) for _ in range(load.connections))}
        self._idle = deque(self._wires.values())
        self._head = (
            f"POST {load.path} HTTP/1.1\r\nHost: 127.0.0.1:{load.port}\r\nContent-Type: application/json\r\n"
            f"Authorization: {load.key}\r\nContent-Length: "
        ).encode()
        self.sent: array[float] = array("d")
        self.answered: array[float] = array("d")
        self._epoll = select.epoll()
        for descriptor in self._wires:
            self._epoll.register(descriptor, select.EPOLLIN)

    def run(self) -> None:
        """Post until the time is over, and wait for the last answers."""
        began = time.monotonic()
        until = began + self._load.seconds
        while (now := time.monotonic()) < until or len(self._idle) < len(self._wires):
            while self._idle and now < until and self._due(began) <= now:
                self._post(self._idle.popleft(), self._due(began) if self._load.rate else time.monotonic())
            found = self._epoll.poll(self._pause(began, now))
            if not found and now > until + PATIENCE:
                raise SystemExit(f"no answer within {PATIENCE:g} s")
            for descriptor, _ in found:
                wire = self._wires[descriptor]
                if wire.take_answer():
                    self.answered[wire.post] = time.monotonic()
                    self._idle.append(wire)

    def _due(self, began: float) -> float:
        return began + len(self.sent) / self._load.rate if self._load.rate else began

    def _pause(self, began: float, now: float) -> float:
        """Return the seconds until the next POST is due, if a connection is idle and there is still time."""
        posts = self._idle and self._load.rate and now < began + self._load.seconds
        return max(self._due(began) - now, 0) if posts else 0.1

    def _post(self, wire: Wire, sent: float) -> None:
        load = self._load
        wire.post = len(self.sent)
        body = make_body(self._template, load.first + wire.post * load.each, load.each, array=load.array)
        self.sent.append(sent)
        self.answered.append(0.0)
        wire.socket.sendall(self._head + str(len(body)).encode() + END + body)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        generator = Generator(Load(**json.loads(sys.argv[1])))
        generator.run()
        Path(sys.argv[2]).write_bytes(generator.sent.tobytes() + generator.answered.tobytes())
