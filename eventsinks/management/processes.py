"""A family of child processes: started together, stopped in order, and never left running."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import FrameType
from typing import IO, Any

PR_SET_PDEATHSIG = 1  # of prctl(2)
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LOOK_AGAIN = 0.05  # seconds between two checks of the children

libc: Any = ctypes.CDLL(None)


class Fallen(Exception):
    """A child ended by itself, or did not start."""


class Interrupted(Exception):
    """Somebody asked us to stop while we were still starting."""


class StopRequests:
    """Counts Ctrl-C, SIGTERM and SIGHUP from its creation on. One asks for a stop, two for a quick stop."""

    def __init__(self) -> None:
        self.count = 0
        for number in STOP_SIGNALS:
            signal.signal(number, self._heard)

    def _heard(self, _number: int, _frame: FrameType | None) -> None:
        self.count += 1


@dataclass(frozen=True, slots=True)
class Child:
    """One child. If `stops_last`, the others need it until they end."""

    name: str
    process: subprocess.Popen[bytes]
    stops_last: bool


class Family:
    """The children of this process. They write to `output`, by default where we write.

    Each has its own session, so that Ctrl-C reaches only us. Each gets SIGTERM if we are killed.
    """

    def __init__(self, requests: StopRequests, patience: float, output: IO[bytes] | None = None) -> None:
        self._requests = requests
        self._patience = patience
        self._output = output
        self._children: list[Child] = []

    def start(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        told: str = "",
        stops_last: bool = False,
    ) -> None:
        """Start one child. `told` goes to its standard input without echo: `command` must not contain secrets."""
        process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.PIPE if told else subprocess.DEVNULL,
            stdout=subprocess.DEVNULL if told else self._output,
            stderr=self._output,
            start_new_session=True,
            preexec_fn=make_preexec(os.getpid()),
        )
        self._children.append(Child(name, process, stops_last))
        if process.stdin is not None:
            with suppress(BrokenPipeError), process.stdin:
                process.stdin.write(told.encode())

    def check(self) -> None:
        """Raise Fallen if a child has ended, Interrupted if somebody asked for a stop."""
        if self._requests.count:
            raise Interrupted
        for child in self._children:
            status = child.process.poll()
            if status is not None:
                raise Fallen(f"the {child.name} ended by itself ({describe_status(status)})")

    def wait_until(self, ready: Callable[[], bool], seconds: float, what: str) -> None:
        """Wait until `ready`. Raises Fallen after `seconds`, with `what` as the thing that did not happen."""
        until = time.monotonic() + seconds
        while not ready():
            self.check()
            if time.monotonic() > until:
                raise Fallen(f"{what} did not happen within {seconds:g} s")
            time.sleep(LOOK_AGAIN)

    def watch(self) -> None:
        """Wait until somebody asks for a stop. Raises Fallen if a child ends before."""
        with suppress(Interrupted):
            while True:
                self.check()
                time.sleep(LOOK_AGAIN * 4)

    def kill(self, name: str) -> None:
        """Kill a child and its processes at once."""
        for child in self._children:
            if child.name == name:
                sweep_away(child.process)

    def stop(self) -> None:
        """Let the children finish their current work, the broker's users first. Then kill what is left of them."""
        for last in (False, True):
            group = [child for child in self._children if child.stops_last is last]
            for child in group:
                if child.process.poll() is None:
                    child.process.terminate()
            self._wait(group)
            for child in group:
                sweep_away(child.process)
        self._children.clear()

    def _wait(self, group: Sequence[Child]) -> None:
        until = time.monotonic() + self._patience
        while time.monotonic() < until and self._requests.count < 2:
            if all(child.process.poll() is not None for child in group):
                return
            time.sleep(LOOK_AGAIN)


def make_preexec(parent: int) -> Callable[[], None]:
    """Return the function that a child runs before its program, so that it does not outlive `parent`."""

    def tie() -> None:
        if sys.platform == "linux":
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() != parent:  # the parent died before the line above
                os._exit(1)

    return tie


def sweep_away(process: subprocess.Popen[bytes]) -> None:
    """Kill the rest of a child's session: its main process, or helpers that lost theirs."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def describe_status(status: int) -> str:
    """Return an exit status in words."""
    if status < 0:
        return f"killed by {signal.Signals(-status).name}"
    return f"exit status {status}"
