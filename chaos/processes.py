"""Processes that a run starts: each in a session of its own, ended by its id, never left running."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from eventsinks.management.processes import make_preexec, sweep_away

ROOT = Path(__file__).resolve().parent.parent
LOOK_AGAIN = 0.05  # seconds


class Program:
    """One program that can be started, killed, stopped for a while, and started again."""

    def __init__(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], log: Path, **options: Any
    ):
        self.name = name
        self.command = list(command)
        self.environment = dict(environment)
        self.log = log
        self._options = options
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, **changes: str) -> None:
        """Start it, with `changes` of its environment."""
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                self.command,
                env={**self.environment, **changes},
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=make_preexec(os.getpid()),
                **self._options,
            )

    @property
    def pid(self) -> int:
        """Its process id, 0 if it was not started."""
        return self.process.pid if self.process else 0

    def runs(self) -> bool:
        """Whether it has not ended."""
        return self.process is not None and self.process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it still runs."""
        if self.process is not None and self.runs():
            self.process.send_signal(number)

    def kill(self) -> None:
        """Kill its main process alone, and wait until it is gone."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(30)

    def sweep_away(self) -> None:
        """Kill it with all of its session."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGCONT)
            sweep_away(self.process)


def wait_until(ready: Callable[[], bool], seconds: float, what: str) -> None:
    """Wait. Raises TimeoutError with `what` as the thing that did not happen."""
    until = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > until:
            raise TimeoutError(f"{what} did not happen within {seconds:g} s")
        time.sleep(LOOK_AGAIN)


def find_free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])
