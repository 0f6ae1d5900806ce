"""The cost of a tenant's limits for an alert: `python -m bench.limits [--alerts N] [--sinks N] [--rounds N]`.

It posts alerts one by one through Django, on SQLite or the database in DATABASE_URL, with a real broker, in turns
with and without the limits. It prints medians, their ratio, and the number of Redis calls for each alert.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest import mock

import redis

from bench.deliveries import broker


def main() -> None:
    """Run the measurement with these arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--alerts", type=int, default=300, help="of one measurement")
    parser.add_argument("--sinks", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="eventsinks-bench-") as var, broker(Path(var)) as (_, url):
        os.environ |= {"EVENTSINKS_VAR": var, "REDIS_URL": url, "LOG_LEVEL": "ERROR"}
        os.environ["DJANGO_SETTINGS_MODULE"] = "project.settings"
        measure(options, url)


def measure(options: argparse.Namespace, url: str) -> None:
    """Post in turns with and without limits, and print the time of an alert."""
    post = prepared(options.sinks)
    took: dict[bool, list[float]] = {True: [], False: []}
    post(50)
    with redis.Redis.from_url(url) as client:
        before = asked(client)
        for _ in range(options.rounds):
            for limits in (True, False):
                with nothing() if limits else without_limits():
                    took[limits].append(post(options.alerts) * 1e6 / options.alerts)
        times = (asked(client) - before) / (options.rounds * options.alerts)
    limited, free = (statistics.median(took[limits]) for limits in (True, False))
    print(f"an alert to {options.sinks} sinks: {free:,.0f} µs without limits, {limited:,.0f} µs with them")
    print(f"{limited / free:.3f} times; Redis was asked {times:.3f} times an alert")


def prepared(sinks: int) -> Callable[[int], float]:
    """Make a tenant with its sinks. Return a function that posts so many alerts and returns the seconds."""
    import django

    django.setup()
    from django.core.management import call_command
    from django.test import Client

    from eventsinks.actions import configure
    from eventsinks.actions.tenants import create_tenant, issue_key
    from eventsinks.intake import nudge

    call_command("migrate", verbosity=0)
    nudge.nudge = lambda *_: None
    tenant = create_tenant("Bench")
    for number in range(sinks):
        configure.create(tenant, "webhook", {"url": "https://example.com/"}, name=f"sink {number}")
    key, client = issue_key(tenant)[1], Client(SERVER_NAME="localhost")
    headers = {"Authorization": f"Bearer {key}"}
    body = b'{"name": "Root login", "severity": "High", "description": "%s"}' % (b"x" * 900)

    def post(number: int) -> float:
        began = time.perf_counter()
        for _ in range(number):
            answer = client.post("/v1/detection_alert", body, "application/json", headers=headers)
            assert answer.status_code == 200, answer.content
        return time.perf_counter() - began

    return post


@contextmanager
def without_limits() -> Iterator[None]:
    """Leave out all work for limits on the way of an alert."""
    with ExitStack() as stack:
        for name, instead in {
            "eventsinks.api.limits.take": lambda *_: None,
            "eventsinks.intake.backlog.mark_full": lambda _, verdicts: verdicts,
            "eventsinks.intake.backlog.note_full": lambda *_: 0,
        }.items():
            stack.enter_context(mock.patch(name, instead))
        yield


@contextmanager
def nothing() -> Iterator[None]:
    """Change nothing."""
    yield


def asked(client: redis.Redis) -> int:
    """Return how often Redis ran a script."""
    return int(client.info("commandstats").get("cmdstat_evalsha", {}).get("calls", 0))


if __name__ == "__main__":
    main()
