"""Who asks, where proxies stand between: X-Forwarded-For, believed only where a proxy of ours wrote it."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable

PORT = re.compile(r"^(?:\[(?P<six>[^\]]+)\]|(?P<four>[0-9.]+))(?::\d+)?$")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Proxies:
    """The proxies whose X-Forwarded-For is believed. `trusted` are addresses and CIDRs; raises ValueError."""

    def __init__(self, trusted: Iterable[str]) -> None:
        self._networks = [ipaddress.ip_network(entry.strip()) for entry in trusted]

    def client_of(self, peer: str, forwarded: bytes) -> str:
        """Return the address that the last trusted proxy was asked from; `peer` where that is no proxy of ours."""
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
    """Return an address, with or without a port; None for what is none."""
    if match := PORT.match(text):
        text = match["six"] or match["four"]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped or address
