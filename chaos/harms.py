"""The harms: which there are, and how often each comes.

A harm returns once the harm is over, not once the system has recovered.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from chaos import kills, troubles
from chaos.traps import WEB, WORKER
from chaos.world import Harm


@dataclass(frozen=True, slots=True)
class Kind:
    """A harm, its part of all harms, how many kills it is, and whether it may lose the record of what was sent."""

    name: str
    do: Harm
    part: float
    kills: int = 0
    forgets: bool = False


def list_harms(vendor: str) -> Sequence[Kind]:
    """Return the harms for one kind of database. Three quarters of them are kills."""
    points = [
        Kind(
            f"killed {point}",
            kills.make_trap(point),
            28 / len(WORKER) if point in WORKER else 3,
            1,
            point in WORKER,
        )
        for point in (*WEB, *WORKER)
    ]
    at_random = [
        Kind("worker killed", kills.kill_worker, 14, 1, forgets=True),
        Kind("web server killed", kills.kill_web, 4, 1),
        Kind("web process killed", kills.kill_web_child, 9, 1),
        Kind("beat killed", kills.kill_beat, 5, 1),
    ]
    others = [
        Kind("worker stopped for a while", troubles.hold_worker, 2),
        Kind("broker killed and empty", troubles.restart_broker, 2),
        Kind("broker stopped for a while", troubles.hold_broker, 2),
        Kind("FLUSHALL", troubles.flush_broker, 2),
        Kind("nudges dropped, doubled, shuffled", troubles.disturb_nudges, 3),
        Kind("disk full", troubles.fill_the_disk, 1.5, forgets=True),
    ]
    at_database = [
        Kind("database restarted at once", troubles.restart_database, 2.5, forgets=True),
        Kind("database stopped for a while", troubles.hold_database, 2, forgets=True),
        Kind("connections ended", troubles.end_connections, 2, forgets=True),
        Kind("statements cancelled", troubles.cancel_statements, 2, forgets=True),
        Kind("rows locked in a wrong order", troubles.lock_rows, 3, forgets=True),
    ]
    at_file = [Kind("SQLite's one writer held", troubles.hold_writer, 4, forgets=True)]
    return [*points, *at_random, *others, *(at_database if vendor == "postgresql" else at_file)]
