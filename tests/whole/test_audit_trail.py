"""Whatever is changed or shown, over the API or in the admin, is an audit event of its tenant: who did it, too.

A path, a page or a button that is new fails here until it is written down how it is used and what it records.
"""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.http import QueryDict
from django.test import RequestFactory
from django.urls import reverse
from django.utils import timezone

from eventsinks.actions import configure, silence
from eventsinks.actions.replaying.replay_stream import replay_stream
from eventsinks.actions.slack import install
from eventsinks.actions.tenants import issue_key
from eventsinks.admin.replays.form import ReplayForm
from eventsinks.models import ApiKey, Delivery, Event, Position, Silence, SlackWorkspace, Tenant
from eventsinks.models.secrets.fingerprint import make_fingerprint
from tests.api.conftest import Caller
from tests.api.test_isolation import url_table
from tests.conftest import unrecorded
from tests.helpers import replays
from tests.helpers.receiver import Receiver

pytestmark = pytest.mark.django_db
PEER = "198.51.100.7"
SECRET, TOKEN, IN_URL = "never-to-be-told", "xoxb-never-told", "token-in-a-path-never-told"
SINCE = {"since": "2026-01-01T00:00:00Z"}
CREATED, UPDATED, DELETED = "integration.create", "integration.update", "integration.delete"


@pytest.fixture
def receiver():
    with Receiver() as started:
        yield started


@pytest.fixture
def world(acme, receiver, make_alert, settings):
    """Something of every sort that can be changed."""
    settings.SLACK_CLIENT_ID = settings.SLACK_CLIENT_SECRET = "x"
    with unrecorded():
        config = {"url": receiver.url(), "headers": {"X-Key": SECRET}}
        sink = configure.create(acme, "webhook", config, name="Hook")
        stream = configure.create(
            acme, "generic_http", {"url": receiver.url(), "headers": '{"X-Key": "never-to-be-told"}'}, name="HTTP"
        )
        make_alert(id="alert-1")
        Delivery.objects.update(state="failed")
        ends_at = timezone.now() + timedelta(hours=1)
        quiet = silence.make_silence(acme, reason="why", author="me", ends_at=ends_at, filter="false")
        workspace = SlackWorkspace(tenant=acme, team_id="T0123", team_name="HQ")
        workspace.token = TOKEN
        workspace.save()
        key, _ = issue_key(acme, name="spare")
        Position.objects.filter(destination=stream).update(event_id=10**6, xid=10**6)
    return {
        "acme": acme,
        "sink": sink,
        "stream": stream,
        "silence": quiet,
        "workspace": workspace,
        "key": key,
        "delivery": Delivery.objects.get(),
        "alert": Event.objects.get(key="alert-1"),
    }


def recorded():
    return [event.document for event in Event.objects.filter(type="audit").order_by("id")]


# --- Over the APIs: what is sent, and what it records. {x} stands for the id of x.

ARGS = {"Webhook": {"url": f"https://example.com/{IN_URL}"}}
CHANGED_ARGS = {"Webhook": {**ARGS["Webhook"], "headers": {"X-Key": f"{SECRET}-2"}}}  # another host asks for them
HTTP_CONFIG = {"url": "https://example.com/x"}
API = {
    ("POST", "v1/event_sink"): (
        {"tenant_id": "{acme}", "name": "n", "description": "", "event_sink_args": ARGS},
        CREATED,
    ),
    ("PUT", "v1/event_sink/{id}"): ({"name": "other", "event_sink_args": CHANGED_ARGS}, UPDATED),
    ("DELETE", "v1/event_sink/{id}"): (None, DELETED),
    ("POST", "v1/event_sink/{id}/pause"): (None, UPDATED),
    ("POST", "v1/event_sink/{id}/resume"): (None, UPDATED),
    ("POST", "v1/event_sink/{id}/replay"): (SINCE, "replay.create"),
    ("POST", "v1/event_sink/{id}/test"): (None, "integration.test.send"),
    ("POST", "v1/event_sink/{id}/rotate_secret"): (None, UPDATED),
    ("GET", "v1/event_sink/{id}/signing_secret"): (None, "signing_secret.reveal"),
    ("POST", "v1/slack_integration/install"): (None, "slack_integration.begin"),
    ("DELETE", "v1/slack_integration/{id}"): (None, DELETED),
    ("POST", "v1/delivery/{id}/replay"): (None, UPDATED),
    ("POST", "v1/delivery/{id}/skip"): (None, UPDATED),
    ("POST", "v1/replay"): (SINCE, "replay.create"),
    ("DELETE", "v1/replay/{id}"): (None, "replay.cancel"),
    ("POST", "v1/silence"): ({"reason": "r", "author": "a", "ends_at": "{soon}"}, "silence.create"),
    ("DELETE", "v1/silence/{id}"): (None, "silence.end"),
    ("POST", "v1/tenant"): ({"name": "Initech"}, "tenant.create"),
    ("PUT", "v1/tenant/{id}"): ({"limits": {"silences": 7}}, "tenant.limits.update"),
    ("DELETE", "v1/tenant/{id}"): (None, "tenant.delete"),
    ("DELETE", "v1/detection_alert/{key}"): (None, "event.expunge"),
    ("DELETE", "api/events/audit/{key}"): (None, "event.expunge"),
    ("POST", "v1/api_key"): ({"tenant_id": "{acme}", "name": "k"}, "personal.access.token.create"),
    ("DELETE", "v1/api_key/{id}"): (None, "personal.access.token.delete"),
    ("POST", "api/event-streaming"): (
        {"platform": "generic_http", "config": HTTP_CONFIG, "enabled": False},
        CREATED,
    ),
    ("PUT", "api/event-streaming/{id}"): ({"enabled": False}, UPDATED),
    ("DELETE", "api/event-streaming/{id}"): (None, DELETED),
    ("POST", "api/event-streaming/{id}/rotate_secret"): (None, UPDATED),
    ("GET", "api/event-streaming/{id}/signing_secret"): (None, "signing_secret.reveal"),
    ("POST", "api/event-streaming/{id}/test"): (None, "integration.test.send"),
    ("POST", "api/event-streaming/{id}/pause"): (None, UPDATED),
    ("POST", "api/event-streaming/{id}/resume"): (None, UPDATED),
    ("POST", "api/event-streaming/{id}/replay"): (SINCE, UPDATED),
    ("DELETE", "api/event-streaming/{id}/replay"): (None, UPDATED),
}
TAKES_EVENTS = {
    "v1/detection_alert",
    "api/events",
    "api/events/audit",
    "api/events/network-traffic",
    "api/events/proxy",
}
ASKS_ONLY = {"v1/silence/preview"}
PEOPLE = {"admin/", "slack/install", "slack/oauth/callback"}  # below, and in tests of their own
ALIAS = "api/integrations/event-streaming"  # the same views again
NAMED = {
    "v1/event_sink": lambda world: world["sink"].uuid,
    "v1/slack_integration": lambda world: world["workspace"].pk,
    "v1/delivery": lambda world: world["delivery"].pk,
    "v1/silence": lambda world: world["silence"].pk,
    "v1/tenant": lambda world: world["acme"].pk,
    "v1/api_key": lambda world: world["key"].pk,
    "api/event-streaming": lambda world: world["stream"].pk,
}


@pytest.mark.guarantee("S20")
def test_no_call_that_changes_something_is_forgotten():
    changing = {
        (method, path)
        for path, methods in url_table().items()
        for method in methods - {"GET", "HEAD", "OPTIONS", "TRACE"}
        if path not in TAKES_EVENTS | ASKS_ONLY | PEOPLE and not path.startswith((ALIAS, "accounts/", "docs"))
    }
    assert {call for call in API if call[0] != "GET"} == changing


@pytest.mark.guarantee("S20")
@pytest.mark.parametrize(("method", "path"), sorted(API))
def test_what_a_key_does_is_recorded_with_the_key_and_its_address(method, path, world):
    body, code = API[method, path]
    with unrecorded():
        arrange(method, path, world)
        of_operator = path.startswith(("v1/tenant", "v1/api_key"))
        key, text = issue_key(None if of_operator else world["acme"], name="the key's name")
        address = path.replace("{id}", str(id_of(path, world))).replace("{key}", "alert-1")
    said = json.dumps(body or {}).replace("{acme}", str(world["acme"].pk))
    said = said.replace("{soon}", (timezone.now() + timedelta(hours=1)).isoformat())
    caller = Caller(text)
    caller.client.defaults["REMOTE_ADDR"] = PEER
    response = caller.send(method, f"/{address}", said.encode())
    assert response.status_code == 200, response.content
    told = recorded()[-1]
    assert (told["activity_code"], told["initiator_id"]) == (code, str(key.pk))
    assert (told["initiator_name"], told["meta"]["address"]) == ("the key's name", PEER)
    assert told["activity"] != "UNKNOWN_ACTIVITY"
    assert_nothing_secret_in(recorded(), text)


def id_of(path, world):
    if path == "v1/replay/{id}":
        return replays.start(world["sink"], since=timezone.now() - timedelta(hours=1)).pk
    prefix = "/".join(path.split("/")[:2])
    return NAMED[prefix](world) if "{id}" in path else ""


def arrange(method, path, world):
    """Bring about what a call needs to change something."""
    if path.endswith("/skip"):
        Delivery.objects.update(state="failed")
    if path.endswith("/resume"):
        configure.pause(world["sink"])
        configure.pause(world["stream"])
    if path == "api/events/audit/{key}":
        event = Event.objects.get(key="alert-1")
        Event.objects.filter(id=event.id).update(type="audit")
    if (method, path) == ("DELETE", "api/event-streaming/{id}/replay"):
        replay_stream(world["stream"], timezone.now() - timedelta(days=1))


def assert_nothing_secret_in(told, *more):
    for secret in (SECRET, TOKEN, IN_URL, *more):
        assert secret not in json.dumps(told)


# --- In the admin: every page and button, each with what it records.

ADMIN = {
    "tenant": {"add": "tenant.create", "change": "tenant.update", "delete_all": "tenant.delete"},
    "apikey": {
        "add": "personal.access.token.create",
        "revoke": "personal.access.token.delete",
        "action revoke": "personal.access.token.delete",
    },
    "eventsink": {
        "add": CREATED,
        "change": UPDATED,
        "delete": DELETED,
        "pause": UPDATED,
        "resume": UPDATED,
        "test": "integration.test.send",
        "signing_secret": "signing_secret.reveal",
        "rotate_secret": UPDATED,
        "action pause_chosen": UPDATED,
        "action resume_chosen": UPDATED,
        "action delete_selected": DELETED,
    },
    "integration": {
        "add": CREATED,
        "change": UPDATED,
        "delete": DELETED,
        "pause": UPDATED,
        "resume": UPDATED,
        "test": "integration.test.send",
        "replay": UPDATED,
        "stop_replay": UPDATED,
        "signing_secret": "signing_secret.reveal",
        "rotate_secret": UPDATED,
        "action pause_chosen": UPDATED,
        "action resume_chosen": UPDATED,
        "action delete_selected": DELETED,
    },
    "silence": {
        "add": "silence.create",
        "noisy": "silence.create",
        "end": "silence.end",
        "action end_chosen": "silence.end",
    },
    "replay": {"add": "replay.create", "cancel": "replay.cancel"},
    "slackworkspace": {
        "add": CREATED,
        "change": UPDATED,
        "delete": DELETED,
        "install": "slack_integration.begin",
        "action delete_selected": DELETED,
    },
    "event": {"expunge": "event.expunge"},
    "delivery": {"replay": UPDATED, "try_now": UPDATED, "skip": UPDATED, "action replay": UPDATED},
}
EVERY = [(model, name) for model, names in ADMIN.items() for name in names]
ROWS = {
    "tenant": "acme",
    "apikey": "key",
    "eventsink": "sink",
    "integration": "stream",
    "silence": "silence",
    "replay": "replay",
    "slackworkspace": "workspace",
    "delivery": "delivery",
    "event": "alert",
}


def pages():
    return {
        page.opts.model_name: page for page in admin.site._registry.values() if page.opts.app_label == "eventsinks"
    }


@pytest.mark.guarantee("S20")
def test_no_page_or_button_of_the_admin_is_forgotten(db):
    request = RequestFactory().get("/")
    request.user = User(is_superuser=True, is_active=True, is_staff=True)
    found = {}
    for name, page in pages().items():
        prefix = f"eventsinks_{name}_"
        urls = {url.name.removeprefix(prefix) for url in page.get_urls() if url.name}
        urls -= {"changelist", "history", *(url for url in urls if url.startswith("eventsinks_preview_"))}
        may = {
            "add": page.has_add_permission(request),
            "change": page.has_change_permission(request),
            "delete": page.has_delete_permission(request),
        }
        urls = {url for url in urls if may.get(url, True)}
        found[name] = urls | {f"action {action}" for action in page.get_actions(request)}
    assert found == {name: set(names) for name, names in ADMIN.items()}


@pytest.fixture
def person(client, db):
    user = User.objects.create_superuser(
        "jo", "jo@example.com", "a long password", first_name="Jo", last_name="Doe"
    )
    client.force_login(user)
    client.defaults["REMOTE_ADDR"] = PEER
    return user


@pytest.mark.guarantee("S20")
@pytest.mark.parametrize(("model", "name"), EVERY)
def test_what_a_person_does_in_the_admin_is_recorded_with_their_name(model, name, client, person, world):
    with unrecorded():
        ready(model, name, world)
    row = world.get(ROWS[model])
    action = name.removeprefix("action ")
    if action != name:
        given = {"action": action, "_selected_action": [str(row.pk)], "post": "yes"}
        response = client.post(reverse(f"admin:eventsinks_{model}_changelist"), given)
    else:
        given = FORMS.get((model, name), lambda world: {"post": "yes"})(world)
        arguments = [] if name in ("add", "install", "noisy") else [row.pk]
        query = QUERIES.get((model, name), lambda world: "")(world)
        response = client.post(reverse(f"admin:eventsinks_{model}_{name}", args=arguments) + query, given)
    assert response.status_code in (200, 302)
    form = (getattr(response, "context_data", None) or {}).get("adminform")
    assert form is None, form.form.errors
    told = recorded()[-1]
    assert told["activity_code"] == ADMIN[model][name]
    assert (told["initiator_id"], told["initiator_name"]) == (f"operator:{person.pk}", "Jo Doe")
    assert (told["initiator_email"], told["meta"]["address"]) == ("jo@example.com", PEER)
    assert_nothing_secret_in(recorded())
    if name != "install":
        assert LogEntry.objects.filter(user=person).exists()
        assert_nothing_secret_in([entry.change_message for entry in LogEntry.objects.all()])


def ready(model, name, world):
    if "resume" in name:
        configure.pause(world["sink"])
        configure.pause(world["stream"])
    if name == "stop_replay":
        replay_stream(world["stream"], timezone.now() - timedelta(days=1))
    if (model, name) == ("replay", "cancel"):
        world["replay"] = replays.start(world["sink"], timezone.now() - timedelta(hours=1))
    if name == "skip":
        Delivery.objects.update(state="failed")
    if name == "try_now":
        Delivery.objects.update(state="pending", due_at=timezone.now() + timedelta(hours=1))


def confirm_replay(world):
    """Return the fields of a replay that was counted."""
    fields = {"where": [str(world["sink"].pk)], "states": ["failed"], "until_0": "", "until_1": ""}
    fields |= {"since_0": f"{timezone.now() - timedelta(days=1):%Y-%m-%d}", "since_1": "00:00:00"}
    data = QueryDict(mutable=True)
    for field, value in fields.items():
        data.setlist(field, value if isinstance(value, list) else [value])
    return {**fields, "counted": ReplayForm(data).fingerprint(), "start": ""}


NEVER = {"expires_at_0": "", "expires_at_1": ""}
NO_ROWS = {
    f"{prefix}-{field}": 0
    for prefix in ("api_keys", "destinations", "destinations-2", "slack_workspaces")
    for field in ("TOTAL_FORMS", "INITIAL_FORMS")
}
SINK_FORM = {"name": "Renamed", "description": "", "config_url": f"https://example.com/{IN_URL}"}
SINK_FORM |= {"config_headers": "X-Key: ****", "event_types": ["detection_alert"]}
HTTP_FORM = {"name": "Renamed", "description": "", "config_url": f"https://example.com/{IN_URL}"}
HTTP_FORM |= {"event_types": ["audit"], "mapping": "as_accepted"}
FORMS = {
    ("tenant", "add"): lambda world: {"name": "Initech"},
    ("tenant", "delete_all"): lambda world: {"name": "Acme"},
    ("tenant", "change"): lambda world: {"name": "Acme & Sons", **NO_ROWS},
    ("apikey", "add"): lambda world: {"tenant": world["acme"].pk, "name": "k", "scopes": ["event:read"], **NEVER},
    ("eventsink", "add"): lambda world: {**SINK_FORM, "config_headers": f"X-Key: {SECRET}", "enabled": "on"},
    ("eventsink", "change"): lambda world: {**SINK_FORM, "config_headers": f"X-Key: {SECRET}-2"},
    ("eventsink", "resume"): lambda world: {"backlog": "all"},
    ("integration", "add"): lambda world: {**HTTP_FORM, "start": "now"},
    ("integration", "change"): lambda world: {**HTTP_FORM, "config_headers": '{"X-Key": "never-to-be-told-2"}'},
    ("integration", "replay"): lambda world: {"moment": "2026-01-01T00:00"},
    ("silence", "add"): lambda world: {
        "reason": "because",
        "sink": "",
        "ends": "1h",
        "until_0": "",
        "until_1": "",
    },
    ("silence", "noisy"): lambda world: {"event": str(world["alert"].pk), "length": "2h"},
    ("replay", "add"): confirm_replay,
    ("slackworkspace", "add"): lambda world: {
        "tenant": world["acme"].pk,
        "team_id": "T9",
        "team_name": "Other",
        "token": TOKEN,
    },
    ("slackworkspace", "change"): lambda world: {
        "team_id": "T0123",
        "team_name": "New",
        "token": "xoxb-never-told-2",
    },
    ("slackworkspace", "install"): lambda world: {"tenant": world["acme"].pk},
}
QUERIES = {
    ("eventsink", "add"): lambda world: f"?type=webhook&tenant={world['acme'].pk}",
    ("integration", "add"): lambda world: f"?type=generic_http&tenant={world['acme'].pk}",
    ("silence", "add"): lambda world: f"?tenant={world['acme'].pk}",
}


# --- What it says


@pytest.mark.guarantee("S20")
def test_a_change_tells_before_and_after_with_secrets_as_fingerprints(world):
    url = f"https://example.org/{IN_URL}"
    config = {"url": url, "headers": {"X-Key": "another-secret"}}
    configure.change(world["sink"], config, name="Renamed")
    meta = recorded()[-1]["meta"]
    assert meta["name"] == "Renamed"
    assert meta["config.headers.X-Key"] == f"{make_fingerprint(SECRET)} → {make_fingerprint('another-secret')}"
    assert meta["config.url"].endswith(f"→ https://example.org/… {make_fingerprint(url)}")
    assert "description" not in meta
    assert_nothing_secret_in(recorded(), "another-secret")


def test_a_rotated_and_a_shown_secret_are_the_same_by_their_fingerprint(world):
    from eventsinks.actions.secrets.rotate_secret import reveal_secret, rotate_secret

    before, by = world["sink"].signing_secret, install.SYSTEM
    after = rotate_secret(world["sink"], 60)
    world["sink"].refresh_from_db()
    assert reveal_secret(world["sink"], by) == after
    rotated, shown = recorded()[-2:]
    assert rotated["meta"]["signing_secret"] == f"rotated: {make_fingerprint(before)} → {make_fingerprint(after)}"
    assert shown["meta"]["signing_secret"] == make_fingerprint(after)
    assert_nothing_secret_in(recorded(), before, after, before.removeprefix("whsec_"))


def test_a_fingerprint_is_short_keyed_and_the_same_for_the_same(settings):
    one = make_fingerprint("secret")
    assert (one, len(one), one[0]) == (make_fingerprint("secret"), 13, "#")
    assert one != make_fingerprint("Secret")
    settings.SECRET_KEY = "another key, which nobody who reads a log has got, of fifty"
    assert make_fingerprint("secret") != one
    assert make_fingerprint("") == ""


def test_what_is_installed_by_a_browser_is_recorded_with_who_began_it(world, client, httpserver, settings):
    settings.SLACK_BASE_URL = httpserver.url_for("/api/")
    grant = {"ok": True, "access_token": TOKEN, "scope": "chat:write", "team": {"id": "T9", "name": "New"}}
    httpserver.expect_request("/api/oauth.v2.access").respond_with_json(grant)
    state = install.begin_installation(world["acme"], install.Initiator("key-1", "Jo's key"))
    client.post("/slack/install", {"state": state})
    assert client.get("/slack/oauth/callback", {"state": state, "code": "c"}, REMOTE_ADDR=PEER).status_code == 200
    told = recorded()[-1]
    assert (told["activity_code"], told["initiator_id"], told["initiator_name"]) == (CREATED, "key-1", "Jo's key")
    assert (told["meta"]["token"], told["meta"]["address"]) == (make_fingerprint(TOKEN), PEER)
    assert_nothing_secret_in(recorded())


def test_what_is_renamed_to_the_same_name_is_not_recorded(world):
    from eventsinks.actions.tenants import change_tenant

    before = len(recorded())
    change_tenant(world["acme"], "Acme")
    change_tenant(world["acme"], "Acme & Sons")
    assert recorded()[before]["meta"]["name"] == "Acme → Acme & Sons"
    assert len(recorded()) == before + 1
    assert (Tenant.objects.count(), ApiKey.objects.count(), Silence.objects.count()) == (1, 1, 1)
