"""Troubles: what befalls the database, the broker, the disk and a worker, without the death of the product."""

from __future__ import annotations

import signal
import time
from contextlib import suppress

import psycopg

from chaos.machine import fill_disk
from chaos.world import SHORT, World

FULL = 2.0  # seconds that the disk is full
OTHERS = "datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"


def restart_database(world: World) -> bool:
    """Stop PostgreSQL without a shutdown (`immediate`), and start it again."""
    world.database.restart()
    return True


def hold_database(world: World) -> bool:
    """SIGSTOP of all of PostgreSQL for a moment."""
    server = world.database.primary
    server.hold()
    try:
        world.pause()
    finally:
        server.go_on()
    return True


def end_connections(world: World) -> bool:
    """End all connections to PostgreSQL."""
    return ask(world, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {OTHERS}")


def cancel_statements(world: World) -> bool:
    """Cancel whatever statement runs, as a timeout does, again and again for a moment."""
    until = time.monotonic() + world.dice.uniform(*SHORT)
    while time.monotonic() < until:
        if not ask(
            world, f"SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE {OTHERS} AND state = 'active'"
        ):
            return False
        time.sleep(0.01)
    return True


def ask(world: World, statement: str) -> bool:
    """Return whether PostgreSQL did it."""
    try:
        with world.database.connect() as connection:
            connection.execute(statement)
    except psycopg.Error:
        return False
    return True


def lock_rows(world: World) -> bool:
    """Lock rows in an order that nobody else uses: deliveries backwards, then destinations, positions, events.

    Who waits for one of these while we wait for his, is in a deadlock with us; PostgreSQL ends one of both.
    """
    steps = (
        "SELECT 1 FROM eventsinks_delivery WHERE state = 'sending' ORDER BY id DESC FOR UPDATE",
        "SELECT 1 FROM eventsinks_destination ORDER BY id DESC FOR UPDATE",
        "SELECT 1 FROM eventsinks_position ORDER BY destination_id DESC FOR UPDATE",
        "SELECT 1 FROM eventsinks_delivery ORDER BY id DESC LIMIT 200 FOR UPDATE",
    )
    with suppress(psycopg.Error), world.database.connect() as connection, connection.transaction():
        for step in steps:
            connection.execute(step)
            time.sleep(world.dice.uniform(0, 0.5))
    return True


def hold_writer(world: World) -> bool:
    """Be SQLite's one writer for a moment."""
    connection = world.database.connect()
    try:
        connection.execute("BEGIN IMMEDIATE")
        world.pause()
        connection.execute("ROLLBACK")
    finally:
        connection.close()
    return True


def fill_the_disk(world: World) -> bool:
    """Fill the disk of the database to the last byte for a moment. PostgreSQL is started again if that ends it."""
    if not world.may_fill:
        return False
    ballast = fill_disk(world.database.disk)
    time.sleep(FULL)
    ballast.unlink()
    if world.database.vendor == "postgresql":
        world.database.wait()
    return True


def restart_broker(world: World) -> bool:
    """SIGKILL of the broker, and an empty one in its place."""
    world.broker.restart()
    return True


def hold_broker(world: World) -> bool:
    """SIGSTOP of the broker for a moment."""
    world.broker.hold()
    try:
        world.pause()
    finally:
        world.broker.go_on()
    return True


def flush_broker(world: World) -> bool:
    """FLUSHALL."""
    world.broker.flush()
    return True


def disturb_nudges(world: World) -> bool:
    """Drop, double and shuffle nudges and Celery's messages for a moment."""
    until = time.monotonic() + world.dice.uniform(*SHORT)
    while time.monotonic() < until:
        world.broker.disturb(world.dice)
        time.sleep(0.01)
    return True


def hold_worker(world: World) -> bool:
    """SIGSTOP of a worker for a moment."""
    worker = world.dice.choice(world.product.workers)
    worker.signal(signal.SIGSTOP)
    world.pause()
    worker.signal(signal.SIGCONT)
    return True
