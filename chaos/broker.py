"""The broker of a run: the embedded Valkey, or the Redis of this machine, of the run's own."""

from __future__ import annotations

import random
import shutil
import signal
from pathlib import Path

import redis

from chaos.processes import Program, find_free_port, wait_until
from eventsinks.intake.nudge import DELIVERIES, KEY, STREAMS
from eventsinks.management.broker import find_server

TASKS = "celery"  # Celery's list


class Broker:
    """The server, on a port that stays the same."""

    def __init__(self, folder: Path, *, embedded: bool) -> None:
        program = find_server() if embedded else shutil.which("redis-server") or find_server()
        self.name = Path(program).name
        port = find_free_port()
        self.url = f"redis://127.0.0.1:{port}/0"
        options = [
            "--bind",
            "127.0.0.1",
            "--port",
            str(port),
            "--save",
            "",
            "--appendonly",
            "no",
            "--dir",
            str(folder),
        ]
        self.program = Program("broker", [program, *options], {}, folder / "broker.log")
        self._client = redis.Redis.from_url(self.url, socket_connect_timeout=1, socket_timeout=2)
        self.start()

    def start(self) -> None:
        """Start it, empty."""
        self.program.start()
        wait_until(self.answers, 20, "an answer of the broker")

    def answers(self) -> bool:
        """Whether it answers."""
        try:
            return bool(self._client.ping())
        except redis.RedisError:
            return False

    def restart(self) -> None:
        """Kill it, and start an empty one."""
        self.program.kill()
        self.start()

    def hold(self) -> None:
        """Stop it where it is."""
        self.program.signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it go on."""
        self.program.signal(signal.SIGCONT)

    def flush(self) -> None:
        """Drop all that it holds."""
        self._client.flushall()

    def disturb(self, dice: random.Random) -> None:
        """Drop, double or shuffle what it holds: nudges, and the messages of Celery."""
        what = dice.choice(("drop", "double", "shuffle"))
        key = KEY + dice.choice((DELIVERIES, STREAMS))
        if what == "drop":
            self._client.delete(key)
            self._client.lpop(TASKS)
        elif what == "double":
            self._client.lpush(key, *["1"] * dice.randint(1, 5))
            for message in self._client.lrange(TASKS, 0, -1):
                self._client.rpush(TASKS, message)
        else:
            messages = self._client.lrange(TASKS, 0, -1)
            dice.shuffle(messages)
            with self._client.pipeline() as steps:
                steps.delete(TASKS)
                for message in messages:
                    steps.rpush(TASKS, message)
                steps.execute()

    def close(self) -> None:
        """End it."""
        self._client.close()
        self.program.sweep_away()
