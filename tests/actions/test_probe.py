"""Probe and try-out: whatever goes wrong in a type, whoever asks is told."""

from types import SimpleNamespace

import pytest

from eventsinks.actions import configure
from eventsinks.actions.trying import probe as probing
from eventsinks.actions.trying.probe import probe_connection
from eventsinks.actions.trying.try_out import try_out
from eventsinks.destinations.base import SendFailure
from tests.helpers.receiver import Receiver
from tests.helpers.streams import far, integrate  # noqa: F401 - fixtures

pytestmark = pytest.mark.django_db


@pytest.fixture
def receiver():
    with Receiver() as opened:
        yield opened


def harm(monkeypatch, kind, name):
    def harmed(*_):
        raise TypeError("a fault in the type")

    monkeypatch.setattr(kind, name, harmed)


@pytest.mark.parametrize("name", ["build", "read"])
def test_a_fault_in_a_type_is_told_as_a_failure(acme, receiver, monkeypatch, name):
    made = configure.create(acme, "generic_http", {"url": receiver.url()}, name="i")
    harm(monkeypatch, made.kind, name)
    with pytest.raises(SendFailure) as raised:
        probe_connection(acme, made.opened())
    assert "a fault in the type" in raised.value.reason


def test_a_fault_in_a_client_is_told_as_a_failure(acme, far, integrate, monkeypatch):  # noqa: F811
    harm(monkeypatch, far, "send")
    with pytest.raises(SendFailure) as raised:
        probe_connection(acme, integrate().opened())
    assert "a fault in the type" in raised.value.reason


@pytest.mark.parametrize(("name", "outcome"), [("build", "refused"), ("read", "temporary")])
def test_a_fault_in_a_type_is_told_by_a_try_out(make_webhook, receiver, monkeypatch, name, outcome):
    sink = make_webhook(receiver.url())
    harm(monkeypatch, sink.kind, name)
    tried = try_out(sink)
    assert tried.outcome == outcome
    assert "a fault in the type" in tried.reason


def test_how_long_a_test_took_is_told_in_milliseconds(far, integrate, monkeypatch):  # noqa: F811
    integration = integrate()
    clock = iter([10.0, 12.5])
    monkeypatch.setattr(probing, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    assert probing.probe_destination(integration)["duration_ms"] == 2500.0
