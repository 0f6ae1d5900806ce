"""Who asks: the true client's address, and the caller that shares the bounds of the front.

A caller is an API key or a session of the admin that was let in before, else an address. A made-up key is nobody
of its own: a stranger with a thousand of them is still one caller.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any

KNOWN = 10_000  # keys and sessions that are remembered
SESSION = re.compile(rb"(?:^|;)\s*sessionid=([^;]+)")
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
            hop = address_of(hops.pop().strip())
            if hop is None:
                break
            client = str(hop)
        return client

    def _trusts(self, client: str) -> bool:
        if not self._networks:
            return False
        address = address_of(client)
        return address is not None and any(address in network for network in self._networks)


class Callers:
    """Tells callers apart, and remembers which keys and sessions were let in."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, None] = OrderedDict()

    def caller_of(self, headers: Mapping[bytes, bytes], peer: str) -> str:
        """Return whose share of the bounds a request takes."""
        credential = credential_of(headers)
        return credential if credential and credential in self._known else f"address {network_of(peer)}"

    def answered(self, headers: Mapping[bytes, bytes], path: str, status: int) -> None:
        """Remember a key or session that was let in, forget one that was not."""
        credential = credential_of(headers)
        if credential is None:
            return
        if status == 401:
            self._known.pop(credential, None)
        elif 200 <= status < 300 and is_for(credential, path):
            self._known[credential] = None
            self._known.move_to_end(credential)
            if len(self._known) > KNOWN:
                self._known.popitem(last=False)


def credential_of(headers: Mapping[bytes, bytes]) -> str | None:
    """Return the key or the session of a request, hashed."""
    if key := headers.get(b"authorization"):
        return f"key {hashlib.blake2b(key, digest_size=16).hexdigest()}"
    if session := SESSION.search(headers.get(b"cookie", b"")):
        return f"session {hashlib.blake2b(session[1], digest_size=16).hexdigest()}"
    return None


def is_for(credential: str, path: str) -> bool:
    """Whether a path answers 2xx only to a credential of this kind that is good."""
    if credential.startswith("key"):
        return path.startswith(("/v1/", "/api/"))
    return path.startswith("/admin/") and not path.startswith("/admin/login")


def network_of(peer: str) -> str:
    """Return what one client has to itself: an IPv4 address, or the /64 of an IPv6 address."""
    address = address_of(peer)
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address, 64), strict=False))
    return peer


def address_of(text: str) -> Address | None:
    """Return an address, with or without a port; None for what is none."""
    if match := PORT.match(text):
        text = match["six"] or match["four"]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped or address


def client_of(scope: Mapping[str, Any]) -> str:
    """Return the address at the other end of the connection."""
    return scope["client"][0] if scope.get("client") else ""
