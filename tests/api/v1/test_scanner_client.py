"""The real client: `scanner-client` from PyPI, unmodified, in its own environment, against a running server."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from eventsinks.actions import configure
from eventsinks.actions.tenants import create_tenant, issue_key
from eventsinks.models import Destination, SlackWorkspace
from eventsinks.models.destination import list_types
from tests.clients.environment import python_of
from tests.destinations.examples import example

SCRIPT = Path(__file__).parents[2] / "clients" / "scanner_script.py"
NAMES = ["webhook", "torq", "pagerduty", "slack by id", "slack by name"]


@pytest.fixture(scope="session")
def scanner_python():
    return python_of("scanner")


@pytest.fixture
def scanner(scanner_python, live_server, acme, acme_key, globex, make_workspace, make_webhook):
    """Run the client's script; return what it was given with what it printed."""
    given = {
        "url": live_server.url,
        "key": acme_key,
        "tenant_id": str(acme.id),
        "workspace_id": str(make_workspace().id),
        "foreign_id": str(make_webhook(tenant=globex, name="Globex's").uuid),
        "foreign_tenant_id": str(globex.id),
    }

    def run(**more):
        command = [scanner_python, SCRIPT]
        text = json.dumps({**given, **more})
        done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return {**given, **json.loads(done.stdout)}

    return run


def test_the_real_client_manages_every_type_and_finds_nothing_of_another_tenant(scanner, globex):
    report = scanner()
    created = report["created"]
    created_as_asked(created, report)
    assert report["got"] == created
    assert report["listed"] == list(created.values())
    updated_as_asked(report["updated"], created)
    torq = Destination.objects.get(uuid=created["torq"]["id"]).opened_config().dump_revealed()
    assert torq["headers"] == {"X-Api-Key": "a secret of the webhook", "X-Other": "new"}

    assert report["not found"] == dict.fromkeys(report["not found"], "NotFound")
    assert len(report["not found"]) == 8
    assert "401" in report["wrong key"]
    assert [sink.name for sink in Destination.objects.of(globex)] == ["Globex's"]

    ids = [sink["id"] for sink in created.values()]
    gone = scanner(delete=ids)
    assert gone["deleted"] == [{"id": id, "tenant_id": report["tenant_id"]} for id in ids]
    assert gone["after deletion"] == ["NotFound"] * 5
    assert gone["listed"] == []


def test_the_real_client_reads_a_tenant_that_has_a_sink_of_every_type(scanner, acme):
    made = {}
    for key in list_types("event_sink"):
        config = example(key)
        if key == "slack":
            config = {"slack_integration_id": str(SlackWorkspace.objects.get().id), "channel_id": "C12345678"}
        made[key] = configure.create(acme, key, config, name=key)
    seen = scanner(see={key: str(sink.uuid) for key, sink in made.items()})
    assert seen["listed"].keys() == made.keys()
    assert seen["got"] == seen["listed"]
    types = {key: sink["event_sink_type"] for key, sink in seen["listed"].items()}
    known = {"pagerduty": "PagerDuty", "slack": "Slack", "tines": "Tines"}
    assert types == {**dict.fromkeys(made, "Webhook"), **known}
    assert {key: sink["destination_type"] for key, sink in seen["listed"].items()} == {key: key for key in made}
    assert seen["listed"]["tines"]["configuration"] == {
        "Tines": {"path": "****", "tines_tenant": example("tines")["tines_tenant"]}
    }
    discord = seen["listed"]["discord"]["configuration"]["Webhook"]
    assert (discord["url"], discord["webhook_type"]) == ("****", "Other")


def created_as_asked(created, report):
    workspace = report["workspace_id"]
    assert list(created) == NAMES
    assert {
        name: (sink["name"], sink["description"], sink["event_sink_type"]) for name, sink in created.items()
    } == {
        "webhook": ("webhook", "a webhook sink", "Webhook"),
        "torq": ("torq", "a torq sink", "Webhook"),
        "pagerduty": ("pagerduty", "a pagerduty sink", "PagerDuty"),
        "slack by id": ("slack by id", "a slack by id sink", "Slack"),
        "slack by name": ("slack by name", "a slack by name sink", "Slack"),
    }
    assert configurations(created) == {
        "webhook": {"Webhook": {"url": "https://example.com/hook", "webhook_type": "Other"}},
        "torq": {
            "Webhook": {
                "url": "https://torq.example.com/hook",
                "headers": {"X-Api-Key": "****"},
                "webhook_type": "Torq",
            }
        },
        "pagerduty": {"PagerDuty": None},
        "slack by id": {"Slack": {"channel_id": "C12345678", "channel_name": ""}},
        "slack by name": {"Slack": {"channel_id": "", "channel_name": "security-alerts"}},
    }
    assert {sink["tenant_id"] for sink in created.values()} == {report["tenant_id"]}
    assert [created[name]["integration_id"] for name in NAMES] == [None, None, None, workspace, workspace]


def updated_as_asked(updated, created):
    assert {(name, sink["name"], sink["description"]) for name, sink in updated.items()} == {
        (name, f"new {name}", "new") for name in NAMES
    }
    assert configurations(updated) == {
        "webhook": {"Webhook": {"url": "https://example.com/new", "webhook_type": "Other"}},
        "torq": {
            "Webhook": {
                "url": "https://torq.example.com/new",
                "headers": {"X-Api-Key": "****", "X-Other": "****"},
                "webhook_type": "Torq",
            }
        },
        "pagerduty": {"PagerDuty": None},
        "slack by id": {"Slack": {"channel_id": "", "channel_name": "general"}},
        "slack by name": {"Slack": {"channel_id": "C87654321", "channel_name": ""}},
    }
    assert all(updated[name]["created_at"] == created[name]["created_at"] for name in NAMES)


def configurations(sinks):
    return {name: sink["configuration"] for name, sink in sinks.items()}


@pytest.mark.django_db
def test_a_key_without_write_can_be_given_to_the_real_client_to_look_only(scanner_python, live_server):
    tenant = create_tenant("Initech")
    _, key = issue_key(tenant, scopes=["event_sink:read"])
    script = (
        "import sys; from scanner_client import *; s = Scanner(sys.argv[1], sys.argv[2]).event_sink\n"
        "print(len(s.list_all(sys.argv[3])))\n"
        "try: s.create(sys.argv[3], 'x', 'x', create_webhook_event_sink_args('https://example.com/'))\n"
        "except Exception as error: print(error)"
    )
    done = subprocess.run(
        [scanner_python, "-c", script, live_server.url, key, str(tenant.id)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.startswith("0\n")
    assert "403" in done.stdout
    assert "event_sink:write" in done.stdout
    assert not Destination.objects.exists()
