"""Callers: the requests of one caller share the bounds of the front.

A caller is an API key or an admin session that was accepted before, otherwise an address. An invented key is not a
caller: a stranger with a thousand of them is still one caller.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from eventsinks.lib.net.proxies import read_address

KNOWN = 10_000  # keys and sessions that are remembered
SESSION = re.compile(rb"(?:^|;)\s*sessionid=([^;]+)")


class Callers:
    """Tells callers apart, and remembers the keys and sessions that were accepted."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, None] = OrderedDict()

    def caller_of(self, headers: Mapping[bytes, bytes], peer: str) -> str:
        """Return the caller whose share of the bounds a request uses."""
        credential = hash_credential(headers)
        return credential if credential and credential in self._known else f"address {get_network(peer)}"

    def answered(self, headers: Mapping[bytes, bytes], path: str, status: int) -> None:
        """Remember a key or session that was accepted, and forget one that was not."""
        credential = hash_credential(headers)
        if credential is None:
            return
        if status == 401:
            self._known.pop(credential, None)
        elif 200 <= status < 300 and is_for(credential, path):
            self._known[credential] = None
            self._known.move_to_end(credential)
            if len(self._known) > KNOWN:
                self._known.popitem(last=False)


def hash_credential(headers: Mapping[bytes, bytes]) -> str | None:
    """Return a hash of the key or the session of a request."""
    if key := headers.get(b"authorization"):
        return f"key {hashlib.blake2b(key, digest_size=16).hexdigest()}"
    if session := SESSION.search(headers.get(b"cookie", b"")):
        return f"session {hashlib.blake2b(session[1], digest_size=16).hexdigest()}"
    return None


def is_for(credential: str, path: str) -> bool:
    """Whether a path answers 2xx only to a valid credential of this kind."""
    if credential.startswith("key"):
        return path.startswith(("/v1/", "/api/"))
    return path.startswith("/admin/") and not path.startswith("/admin/login")


def get_network(peer: str) -> str:
    """Return the address range of one client: an IPv4 address, or the /64 of an IPv6 address."""
    address = read_address(peer)
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address, 64), strict=False))
    return peer


def get_client(scope: Mapping[str, Any]) -> str:
    """Return the address at the other end of the connection."""
    return scope["client"][0] if scope.get("client") else ""
