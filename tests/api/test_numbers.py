"""Numbers are taken and read back as they were written, whatever 64 bits or a float would make of them."""

from __future__ import annotations

import pytest

from eventsinks.models import Delivery, Event
from eventsinks.models.options import Options
from tests.admin.conftest import operator  # noqa: F401
from tests.destinations.every_type.test_numbers_told import NUMBERS

pytestmark = pytest.mark.django_db
every_number = pytest.mark.parametrize("number", NUMBERS)
DOCUMENTS = {
    "/v1/detection_alert": b'{"id":"1","name":"n","severity":"High","n":%s}',
    "/api/events/audit": b'{"id":"1","activity_code":"user.login","meta":{"m":%s,"l":[%s]},"n":%s}',
    "/api/events/network-traffic": b'{"id":"1","flow_id":"f","source":{},"destination":{},"protocol":6,"n":%s}',
}


def document(path, number):
    return DOCUMENTS[path].replace(b"%s", number.encode())


@pytest.mark.guarantee("S16")
@pytest.mark.parametrize("path", sorted(DOCUMENTS))
@pytest.mark.parametrize("shape", ["one", "array", "lines"])
def test_an_event_is_taken_and_read_back_with_every_digit(api, path, shape, subtests):
    kind = "application/x-ndjson" if shape == "lines" else "application/json"
    for number in NUMBERS:
        with subtests.test(number):
            Event.objects.all().delete()
            one = document(path, number)
            body = {"one": one, "array": b"[%s]" % one, "lines": one + b"\n"}[shape]
            taken = api.post(path, body, content_type=kind)
            assert taken.status_code == 200, taken.content
            assert bytes(Event.objects.get().data) == one
            shown = api.get(f"{path}/1" if path.startswith("/v1") else path)
            assert shown.status_code == 200
            assert shown.content.count(number.encode()) >= one.count(number.encode())


@every_number
def test_the_admin_shows_every_digit(operator, api, number):  # noqa: F811
    api.post("/v1/detection_alert", document("/v1/detection_alert", number))
    page = operator.get(f"/admin/eventsinks/event/{Event.objects.get().pk}/change/").content.decode()
    assert page.count(number) >= 2  # broken into lines, and to the byte


@pytest.mark.parametrize(
    ("number", "filter"),
    [
        ("123456789012345678901234567890", "n > 1e29 && n < 2e29"),
        ("1.10", "n == 1.1"),
        ("1E5", "n == 100000.0"),
        ("-0", "n == 0.0"),
        ("1e400", "n > 1e300"),
        ("7", "n == 7"),
    ],
)
def test_a_filter_sees_what_64_bits_can_hold_of_a_number(api, make_webhook, number, filter):
    make_webhook(options=Options(filter=filter))
    api.post("/v1/detection_alert", document("/v1/detection_alert", number))
    assert Delivery.objects.get().state == "pending", Delivery.objects.get().reason


@every_number
def test_what_is_checked_as_an_integer_is_named_where_it_is_none(api, number):
    flow = b'{"flow_id":"f","source":{},"destination":{},"protocol":%s}' % number.encode()
    refused = api.post("/api/events/network-traffic", flow)
    assert refused.status_code == 422
    assert refused.json()["message"].startswith("protocol: ")


def test_alerts_of_one_rule_are_told_apart_by_the_last_digit(api, make_webhook):
    template = {"info": [{"label": "Id", "value": "{{@alert.n}}", "use_for_dedup": True}]}
    sink = make_webhook(options=Options.model_validate({"alert_template": template}))
    keys = set()
    for last in "12":
        number = f"12345678901234567890123456789{last}"
        api.post(
            "/v1/detection_alert", document("/v1/detection_alert", number).replace(b'"1"', b'"%s"' % last.encode())
        )
        event = Event.objects.get(key=last)
        keys.add(event.event_type.dedup_key(event.document, sink.template))
    assert len(keys) == 2
