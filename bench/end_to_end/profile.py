"""The functions in which web and worker spend their time, by py-spy if it is installed."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

TOP = 15  # lines
RATE = 200  # samples a second
PATIENCE = 60  # seconds for py-spy to write
PARTS = ("web", "worker")


@contextlib.contextmanager
def profile(pids: dict[str, list[int]], seconds: float, var: Path) -> Iterator[None]:
    """Sample web and worker while the block runs, for so many seconds at least, and print their top lines."""
    program = shutil.which("py-spy")
    if program is None:
        print("   no py-spy here, so no profile")
        yield
        return
    options = ["--subprocesses", "--gil", "--format", "raw", "--rate", str(RATE)]
    running = [
        subprocess.Popen(
            [
                *(program, "record", *options, "--duration", str(int(seconds + 1))),
                *("--output", str(var / f"{part}.profile"), "--pid", str(pids[part][0])),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for part in PARTS
    ]
    yield
    for part, process in zip(PARTS, running, strict=True):
        process.wait(PATIENCE)
        print(f"   {part}, share of the samples by function:")
        for share, name in find_top(var / f"{part}.profile"):
            print(f"   {share:>7.1%}  {name}")


def find_top(path: Path) -> list[tuple[float, str]]:
    """Return the functions that were running most often, each with its share of the samples."""
    counts: Counter[str] = Counter()
    for line in path.read_text().splitlines() if path.exists() else ():
        stack, _, number = line.rpartition(" ")
        counts[stack.rpartition(";")[2]] += int(number)
    return [(number / counts.total(), name) for name, number in counts.most_common(TOP)]
