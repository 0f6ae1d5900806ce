"""Which addresses may be dialled: the public internet, and what the operator named.

`ipaddress.is_private` is no filter (it lets CGNAT, NAT64, 6to4 and multicast through), so the ranges stand
here, from the IANA special-purpose registries (https://www.iana.org/assignments/iana-ipv4-special-registry,
https://www.iana.org/assignments/iana-ipv6-special-registry).
"""

from __future__ import annotations

import functools
import ipaddress
import pathlib
import re
import socket
from collections.abc import Iterable
from contextlib import suppress

from pydantic_core import Url

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

DENIED: tuple[Network, ...] = tuple(
    ipaddress.ip_network(cidr)
    for cidr in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # carrier-grade NAT
        "127.0.0.0/8",  # loopback
        "169.254.0.0/16",  # link-local, cloud metadata
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # IETF protocol assignments
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relay
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarking
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
        "::/96",  # unspecified, loopback, IPv4-compatible
        "64:ff9b::/96",  # NAT64
        "64:ff9b:1::/48",  # local NAT64
        "100::/64",  # discard
        "2001::/23",  # Teredo, ORCHID and other protocol assignments
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4
        "3fff::/20",  # documentation
        "5f00::/16",  # segment routing
        "fc00::/7",  # unique local
        "fe80::/10",  # link-local
        "fec0::/10",  # site-local
        "ff00::/8",  # multicast
    )
)
# Only an entry that names exactly this address lets it through, never a range that happens to hold it.
METADATA = frozenset(
    map(ipaddress.ip_address, ("169.254.169.254", "169.254.170.2", "fd00:ec2::254", "100.100.100.200"))
)
LOCALHOST = re.compile(r"(^|\.)localhost\.?$", re.IGNORECASE)
METADATA_NAME = re.compile(r"^metadata\.google\.internal\.?$", re.IGNORECASE)


class AddressGuard:
    """Decide which addresses may be dialled, at the moment they are dialled.

    `allowed` names what is reachable although it is internal: CIDRs (`10.2.0.0/16`), single addresses, or
    `host:port` pairs. Raises ValueError for an entry that is neither.
    """

    def __init__(self, allowed: Iterable[str] = ()) -> None:
        self.networks: list[Network] = []
        self.pairs: set[tuple[str, int]] = set()
        for entry in filter(None, (entry.strip() for entry in allowed)):
            self._allow(entry)

    def _allow(self, entry: str) -> None:
        try:
            self.networks.append(ipaddress.ip_network(entry, strict=False))
        except ValueError:
            host, _, port = entry.rpartition(":")
            if not host or not port.isdigit():
                raise ValueError(f"{entry!r} is neither a network (10.0.0.0/8) nor host:port") from None
            self.pairs.add((host.strip("[]").lower(), int(port)))

    def permits(self, address: str, host: str = "", port: int = 0) -> bool:
        """Whether `address` (a literal, as about to be dialled) may be reached for a URL's `host` and `port`."""
        if (host.strip("[]").lower(), port) in self.pairs or (address, port) in self.pairs:
            return True
        try:
            ip = unmapped(ipaddress.ip_address(address.partition("%")[0]))
        except ValueError:
            return False
        if any(ip in network for network in self.networks if ip not in METADATA or network.num_addresses == 1):
            return True
        return is_public(ip)

    def check_url(self, url: str) -> None:
        """Raise ValueError where `url` plainly names an internal place. Names are judged again when dialled."""
        parsed = parse_url(url)
        host, port = parsed.host or "", parsed.port or 0
        literal = host.strip("[]")
        if LOCALHOST.search(host):
            literal = "127.0.0.1"  # what it stands for
        named = (host.lower(), port) in self.pairs
        internal = METADATA_NAME.search(host) or (is_literal(literal) and not self.permits(literal, host, port))
        if internal and not named:
            raise ValueError(f"{host} is an internal address, which may not be dialled")


def is_public(ip: Address) -> bool:
    """Whether `ip` is an address of the public internet and not one of this machine's own."""
    return not any(ip in network for network in DENIED) and ip not in own_addresses()


def unmapped(ip: Address) -> Address:
    """Return the IPv4 address inside `::ffff:0:0/96`, or `ip` itself."""
    return getattr(ip, "ipv4_mapped", None) or ip


def is_literal(host: str) -> bool:
    """Whether `host` is an IP address rather than a name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def parse_url(url: str) -> Url:
    """Parse `url` as browsers do (WHATWG: `127.1`, `0x7f.1` and full-width digits become 127.0.0.1).

    Raises ValueError, with a reason fit for a user, unless it is an absolute http(s) URL without credentials.
    """
    if re.search(r"[\s\\\x00-\x20\x7f]", url):
        raise ValueError("a URL must not contain spaces, control characters or backslashes")
    try:
        parsed = Url(url)
    except ValueError as error:
        raise ValueError("not a valid URL") from error
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ValueError("a URL must start with http:// or https://")
    if not re.match(r"https?://", url, re.IGNORECASE):
        raise ValueError("a URL must start with http:// or https://")
    if parsed.username is not None or parsed.password is not None or "@" in url.split("/")[2]:
        raise ValueError("a URL must not contain credentials; use a header instead")
    return parsed


@functools.cache
def own_addresses() -> frozenset[Address]:
    """Return the addresses of this machine's own interfaces, which a public address may turn out to be."""
    found: set[Address] = set()
    with suppress(OSError):  # a host name that does not resolve adds nothing
        found |= {ipaddress.ip_address(info[4][0]) for info in socket.getaddrinfo(socket.gethostname(), None)}
    trie, if_inet6 = pathlib.Path("/proc/net/fib_trie"), pathlib.Path("/proc/net/if_inet6")
    if trie.exists():
        local = re.findall(r"\|-- ([\d.]+)\n\s+/32 host LOCAL", trie.read_text())
        found |= set(map(ipaddress.ip_address, local))
    if if_inet6.exists():
        lines = if_inet6.read_text().split("\n")
        found |= {ipaddress.ip_address(int(line.split()[0], 16)) for line in lines if line}
    return frozenset(found)
