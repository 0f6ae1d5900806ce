"""An invented service that integrations send to, the log that they send, and what tests ask of both.

The fixtures are those of all tests in tests/streaming. Other tests import what they use.
"""

import json
from datetime import UTC, datetime, timedelta

import pytest
from django.db.models.functions import Now

from eventsinks.actions import configure
from eventsinks.destinations import DESTINATION_TYPES
from eventsinks.destinations.base import BatchLimits, ClientType, Config, Receipt
from eventsinks.event_types import event_type
from eventsinks.intake import audit
from eventsinks.intake.accept import accept
from eventsinks.lib.net.addresses import AddressGuard
from eventsinks.lib.net.http import Outlet
from eventsinks.lib.net.wire import Response
from eventsinks.models import Event, Position
from tests.helpers.visible import visible


class FarConfig(Config):
    """Nothing to say."""


class Far(ClientType):
    """An invented service. `says(batch)` returns the failures by text, or raises."""

    key = "far"
    label = "Far"
    face = "integration"
    Config = FarConfig
    limits = BatchLimits(max_events=3, max_bytes=10_000, max_event_bytes=5_000)
    got: list = []
    says = staticmethod(lambda batch: {})

    def send(self, batch, at):
        type(self).got.append(batch)
        failures = type(self).says(batch)
        return Receipt(
            Response(200, [], b""), {m.id: failures[text(m)] for m in batch.messages if text(m) in failures}
        )


def text(message):
    """Return what tells an event from another in these tests."""
    return json.loads(message.data)["activity_code"]


@pytest.fixture
def far(monkeypatch):
    """Return the class of the invented service, fresh for this test."""
    kind = type("Fresh", (Far,), {"got": [], "__doc__": "For one test."})
    monkeypatch.setitem(DESTINATION_TYPES, "far", kind)
    return kind


@pytest.fixture
def silent_audit(monkeypatch):
    """Let what these tests do to integrations be no event of the tenant's log."""
    record = audit.record_destination
    monkeypatch.setattr(audit, "record_destination", lambda *_: None)
    return record


@pytest.fixture
def outlet():
    outlet = Outlet(AddressGuard(["127.0.0.0/8"]), timeout=5)
    yield outlet
    outlet.close()


@pytest.fixture
def integrate(acme):
    def integrate(type="far", config=None, tenant=None, **options):
        return configure.create(tenant or acme, type, config or {}, name="i", **options)

    return integrate


@pytest.fixture
def log(acme):
    """Write audit events into the log of Acme, or of another; return when streams can read them."""

    def log(*codes, tenant=None, size=0, type="audit"):
        filler = {"meta": {"x": "x" * size}} if size else {}
        documents = [json.dumps({"activity_code": str(code), **filler}).encode() for code in codes]
        if type == "detection_alert":
            documents = [json.dumps({"name": str(code), "severity": "Low"}).encode() for code in codes]
        accepted = accept(tenant or acme, event_type(type), documents)
        assert not accepted.rejections
        visible(tenant or acme)
        return [Event.objects.get(key=key).id for key in accepted.keys]

    return log


def came(far):
    """Return the codes of each batch that came."""
    return [[text(message) for message in batch.messages] for batch in far.got]


def all_that_came(far):
    return [code for batch in came(far) for code in batch]


def make_due(destination):
    """Let the pause, or the lease of a dead worker, run out."""
    Position.objects.filter(destination_id=destination.id).update(due_at=Now() - timedelta(seconds=1))


def pause_of(destination):
    """Return the seconds until an integration is due."""
    due_at = Position.objects.get(destination_id=destination.id).due_at
    return (due_at - datetime.now(UTC)).total_seconds()


def stored(destination):
    return Position.objects.get(destination_id=destination.id)
