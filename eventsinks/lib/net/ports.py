"""Ports that no tenant may name: a request could harm their services, or find them by trying.

They are browsers' list (https://fetch.spec.whatwg.org/#port-blocking), and databases, brokers and control planes
inside a network. Ports that take events over HTTP, such as 9200 of Elasticsearch, are not among them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

BROWSERS = (
    "0 1 7 9 11 13 15 17 19-23 25 37 42 43 53 69 77 79 87 95 101-104 109-111 113 115 117 119 123 135 137 139 143"
    " 161 179 389 427 465 512-515 526 530-532 540 548 554 556 563 587 601 636 989 990 993 995 1719 1720 1723 2049"
    " 3659 4045 4190 5060 5061 6000 6566 6665-6669 6679 6697 10080"
)
INSIDE = (
    "445"  # SMB
    " 873"  # rsync
    " 1433 1434 1521 3306 5432 6432 27017-27019"  # SQL Server, Oracle, MySQL, PostgreSQL, PgBouncer, MongoDB
    " 1883 4369 5672 9092 61613 61616"  # MQTT, Erlang, AMQP, Kafka, ActiveMQ
    " 2181 2375-2377 2379 2380 10250 10255"  # ZooKeeper, Docker, etcd, the kubelet
    " 3389 5900 5985 5986"  # RDP, VNC, WinRM
    " 6379 6380 16379 26379 11211"  # Redis and its cluster and sentinel, memcached
    " 7000 7001 7199 9042 9160"  # Cassandra
)
DENIED_PORTS = (*BROWSERS.split(), *INSIDE.split())


def parse_ports(entries: Iterable[str]) -> frozenset[int]:
    """Read ports and ranges of ports, such as `6665-6669`. Raises ValueError."""
    found: set[int] = set()
    for entry in filter(None, (entry.strip() for entry in entries)):
        read = re.fullmatch(r"([0-9]{1,5})(?:-([0-9]{1,5}))?", entry)
        first, last = (int(read[1]), int(read[2] or read[1])) if read else (1, 0)
        if not first <= last <= 65535:
            raise ValueError(f"{entry!r} is neither a port nor a range of ports (6665-6669)")
        found.update(range(first, last + 1))
    return frozenset(found)
