"""Hosts on one machine: network namespaces at one bridge, whose links can be cut; and a relay of connections.

The hosts need root on Linux.
"""

import asyncio
import contextlib
import os
import shutil
import subprocess
import threading

# Each process has hosts of its own.
OWN = os.getpid() % 250 + 1
NETWORK, BRIDGE = f"10.77.{OWN}", f"es-bridge-{OWN}"
HERE = f"{NETWORK}.1"
NAMES = [f"es-host-{OWN}-{number}" for number in (1, 2, 3)]


def ip(*arguments):
    """Run ip(8)."""
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


def find_obstacle():
    """Return why there can be no hosts here, or nothing."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None:
        return "there is no ip(8), of the package iproute2"
    try:
        ip("netns", "add", NAMES[0])
        ip("link", "add", BRIDGE, "type", "bridge")
    except subprocess.CalledProcessError as error:
        return f"network namespaces can't be made here: {error.stderr.decode().strip()}"
    finally:
        remove_hosts()
    return ""


class Host:
    """A host: its address, and the command to run another in it."""

    def __init__(self, number, name):
        self.name, self.address, self.link = name, f"{NETWORK}.{number + 10}", f"es-link-{OWN}-{number}"
        self.within = ("ip", "netns", "exec", name)

    def make(self):
        """Make the namespace and its link."""
        ip("netns", "add", self.name)
        ip("link", "add", self.link, "type", "veth", "peer", "name", "eth0", "netns", self.name)
        ip("link", "set", self.link, "master", BRIDGE, "up")
        ip("-n", self.name, "link", "set", "lo", "up")
        ip("-n", self.name, "address", "add", f"{self.address}/24", "dev", "eth0")
        ip("-n", self.name, "link", "set", "eth0", "up")

    def cut_off(self):
        """Take its link away: nobody is told, no packet arrives any more."""
        ip("link", "set", self.link, "down")

    def bring_back(self):
        """Give it its link back."""
        ip("link", "set", self.link, "up")


@contextlib.contextmanager
def three_hosts():
    """Yield three hosts that reach each other, and us at HERE."""
    remove_hosts()
    hosts = [Host(number, name) for number, name in enumerate(NAMES, 1)]
    try:
        ip("link", "add", BRIDGE, "type", "bridge")
        ip("address", "add", f"{HERE}/24", "dev", BRIDGE)
        ip("link", "set", BRIDGE, "up")
        for host in hosts:
            host.make()
        yield hosts
    finally:
        remove_hosts()


def remove_hosts():
    """Remove what there is of the hosts."""
    for arguments in (*(("netns", "delete", name) for name in NAMES), ("link", "delete", BRIDGE)):
        with contextlib.suppress(subprocess.CalledProcessError):
            ip(*arguments)


class Relay:
    """Takes connections at `host` and joins each to the place that `choose(first bytes)` returns.

    `choose` returns a pair of host and port, or None where it has to see more bytes.
    """

    def __init__(self, choose, host="127.0.0.1"):
        self.choose, self.host = choose, host
        self._ready, self._open = threading.Event(), set()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    def __enter__(self):
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_):
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    async def _serve(self):
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._join, self.host, 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _join(self, reader, writer):
        self._open.add(asyncio.current_task())
        writers = [writer]
        with contextlib.suppress(OSError, asyncio.CancelledError, asyncio.IncompleteReadError):
            first = b""
            while (place := self.choose(first)) is None:
                first += await reader.read(65536) or self._refuse()
            far_reader, far_writer = await asyncio.open_connection(*place)
            writers.append(far_writer)
            far_writer.write(first)
            await asyncio.wait(
                [asyncio.create_task(carry(reader, far_writer)), asyncio.create_task(carry(far_reader, writer))],
                return_when=asyncio.FIRST_COMPLETED,
            )
        for one in writers:
            one.transport.abort() if one.is_closing() else one.close()
        self._open.discard(asyncio.current_task())

    def _refuse(self):
        raise ConnectionError("it ended before it could be judged")


async def carry(reader, writer):
    """Carry bytes until an end."""
    with contextlib.suppress(OSError):
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()
