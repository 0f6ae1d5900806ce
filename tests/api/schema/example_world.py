"""A world in which the schema's examples come true, and how what differs by nature is written in them."""

from __future__ import annotations

import json
import re
from datetime import timedelta

from django.utils import timezone

from eventsinks.actions import configure
from eventsinks.actions.silence import make_silence
from eventsinks.event_types import event_type
from eventsinks.models import ApiKey, Delivery
from tests.conftest import unrecorded
from tests.helpers import replays

ID = "0198c5a2-7d3e-7f61-9a40-5b8e2d1c6f{:02x}"
TIME = "2026-05-04T09:30:00Z"
LATER = "2026-05-04T18:00:00Z"  # the end of a silence, which must lie before us
UUIDS = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
# What differs by nature, and what stands for it.
STANDS_FOR = [
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z"), TIME),
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC"), "2026-05-04 09:30:00 UTC"),
    (re.compile(r"http://127\.0\.0\.1:\d+"), "https://hooks.example.com"),
    (re.compile(r"127\.0\.0\.1(?::\d+)?"), "hooks.example.com"),
    (re.compile(r'(?<="prefix": ")es_[\w-]{6}'), "es_" + "x" * 6),
    (re.compile(r"whsec_[\w+/=-]+"), "whsec_bm90LWEtc2VjcmV0LW9ubHktYW4tZXhhbXBsZQ=="),
    (re.compile(r"\bes_[\w-]{43}"), "es_" + "x" * 43),
    (re.compile(r"(?<=[?&]state=)[^&\"]+"), "x" * 43),
]
NUMBERS = {
    **dict.fromkeys(["dns", "connect", "tls", "first_byte", "total"], 12.5),
    "duration_ms": 12.5,
    "event_id": 1042,
    "until_event_id": 1042,
    "integration_id": 7,
}


def build_world(acme, receiver, make_workspace, dispatcher, send):
    """Make one of everything that Acme can have; return what each is called, by what stands for it."""
    with unrecorded():
        url, words = receiver.url("/alerts/night"), "Where the night watch looks first"
        sink = configure.create(acme, "webhook", {"url": url}, name="Night watch", description=words)
        other = configure.create(acme, "webhook", {"url": receiver.url("/alerts/day")}, name="Day watch")
        stream = configure.create(acme, "generic_http", {"url": receiver.url("/events")}, name="Generic HTTP")
        again = replays.start(other, since=timezone.now() - timedelta(hours=1))
        ends_at = timezone.now() + timedelta(hours=1)
        hush = make_silence(acme, reason="Planned work", author="Jo", filter='"test" in tags', ends_at=ends_at)
        workspace = make_workspace()
    alert = {**event_type("detection_alert").examples[0], "id": "a-1", "event_sink_ids": [str(sink.uuid)]}
    send("/v1/detection_alert", alert)
    for path, kind in (("audit", "audit"), ("network-traffic", "network_traffic"), ("proxy", "proxy")):
        send(f"/api/events/{path}", event_type(kind).examples[1])
    dispatcher.run()
    key = ApiKey.objects.filter(tenant=acme).get()
    made = [acme, sink.uuid, Delivery.objects.get(), hush, again, workspace, key, other.uuid]
    names = {ID.format(number): str(getattr(one, "id", one)) for number, one in enumerate(made, 1)}
    names |= {"/event-streaming/7": f"/event-streaming/{stream.id}", "https://hooks.example.com": receiver.url("")}
    return {**names, LATER: (timezone.now() + timedelta(hours=8)).isoformat()}


def meet_world(value, names):
    """Return a part of an example as this world has it."""
    text = json.dumps(value)
    for shown, real in names.items():
        text = text.replace(shown, real)
    return json.loads(text)


def leave_world(value, names):
    """Return an answer as the examples have it."""
    text = json.dumps(value)
    for shown, real in names.items():
        if not shown.startswith("/"):
            text = text.replace(real, shown)
    for pattern, shown in STANDS_FOR:
        text = pattern.sub(shown, text)
    unknown = [id for id in dict.fromkeys(UUIDS.findall(text)) if not id.startswith(ID[:-6])]
    for number, id in enumerate(unknown, 0xE0):
        text = text.replace(id, ID.format(number))
    return settle_numbers(json.loads(text))


def settle_numbers(value, name=""):
    """Return a value with each number that differs from one time to another as the examples have it."""
    if isinstance(value, list):
        return [settle_numbers(one, name) for one in value]
    if isinstance(value, dict):
        settled = {key: settle_numbers(one, key) for key, one in value.items()}
        if value.get("per_seconds"):
            settled["used"] = 0
        if "account_id" in value:
            settled["id"] = 7
        return settled
    stands_for = NUMBERS.get(name)
    return stands_for if type(value) is type(stands_for) else value
