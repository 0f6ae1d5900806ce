"""Detection alerts over /v1: taking them in, showing them, and saying why each went where it went."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest

from eventsinks.actions import configure
from eventsinks.models import Attempt, Delivery, Destination, Event
from eventsinks.sending.hold import park
from tests.api.conftest import fields_of, says

pytestmark = pytest.mark.django_db

PATH = "/v1/detection_alert"
NDJSON = "application/x-ndjson"
ALERT = {"name": "Root login", "severity": "High"}


def alert(**fields):
    return {**ALERT, **fields}


def lines(*documents):
    return b"\n".join(doc if isinstance(doc, bytes) else json.dumps(doc).encode() for doc in documents)


def is_nothing_kept():
    return not Event.objects.exists() and not Delivery.objects.exists()


# --- One -------------------------------------------------------------------------------------------


def test_one_alert_is_answered_with_its_id_and_how_many_sinks_it_is_owed_to(api, acme, make_webhook):
    make_webhook()
    make_webhook()
    answer = api.post(PATH, alert(id="a-1")).json()
    received_at = answer["detection_alert"].pop("received_at")
    assert datetime.fromisoformat(received_at).tzinfo is not None
    assert answer == {
        "detection_alert": {"id": "a-1", "tenant_id": str(acme.id), "deliveries": 2, "duplicate": False}
    }
    assert Delivery.objects.filter(event__key="a-1", state="pending").count() == 2


def test_an_alert_without_an_id_is_given_one(api):
    id = api.post(PATH, alert()).json()["detection_alert"]["id"]
    uuid.UUID(id)
    shown = api.get(f"{PATH}/{id}").json()["detection_alert"]
    assert shown["id"] == shown["data"]["id"] == id
    assert api.post(PATH, alert()).json()["detection_alert"]["id"] != id


def test_an_id_that_is_null_is_refused(api):
    refused = api.post(PATH, alert(id=None))
    assert refused.status_code == 400
    assert [problem["field"] for problem in refused.json()["error"]["fields"]] == ["id"]
    assert not Event.objects.exists()


def test_the_same_alert_again_is_a_duplicate_and_is_owed_to_nobody_twice(api, make_webhook):
    make_webhook()
    first = api.post(PATH, alert(id="a-1")).json()["detection_alert"]
    make_webhook()  # too late for this alert
    again = api.post(PATH, alert(id="a-1"))
    assert again.status_code == 200
    assert again.json()["detection_alert"] == {**first, "duplicate": True}
    assert Delivery.objects.count() == 1


def test_the_same_id_with_other_content_is_a_conflict(api):
    api.post(PATH, alert(id="a-1"))
    says(api.post(PATH, alert(id="a-1", severity="Low")), 409)
    assert json.loads(bytes(Event.objects.get().data))["severity"] == "High"


@pytest.mark.guarantee("R17")
def test_the_same_id_in_two_tenants_is_two_alerts(api, globex_api):
    assert api.post(PATH, alert(id="a-1")).json()["detection_alert"]["duplicate"] is False
    theirs = globex_api.post(PATH, alert(id="a-1", severity="Low"))
    assert theirs.json()["detection_alert"]["duplicate"] is False
    assert Event.objects.count() == 2


def test_a_duplicate_shows_nothing_of_another_tenants_alert_of_that_id(api, globex_api, make_webhook):
    make_webhook()
    api.post(PATH, alert(id="a-1"))
    for _ in range(2):
        assert globex_api.post(PATH, alert(id="a-1")).json()["detection_alert"]["deliveries"] == 0


@pytest.mark.parametrize("severity", [{"severity": "critical"}, {"severity_id": 5}, {"severity_id": 99}])
def test_a_name_and_a_severity_are_enough(api, severity):
    assert api.post(PATH, {"name": "x", **severity}).status_code == 200


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": None}, "name"),
        ({"name": ""}, "name"),
        ({"name": 5}, "name"),
        ({"name": "x" * 10_001}, "name"),
        ({"severity": None}, "severity"),
        ({"severity": ""}, "severity"),
        ({"severity": "bad"}, "severity"),
        ({"severity": 4}, "severity"),
        ({"severity_id": "4"}, "severity_id"),
        ({"severity_id": 7}, "severity_id"),
        ({"severity_id": True}, "severity_id"),
        ({"severity_id": 4.5}, "severity_id"),
        ({"id": ""}, "id"),
        ({"id": 5}, "id"),
        ({"id": "x" * 256}, "id"),
        ({"id": "a\nb"}, "id"),
        ({"id": "a\0b"}, "id"),
        ({"tenant_id": 5}, "tenant_id"),
        ({"status": "open"}, "status"),
        ({"status": None}, "status"),
        ({"dedup_key": ""}, "dedup_key"),
        ({"event_sink_ids": "x"}, "event_sink_ids"),
        ({"event_sink_ids": ["x"]}, "event_sink_ids.0"),
        ({"event_sink_ids": [None]}, "event_sink_ids.0"),
        ({"event_sink_ids": [str(uuid.uuid4())]}, "event_sink_ids.0"),
        ({"staging": "true"}, "staging"),
        ({"tags": "x"}, "tags"),
        ({"timestamp": "yesterday"}, "timestamp"),
        ({"timestamp": 1e30}, "timestamp"),
        ({"timestamp": 1.5}, "timestamp"),
        ({"timestamp": {}}, "timestamp"),
    ],
)
def test_what_is_no_alert_is_refused_at_its_field(api, change, field):
    response = api.post(PATH, alert(**change))
    says(response, 400)
    assert fields_of(response)[0].startswith(field)
    assert is_nothing_kept()


@pytest.mark.parametrize("timestamp", ["9999-12-31T23:59:59-10:00", "0001-01-01T00:00:00+10:00"])
def test_a_time_that_utc_can_not_hold_is_refused(api, timestamp):
    response = api.post(PATH, alert(timestamp=timestamp))
    says(response, 400)
    assert fields_of(response) == ["timestamp"]


@pytest.mark.parametrize(
    ("timestamp", "occurred_at"),
    [
        (1776721873702228890, "2026-04-20T21:51:13.702228Z"),
        ("2026-04-20T21:51:13.702228890Z", "2026-04-20T21:51:13.702228Z"),
        ("2026-04-20T23:51:13+02:00", "2026-04-20T21:51:13Z"),
        (0, "1970-01-01T00:00:00Z"),
        (-1, "1969-12-31T23:59:59.999999Z"),
        (2**64 - 1, "2554-07-21T23:34:33.709551Z"),
    ],
)
def test_a_time_is_shown_in_utc(api, timestamp, occurred_at):
    id = api.post(PATH, alert(timestamp=timestamp)).json()["detection_alert"]["id"]
    assert api.get(f"{PATH}/{id}").json()["detection_alert"]["occurred_at"] == occurred_at


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" \n",
        b"null",
        b"5",
        b"1e400",
        b"true",
        b'"text"',
        b"{",
        b"{}x",
        b'{"name": "x", "severity": "High",}',
        b'{"name": "x", "severity": "High", "n": NaN}',
        b'{"name": "x", "severity": "High", "n": -Infinity}',
        b'{"name": "x", "severity": "High", "n": 01}',
        b'{"name": "\xff", "severity": "High"}',
        b'{"name": "\\ud800", "severity": "High"}',
        b'{"name": "x", "severity": "High", "deep": ' + b"[" * 100_000,
        b'{"name": "x", "severity": "High", "deep": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"name": "x", "severity": "High", "deep": ' + b'{"a":' * 300 + b"1" + b"}" * 300 + b"}",
        b'{"name": "x", "severity": "High", "deep": ' + b"[" * 200 + b"]" * 200 + b"}",
    ],
)
def test_what_is_no_json_alert_is_refused_and_nothing_is_kept(api, body):
    error = says(api.post(PATH, body), 400)
    assert "JSON" in error["message"] or "nested" in error["message"]
    assert is_nothing_kept()


def test_an_empty_body_is_refused_whatever_it_says_it_is(api):
    for content_type in ("application/json", NDJSON, ""):
        says(api.post(PATH, b"", content_type=content_type), 400)


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/xml", "application/x-www-form-urlencoded", "text/json", "x"]
)
def test_what_is_not_sent_as_json_is_not_read(api, content_type):
    says(api.post(PATH, lines(ALERT), content_type=content_type), 415)
    assert is_nothing_kept()


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=utf-8", "APPLICATION/JSON", "application/json;charset=UTF-8; x=y"]
)
def test_parameters_and_case_of_the_content_type_do_not_matter(api, content_type):
    assert api.post(PATH, lines(ALERT), content_type=content_type).status_code == 200


def test_an_alert_of_two_megabytes_is_too_large(api):
    says(api.post(PATH, alert(description="x" * 2 * 1024 * 1024)), 413, "1048576")
    assert is_nothing_kept()


def test_an_alert_up_to_the_limit_is_taken_and_one_byte_more_is_not(api, settings):
    body = lines(ALERT)
    settings.EVENTSINKS_MAX_EVENT_BYTES = len(body)
    says(api.post(PATH, body + b" "), 413)
    assert api.post(PATH, body).status_code == 200


def test_a_body_beyond_the_limit_is_too_large(api, settings):
    settings.EVENTSINKS_MAX_BODY_BYTES = 1000
    for content_type in ("application/json", NDJSON):
        says(api.post(PATH, b"[" + b" " * 1000, content_type=content_type), 413)


# --- Many ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("join", "content_type"),
    [
        (lambda docs: b" [ " + b" , ".join(docs) + b" ]\n", "application/json"),
        (lambda docs: b"\n".join(docs), NDJSON),
        (lambda docs: b"\r\n".join(docs) + b"\r\n", NDJSON),
        (lambda docs: b"\n\n \n".join(docs) + b"\n", NDJSON + "; charset=utf-8"),
        (lambda docs: b"\n".join(docs), "Application/X-NDJSON"),
    ],
    ids=["array", "ndjson", "ndjson-crlf", "ndjson-with-empty-lines", "ndjson-in-capitals"],
)
def test_many_alerts_are_counted_and_the_broken_ones_named(api, make_webhook, join, content_type):
    make_webhook()
    api.post(PATH, lines(alert(id="old")))
    docs = [
        lines(alert(id="new")),
        b'{"name": 5, "severity": "High"}',
        lines(alert(id="old")),
        lines(alert(id="old", severity="Low")),
        lines(alert(id="new")),
        b"[]",
        lines(alert(id="newer")),
    ]
    response = api.post(PATH, join(docs), content_type=content_type)
    assert response.status_code == 200
    data = response.json()["data"]
    assert (data["accepted"], data["duplicates"], data["deliveries"]) == (2, 2, 2)
    assert [(one["index"], one["field"]) for one in data["rejected"]] == [(1, "name"), (3, "id"), (5, "")]
    assert all(one["error"] for one in data["rejected"])
    assert set(Event.objects.values_list("key", flat=True)) == {"old", "new", "newer"}
    assert Delivery.objects.count() == 3


def test_broken_lines_do_not_spoil_the_good_ones(api):
    body = lines(b"{", alert(id="a"), b"\xff", b"NaN", b"[" * 10_000, alert(id="b"))
    data = api.post(PATH, body, content_type=NDJSON).json()["data"]
    assert data["accepted"] == 2
    assert [one["index"] for one in data["rejected"]] == [0, 2, 3, 4]


def test_a_line_that_is_too_large_does_not_spoil_the_others(api):
    body = lines(alert(description="x" * 2 * 1024 * 1024), alert(id="a"))
    data = api.post(PATH, body, content_type=NDJSON).json()["data"]
    assert data["accepted"] == 1
    assert [one["index"] for one in data["rejected"]] == [0]


@pytest.mark.parametrize(
    ("body", "content_type"),
    [(b'[{"name": "x"}, 5]', "application/json"), (b'{"name": "x"}\nnull', NDJSON)],
)
def test_it_is_an_error_if_none_was_good(api, body, content_type):
    response = api.post(PATH, body, content_type=content_type)
    says(response, 400, "none of the 2")
    assert [one["index"] for one in response.json()["data"]["rejected"]] == [0, 1]
    assert is_nothing_kept()


def test_only_duplicates_are_no_error(api):
    body = lines([alert(id="a")])
    api.post(PATH, body)
    data = api.post(PATH, body).json()["data"]
    assert (data["accepted"], data["duplicates"], data["rejected"]) == (0, 1, [])


@pytest.mark.parametrize(
    "tail", [b"", b",", b"]]", b"] x", b", {]", b', "x\xff]', b"," + b"[" * 100_000, b"\x00]"]
)
def test_an_array_that_is_broken_as_a_whole_is_refused_and_nothing_is_kept(api, tail):
    body = b"[" + lines(alert(id="good")) + tail
    says(api.post(PATH, body), 400)
    assert is_nothing_kept()


@pytest.mark.parametrize(("body", "content_type"), [(b"[]", "application/json"), (b"\n \r\n", NDJSON)])
def test_a_list_of_nothing_is_refused(api, body, content_type):
    says(api.post(PATH, body, content_type=content_type), 400, "no event")


def test_more_than_ten_thousand_in_one_request_are_too_many(api):
    one = lines(ALERT)
    says(api.post(PATH, b"\n".join([one] * 10_001), content_type=NDJSON), 413, "10000")
    says(api.post(PATH, b"[" + b",".join([one] * 10_001) + b"]"), 413, "10000")
    assert is_nothing_kept()


def test_ten_thousand_in_one_request_are_taken(api):
    body = b"\n".join([lines(ALERT)] * 10_000)
    assert api.post(PATH, body, content_type=NDJSON).json()["data"]["accepted"] == 10_000
    assert Event.objects.count() == 10_000


# --- Where it goes ---------------------------------------------------------------------------------


def test_an_alert_of_another_tenant_is_refused(api, globex, acme):
    response = api.post(PATH, alert(tenant_id=str(globex.id)))
    says(response, 400)
    assert fields_of(response) == ["tenant_id"]
    assert is_nothing_kept()
    assert api.post(PATH, alert(tenant_id=str(acme.id).upper())).status_code == 200


def test_another_tenants_sink_is_as_if_it_were_not_there(api, globex, make_webhook):
    theirs, ours = make_webhook(tenant=globex), make_webhook()
    response = api.post(PATH, alert(event_sink_ids=[str(ours.uuid), str(theirs.uuid)]))
    says(response, 400, "no such event sink")
    assert fields_of(response) == ["event_sink_ids.1"]
    assert is_nothing_kept()
    unknown = api.post(PATH, alert(event_sink_ids=[str(ours.uuid), str(uuid.uuid4())]))
    assert unknown.json() == response.json()


def test_an_alert_goes_to_the_sinks_it_names_once_each(api, make_webhook):
    chosen, _ = make_webhook(), make_webhook()
    ids = [str(chosen.uuid), str(chosen.uuid).upper()]
    assert api.post(PATH, alert(event_sink_ids=ids)).json()["detection_alert"]["deliveries"] == 1
    assert Delivery.objects.get().destination == chosen


def test_an_alert_that_names_no_sink_goes_nowhere(api, make_webhook):
    make_webhook()
    assert api.post(PATH, alert(event_sink_ids=[])).json()["detection_alert"]["deliveries"] == 0


def test_a_deleted_sink_can_not_be_named(api, make_webhook):
    sink = make_webhook()
    configure.delete(sink)
    says(api.post(PATH, alert(event_sink_ids=[str(sink.uuid)])), 400)


def test_a_staging_alert_is_kept_and_sent_nowhere(api, make_webhook):
    sink = make_webhook()
    answer = api.post(PATH, alert(id="a", staging=True, event_sink_ids=[str(sink.uuid)]))
    assert answer.json()["detection_alert"]["deliveries"] == 0
    assert api.get(f"{PATH}/a").json()["detection_alert"]["deliveries"] == []


# --- Reading back ----------------------------------------------------------------------------------


def test_an_alert_is_shown_to_the_byte(api):
    sent = (
        b'{"id":"a", "severity":"High","name":"x",  "big": 123456789012345678901234567890, "e":1.50E+2,'
        b' "z":1,"a":2, "View in Scanner":"https://example.com/", "u":"\\u00e9\xc3\xa9", "n":-0.0,'
        b' "nul":"\\u0000"}'
    )
    assert api.post(PATH, b" \n" + sent + b"\n").status_code == 200
    response = api.get(f"{PATH}/a")
    assert b'"data":' + sent in response.content
    assert response.json()["detection_alert"]["data"]["big"] == 123456789012345678901234567890
    assert bytes(Event.objects.get().data) == sent


def test_the_rest_of_an_alert_stays_to_the_byte_when_it_is_given_an_id(api):
    id = api.post(PATH, b'{ "name":"x","severity" : "High","big":18446744073709551616}').json()["detection_alert"][
        "id"
    ]
    expected = b'{"id":"%s","name":"x","severity" : "High","big":18446744073709551616}' % id.encode()
    assert b'"data":' + expected in api.get(f"{PATH}/{id}").content


IDS = [
    "a/b",
    "a//b",
    "/a",
    "a/",
    "ü",
    "日本語",
    "😀",
    "a b",
    "a+b",
    "a%2Fb",
    "a%b",
    "a?b",
    "a#b",
    ".",
    "..",
    "\u202e",
    '"',
    "x" * 255,
]


@pytest.mark.parametrize("id", IDS)
def test_an_alert_is_found_by_its_id_whatever_is_in_it(api, id):
    assert api.post(PATH, alert(id=id)).json()["detection_alert"]["id"] == id
    assert api.get(f"{PATH}/{quote(id, safe='')}").json()["detection_alert"]["id"] == id
    explained = api.get(f"{PATH}/{quote(id, safe='')}/explain").json()
    assert explained == {"detection_alert_id": id, "expunged_at": None, "event_sinks": []}


@pytest.mark.parametrize("id", ["x", "%00", "a%00b", "%0A", "a%0A", "x" * 5000, "%FF", "%ED%A0%80"])
@pytest.mark.parametrize("verb", ["", "/explain"])
def test_an_alert_that_there_is_not_is_not_found(api, make_alert, id, verb):
    make_alert(id="a")
    says(api.get(f"{PATH}/{id}{verb}"), 404)


def test_an_alert_shows_what_became_of_it(api, acme, make_webhook, make_alert):
    sink = make_webhook()
    make_alert(id="a", status="resolved", severity="low")
    delivery = Delivery.objects.get()
    shown = api.get(f"{PATH}/a").json()["detection_alert"]
    assert shown.pop("data")["id"] == "a"
    assert shown.pop("occurred_at")
    assert shown.pop("received_at")
    expected = {
        "id": "a",
        "tenant_id": str(acme.id),
        "name": "Root login",
        "severity": "Low",
        "status": "resolved",
        "expunged_at": None,
        "deliveries": [
            {
                "id": str(delivery.id),
                "event_sink_id": str(sink.uuid),
                "event_sink_name": sink.name,
                "state": "pending",
                "tries": 0,
                "reason": "",
            }
        ],
    }
    assert shown == expected
    (listed,) = api.get(PATH).json()["data"]["detection_alerts"]
    assert listed.pop("occurred_at")
    assert listed.pop("received_at")
    assert listed == expected


@pytest.mark.guarantee("O8")
@pytest.mark.parametrize("size", ["page_size", "pagination[page_size]"])
def test_paging_through_alerts_sees_each_once_also_while_new_ones_come_in(api, make_alert, size):
    for number in range(250):
        make_alert(id=f"a-{number}")
    seen, token = [], ""
    while token is not None:
        key = size.replace("size", "token")
        page = api.get(f"{PATH}?{size}=40&{key}={token}").json()
        seen += [one["id"] for one in page["data"]["detection_alerts"]]
        token = page["pagination"]["next_page_token"]
        make_alert()
    assert seen == [f"a-{number}" for number in reversed(range(250))]


def test_a_list_holds_a_hundred_unless_told_otherwise(api, make_alert):
    for _ in range(101):
        make_alert()
    assert len(api.get(PATH).json()["data"]["detection_alerts"]) == 100
    assert len(api.get(f"{PATH}?page_size=1000").json()["data"]["detection_alerts"]) == 101


@pytest.mark.parametrize("path", [PATH, "/v1/delivery"])
def test_a_list_of_another_tenant_is_not_found(api, acme, globex, make_alert, path):
    make_alert()
    assert api.get(f"{path}?tenant_id={acme.id}").status_code == 200
    assert api.get(path, body={"tenant_id": str(acme.id), "pagination": {"page_size": 1}}).status_code == 200
    says(api.get(f"{path}?tenant_id={globex.id}"), 404)
    says(api.get(path, body={"tenant_id": str(globex.id)}), 404)


# --- Explained -------------------------------------------------------------------------------------


@pytest.fixture
def explained(api):
    """Return what is said of the alert "a" at each sink, by the sink's name: (verdict, why)."""

    def ask():
        sinks = api.get(f"{PATH}/a/explain").json()["event_sinks"]
        return {sink["event_sink_name"]: (sink["verdict"], sink["why"]) for sink in sinks}

    return ask


def settled(state, **fields):
    Delivery.objects.update(state=state, **fields)


def test_explain_says_why_an_alert_waits(make_webhook, make_alert, explained):
    first, paused, parked, retried = (make_webhook(name=name) for name in ("first", "paused", "parked", "retried"))
    make_alert(id="a")
    configure.pause(paused)
    park(parked.id, parked.version, "the far end answered 410 Gone")
    due_at = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
    retried.deliveries.update(tries=2, due_at=due_at, reason="the far end answered 500")
    parked_since = "waits until somebody repairs the event sink, which is disabled"
    assert explained() == {
        "first": ("pending", "waits for its first try"),
        "paused": ("pending", "waits until somebody resumes the event sink, which is paused"),
        "parked": ("pending", f"{parked_since}: the far end answered 410 Gone"),
        "retried": ("pending", "waits for try 3 of 10 at 2030-01-02 03:04:05 UTC: the far end answered 500"),
    }
    assert first.deliveries.count() == 1


def test_explain_says_what_became_of_an_alert(api, make_webhook, make_alert, explained):
    sinks = {name: make_webhook(name=name) for name in ("sending", "delivered", "failed", "suppressed", "deleted")}
    make_alert(id="a")
    sinks["sending"].deliveries.update(state="sending", tries=1, lease=uuid.uuid4())
    sinks["delivered"].deliveries.update(state="delivered", tries=2, status=204)
    sinks["failed"].deliveries.update(state="failed", tries=10, status=500, reason="the far end answered 500")
    sinks["suppressed"].deliveries.update(state="suppressed", reason="somebody said so")
    configure.delete(sinks["deleted"])
    assert explained() == {
        "sending": ("sending", "is being sent, try 1"),
        "delivered": ("delivered", "was taken by the far end with status 204, try 2"),
        "failed": ("failed", "the far end answered 500"),
        "suppressed": ("suppressed", "somebody said so"),
        "deleted": ("suppressed", "the event sink was deleted"),
    }


def test_explain_says_why_a_sink_was_not_sent_to(make_webhook, make_alert, explained):
    chosen, other, deaf = (make_webhook(name=name) for name in ("chosen", "other", "deaf"))
    Destination.objects.filter(id=deaf.id).update(event_types=["audit"])
    Destination.objects.update(created_at=datetime.now(UTC) - timedelta(hours=1))
    make_alert(id="a", event_sink_ids=[str(chosen.uuid)])
    late = make_webhook(name="late")
    Destination.objects.filter(id=late.id).update(created_at=datetime.now(UTC) + timedelta(hours=1))
    assert explained() == {
        "chosen": ("pending", "waits for its first try"),
        "other": ("not_sent", "the alert names other event sinks in event_sink_ids"),
        "deaf": ("not_sent", "the event sink does not hear events of type detection_alert"),
        "late": ("not_sent", "the event sink was created after the event came in"),
    }
    assert not other.deliveries.exists()


def test_explain_says_that_an_alert_is_staging(make_webhook, make_alert, explained):
    make_webhook(name="sink")
    make_alert(id="a", staging=True)
    assert explained() == {"sink": ("not_sent", "the alert is staging: kept and sent nowhere")}


@pytest.mark.guarantee("R33")
def test_explain_shows_every_attempt_and_leads_to_the_delivery(api, make_webhook, make_alert):
    make_webhook()
    make_alert(id="a")
    delivery = Delivery.objects.get()
    for number in (1, 2):
        Attempt.objects.create(
            id=uuid.UUID(int=number),
            delivery=delivery,
            number=number,
            started_at=datetime(2030, 1, 2, tzinfo=UTC),
            outcome="temporary",
            status=500,
            reason="the far end answered 500",
            excerpt="<b>oops</b>",
            peer="93.184.216.34",
            total_ms=12.5,
        )
    (verdict,) = api.get(f"{PATH}/a/explain").json()["event_sinks"]
    assert [attempt["number"] for attempt in verdict["attempts"]] == [1, 2]
    shown = api.get(f"/v1/delivery/{verdict['delivery_id']}").json()["delivery"]
    assert shown["attempts"] == verdict["attempts"]
    assert shown["attempts"][0] == {
        "id": str(uuid.UUID(int=1)),
        "number": 1,
        "started_at": "2030-01-02T00:00:00Z",
        "outcome": "temporary",
        "status": 500,
        "reason": "the far end answered 500",
        "excerpt": "<b>oops</b>",
        "peer": "93.184.216.34",
        "timings_ms": {"dns": 0.0, "connect": 0.0, "tls": 0.0, "first_byte": 0.0, "total": 12.5},
    }


# --- Deliveries ------------------------------------------------------------------------------------


def test_deliveries_are_found_by_sink_alert_state_status_and_reason(api, make_webhook, make_alert):
    first, second = make_webhook(), make_webhook()
    make_alert(id="a")
    make_alert(id="b")
    ids = {(d.destination_id, d.event.key): str(d.id) for d in Delivery.objects.select_related("event")}
    Delivery.objects.filter(id=ids[first.id, "a"]).update(
        state="failed", status=503, reason="answered 503: 100% full"
    )
    Delivery.objects.filter(id=ids[second.id, "b"]).update(state="delivered", status=204)

    def found(query):
        return {one["id"] for one in api.get(f"/v1/delivery?{query}").json()["data"]["deliveries"]}

    assert found("") == set(ids.values())
    assert found(f"event_sink_id={first.uuid}") == {ids[first.id, "a"], ids[first.id, "b"]}
    assert found("detection_alert_id=a") == {ids[first.id, "a"], ids[second.id, "a"]}
    assert found("state=pending") == {ids[first.id, "b"], ids[second.id, "a"]}
    assert found("status_class=5") == {ids[first.id, "a"]}
    assert found("status_class=2") == {ids[second.id, "b"]}
    assert found("reason=ANSWERED") == {ids[first.id, "a"]}
    assert found("reason=100%25") == {ids[first.id, "a"]}
    assert found("reason=100_") == set()
    assert found(f"state=failed&event_sink_id={second.uuid}") == set()


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("event_sink_id=x", "event_sink_id"),
        ("state=lost", "state"),
        ("status_class=0", "status_class"),
        ("status_class=6", "status_class"),
        ("status_class=x", "status_class"),
        ("reason=%00", "reason"),
        ("detection_alert_id=a%00", "detection_alert_id"),
        ("reason=" + "x" * 60_000, "reason"),
    ],
)
def test_a_question_that_can_not_be_is_refused_at_its_field(api, query, field):
    response = api.get(f"/v1/delivery?{query}")
    says(response, 400)
    assert fields_of(response) == [field]


@pytest.mark.guarantee("R18")
def test_a_delivery_that_ended_is_given_fresh_tries_and_a_second_click_does_nothing_more(
    api, make_webhook, make_alert
):
    make_webhook()
    make_alert(id="a")
    settled("failed", tries=10, reason="out of tries", settled_at=datetime.now(UTC))
    id = Delivery.objects.get().id
    answer = api.post(f"/v1/delivery/{id}/replay").json()
    assert answer["replayed"] is True
    assert (answer["delivery"]["id"], answer["delivery"]["state"], answer["delivery"]["tries"]) == (
        str(id),
        "pending",
        0,
    )
    assert api.post(f"/v1/delivery/{id}/replay").json()["replayed"] is False
    assert Delivery.objects.get().settled_at is None
