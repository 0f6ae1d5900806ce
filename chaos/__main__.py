"""Chaos: `python -m chaos [--short] [--database sqlite|postgresql|both] [--kills N] [--seed N] [--json FILE]`.

It runs the product with its own database and broker, harms it in every way that we know under load, and compares
what was accepted with what arrived. It exits with 1 if a promise is broken. docs/chaos.md says what it does.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import time
from dataclasses import asdict
from pathlib import Path

from chaos.machine import Lacking, find_postgresql
from chaos.run import run, stop_on_signals
from chaos.stage import Plan, Say
from chaos.table import write_table

LONG = (1000, 7200.0)  # kills and seconds on each database
SHORT = (30, 70.0)


def main() -> int:
    """Run, print, and return the exit status."""
    options = read_options()
    stop_on_signals()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chaos.settings")
    databases = ["postgresql", "sqlite"] if options.database == "both" else [options.database]
    if "postgresql" in databases:
        try:
            find_postgresql()
        except Lacking as error:
            print(error)
            return 2
    print(f"seed {options.seed}", flush=True)
    kills, seconds = SHORT if options.short else LONG
    found = {}
    for name in databases:
        plan = Plan(
            *(name, options.seed, options.kills or kills, options.seconds or seconds, options.rate),
            replicas=name == "postgresql",
        )
        found[name] = run(plan, make_say(name), options.keep)
        print(write_table(name, found[name]), flush=True)
    if options.json:
        told = {name: asdict(one) for name, one in found.items()}
        options.json.write_text(json.dumps({"seed": options.seed, **told}, indent=2))
    return int(any(one.broken for one in found.values()))


def read_options() -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help=f"{SHORT[0]} kills on each database, not {LONG[0]}")
    parser.add_argument("--database", choices=["sqlite", "postgresql", "both"], default="both")
    parser.add_argument("--kills", type=int, help="so many kills on each database")
    parser.add_argument("--seconds", type=float, help="harms for at most so many seconds on each database")
    parser.add_argument("--rate", type=float, default=15.0, help="events a second (15)")
    parser.add_argument(
        "--seed", type=int, default=random.SystemRandom().randrange(10**6), help="repeats the dice"
    )
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--keep", action="store_true", help="keep the logs")
    return parser.parse_args()


def make_say(name: str) -> Say:
    """Return the function that prints what happens, with the time."""
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"{name:10} {time.monotonic() - began:6.1f} s {text}", flush=True)

    return say


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("stopped")
