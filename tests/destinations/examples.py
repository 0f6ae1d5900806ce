"""A small cast for the tests of destination types: an alert, messages, answers, golden files.

`GOLDEN=write .venv/bin/python -m pytest tests/destinations` writes the golden files anew.
"""

import gzip
import importlib
import json
import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import orjson
from pydantic import ValidationError

from eventsinks.destinations import DESTINATION_TYPES
from eventsinks.destinations.base import Message, MessageBatch
from eventsinks.event_types import event_type
from eventsinks.lib.net.addresses import AddressGuard
from eventsinks.lib.net.wire import Response
from eventsinks.mappings import MAPPINGS

# Which of them a field takes that may name any host: with a path or without one.
ANYWHERE = ("https://logs.acme.example/in", "https://logs.acme.example")
GOLDEN = Path(__file__).parent.parent / "golden"
ACME = UUID("6a1d5f0e-3c58-4b8f-9a51-0b6f6c1f2e10")
MESSAGE_ID = UUID("0198f2c4-7d1a-7c3e-8f55-2b9d6a7e4c01")
BATCH_ID = UUID("0198f2c4-8000-7000-8000-00000000ba7c")
AT = datetime(2026, 5, 4, 9, 30, 15, 250000, UTC)

ALERT = {
    "id": "b7c1c2de-51f4-4a0c-9d57-3f1f0f5f7a11",
    "detection_rule_id": "2f9b8d34-0a67-4a1e-8d0b-64c9f1f7f0aa",
    "tenant_id": str(ACME),
    "severity_id": 4,
    "severity": "High",
    "name": "Okta admin role granted outside office hours",
    "description": "jo.berg@acme.example gave <Super Admin> to a contractor & logged out.",
    "query_text": 'eventType:"user.account.privilege.grant" | stats count() by actor.alternateId',
    "tags": ["tactics.ta0003.persistence", "techniques.t1098.account_manipulation"],
    "detected_in_time_range": {
        "start": "2026-05-04T09:25:00.000000000Z",
        "end": "2026-05-04T09:30:00.123456789Z",
    },
    "timestamp": 1777887000123456789,
    "staging": False,
    "results_table": {
        "columns": ["actor.alternateId", "target", "@q.count"],
        "rows": [{"actor.alternateId": "jo.berg@acme.example", "target": "Zoë 東京", "@q.count": 3}],
        "total_row_count": 1,
    },
    "View in Scanner": "https://app.scanner.dev/redirect/detections_query/acme?triggered_at=2026-05-04T09%3A30",
}
AUDIT = {
    "id": "90210",
    "timestamp": "2026-05-04T09:29:58.00483949Z",
    "activity": "Policy added",
    "activity_code": "policy.add",
    "initiator_id": "okta|jo.berg",
    "initiator_name": "Jo Berg",
    "initiator_email": "jo.berg@acme.example",
    "target_id": "cqk2v1",
    "meta": {"name": 'Zoë\'s "lab" <東京>', "ports": "22, 443"},
}
TRAFFIC = {
    "flow_id": "5f2c8b1e-6f0d-4b57-9d1a-0c3b7e9a1f44",
    "reporter_id": "peer-berlin-7",
    "source": {"id": "p1", "type": "PEER", "name": "laptop-jo", "address": "100.64.0.10:52110"},
    "destination": {"id": "p2", "type": "HOST_RESOURCE", "name": "db-1", "address": "10.20.0.5:5432"},
    "user": {"id": "okta|jo.berg", "email": "jo.berg@acme.example", "name": "Jo Berg"},
    "policy": {"id": "pol-9", "name": "engineers to databases"},
    "icmp": {"type": 0, "code": 0},
    "protocol": 6,
    "direction": "INGRESS",
    "rx_bytes": 18446744073709551615,
    "rx_packets": 12,
    "tx_bytes": 560,
    "tx_packets": 7,
    "events": [
        {"type": "TYPE_START", "timestamp": "2026-05-04T09:29:30.5Z"},
        {"type": "TYPE_END", "timestamp": "2026-05-04T09:29:59.123456789Z"},
    ],
}

ROWS = (("jo.berg@acme.example", "<Super Admin>", "3"), ("kim@acme.example", "Zoë 東京 | x", "1"))
# What a summary has beside the alert's own, where the rule has a template and found several rows.
TEMPLATED = {
    "info": (("Who", "jo.berg@acme.example"), ("What now", "Call *Jo* & revoke <the> role\nthen @here")),
    "actions": (("Runbook", "https://wiki.example/runbook?x=1"), ("On call", "ask in #security")),
    "columns": ("user", "role", "count"),
    "rows": ROWS,
    "row_count": 7,
}


def make_message(alert=None, raw=None, message_id=MESSAGE_ID, **changes):
    """Accept an alert as the API would, and return the message of it."""
    kind = event_type("detection_alert")
    data = raw if raw is not None else orjson.dumps({**(alert or ALERT), **changes})
    accepted = kind.accept(data, ACME)
    return Message(message_id, kind, ACME, accepted.occurred_at, accepted.data)


def with_summary(message=None, **changes):
    """Return a message whose summary has these fields."""
    message = message or make_message()
    message.__dict__["summary"] = replace(message.summary, **changes)
    return message


def make_streamed(key, event=None, raw=None, message_id=MESSAGE_ID, mapping="as_accepted", **changes):
    """Return the message of an event of NetBird's, `audit` or `network_traffic`, in the shape `mapping`."""
    occurred_at = changes.pop("occurred_at", AT)
    given = event or {"audit": AUDIT, "network_traffic": TRAFFIC}[key]
    data = raw if raw is not None else orjson.dumps({**given, **changes})
    return Message(message_id, event_type(key), ACME, occurred_at, data, mapping)


def in_shape(mapping, message):
    """Return a message of what was accepted in another shape."""
    data = MAPPINGS[mapping].written(message.event_type, message.data, message.occurred_at)
    return Message(message.id, message.event_type, message.tenant_id, message.occurred_at, data, mapping)


def make_audit(**options):
    """Return the message of an audit event."""
    return make_streamed("audit", **options)


def make_traffic(**options):
    """Return the message of a flow."""
    return make_streamed("network_traffic", **options)


def make_batch(*messages, number=7):
    """Return a batch of these messages, or of two audit events."""
    return MessageBatch(
        BATCH_ID, number, messages or (make_audit(), make_audit(message_id=UUID(int=2), id="90211"))
    )


def make_audits(count, **options):
    """Return that many audit events, each with an id of its own."""
    return [make_audit(message_id=UUID(int=number + 1), id=str(number), **options) for number in range(count)]


def make_response(status=200, body=b"", **headers):
    """Return an answer; `retry_after="5"` becomes the header `retry-after: 5`."""
    lines = [f"{name.replace('_', '-')}: {value}".encode("latin-1") for name, value in headers.items()]
    return Response(status, [f"HTTP/1.1 {status}".encode(), *lines], body)


def example(key):
    """Return the EXAMPLE of the type's test module: a valid configuration with its secrets."""
    return of_its_test(key, "EXAMPLE", "a configuration")


def find_test(key):
    """Return the test module of a type. Raises ModuleNotFoundError."""
    return importlib.import_module(
        f"tests.destinations.test_{DESTINATION_TYPES[key].__module__.rpartition('.')[2]}"
    )


def of_its_test(key, name, what):
    """Return what the test module of a type must define."""
    try:
        return getattr(find_test(key), name)
    except (ModuleNotFoundError, AttributeError):
        module = DESTINATION_TYPES[key].__module__.rpartition(".")[2]
        raise AssertionError(f"tests.destinations.test_{module} must define {name}, {what} of {key!r}") from None


def is_valid(key, **changes):
    """Whether the example, changed so, is a configuration."""
    try:
        DESTINATION_TYPES[key].Config.model_validate(
            {**example(key), **changes}, context={"guard": AddressGuard()}
        )
    except ValidationError:
        return False
    return True


def find_urls():
    """Return each field that is a URL, of any type: its type, its name, and a URL that it takes."""
    return [
        (
            key,
            name,
            next(url for url in (example(key).get(name), *ANYWHERE) if url and is_valid(key, **{name: url})),
        )
        for key, kind in sorted(DESTINATION_TYPES.items())
        for name in kind.Config.model_fields
        if takes_urls(key, name)
    ]


def takes_urls(key, name):
    """Whether a field is a URL: what of a URL is wrong is said at it."""
    try:
        DESTINATION_TYPES[key].Config.model_validate({**example(key), name: "https://example.com/a b"})
    except ValidationError as error:
        return "a URL must not contain spaces" in str(error)
    return False


def goes_anywhere(key, name):
    """Whether the URL in a field may be of any host, or of its vendor's only."""
    return any(is_valid(key, **{name: url}) for url in ANYWHERE)


def make_type(key, config=None, **arguments):
    """Return a destination type with its example's configuration, or with `config`."""
    kind = DESTINATION_TYPES[key]
    return kind(kind.Config.model_validate(config or example(key)), **arguments)


def assert_golden(name, request):
    """Compare what goes on the wire with tests/golden/<name>.json, unzipped if it is zipped."""
    zipped = ("Content-Encoding", "gzip") in request.headers
    body = gzip.decompress(request.body) if zipped else request.body
    assert_golden_data(name, {**request._asdict(), "headers": request.headers, "body": json.loads(body)})


def assert_golden_data(name, wire):
    """Compare a JSON value with tests/golden/<name>.json."""
    text = json.dumps(wire, indent=2, ensure_ascii=False) + "\n"
    path = GOLDEN / f"{name}.json"
    if os.environ.get("GOLDEN") == "write":
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")
    assert text == path.read_text("utf-8")
