"""CPU-seconds of processes and all their descendants, as the operating system counts them."""

from __future__ import annotations

import contextlib

import psutil


def used(pids: list[int]) -> float:
    """Return the user and system seconds of these processes and all their children, alive or dead."""
    total = 0.0
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
            total += used([child.pid for child in process.children()])
    return total
