"""A PostgreSQL database of its own, for a test that starts the whole system."""

import contextlib
import secrets
import time
from urllib.parse import urlsplit

import psycopg

TRIES = 10


@contextlib.contextmanager
def own_database(server):
    """Make a database on the server at this URL, yield its URL, and drop it."""
    name = f"eventsinks_test_{secrets.token_hex(4)}"
    with psycopg.connect(server, autocommit=True) as opened:
        opened.execute(f"CREATE DATABASE {name}")
    try:
        yield urlsplit(server)._replace(path=f"/{name}").geturl()
    finally:
        drop(server, name)


def drop(server, name):
    """Drop a database. On a busy machine, who was connected may need longer to leave than PostgreSQL waits."""
    for again in range(TRIES):
        try:
            with psycopg.connect(server, autocommit=True) as opened:
                opened.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        except psycopg.OperationalError:
            if again == TRIES - 1:
                raise
            time.sleep(1)
        else:
            return
