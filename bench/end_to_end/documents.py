"""The documents that are posted: each kind is the bytes before and after the number that makes it unique."""

from __future__ import annotations

import gzip
import re

import orjson

MARK = b"e2e-"  # before the number in every id
DIGITS = 12
NUMBER = b"%0" + str(DIGITS).encode() + b"d"
NUMBERED = re.compile(MARK + rb"(\d{%d})" % DIGITS)
GZIPPED = b"\x1f\x8b"
ALERT_BYTES = 780
HOLE = "@"  # stands for the id

ALERT = {
    "id": HOLE,
    "name": "Root login from a new country",
    "severity": "High",
    "detection_rule_id": "2f9b8d34-0a67-4a1e-8d0b-64c9f1f7f0aa",
    "tags": ["tactics.ta0001.initial_access", "techniques.t1078.valid_accounts"],
    "user": {"id": "u-1729", "email": "root@corp.example", "address": "203.0.113.9"},
    "description": "",
}
# The same facts in the form of Alertmanager, where labels tell alerts apart.
PEER_ALERT = {
    "labels": {"alertname": "Root login from a new country", "severity": "high", "id": HOLE},
    "annotations": {
        "rule": "2f9b8d34-0a67-4a1e-8d0b-64c9f1f7f0aa",
        "tags": "tactics.ta0001.initial_access techniques.t1078.valid_accounts",
        "user": "root@corp.example 203.0.113.9",
        "description": "",
    },
}
AUDIT = {
    "id": HOLE,
    "timestamp": "2026-05-04T09:30:00Z",
    "activity": "Policy added",
    "activity_code": "policy.add",
    "initiator_id": "u-1729",
    "initiator_name": "Jo Doe",
    "initiator_email": "jo@example.com",
    "target_id": "policy-1",
    "meta": {"name": "all to databases", "ports": "5432"},
}
FLOW = {
    "id": HOLE,
    "flow_id": "flow-1",
    "reporter_id": "peer-7",
    "source": {"id": "peer-1", "type": "PEER", "name": "laptop", "address": "100.64.0.7:51234"},
    "destination": {"id": "peer-2", "type": "PEER", "name": "db", "address": "100.64.0.9:5432"},
    "user": {"id": "u-1729", "email": "jo@example.com", "name": "Jo Doe"},
    "policy": {"id": "policy-1", "name": "default"},
    "protocol": 6,
    "direction": "EGRESS",
    "connection_type": "P2P",
    "rx_bytes": 1200,
    "rx_packets": 12,
    "tx_bytes": 3400,
    "tx_packets": 21,
    "events": [{"type": "TYPE_START", "timestamp": "2026-05-04T09:30:00Z"}],
}


def make_template(kind: str) -> bytes:
    """Return a document with one place for its number, in the manner of `%`."""
    document = {"alert": ALERT, "peer": PEER_ALERT, "audit": AUDIT, "flow": FLOW}[kind]
    written = orjson.dumps(document).replace(f'"{HOLE}"'.encode(), b'"' + MARK + NUMBER + b'"')
    missing = ALERT_BYTES - len(written % 0)
    return written.replace(b'"description":""', b'"description":"' + b"x" * missing + b'"')


def make_body(template: bytes, first: int, count: int, *, array: bool) -> bytes:
    """Return the body of one POST, with the numbers from `first` on."""
    documents = [template % number for number in range(first, first + count)]
    return b"[" + b",".join(documents) + b"]" if array else documents[0]


def find_numbers(body: bytes) -> set[int]:
    """Return the numbers of the documents in a body, which may be gzipped."""
    plain = gzip.decompress(body) if body.startswith(GZIPPED) else body
    return set(map(int, NUMBERED.findall(plain)))
