"""What is known of addresses: which are not of the public internet, which are metadata, and which hide another.

From the IANA special-purpose registries (https://www.iana.org/assignments/iana-ipv4-special-registry,
https://www.iana.org/assignments/iana-ipv6-special-registry) and the clouds' own pages. `ipaddress.is_private` is
no filter: it lets CGNAT, NAT64, 6to4 and multicast through.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def parse_networks(*cidrs: str) -> tuple[Network, ...]:
    """Parse CIDRs."""
    return tuple(map(ipaddress.ip_network, cidrs))


# All of IPv6 that has been handed out; what lies outside is never the internet.
GLOBAL_IPV6 = ipaddress.IPv6Network("2000::/3")
# Not of the internet, although it is IPv4 or lies in 2000::/3.
DENIED = parse_networks(
    "0.0.0.0/8",  # this network
    "10.0.0.0/8",  # private
    "100.64.0.0/10",  # carrier-grade NAT
    "127.0.0.0/8",  # loopback
    "168.63.129.16/32",  # Azure's wire server, which every machine there reaches
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
    "2001::/23",  # Teredo, ORCHID and other protocol assignments
    "2001:db8::/32",  # documentation
    "2002::/16",  # 6to4
    "3fff::/20",  # documentation
)
# Services of a cloud that give away credentials, or that answer to its machines alone.
METADATA = frozenset(
    map(
        ipaddress.ip_address,
        (
            "169.254.169.254",  # AWS, Azure, Google, Oracle, Alibaba, OpenStack and most others
            "169.254.169.253",  # AWS: DNS
            "169.254.169.123",  # AWS: time
            "169.254.170.2",  # AWS: credentials of an ECS task
            "169.254.170.23",  # AWS: credentials of an EKS pod
            "169.254.0.23",  # Tencent
            "169.254.42.42",  # Scaleway
            "168.63.129.16",  # Azure
            "100.100.100.200",  # Alibaba
            "192.0.0.192",  # Oracle
            "fd00:ec2::254",  # AWS
            "fd00:ec2::253",  # AWS: DNS
            "fd00:ec2::123",  # AWS: time
            "fd00:ec2::23",  # AWS: credentials of an EKS pod
            "fd20:ce::254",  # Google
            "fd00:c1::a9fe:a9fe",  # Oracle
            "fd00:42::42",  # Scaleway
            "fd00:a9fe:a9fe::1",  # Akamai
            "fe80::a9fe:a9fe",  # OpenStack
        ),
    )
)
# Only an entry that names exactly one address lets these through, never a range that happens to hold them: the
# metadata of clouds that are not listed is link-local too.
ONE_BY_ONE = (
    *parse_networks("169.254.0.0/16", "fe80::/10", "fd00:ec2::/32"),
    *map(ipaddress.ip_network, METADATA),
)

TRANSLATED = ipaddress.IPv6Network("::ffff:0:0:0/96")
COMPATIBLE, NAT64 = ipaddress.IPv6Network("::/96"), ipaddress.IPv6Network("64:ff9b::/96")
LOCAL_NAT64 = ipaddress.IPv6Network("64:ff9b:1::/48")
ISATAP = (0x00005EFE, 0x02005EFE)  # the upper half of an interface's identifier, RFC 5214 section 6.1
PREFIXES = (32, 40, 48, 56, 64)  # bits before an IPv4 address, beside 96: RFC 6052 section 2.2


def is_special(ip: Address) -> bool:
    """Whether `ip` is none of the public internet's."""
    return (ip.version == 6 and ip not in GLOBAL_IPV6) or any(ip in network for network in DENIED)


def unmap(ip: Address) -> Address:
    """Return the IPv4 address inside `::ffff:0:0/96`, which is what would be dialled, or `ip` itself."""
    return getattr(ip, "ipv4_mapped", None) or ip


def find_carried(ip: Address) -> list[ipaddress.IPv4Address]:
    """Return the IPv4 addresses that a packet to `ip` may be handed on to by a translator or a tunnel."""
    if ip.version == 4:
        return []
    value, low = int(ip), int(ip) & 0xFFFFFFFF
    found: list[int] = []
    if ip in NAT64 or ip in TRANSLATED or (ip in COMPATIBLE and value > 1):  # not `::` and `::1`
        found = [low]
    elif ip in LOCAL_NAT64:  # zeros are what fills it up, unless there is nothing else
        found = [read for read in read_embedded(value, LOCAL_NAT64.prefixlen) if read >> 24] or [0]
    elif ip.sixtofour:
        found = [int(ip.sixtofour)]
    elif ip.teredo:
        found = [int(part) for part in ip.teredo]
    elif (value >> 32) & 0xFFFFFFFF in ISATAP:
        found = [low]
    return list(map(ipaddress.IPv4Address, found))


def is_metadata(ip: Address) -> bool:
    """Whether `ip` is metadata, by itself or through a translator, whichever prefix that may have."""
    if any(ip in network for network in ONE_BY_ONE):
        return True
    hidden = [] if ip.version == 4 else [*map(ipaddress.IPv4Address, read_embedded(int(ip))), *find_carried(ip)]
    return not METADATA.isdisjoint(hidden)


def read_embedded(value: int, after: int = 0) -> Iterator[int]:
    """Yield what `value` says in each place, at least `after` bits in, where RFC 6052 puts an IPv4 address."""
    joined = (value >> 64 << 56) | (value & ((1 << 56) - 1))  # bits 64 to 71 belong to no address
    for prefix in filter(lambda prefix: prefix >= after, PREFIXES):
        yield (joined >> (120 - prefix - 32)) & 0xFFFFFFFF
    yield value & 0xFFFFFFFF
