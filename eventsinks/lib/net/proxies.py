"""Proxies: finds the client behind them from X-Forwarded-For, which counts only if our own proxy wrote it."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable

PORT = re.compile(r"^(?:\[(?P<six>[^\]]+)\]|(?P<four>[0-9.]+))(?::\d+)?$")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Proxies:
    """The proxies whose X-Forwarded-For we believe. `trusted` are addresses and CIDRs. Raises ValueError."""

    def __init__(self, trusted: Iterable[str]) -> None:
        self._networks = [ipaddress.ip_network(entry.strip()) for entry in trusted]

    def client_of(self, peer: str, forwarded: bytes) -> str:
        """Return the address of the client of the last trusted proxy, or `peer` if it is not a trusted proxy."""
        client = peer
        hops = forwarded.decode("latin1").split(",")
        while hops and self._trusts(client):
            hop = read_address(hops.pop().strip())
            if hop is None:
                break
            client = str(hop)
        return client

    def _trusts(self, client: str) -> bool:
        if not self._networks:
            return False
        address = read_address(client)
        return address is not None and any(address in network for network in self._networks)


def read_address(text: str) -> Address | None:
    """Return an address, given with or without a port, or None for another text."""
    if match := PORT.match(text):
        text = match["six"] or match["four"]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped or address
