"""Lines over /v1: what waits for an earlier one says for which, the sink says how many do, a skip lets them go."""

import pytest
from rest_framework.test import APIClient

from eventsinks.lib.net.wire import Response
from eventsinks.models import Delivery
from eventsinks.sending.dispatcher import Dispatcher
from tests.helpers.worlds import World

pytestmark = pytest.mark.django_db


@pytest.fixture
def api(acme_key):
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {acme_key}")
    return client


@pytest.fixture
def in_line(make_webhook, make_alert):
    """Return two deliveries of one incident, of which the first was answered 503."""
    make_webhook()
    for _ in range(2):
        make_alert(dedup_key="db")
    Dispatcher(World(lambda request: Response(503, [], b""))).run()
    return list(Delivery.objects.order_by("event_id"))


def test_a_delivery_says_for_which_it_waits(api, in_line):
    first, second = (api.get(f"/v1/delivery/{one.id}").json()["delivery"] for one in in_line)
    assert (first["waits_for"], second["waits_for"]) == (None, str(in_line[0].id))
    assert first["due_at"]
    assert second["due_at"] is None


def test_an_event_sink_says_how_many_wait_and_since_when(api, in_line):
    sink = api.get(f"/v1/event_sink/{in_line[0].destination.uuid}").json()["event_sink"]
    since = api.get(f"/v1/delivery/{in_line[1].id}").json()["delivery"]["created_at"]
    assert sink["ordering_lag"] == {"waiting": 1, "since": since}


def test_a_skip_lets_the_next_go(api, in_line):
    answer = api.post(f"/v1/delivery/{in_line[0].id}/skip").json()
    assert (answer["skipped"], answer["delivery"]["state"]) == (True, "suppressed")
    assert "skipped by" in answer["delivery"]["reason"]
    world = World()
    Dispatcher(world).run()
    assert world.sent() == [str(in_line[1].id)]
    assert api.post(f"/v1/delivery/{in_line[1].id}/skip").json()["skipped"] is False


def test_nobody_skips_a_delivery_of_another_tenant(in_line, globex_key):
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {globex_key}")
    assert client.post(f"/v1/delivery/{in_line[0].id}/skip").status_code == 404
    in_line[0].refresh_from_db()
    assert in_line[0].state == "pending"
