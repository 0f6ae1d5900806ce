"""Kills: SIGKILL of a process of the product, at random or at a named point."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress

from chaos.world import Harm, World

TRAP = 2.0  # seconds that a trap waits for a process


def kill_worker(world: World) -> bool:
    """SIGKILL of a worker."""
    world.dice.choice(world.product.workers).kill()
    return True


def kill_web(world: World) -> bool:
    """SIGKILL of the web server; its children end by themselves."""
    world.product.web_children()
    world.product.web.kill()
    return True


def kill_web_child(world: World) -> bool:
    """SIGKILL of a process that answers requests."""
    children = world.product.web_children()
    if not children:
        return False
    with suppress(ProcessLookupError):
        os.kill(world.dice.choice(children), signal.SIGKILL)
        return True
    return False


def kill_beat(world: World) -> bool:
    """SIGKILL of beat."""
    world.product.beat.kill()
    return True


def make_trap(point: str) -> Harm:
    """Return the harm that kills the next process at a named point."""

    def trap(world: World) -> bool:
        path = world.product.traps / point
        path.touch()
        until = time.monotonic() + TRAP
        while path.exists() and time.monotonic() < until:
            time.sleep(0.02)
        try:
            path.unlink()
        except FileNotFoundError:
            return True
        return False  # nobody came by

    return trap
