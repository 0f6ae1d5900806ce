"""The real client: `netbird` 1.4.0 from PyPI, unmodified, against a running server."""

from __future__ import annotations

import itertools
import json

import pytest
from netbird import APIClient
from netbird.exceptions import (
    NetBirdAPIError,
    NetBirdAuthenticationError,
    NetBirdNotFoundError,
    NetBirdValidationError,
)
from netbird.models.cloud.event_streaming import EventStreamingCreate, EventStreamingUpdate
from netbird.models.common import ConnectionType, Protocol, TrafficDirection

from eventsinks.models import Destination
from tests.api.conftest import Caller
from tests.api.netbird.examples import AUDIT, FLOW, take_audit, take_traffic
from tests.helpers.receiver import Receiver, answer

# It says of every host but NetBird's own that it may lack the cloud's features.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:netbird")


@pytest.fixture
def client(live_server, acme_key):
    with APIClient(host=live_server.url, api_token=acme_key) as made:
        yield made


@pytest.fixture
def integrations(client):
    return client.cloud.event_streaming


@pytest.fixture
def receiver():
    with Receiver() as made:
        yield made


def http(receiver, **config):
    config = {"url": receiver.url(), "headers": json.dumps({"Authorization": "Bearer very-secret"}), **config}
    return EventStreamingCreate(platform="generic_http", config=config, enabled=True)


def test_the_real_client_creates_lists_gets_updates_and_deletes(integrations, receiver, acme):
    created = integrations.create(http(receiver))
    assert created == {
        **created,
        "account_id": str(acme.id),
        "enabled": True,
        "platform": "generic_http",
        "config": {"url": receiver.url(), "headers": '{"Authorization":"Bearer ****"}'},
    }
    assert isinstance(created["id"], int)
    assert integrations.list() == [created]
    assert integrations.get(str(created["id"])) == created

    off = integrations.update(str(created["id"]), EventStreamingUpdate(enabled=False))
    changed = {name: off[name] for name in ("updated_at", "stands_since")}
    assert off == {**created, "enabled": False, "state": "paused", "status": "paused", **changed}
    new = integrations.update(
        str(created["id"]), EventStreamingUpdate(config={"url": receiver.url("/new")}, enabled=True)
    )
    assert new["enabled"]
    assert new["config"] == {"url": receiver.url("/new"), "headers": '{"Authorization":"Bearer ****"}'}
    assert new["created_at"] == created["created_at"]

    assert integrations.delete(str(created["id"])) is None
    assert integrations.list() == []
    with pytest.raises(NetBirdNotFoundError):
        integrations.get(str(created["id"]))


def test_the_test_message_reached_the_far_end_with_its_secret(integrations, receiver):
    integrations.create(http(receiver))
    (got,) = receiver.got
    assert got.header("Authorization") == "Bearer very-secret"
    assert json.loads(got.body)["Message"] == "integration test"


def test_datadog_is_configured_with_the_address_of_its_intake(integrations):
    with Receiver(lambda got: answer(202, body=b"{}")) as datadog:
        url = datadog.url("/api/v2/logs")
        made = integrations.create(
            EventStreamingCreate(platform="datadog", config={"api_key": "dd-secret", "api_url": url}, enabled=True)
        )
        assert made["config"] == {"api_key": "****", "api_url": url}
        (got,) = datadog.got
        assert got.header("DD-API-KEY") == "dd-secret"


def test_what_is_wrong_arrives_as_the_clients_own_exceptions(integrations, live_server, receiver):
    with pytest.raises(NetBirdValidationError, match=r"platform: must be one of .*generic_http"):
        integrations.create(EventStreamingCreate(platform="pigeon_post", config={}, enabled=True))
    with pytest.raises(NetBirdValidationError, match=r"config\.url: field required"):
        integrations.create(EventStreamingCreate(platform="generic_http", config={}, enabled=True))
    with pytest.raises(NetBirdValidationError, match="invalid integration id format"):
        integrations.get("not-a-number")
    for call in (integrations.get, integrations.delete):
        with pytest.raises(NetBirdNotFoundError, match="999 not found"):
            call("999")
    with pytest.raises(NetBirdNotFoundError):
        integrations.update("999", EventStreamingUpdate(enabled=False))
    with APIClient(host=live_server.url, api_token="nbp_wrong") as stranger:
        with pytest.raises(NetBirdAuthenticationError, match="token invalid"):
            stranger.cloud.event_streaming.list()
        with pytest.raises(NetBirdAuthenticationError, match="token invalid"):
            stranger.events.get_audit_events()


def test_a_far_end_that_does_not_take_the_test_message_leaves_nothing(integrations):
    with Receiver(lambda got: answer(500)) as broken, pytest.raises(NetBirdAPIError) as caught:
        integrations.create(http(broken))
    assert caught.value.status_code == 412
    assert "500" in str(caught.value)
    assert not Destination.objects.exists()


def test_the_real_client_reads_audit_events(client, acme):
    take_audit(acme, {"id": "1"}, {"id": "2"})
    found = client.events.get_audit_events()
    assert [event["id"] for event in found][:2] == ["2", "1"]
    assert found[0] == {**AUDIT, "id": "2"}


@pytest.mark.parametrize(
    ("question", "found"),
    [
        ({}, "abc"),
        ({"page": 1, "page_size": 2}, "ab"),
        ({"page": 2, "page_size": 2}, "c"),
        ({"user_id": "alice"}, "a"),
        ({"reporter_id": "r-b"}, "b"),
        ({"protocol": "udp"}, "b"),
        ({"protocol": "17"}, "b"),
        ({"event_type": "TYPE_DROP"}, "c"),
        ({"connection_type": "P2P"}, "a"),
        ({"direction": "EGRESS"}, "c"),
        ({"direction": "sent"}, "c"),
        ({"search": "PRINTER"}, "b"),
        ({"start_date": "2026-01-01T01:30:00Z", "end_date": "2026-01-01T02:30:00.000Z"}, "b"),
        ({"start_date": "2026-01-01T03:30:00+02:00", "end_date": "2026-01-01T03:30:00+01:00"}, "b"),
        ({"user_id": "nobody"}, ""),
    ],
)
def test_the_real_client_reads_flows_by_every_filter(client, acme, question, found):
    take_traffic(
        acme,
        {"id": "a", "user": {"id": "alice"}, "events": at("03")},
        {
            "id": "b",
            "reporter_id": "r-b",
            "protocol": 17,
            "destination": {**FLOW["destination"], "type": "ROUTE", "name": "The Printer"},
            "events": at("02"),
        },
        {
            "id": "c",
            "direction": "EGRESS",
            "source": {**FLOW["source"], "type": "ROUTE"},
            "events": at("01", "TYPE_DROP"),
        },
    )
    assert "".join(flow["id"] for flow in client.events.get_network_traffic_events(**question)) == found


def at(hour, type="TYPE_START"):
    return [{"type": type, "timestamp": f"2026-01-01T{hour}:00:00Z"}]


def test_a_filter_that_makes_no_sense_arrives_as_the_clients_own_exception(client):
    for question in ({"protocol": "carrier pigeon"}, {"page": 0}, {"event_type": "START"}, {"end_date": "soon"}):
        with pytest.raises(NetBirdValidationError):
            client.events.get_network_traffic_events(**question)


def test_bearer_is_as_good_as_token(live_server, acme_key):
    with APIClient(host=live_server.url, api_token=acme_key, auth_scheme="Bearer") as client:
        assert client.cloud.event_streaming.list() == []


def test_the_real_client_may_ask_with_every_value_that_it_knows(client, subtests):
    protocols = [*Protocol, *(one.value for one in Protocol)]
    connection_types = [*ConnectionType, "relay", "p2p"]
    directions = [*TrafficDirection, "sent", "received"]
    for protocol, connection_type, direction in itertools.product(protocols, connection_types, directions):
        asked = {"protocol": protocol, "connection_type": connection_type, "direction": direction}
        with subtests.test(**asked):
            assert client.events.get_network_traffic_events(**asked) == []


def test_the_real_client_reads_what_the_reverse_proxy_served(client, live_server, acme_key):
    taken = {"id": "1", "method": "POST", "host": "wiki.example.com", "path": "/login", "status_code": 403}
    Caller(acme_key).post("/api/events/proxy", taken)
    (told,) = client.events.get_proxy_events(
        page=1, page_size=10, sort_by="timestamp", sort_order="desc", search="login", host="wiki.example.com",
        path="/log", method="POST", status="failed", status_code=403, start_date="2020-01-01T00:00:00Z",
    )  # fmt: skip
    assert told == {**told, **taken, "duration_ms": 0, "service_id": ""}
    assert client.events.get_proxy_events(status="success") == []
