"""The far ends of all sinks: each notes in a file, which others map, when each number arrived.

Run as a program with the number of ports and the path of the file, it prints the ports. Its cost does not count.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from bench import receiver
from bench.end_to_end.documents import find_numbers
from eventsinks.management.processes import make_preexec

ROOT = Path(__file__).resolve().parent.parent.parent
MOST = 1 << 24  # numbers of one run
HEAD = 8  # values before the first time: the three below, and room
UNIQUE, REPEATED, REQUESTS = 0, 1, 2
BYTES = 8  # of a value


class Arrivals:
    """The file: how many arrived, and when each number arrived at each port. It is sparse until it is used."""

    def __init__(self, path: Path, ports: int) -> None:
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), (HEAD + ports * MOST) * BYTES)
        self._counts = memoryview(self._map)[: HEAD * BYTES].cast("q")
        self._times = memoryview(self._map)[HEAD * BYTES :].cast("d")

    @property
    def unique(self) -> int:
        """How many pairs of a port and a number arrived."""
        return self._counts[UNIQUE]

    @property
    def repeated(self) -> int:
        """How many such pairs arrived once more."""
        return self._counts[REPEATED]

    @property
    def requests(self) -> int:
        """How many requests had a number in them."""
        return self._counts[REQUESTS]

    def note(self, port: int, body: bytes) -> None:
        """Note what is in a request. Only the first arrival of a number is kept."""
        now, numbers = time.monotonic(), find_numbers(body)
        self._counts[REQUESTS] += bool(numbers)
        for number in numbers:
            at = port * MOST + number
            if self._times[at]:
                self._counts[REPEATED] += 1
            else:
                self._times[at] = now
                self._counts[UNIQUE] += 1

    def read(self, port: int, first: int, count: int) -> memoryview[float]:
        """Return when these numbers arrived at a port, 0 for those that did not."""
        if first + count > MOST:
            raise SystemExit(f"a run may not have more than {MOST:,} events: choose fewer rounds or seconds")
        return self._times[port * MOST + first : port * MOST + first + count]


class FarEnds:
    """The running far ends: their ports, and what arrived."""

    def __init__(self, ports: list[int], arrivals: Arrivals) -> None:
        self.ports = ports
        self.arrivals = arrivals


@contextlib.contextmanager
def run_far_ends(count: int, path: Path) -> Iterator[FarEnds]:
    """Run so many far ends until the block ends."""
    with path.open("wb") as file:
        file.truncate((HEAD + count * MOST) * BYTES)
    command = [sys.executable, "-m", "bench.end_to_end.far_end", str(count), str(path)]
    tie = make_preexec(os.getpid())
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, preexec_fn=tie) as process:
        try:
            assert process.stdout
            yield FarEnds([int(port) for port in process.stdout.readline().split()], Arrivals(path, count))
        finally:
            process.terminate()


if __name__ == "__main__":
    receiver.serve(int(sys.argv[1]), Arrivals(Path(sys.argv[2]), int(sys.argv[1])).note)
