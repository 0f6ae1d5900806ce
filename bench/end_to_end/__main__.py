"""What an event costs from its POST until it is received and on record, and how long that takes.

    python -m bench.end_to_end [--database sqlite|postgresql|both] [--seconds N] [--rounds N] [--rows NAME,NAME]
                               [--finished N] [--pending N] [--untended] [--snapshot] [--json FILE] [--profile]

It runs the whole system as `make run` does: web server, worker, beat and broker, on a new database. PostgreSQL
syncs each commit. The cost is the CPU of all of these for each event, or for each delivery where there are
several sinks. The generator and the receiver are processes of their own and cost nothing here. A row ends when all
that was accepted has arrived and is settled; if anything is missing, the bench fails.

Alertmanager (Debian's package prometheus-alertmanager) runs beside it, if it is installed: the same generator,
the same receiver, in the same round. It keeps its alerts in memory and sends one notification for each. The
figures are medians of the rounds, and the ratio is that of the events a CPU-second. Before each measurement
PostgreSQL's tables are vacuumed and analysed, so that no autovacuum comes in between. Where a tenant uses a
feature, its cost is divided by that of the row `hundred`. Where a row has a rate, times count from when a POST
was due, so a system that falls behind shows it. Beside the rows of a stream, which waits for a batch to
fill, what the system costs at rest is taken off. `bench.end_to_end.plot` draws the figures.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
from pathlib import Path
from typing import Any

from bench.end_to_end.alertmanager import find_program, read_version, run_alertmanager
from bench.end_to_end.far_end import run_far_ends
from bench.end_to_end.measure import Measurer
from bench.end_to_end.profile import profile
from bench.end_to_end.rows import ROWS, SINKS, Row
from bench.end_to_end.system import Ours, run_ours
from bench.end_to_end.table import OURS, PEER, Found, summarise, write_table

NO_PEER = "no Alertmanager here"
SHOWN = ("seconds", "rounds", "finished", "pending", "untended", "snapshot")  # options that figures depend on


def main() -> None:
    """Measure on each database, print the tables, and write the figures."""
    options = read_options()
    databases = ["postgresql", "sqlite"] if options.database == "both" else [options.database]
    program = find_program()
    about = describe_machine(program, options)
    print(*(f"{name}: {value}" for name, value in about.items()), sep=", ", flush=True)
    found = {name: compare(name, program, options) for name in databases}
    if options.json:
        options.json.write_text(json.dumps({"about": about, "databases": found}, indent=1) + "\n")


def read_options() -> argparse.Namespace:
    """Return the options of the command."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.end_to_end",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--database", choices=["sqlite", "postgresql", "both"], default="both")
    parser.add_argument("--seconds", type=float, default=5.0, help="for which each row posts (5)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=read_rows, default=ROWS, help=", ".join(row.name for row in ROWS))
    parser.add_argument("--finished", type=int, default=0, help="delivered alerts in the tables before the start")
    parser.add_argument("--pending", type=int, default=0, help="alerts that another tenant's sink owes")
    parser.add_argument("--untended", action="store_true", help="leave vacuum and statistics to autovacuum")
    parser.add_argument("--snapshot", action="store_true", help="hold an old snapshot open in PostgreSQL")
    parser.add_argument("--profile", action="store_true", help="end with the top lines of py-spy, if it is there")
    parser.add_argument("--json", type=Path, help="a file for all figures")
    return parser.parse_args()


def read_rows(names: str) -> tuple[Row, ...]:
    """Return the rows of these names. Raises ValueError."""
    asked = names.split(",")
    unknown = set(asked) - {row.name for row in ROWS}
    if unknown:
        raise argparse.ArgumentTypeError(f"no such rows: {', '.join(sorted(unknown))}")
    return tuple(row for row in ROWS if row.name in asked)


def describe_machine(program: str | None, options: argparse.Namespace) -> dict[str, Any]:
    """Return what the figures depend on."""
    return {
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        "Alertmanager": read_version(program) if program else NO_PEER,
        **{name: getattr(options, name) for name in SHOWN},
    }


def compare(database: str, program: str | None, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure all rows on one database. Print the table and return its rows."""
    print(f"\n== {database}", flush=True)
    with tempfile.TemporaryDirectory(prefix="eventsinks-bench-") as folder:
        var = Path(folder)
        with (
            run_far_ends(SINKS + 1, var / "arrivals") as far_ends,  # the last one is S3
            run_ours(database, var, far_ends, options.finished, options.pending) as ours,
        ):
            measurer = Measurer(far_ends, var, tidy=not options.untended)
            held = ours.probe.hold_snapshot() if options.snapshot else None
            found: Found = {}
            for number in range(1, options.rounds + 1):
                for row in options.rows:
                    measure_row(number, row, measurer, ours, program, options.seconds, found)
            rows = summarise(found, NO_PEER)
            print(write_table(rows), flush=True)
            if options.profile:
                with profile(ours.pids, options.seconds, var):
                    measurer.measure_ours(ours, options.rows[0], options.seconds)
            if held:
                held.close()
    return rows


def measure_row(
    number: int,
    row: Row,
    measurer: Measurer,
    ours: Ours,
    program: str | None,
    seconds: float,
    found: Found,
) -> None:
    """Measure a row of ours and then the peer's, and put the figures into `found`."""
    both = {OURS: measurer.measure_ours(ours, row, seconds)}
    if program and row.peer:
        with run_alertmanager(program, measurer.far_ends, row.sinks) as peer:
            both[PEER] = measurer.measure_peer(peer, row, seconds)
    for name, figures in both.items():
        found.setdefault((row.name, name), []).append(figures)
        told = f"{figures['accepted']:,} accepted, {figures['per_cpu_s']:,.0f} for a CPU-second"
        print(f"   round {number}, {row.name}, {name}: {told}, {figures['took_s']:.1f} s", flush=True)


if __name__ == "__main__":
    main()
