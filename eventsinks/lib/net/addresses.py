"""The address guard: it permits the public internet, and what the operator named.

The guard checks twice: a URL when it is saved, to give a good message, and the address when it is dialled.
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

from eventsinks.lib.net.address_ranges import Address, Network, find_carried, is_metadata, is_special, unmap
from eventsinks.lib.net.ports import DENIED_PORTS, parse_ports

LOCALHOST = re.compile(r"(^|\.)localhost$")
METADATA_NAME = re.compile(
    r"metadata(\.goog|\.google\.internal|\.tencentyun\.com)?|instance-data(\.ec2\.internal)?"
)


class AddressGuard:
    """Decide what may be dialled, at the moment of dialling.

    `allowed` names internal places that may be reached: CIDRs (`10.2.0.0/16`), single addresses, or `host:port`
    pairs. `denied_ports` may be dialled only if such a pair names them. With `https_only`, nothing is sent
    unencrypted. Raises ValueError for an invalid entry.
    """

    def __init__(
        self, allowed: Iterable[str] = (), denied_ports: Iterable[str] = DENIED_PORTS, https_only: bool = False
    ) -> None:
        self.networks: list[Network] = []
        self.single: set[Address] = set()
        self.pairs: set[tuple[str | Address, int]] = set()
        self.denied_ports = parse_ports(denied_ports)
        self.https_only = https_only
        for entry in filter(None, (entry.strip() for entry in allowed)):
            self._allow(entry)

    def _allow(self, entry: str) -> None:
        try:
            network = ipaddress.ip_network(entry, strict=False)
        except ValueError:
            self.pairs.add(parse_pair(entry))
            return
        if network.num_addresses == 1:
            self.single.add(unmap(network.network_address))
        self.networks.append(unmap_network(network))

    def refusal(self, scheme: str, host: str, port: int, address: str = "") -> str:
        """Return the reason not to dial a URL's `host` at `address`, "" if it may be dialled.

        Without an `address`, only the URL itself is checked. A tenant may see the reason: it contains no address
        that the tenant did not write.
        """
        literal = parse_literal(host)
        ip = parse_ip(address or literal)
        if self.https_only and scheme != "https":
            return "only https:// is allowed here"
        if port in self.denied_ports and not self._names(host, port, ip):
            return f"port {port} may not be dialled"
        if (address or literal) and not self.permits(address or literal, host, port):
            return f"{host} {'is' if literal else 'has'} an internal address, which may not be dialled"
        return ""

    def permits(self, address: str, host: str = "", port: int = 0) -> bool:
        """Whether `address` (a literal, about to be dialled) may be reached for a URL's `host` and `port`."""
        ip = parse_ip(address)
        if ip is None:
            return False
        if ip in self.single or (ip, port) in self.pairs:
            return True
        if is_metadata(ip):
            return False
        return self._names(host, port, ip) or self._holds(ip)

    def check_url(self, url: str) -> None:
        """Raise ValueError if `url` clearly may not be dialled. A name is checked again when it is dialled."""
        parsed = parse_url(url)
        if refused := self.refusal(parsed.scheme, parsed.host or "", parsed.port or 0):
            raise ValueError(refused)

    def _names(self, host: str, port: int, ip: Address | None) -> bool:
        """Whether an entry names this host, or this address, with this port."""
        return (strip_host(host), port) in self.pairs or (ip is not None and (ip, port) in self.pairs)

    def _holds(self, ip: Address) -> bool:
        """Whether `ip`, and each address that it contains, is on the internet or in an allowed range."""
        by_itself = any(ip in network for network in self.networks) or is_public(ip)
        return by_itself and all(self.permits(str(inner)) for inner in find_carried(ip))


def is_public(ip: Address) -> bool:
    """Whether `ip` is on the public internet and is not an address of this machine."""
    return not is_special(ip) and ip not in find_own_addresses()


def show_peer(address: str) -> str:
    """Return a dialled address if its tenant may see it, "" if it is internal."""
    ip = parse_ip(address)
    return "" if ip is None or is_special(ip) else address


def parse_pair(entry: str) -> tuple[str | Address, int]:
    """Read `host:port`. The host is a name or an address, read as in a URL. Raises ValueError."""
    host, _, port = entry.rpartition(":")
    try:
        if not port.isdecimal() or re.search("[/?#]", host):
            raise ValueError
        name = strip_host(parse_url(f"http://{host}:{port}").host or "")
    except ValueError:
        raise ValueError(f"{entry!r} is neither a network (10.0.0.0/8) nor host:port") from None
    return parse_ip(name) or name, int(port)


def unmap_network(network: Network) -> Network:
    """Return a network inside `::ffff:0:0/96` as the IPv4 network that it means."""
    if network.version == 6 and network.prefixlen >= 96 and (inner := network.network_address.ipv4_mapped):
        return ipaddress.IPv4Network((inner, network.prefixlen - 96))
    return network


def strip_host(host: str) -> str:
    """Return a URL's host without brackets and without the final dot of an absolute name."""
    return host.strip("[]").removesuffix(".").lower()


def parse_literal(host: str) -> str:
    """Return the address that a URL's host is or clearly means, "" for other names."""
    name = strip_host(host)
    if LOCALHOST.search(name):
        return "127.0.0.1"
    if METADATA_NAME.fullmatch(name):
        return "169.254.169.254"
    return name if parse_ip(name) else ""


def parse_ip(text: str) -> Address | None:
    """Return the address in `text` without its zone, None if there is none."""
    try:
        return unmap(ipaddress.ip_address(text.partition("%")[0]))
    except ValueError:
        return None


def parse_url(url: str) -> Url:
    """Parse `url` as browsers do (WHATWG: `127.1`, `0x7f.1` and full-width digits become 127.0.0.1).

    Raises ValueError, with a reason fit for a user, unless it is an absolute http(s) URL without credentials.
    """
    if re.search(r"[\s\\\x00-\x20\x7f-\x9f]", url):
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
def find_own_addresses() -> frozenset[Address]:
    """Return the addresses of this machine's own interfaces. One of them may be a public address."""
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
