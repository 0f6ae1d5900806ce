"""Break the code at random places, one at a time, and list those of which no test took notice.

    make mutants                                               40 places
    make mutants ARGS="--places 5 --seed 7 intake/accept.py"  5 places in the files that begin so

Each place is broken in a copy of the tree; then the nearest files of tests are run there until one fails. What
survives wants a test, or does the same as before; a few are noticed only by tests that are further away, and what
only PostgreSQL runs only where TEST_DATABASE_URL names one.

Small and our own: mutmut wants all tests run once to know who calls what, in processes that it forks, and makes
every mutant there is (8,000 here); cosmic-ray breaks the tree in place, and runs one set of tests for all.
"""

from __future__ import annotations

import argparse
import difflib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Collection
from pathlib import Path

from tests.mutants.breaking import Break, breaks
from tests.mutants.nearness import nearest

TOP = Path(__file__).parents[2]
AREAS = (
    "actions/",
    "intake/",
    "limits/",
    "sending/",
    "streaming/",
    "sweeping/",
    "models/",
    "lib/",
    "destinations/",
)
LEFT_OUT = (".git", ".venv", "var", "node_modules", "__pycache__", ".*_cache")
TIMEOUT = 150.0  # seconds of one run of tests; what takes longer hangs, which is noticed


def main() -> int:
    """Break so many places; return whether a break went unnoticed, or what noticed one fails without it too."""
    asked = arguments()
    outcomes: Counter[str] = Counter()
    noticing = set()
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copy = copied(Path(folder) / "broken")
        places = sample(copy, asked.files, asked.places, random.Random(asked.seed))
        for number, (file, place) in enumerate(places, 1):
            began = time.monotonic()
            outcome, test = try_out(copy, file, place)
            outcomes[outcome] += 1
            noticing |= {test} - {""}
            line, *changes = diff(copy, file, place)
            print(f"{number:3} {outcome:8} {time.monotonic() - began:4.0f} s  {line}  {test}", flush=True)
            print(
                *[f"      {change}\n" for change in changes if outcome == "survived"], sep="", end="", flush=True
            )
        whole = copied(Path(folder) / "whole")
        crying = [test for test in sorted(noticing) if run(whole, [test])[0] != "survived"]
    print(f"seed {asked.seed}: " + ", ".join(f"{count} {outcome}" for outcome, count in outcomes.most_common()))
    for test in crying:
        print(f"{test} fails where nothing is broken: what it noticed means nothing")
    return int(outcomes["survived"] > 0 or bool(crying))


def arguments() -> argparse.Namespace:
    """Return what was asked for."""
    parser = argparse.ArgumentParser(prog="make mutants", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--places", type=int, default=40, help="how many (40)")
    parser.add_argument(
        "--seed", type=int, default=random.randrange(10_000), help="the same seed, the same places"
    )
    parser.add_argument("files", nargs="*", default=AREAS, help="beginnings of files under eventsinks/")
    return parser.parse_args()


def sample(top: Path, beginnings: Collection[str], count: int, dice: random.Random) -> list[tuple[Path, Break]]:
    """Return so many places of the files that begin so; each file is as likely as another, however long."""
    files = [file.relative_to(top) for file in sorted((top / "eventsinks").rglob("*.py"))]
    wanted = [file for file in files if str(Path(*file.parts[1:])).startswith(tuple(beginnings))]
    left = {file: found for file in wanted if (found := breaks((top / file).read_text("utf-8")))}
    chosen = []
    while left and len(chosen) < count:
        file = dice.choice(list(left))
        chosen.append((file, left[file].pop(dice.randrange(len(left[file])))))
        if not left[file]:
            del left[file]
    return chosen


def copied(folder: Path) -> Path:
    """Copy the tree into a new folder, with the same packages, and return that."""
    shutil.copytree(TOP, folder, ignore=shutil.ignore_patterns(*LEFT_OUT))
    (folder / ".venv").symlink_to(TOP / ".venv")
    return folder


def try_out(copy: Path, file: Path, place: Break) -> tuple[str, str]:
    """Break the copy at a place, run the nearest tests, mend it, and return what came of it."""
    source = (copy / file).read_text("utf-8")
    tests = nearest(copy, file, owner(source, place))
    (copy / file).write_text(place.of(source), "utf-8")
    try:
        return run(copy, tests)
    finally:
        (copy / file).write_text(source, "utf-8")


def owner(source: str, place: Break) -> str:
    """Return the name of the function or class in which a place is, or which stands before it; "" at the top."""
    before = source.encode()[: place.start].decode()
    names: list[str] = re.findall(r"^ *(?:def|class) (\w+)", before, re.MULTILINE)
    return names[-1] if names else ""


def run(copy: Path, tests: Collection[str]) -> tuple[str, str]:
    """Run tests in a copy of the tree until one fails. Return `survived`, `noticed` or `hung`, and what failed."""
    options = ["-x", "-q", "-p", "no:cacheprovider", "--no-header", "--show-capture=no", "--tb=no"]
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", *options, *tests],
        cwd=copy,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        said, _ = process.communicate(timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return "hung", ""
    failed = re.search(r"^(?:FAILED|ERROR) ([^\s\[]+)", said, re.MULTILINE)
    return ("noticed" if process.returncode else "survived"), (failed[1] if failed else "")


def diff(top: Path, file: Path, place: Break) -> list[str]:
    """Return where a break is, and then what it changes, as lines."""
    source = (top / file).read_text("utf-8")
    number = source.encode()[: place.start].count(b"\n") + 1
    lines = difflib.unified_diff(source.splitlines(), place.of(source).splitlines(), lineterm="", n=1)
    return [f"{file}:{number}", *[line for line in lines if not line.startswith(("---", "+++", "@@"))]]


if __name__ == "__main__":
    sys.exit(main())
