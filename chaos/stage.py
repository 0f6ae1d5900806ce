"""The stage of a run: its servers, the product, the load and the far ends, started and ended together."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaos.broker import Broker
from chaos.far_ends import Bucket, FarEnds, run_far_ends
from chaos.load import Load
from chaos.machine import call, make_small_disk, may_mount
from chaos.postgresql import Cluster
from chaos.product import Product
from chaos.sqlite import File
from chaos.world import World

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run does: until so many kills, or so many seconds. `rate`: events a second."""

    database: str
    seed: int
    kills: int
    seconds: float
    rate: float
    replicas: bool


@dataclass(slots=True)
class Stage:
    """Everything that runs."""

    plan: Plan
    world: World
    load: Load
    ends: FarEnds
    bucket: Bucket
    say: Say


@contextmanager
def set_up(plan: Plan, folder: Path, say: Say) -> Iterator[Stage]:
    """Start everything. End everything after the block, by the ids that are known here."""
    dice = random.Random(plan.seed)
    small = may_mount()
    if not small:
        say("no disk becomes full: only root may make a small one here")

    def make_disk(name: str) -> Path:
        disk = folder / name
        disk.mkdir(mode=0o755)
        if small:
            make_small_disk(disk)
            stack.callback(call, "umount", "--lazy", str(disk))
        return disk

    with ExitStack() as stack:
        var = make_disk("var")
        database: Any = Cluster(folder, make_disk) if plan.database == "postgresql" else File(var)
        stack.callback(database.close)
        broker = Broker(folder, embedded=plan.database == "sqlite")
        stack.callback(broker.close)
        ends, bucket = stack.enter_context(run_far_ends(folder, random.Random(plan.seed + 1)))
        far = ends.receiver.url("")
        product = Product(folder, var, database.url, broker.url, far, bucket.url)
        stack.callback(product.close)
        key = product.prepare(far)["key"]
        if plan.replicas:
            database.add_replica(synchronous=True)
        product.start()
        load = Load(product.port, key, plan.rate)
        world = World(product, database, broker, dice, small)
        yield Stage(plan, world, load, ends, bucket, say)
