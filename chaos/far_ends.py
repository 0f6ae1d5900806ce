"""The far ends: webhooks, Slack, PagerDuty and a collector of HTTP, with their moods; and S3 as moto plays it.

An arrival counts as taken if the far end means it: it answers with yes, even if nobody is there to hear it.
"""

from __future__ import annotations

import asyncio
import gzip
import random
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3

from chaos.names import BUCKET, REGION
from chaos.processes import Program, find_free_port, wait_until
from tests.helpers.receiver import Got, Receiver, answer, lose

NUMBERED = re.compile(rb"chaos-[a-z]+-\d+")
SLOW = 0.15  # seconds that an answer takes at most, so that something is in flight when a worker dies
GARBAGE = b"\x16\x03\x01 this is not HTTP\r\n\r\n"
YES = {
    "slack": answer(200, [("Content-Type", "application/json")], b'{"ok":true,"channel":"C1","ts":"100.1"}'),
    "pagerduty": answer(202, [("Content-Type", "application/json")], b'{"status":"success","dedup_key":"d"}'),
}
CHANNEL = answer(body=b'{"ok":true,"channel":{"id":"C1","name":"alerts","is_member":true}}')
# What a far end does when it is in no good mood, and how many of a hundred requests meet that.
MOODS = {"plain": 4, "moody": 30, "ordered": 6, "slack": 10, "pagerduty": 15, "http": 6}


@dataclass(frozen=True, slots=True)
class Arrival:
    """An event that a far end took: where, which, under which id, and when (monotonic seconds)."""

    place: str
    event: str
    id: str
    at: float


class FarEnds:
    """All far ends but S3, in one thread."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice
        self.taken: list[Arrival] = []
        self.refused: dict[str, int] = {}
        self.receiver = Receiver(self._answer)

    def _answer(self, got: Got) -> bytes | Callable[..., Any]:
        self.receiver.got.clear()  # it would keep every body
        place = got.path.split("/")[1]
        dice = self._dice
        if "conversations" in got.path:
            return CHANNEL
        if dice.random() * 100 < MOODS[place.partition("-")[0]]:
            mood = dice.choice(list(BAD_MOODS))
            self.refused[mood] = self.refused.get(mood, 0) + 1
            return BAD_MOODS[mood]
        headers = {name.lower(): value for name, value in got.headers}
        now = time.monotonic()
        for event in sorted(set(NUMBERED.findall(got.body))):
            self.taken.append(Arrival(place, event.decode(), find_id(place, headers, got.body), now))
        said, pause = YES.get(place, answer()), dice.random() * SLOW

        async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await asyncio.sleep(pause)
            writer.write(said)

        return take


def find_id(place: str, headers: dict[str, str], body: bytes) -> str:
    """Return the id under which an event came, "" where there is none."""
    if place == "pagerduty":
        found = re.search(rb'"dedup_key": ?"([^"]+)"', body)
        return found[1].decode() if found else ""
    return headers.get("webhook-id", "")


async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Say nothing until the other side gives up."""
    await reader.read(1)


async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Say one byte at a time, and never all."""
    for byte in b"HTTP/1.1 200 OK\r\nX-Slow: " + b"x" * 60:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.2)


def break_off(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Promise more than comes."""
    writer.write(b"HTTP/1.1 503 Down\r\nContent-Length: 1000\r\n\r\nonly this")
    writer.close()


BAD_MOODS: dict[str, bytes | Callable[..., Any]] = {
    "hangs": hang,
    "drips": drip,
    "resets": lose,
    "lies": GARBAGE,
    "breaks off": break_off,
    "500": answer(500),
    "503": answer(503),
    "429": answer(429, [("Retry-After", "1")]),
}


class Bucket:
    """Amazon's S3 as moto plays it, in a process of its own."""

    def __init__(self, folder: Path) -> None:
        port = find_free_port()
        self.url = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        self.program = Program("S3", command, {"PATH": "/usr/bin:/bin"}, folder / "s3.log")
        self.program.start()
        session: Any = boto3.Session("a", "b", region_name=REGION)
        self._bucket = session.resource("s3", endpoint_url=self.url).Bucket(BUCKET)
        wait_until(self._make, 60, "an answer of S3")

    def _make(self) -> bool:
        try:
            self._bucket.create(CreateBucketConfiguration={"LocationConstraint": REGION})
            self._bucket.Versioning().enable()
        except Exception:
            return False
        return True

    def count_events(self) -> dict[str, int]:
        """Return how often each event is in the objects."""
        counts: dict[str, int] = {}
        for found in self._bucket.objects.all():
            body = found.get()["Body"].read()
            plain = gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body
            for line in plain.splitlines():
                for event in set(NUMBERED.findall(line)):
                    counts[event.decode()] = counts.get(event.decode(), 0) + 1
        return counts

    def count_overwritten(self) -> int:
        """Return how many objects were written over."""
        keys = [version.object_key for version in self._bucket.object_versions.all()]
        return len(keys) - len(set(keys))


@contextmanager
def run_far_ends(folder: Path, dice: random.Random) -> Iterator[tuple[FarEnds, Bucket]]:
    """Run all far ends until the block ends."""
    ends = FarEnds(dice)
    with ends.receiver:
        bucket = Bucket(folder)
        try:
            yield ends, bucket
        finally:
            bucket.program.sweep_away()
