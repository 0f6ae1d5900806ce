"""Budgets from end to end: what an alert costs who takes it in and who sends it, however many sinks it has."""

import json
import uuid
from datetime import UTC, datetime

import pytest

from eventsinks import telemetry
from eventsinks.destinations import DESTINATION_TYPES
from eventsinks.destinations.base import Endpoints, Message
from eventsinks.event_types import event_type
from eventsinks.event_types.alert_template import AlertTemplate, load_template
from eventsinks.intake.accept import accept
from eventsinks.lib.budget import ALERT_STEPS
from eventsinks.models import Delivery
from eventsinks.models.delivery import ClaimedDelivery
from eventsinks.models.options import Options
from eventsinks.sending.prepare import READINGS, ReadySink, make_messages, make_request
from tests.helpers.work import calls_of

ALERT = event_type("detection_alert")
LOOP = "{% for i in (1..1000) %}{{ alert.a | sort | reverse | join | size }}{% endfor %}"
SINKS = sorted(key for key, kind in DESTINATION_TYPES.items() if kind.face == "event_sink")
MIB = 1024 * 1024


def infos(*values):
    return {"info": [{"label": str(n), "value": value} for n, value in enumerate(values)]}


def branching(depth, ways):
    return {".".join("a" * n): branching(depth - 1, ways) if depth else 1 for n in range(1, ways)}


HOSTILE = {
    "unclosed": {"alert_template": infos(*["{{" * 4_990] * 4)},
    "spaces": {"alert_template": infos(*["{{ alert.a" + " " * 9_980 + "}}"] * 50)},
    "loops": {"a": [str(n) for n in range(1_900)], "alert_template": infos(*[f"{n} {LOOP}" for n in range(50)])},
    "many tags": {"alert_template": infos(*["{% if alert.a %}{% endif %}" * 350] * 50)},
    "fresh": {"alert_template": infos(*["{% if alert.a %}{% endif %}" * 35 + str(n) for n in range(9)])},
    "lists": {
        "a": [[]] * 200_000,
        "alert_template": infos("{{ alert.a | size }}", "{{ alert.a }}", "{{ alert }}"),
    },
    "ways": {
        "a": branching(5, 6),
        "alert_template": infos(*["{{@alert" + ".a" * n + ".z}}" for n in range(20, 49)]),
    },
    "hidden": {"description": "\u200e" * 100_000, "tags": ["\u200e"] * 40_000},
    "keys": {"alert_template": {f"k{n}": n for n in range(60_000)}},
    "strange infos": {"alert_template": {"info": [{f"k{n}": n for n in range(1_000)}] * 50}},
    "table": {"results_table": {"columns": ["a"] * 50_000, "rows": [{"a": "x " * 90_000}, {}] + [{}] * 10_000}},
    "link": {"View in Scanner": "https://x.example/" + "a@" * 300_000},
}


def alert(**more):
    return json.dumps({"id": str(uuid.uuid4()), "name": "Root login", "severity": "High", **more}).encode()


def claims(data, count):
    at, id = datetime.now(UTC), uuid.uuid4().int >> 65
    return [
        ClaimedDelivery(uuid.uuid4(), number, 1, uuid.uuid4(), id, uuid.uuid4(), "detection_alert", at, data)
        for number in range(count)
    ]


def kind_of(key):
    kind = DESTINATION_TYPES[key]
    return kind(kind.Config.model_validate(kind.example), [b"k" * 32], Endpoints())


def send(key, data, templates):
    """Make what the sending thread makes of one alert for one sink per template, and no more."""
    kind = kind_of(key)
    ready = {n: ReadySink(1, kind, template, "") for n, template in enumerate(templates)}
    for message in make_messages(claims(data, len(ready)), ready):
        assert isinstance(message, Message)
        make_request(kind, message, datetime.now(UTC))
        if key == "jira":
            kind._missing(message, {})


@pytest.mark.django_db
@pytest.mark.parametrize("key", SINKS)
@pytest.mark.parametrize("name", HOSTILE)
def test_no_alert_costs_a_sender_much_for_a_hundred_sinks(name, key):
    """Calls of functions, a few million a second: 50 ms are about half a million."""
    data = alert(**HOSTILE[name])
    assert len(data) <= MIB
    each = 4_000 if key == "email" else 400  # what the far end is sent is put together for each
    assert calls_of(lambda: send(key, data, [None] * 100)) < 400_000 + 100 * each


@pytest.mark.django_db
def test_sinks_that_all_have_another_dear_template_share_the_budget_of_the_alert():
    templates = [load_template(infos(f"{n} {LOOP}")) for n in range(200)]
    data = alert(a=[str(n) for n in range(1_900)])
    assert calls_of(lambda: send("slack", data, templates)) < 15 * ALERT_STEPS + 200 * 2_500


@pytest.mark.django_db
def test_an_alert_over_its_budget_is_counted_once():
    def counted():
        return telemetry.OVER_BUDGET.labels("templates")._value.get()

    before = counted()
    send("teams", alert(a=[str(n) for n in range(1_900)], alert_template=infos(LOOP)), [None] * 5)
    assert counted() == before + 1
    send("teams", alert(alert_template=infos("{{@alert.name}}")), [None] * 5)
    assert counted() == before + 1


def test_an_alert_that_is_sent_again_is_not_read_again():
    data = alert()
    one = READINGS.of(7, ALERT, data)
    assert READINGS.of(7, ALERT, bytes(bytearray(data))) is one
    assert READINGS.of(7, ALERT, alert()) is not one


@pytest.mark.django_db
def test_a_template_that_takes_long_to_compile_is_refused_and_not_compiled(make_webhook):
    template = infos(*[f"{n} " + "{% if alert.a %}{% endif %}" * 300 for n in range(50)])

    def refused():
        with pytest.raises(ValueError, match="does too much: all tags together"):
            Options.model_validate({"alert_template": template})

    assert calls_of(refused) < 400_000


def test_a_stored_template_that_would_be_refused_today_is_read_and_shows_as_itself():
    kept = {"info": [{"label": "x", "value": "{{ nobody }}"}, {"label": "y", "value": "{{@alert.name}}"}]}
    assert load_template(kept).told({"name": "Jo"}).info == (("x", "{{ nobody }}"), ("y", "Jo"))
    with pytest.raises(ValueError, match="there is no nobody"):
        AlertTemplate.model_validate(kept)


@pytest.mark.guarantee("S15")
@pytest.mark.django_db
def test_all_filters_of_a_tenant_share_one_budget_when_an_alert_comes_in(acme, make_webhook):
    names = {}
    for number in range(60):
        sink = make_webhook(options=Options.model_validate({"filter": f"rows.exists(r, r.k == {number})"}))
        names[sink.id] = number
    plain = make_webhook(options=Options.model_validate({"filter": 'name == "Root login"'}))
    accept(acme, ALERT, [alert(rows=[{"k": n} for n in range(5_000)])])
    reasons = dict(Delivery.objects.values_list("destination_id", "reason"))
    assert reasons[min(names)] == ""
    assert "too large to be looked through" in reasons[max(names)]
    assert reasons[plain.id] == ""
    assert b'eventsinks_over_budget_total{what="filters"}' in telemetry.write_exposition()[0]


@pytest.mark.django_db
def test_a_filter_that_is_none_any_more_rejects_and_stops_no_alert(acme, make_webhook):
    sink = make_webhook()
    type(sink).objects.filter(id=sink.id).update(filter="severity_id >=")
    assert accept(acme, ALERT, [alert()]).rejections == []
    assert "filtered: not severity_id >= (line 1" in Delivery.objects.get().reason


def test_an_event_with_many_faults_is_refused_for_the_first():
    data = b'{"name": "x", "severity": "High", "tags": [' + b"1," * 400_000 + b"1]}"

    def refused():
        with pytest.raises(ValueError, match="valid string"):
            ALERT.accept(data, uuid.uuid4())

    assert calls_of(refused) < 1_000
