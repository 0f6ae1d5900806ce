"""A large backlog over /v1: skipped or deleted with an answer at once, and told how far that is."""

import pytest

from eventsinks.actions import clear, configure
from eventsinks.models import Delivery


@pytest.fixture
def sink(make_webhook, make_alert, monkeypatch):
    """A paused sink with five deliveries, where two are what is suppressed at once."""
    monkeypatch.setattr(clear, "AT_ONCE", 2)
    sink = make_webhook()
    configure.pause(sink)
    for _ in range(5):
        make_alert()
    return sink


def test_a_skip_says_how_far_it_is_until_it_is_done(api, sink):
    path = f"/v1/event_sink/{sink.uuid}"
    resumed = api.post(f"{path}/resume", {"backlog": "skip"}).json()["event_sink"]
    assert (resumed["state"], resumed["enabled"]) == ("resuming", True)
    told = resumed["clearing"]
    assert (told["suppressed"], told["left"], told["left_capped"]) == (0, 5, False)
    assert told["asked_at"].endswith("Z")
    clear.clear_step(sink.clearings.get().id)
    assert api.get(path).json()["event_sink"]["clearing"]["left"] == 3
    clear.work_off_clearings()
    done = api.get(path).json()["event_sink"]
    assert (done["state"], "clearing" in done) == ("active", False)
    assert set(Delivery.objects.values_list("state", flat=True)) == {"suppressed"}


def test_a_deleted_sink_is_gone_at_once_and_its_deliveries_say_what_becomes_of_them(api, sink):
    path = f"/v1/event_sink/{sink.uuid}"
    assert api.send("DELETE", path).status_code == 200
    assert api.get(path).status_code == 404
    open_ones = api.get("/v1/delivery?state=pending").json()["data"]["deliveries"]
    assert len(open_ones) == 5
    assert api.post(f"/v1/delivery/{open_ones[0]['id']}/replay").json()["replayed"] is False
    clear.work_off_clearings()
    assert api.get("/v1/delivery?state=pending").json()["data"]["deliveries"] == []
