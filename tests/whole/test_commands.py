"""The commands for people and scripts: what they print, and what they refuse."""

import io
import json
import uuid
from datetime import UTC, datetime

import pytest
from django.core.management import CommandError, call_command

from eventsinks.models import ApiKey, Event, Tenant

pytestmark = pytest.mark.django_db


def said(command, *arguments, **options):
    """Return what a command prints."""
    out = io.StringIO()
    call_command(command, *arguments, stdout=out, **options)
    return out.getvalue()


def test_create_tenant_prints_only_the_id():
    assert said("create_tenant", "Acme") == f"{Tenant.objects.get(name='Acme').id}\n"


def test_create_tenant_takes_a_chosen_id_once():
    id = uuid.uuid4()
    assert said("create_tenant", "Acme", "--id", str(id)) == f"{id}\n"
    with pytest.raises(CommandError, match="exists already"):
        said("create_tenant", "Another", "--id", str(id))


def test_issue_key_prints_only_a_key_that_works(acme):
    for tenant in (str(acme.id), acme.name):
        text = said("issue_key", tenant).strip()
        assert ApiKey.objects.usable().of_text(text).get().tenant == acme


def test_issue_key_gives_what_was_asked_and_no_more(acme):
    asked = ["--scopes", "event_sink:read, delivery:read", "--expires", "2100-01-01", "--name", "ci"]
    text = said("issue_key", acme.name, *asked)
    key = ApiKey.objects.of_text(text.strip()).get()
    assert (key.scopes, key.name) == (["event_sink:read", "delivery:read"], "ci")
    assert key.expires_at == datetime(2100, 1, 1, tzinfo=UTC)


def test_issue_key_makes_an_operators_key():
    key = ApiKey.objects.of_text(said("issue_key", "--operator").strip()).get()
    assert (key.tenant, key.scopes) == (None, ["operator"])


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ([], "name a tenant"),
        (["Acme", "--operator"], "name a tenant"),
        (["Nobody"], "no tenant 'Nobody'"),
        (["Twin"], "more than one tenant"),
        (["Acme", "--scopes", "everything"], "no such scope: everything"),
        (["Acme", "--expires", "soon"], "invalid moment value: 'soon'"),
    ],
)
def test_issue_key_refuses_what_it_does_not_understand(acme, arguments, why):
    Tenant.objects.bulk_create([Tenant(name="Twin"), Tenant(name="Twin")])
    with pytest.raises(CommandError, match=why):
        said("issue_key", *arguments)
    assert not ApiKey.objects.exists()


@pytest.fixture
def server(transactional_db, live_server):
    """Return where the API is."""
    return live_server.url


def test_send_alert_posts_one_by_name(server, acme, acme_key):
    answer = json.loads(said("send_alert", url=server, key=acme_key, name="Root login", severity="Low"))
    event = Event.objects.get(tenant=acme)
    assert answer["detection_alert"]["id"] == event.key
    assert json.loads(bytes(event.data))["severity"] == "Low"


@pytest.mark.parametrize("separator", [",", "\n"])
def test_send_alert_posts_what_a_file_holds(server, acme, acme_key, tmp_path, separator):
    alerts = separator.join(json.dumps({"name": name, "severity": "High"}) for name in ("one", "two"))
    file = tmp_path / "alerts"
    file.write_text(f"[{alerts}]" if separator == "," else alerts)
    assert json.loads(said("send_alert", url=server, key=acme_key, file=str(file)))["data"]["accepted"] == 2
    assert Event.objects.filter(tenant=acme).count() == 2


def test_send_alert_reads_standard_input_and_the_key_from_the_environment(server, acme, acme_key, monkeypatch):
    alert = io.BytesIO(b'{"name": "Root login", "severity": "High"}')
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(alert))
    monkeypatch.setenv("EVENTSINKS_API_KEY", acme_key)
    said("send_alert", url=server)
    assert Event.objects.filter(tenant=acme).exists()


def test_send_alert_tells_what_went_wrong(server, acme_key, monkeypatch, tmp_path):
    with pytest.raises(CommandError, match="answered 401"):
        said("send_alert", url=server, key="es_wrong", name="Root login")
    with pytest.raises(CommandError, match="answered 400"):
        said("send_alert", url=server, key=acme_key, name="Root login", severity="Dreadful")
    with pytest.raises(CommandError, match="can't be reached"):
        said("send_alert", url="http://127.0.0.1:1", key=acme_key, name="Root login")
    with pytest.raises(CommandError, match="can't read"):
        said("send_alert", url=server, key=acme_key, file=str(tmp_path / "none"))
    with pytest.raises(CommandError, match="no API key"):
        said("send_alert", url=server, name="Root login")
