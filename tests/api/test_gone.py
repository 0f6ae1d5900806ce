"""What was expunged, or is older than what is kept, can't be sent again: both APIs say so with a 410."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from eventsinks.actions import configure
from eventsinks.models import Delivery, Event, Tenant
from eventsinks.models.delivery import make_id

pytestmark = pytest.mark.django_db
OLD = {"since": "2020-01-01T00:00:00Z", "until": "2020-01-02T00:00:00Z"}


def told(response):
    return response.status_code, response.json()


def test_an_alert_is_expunged_and_says_so(api, make_webhook, make_alert):
    make_webhook()
    make_alert(id="a/1", name="the-payload")
    code, answer = told(api.delete("/v1/detection_alert/a%2F1"))
    assert (code, answer["detection_alert"]["deliveries"][0]["reason"]) == (200, "expunged")
    shown = api.get("/v1/detection_alert/a%2F1").json()["detection_alert"]
    assert (shown["data"], shown["name"]) == (None, "(expunged detection alert)")
    assert shown["expunged_at"]
    explained = api.get("/v1/detection_alert/a%2F1/explain").json()
    assert explained["expunged_at"] == shown["expunged_at"]
    assert explained["event_sinks"][0]["why"] == "expunged"
    assert api.delete("/v1/detection_alert/a%2F1").json()["detection_alert"]["expunged_at"] == shown["expunged_at"]
    assert b"the-payload" not in api.get("/v1/detection_alert").content
    audits = [event.document for event in Event.objects.filter(type="audit")]
    (recorded,) = [one for one in audits if one["activity_code"] == "event.expunge"]
    assert recorded["target_id"] == "event:a/1"


def test_the_same_id_again_is_a_duplicate_and_brings_nothing_back(api, make_alert):
    body = {"id": "a", "name": "n", "severity": "High"}
    api.post("/v1/detection_alert", body)
    api.delete("/v1/detection_alert/a")
    api.post("/v1/detection_alert", body)
    assert bytes(Event.objects.get(type="detection_alert").data) == b"{}"


@pytest.mark.guarantee("R31")
def test_a_delivery_of_what_was_expunged_is_not_replayed(api, make_webhook, make_alert):
    make_webhook()
    make_alert(id="a")
    Delivery.objects.update(state="delivered", settled_at=timezone.now())
    api.delete("/v1/detection_alert/a")
    code, answer = told(api.post(f"/v1/delivery/{Delivery.objects.get().id}/replay"))
    assert (code, answer["error"]["code"]) == (410, "gone")
    assert "expunged" in answer["error"]["message"]


def test_a_delivery_older_than_what_is_kept_is_gone_and_a_newer_one_not_found(api, db):
    old = make_id(datetime.now(UTC) - timedelta(days=91))
    code, answer = told(api.post(f"/v1/delivery/{old}/replay"))
    assert (code, answer["error"]["code"]) == (410, "gone")
    assert api.post(f"/v1/delivery/{make_id(datetime.now(UTC))}/replay").status_code == 404


def test_a_replay_of_a_time_that_is_not_kept_is_refused_and_one_that_is_partly_kept_counts_what_is_there(
    api, make_webhook, make_alert
):
    sink = make_webhook()
    make_alert()
    Delivery.objects.update(state="failed", settled_at=timezone.now())
    for path in (f"/v1/event_sink/{sink.uuid}/replay", "/v1/replay"):
        code, answer = told(api.post(path, OLD))
        assert (code, answer["error"]["code"]) == (410, "gone")
        assert "is kept" in answer["error"]["message"]
    found = api.post("/v1/replay", {"since": OLD["since"]}).json()["replays"][0]
    assert found["deliveries"] == 1


def test_a_stream_is_not_replayed_for_a_time_that_is_not_kept(api, acme):
    stream = configure.create(acme, "generic_http", {"url": "https://example.com/"}, name="HTTP")
    code, answer = told(api.post(f"/api/event-streaming/{stream.id}/replay", OLD))
    assert (code, answer["code"]) == (410, 410)
    assert "kept" in answer["message"]


def test_an_audit_event_is_expunged_over_the_other_api(api, acme):
    about = {
        "timestamp": "2026-01-01T00:00:00Z",
        "activity_code": "user.join",
        "initiator_id": "i",
        "target_id": "t",
    }
    event = {"id": "e", "activity": "the-payload", "meta": {}, **about}
    assert api.post("/api/events/audit", event).status_code == 200
    answer = api.delete("/api/events/audit/e")
    assert (answer.status_code, answer.json()["id"], answer.json()["activity"]) == (200, "e", "(expunged)")
    assert b"the-payload" not in api.get("/api/events/audit").content
    assert api.delete("/api/events/audit/none").status_code == 404


def test_the_days_are_shown_to_the_tenant_and_set_by_the_operator(api, operator_api, acme):
    assert api.get("/v1/usage").json()["usage"]["kept_days"]["detection_alert"] == 90
    answer = operator_api.put(f"/v1/tenant/{acme.id}", {"retention": {"detection_alert": 7}}).json()["tenant"]
    assert (answer["retention"]["detection_alert"], answer["own_retention"]) == (7, {"detection_alert": 7})
    assert api.get("/v1/usage").json()["usage"]["kept_days"]["detection_alert"] == 7
    assert operator_api.put(f"/v1/tenant/{acme.id}", {"retention": {"detection_alert": 0}}).status_code == 400
    assert operator_api.put(f"/v1/tenant/{acme.id}", {"retention": {"nonsense": 1}}).status_code == 400
    answer = operator_api.put(f"/v1/tenant/{acme.id}", {"retention": {"detection_alert": None}}).json()["tenant"]
    assert answer["own_retention"] == {}


def test_a_tenant_is_deleted_over_the_api(api, operator_api, acme):
    answer = operator_api.delete(f"/v1/tenant/{acme.id}")
    assert (answer.status_code, bool(answer.json()["tenant"]["deleted_at"])) == (200, True)
    assert api.get("/v1/usage").status_code == 401
    assert operator_api.get(f"/v1/tenant/{acme.id}").json()["tenant"]["deleted_at"]
    assert operator_api.delete(f"/v1/tenant/{acme.id}").status_code == 200
    assert operator_api.put(f"/v1/tenant/{acme.id}", {"name": "x"}).status_code == 409
    assert operator_api.post("/v1/api_key", {"tenant_id": str(acme.id)}).status_code == 409
    Tenant.objects.filter(id=acme.id).delete()
    assert operator_api.get(f"/v1/tenant/{acme.id}").status_code == 404
