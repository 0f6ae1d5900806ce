"""Every destination type over the API: made, tried, shown and changed; new ones are here by being there."""

from contextlib import contextmanager

import pytest

from eventsinks.actions.trying import send_now
from eventsinks.api.v1.event_sink_args import WIRE_TYPES
from eventsinks.destinations import DESTINATION_TYPES
from eventsinks.destinations.base import MASK, ClientType
from eventsinks.models import Destination
from tests.destinations.every_type.test_contract import secret_texts
from tests.destinations.examples import example, make_type
from tests.helpers.worlds import World
from tests.sending.test_every_notice import answered

pytestmark = pytest.mark.django_db
STREAMS = "/api/event-streaming"
TYPES = sorted(set(DESTINATION_TYPES) - {"slack"})  # whose workspace joins in a browser: test_slack_integration
every_type = pytest.mark.parametrize("key", TYPES)


@pytest.fixture
def world(monkeypatch, settings):
    """A world in which every service takes what it is sent."""
    settings.SMTP_URL = "smtp://127.0.0.1:25"
    world = World(answered)

    @contextmanager
    def outlet(*_):
        yield world

    monkeypatch.setattr(send_now, "open_outlet", outlet)
    return world


def write(api, tenant, key, config):
    """Make a destination of a type; return its path and how its config is found in an answer."""
    if DESTINATION_TYPES[key].face == "integration":
        made = api.post(STREAMS, {"platform": key, "config": config, "enabled": False})
        return made, f"{STREAMS}/{made.json().get('id')}", lambda body: body["config"]
    body = {"name": "n", "description": "", "tenant_id": str(tenant.id)}
    made = api.post("/v1/event_sink", {**body, "event_sink_args": {WIRE_TYPES[key]: config}})
    id = Destination.objects.get().uuid
    return made, f"/v1/event_sink/{id}", lambda body: body["event_sink"]["configuration"][WIRE_TYPES[key]]


@every_type
def test_a_destination_is_made_shown_without_its_secrets_and_changed_with_what_was_shown(api, acme, world, key):
    made, path, find_config = write(api, acme, key, example(key))
    assert made.status_code == 200, made.content
    before = Destination.objects.get().opened_config()
    assert before == make_type(key).config
    shown = api.get(path)
    config = find_config(shown.json()) or {}
    assert set(config) >= set(example(key)) or key == "pagerduty"  # of which Scanner's API shows nothing
    for secret in secret_texts(before):
        assert secret not in shown.content.decode()
        assert MASK in shown.content.decode() or key == "pagerduty"
    config = {name: config.get(name, MASK) for name in example(key)}
    given = {"config": config} if path.startswith(STREAMS) else {"event_sink_args": {WIRE_TYPES[key]: config}}
    changed = api.put(path, given)
    assert changed.status_code == 200, changed.content
    assert Destination.objects.get().opened_config() == before


@pytest.mark.parametrize("key", [key for key in TYPES if not issubclass(DESTINATION_TYPES[key], ClientType)])
def test_a_test_message_is_taken(api, acme, world, key):
    _, path, _ = write(api, acme, key, example(key))
    tried = api.post(f"{path}/test")
    assert tried.status_code == 200, tried.content
    assert world.sent()
    assert tried.json().get("outcome", "delivered") == "delivered", tried.content
