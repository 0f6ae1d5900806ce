"""One run on one database: servers, load, harms, rest, account."""

from __future__ import annotations

import shutil
import signal
import tempfile
import time
from collections import Counter
from pathlib import Path

from chaos import standing
from chaos.account import Verdict, judge
from chaos.harms import Kind, list_harms
from chaos.names import OWED
from chaos.stage import Plan, Say, Stage, set_up
from chaos.world import Done, World

PAUSES = (0.1, 0.8)  # seconds between two harms
QUIET = 60.0  # seconds without any progress after which a run waits no longer
BREATH = 15.0  # seconds that a run waits at most for a sign of work after a harm
BEHIND = 1.0  # seconds that an asynchronous replica is behind
SAY = 10.0  # seconds between two lines while a run waits
LAST = 300.0  # seconds that all may take to arrive in the end


def run(plan: Plan, say: Say, keep: bool = False) -> Verdict:
    """Run it. Return what came of it."""
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    folder.chmod(0o755)
    try:
        with set_up(plan, folder, say) as stage:
            return play(stage)
    finally:
        if keep:
            say(f"the logs are in {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


def play(stage: Stage) -> Verdict:
    """Do the harms under load, let everything arrive, and account for it."""
    verdict = Verdict()
    began = time.monotonic()
    stage.load.start()
    do_harms(stage, stage.plan.kills * (0.5 if stage.plan.replicas else 1))
    if stage.plan.replicas:
        promote(stage, "primary lost, synchronous replica promoted")
        do_harms(stage, stage.plan.kills)
    harmed = time.monotonic()
    let_rest(stage)
    verdict.figures["seconds of harm"] = round(harmed - began)
    verdict.figures["seconds until all had arrived"] = round(time.monotonic() - harmed)
    finish(stage, verdict)
    if stage.plan.replicas:
        lose_the_last(stage, verdict)
    verdict.figures["seconds"] = round(time.monotonic() - began)
    return verdict


def do_harms(stage: Stage, kills: float) -> None:
    """Do harms until there were so many kills in all, or the time is up."""
    world, dice = stage.world, stage.world.dice
    kinds = list_harms(world.database.vendor)
    until = time.monotonic() + stage.plan.seconds * (0.5 if stage.plan.replicas else 1)
    while count_kills(world) < kills and time.monotonic() < until:
        breathe(stage)
        time.sleep(dice.uniform(*PAUSES))
        world.product.restart_dead(dice)
        (kind,) = dice.choices(kinds, [kind.part for kind in kinds])
        do_harm(stage, kind.name, kind)
    world.product.restart_dead(dice)


def breathe(stage: Stage) -> None:
    """Wait until something is accepted and something arrives, so that the next harm meets a system at work."""
    accepted, taken = len(stage.load.accepted), len(stage.ends.taken)
    until = time.monotonic() + BREATH
    while time.monotonic() < until:
        if len(stage.load.accepted) > accepted and len(stage.ends.taken) > taken:
            return
        stage.world.product.restart_dead(stage.world.dice)
        time.sleep(0.05)


def do_harm(stage: Stage, name: str, kind: Kind) -> None:
    """Do one harm, and note it if it was done."""
    world = stage.world
    done = Done(name, kind.kills, time.monotonic(), forgets=kind.forgets)
    if not kind.do(world):
        return
    done.ended = time.monotonic()
    world.product.restart_dead(world.dice)
    done.sending = max(standing.count(world.database, standing.SENDING), 1) if kind.forgets else 0
    world.done.append(done)
    stage.say(f"{count_kills(world):5} kills  {name}")


def count_kills(world: World) -> int:
    """Return how many kills there were."""
    return sum(done.kills for done in world.done)


def promote(stage: Stage, name: str) -> None:
    """Lose the primary, and promote its replica."""
    database = stage.world.database

    def lose(_: World) -> bool:
        database.promote()
        return True

    do_harm(stage, name, Kind(name, lose, 0, forgets=True))


def let_rest(stage: Stage) -> None:
    """Post nothing more, and wait until nothing is open, or nothing has happened for long."""
    stage.load.stop()
    stage.say(f"      all {len(stage.load.accepted)} are accepted; the rest is on its way")
    world, until = stage.world, time.monotonic() + LAST
    seen, seen_at, said_at = -1, time.monotonic(), time.monotonic()
    while time.monotonic() < min(until, seen_at + QUIET):
        world.product.restart_dead(world.dice)
        left = standing.count(world.database, standing.OPEN)
        if left == 0 and streams_are_over(stage):
            return
        if len(stage.ends.taken) != seen:
            seen, seen_at = len(stage.ends.taken), time.monotonic()
        if time.monotonic() > said_at + SAY:
            stage.say(f"      {left} deliveries are open")
            said_at = time.monotonic()
        time.sleep(1)


def streams_are_over(stage: Stage) -> bool:
    """Whether all that streams must bring is there."""
    wanted = {one.event for one in stage.load.accepted if "s3" in OWED[one.kind]}
    if standing.count(stage.world.database, standing.BATCHES):
        return False
    came = {one.event for one in stage.ends.taken if one.place == "http"}
    return wanted <= came and wanted <= set(stage.bucket.count_events())


def finish(stage: Stage, verdict: Verdict) -> None:
    """Account for everything."""
    world, load = stage.world, stage.load
    forgetful = [done for done in world.done if done.forgets]
    verdict.figures["harms"] = dict(Counter(done.name for done in world.done))
    verdict.figures["kills"] = count_kills(world)
    verdict.figures["posts that were not answered with 2xx"] = sum(
        number for status, number in load.statuses.items() if not 200 <= status < 300
    )
    verdict.figures["bad moods of far ends"] = sum(stage.ends.refused.values())
    judge(verdict, load.accepted, stage.ends.taken, stage.bucket.count_events(), forgetful)
    verdict.check("objects written over", stage.bucket.count_overwritten())
    keys = standing.read_keys(world.database)
    verdict.check("accepted, and not in the log", len({one.event for one in load.accepted} - keys))
    verdict.check("open in the end", standing.count(world.database, standing.OPEN))
    verdict.check("batches open in the end", standing.count(world.database, standing.BATCHES))
    verdict.figures["states"] = standing.read_states(world.database)
    verdict.check("failed", int(verdict.figures["states"].get("failed", 0)))
    balance = world.product.balance()
    verdict.check("the account balances", "It balances." in balance, wanted=True)
    if "It balances." not in balance:
        verdict.figures["the account"] = balance
    verdict.figures["tracebacks in the logs"] = world.product.count_tracebacks()


def lose_the_last(stage: Stage, verdict: Verdict) -> None:
    """Lose a primary whose replica follows asynchronously, and count what was acknowledged and is gone.

    The replica is held back for a moment before. What was accepted before that must be there.
    """
    world, load = stage.world, stage.load
    world.database.add_replica(synchronous=False)
    first = len(load.accepted)
    load.start()
    time.sleep(3)
    world.database.primary.hold_back()
    before = time.monotonic()
    time.sleep(BEHIND)
    world.database.primary.fall()
    at = time.monotonic()
    promote(stage, "primary lost, asynchronous replica promoted")
    time.sleep(3)
    load.stop()
    keys = standing.read_keys(world.database)
    gone = [one for one in load.accepted if one.event not in keys]
    verdict.figures["asynchronous: accepted"] = len(load.accepted) - first
    verdict.figures["asynchronous: acknowledged in the last moments, and gone"] = len(gone)
    verdict.check(
        "asynchronous: gone, though acknowledged earlier or later",
        sum(not before <= one.at <= at + 1 for one in gone),
    )


def stop_on_signals() -> None:
    """Let SIGTERM and SIGHUP end a run as Ctrl-C does."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
