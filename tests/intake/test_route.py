"""Route: nothing is looked up that no event needs."""

import json
from datetime import timedelta

import pytest
from django.utils import timezone

from eventsinks.actions import silence
from eventsinks.event_types import event_type
from eventsinks.event_types.base import Accepted
from eventsinks.intake.accept import accept
from eventsinks.intake.route import Route
from eventsinks.models import Delivery, Destination, TrafficTerm
from eventsinks.models.options import Options
from eventsinks.models.traffic.traffic_term import add_terms, make_number

pytestmark = pytest.mark.django_db

FLOW = json.dumps(
    {
        "flow_id": "1",
        "protocol": 6,
        "source": {"id": "a", "address": "100.64.0.1:1"},
        "destination": {"id": "b", "address": "100.64.0.2:443"},
        "direction": "EGRESS",
        "events": [{"type": "TYPE_START", "timestamp": "2026-01-01T00:00:00Z"}],
    }
).encode()


@pytest.fixture
def silenced(acme, make_webhook):
    """Return a sink whose tenant has a silence of everything."""
    sink = make_webhook(options=Options.model_validate({"quiet": {"dedup_window_s": 60}}))
    ends_at = timezone.now() + timedelta(hours=1)
    silence.make_silence(acme, reason="maintenance", author="Ann", ends_at=ends_at)
    return sink


def accepted(**fields):
    return Accepted(key="1", occurred_at=timezone.now(), data=b"{}", **fields)


def test_silences_are_looked_up_for_what_a_sink_hears_or_is_named_by(acme, silenced, django_assert_num_queries):
    alerts, traffic = Route(acme, event_type("detection_alert")), Route(acme, event_type("network_traffic"))
    with django_assert_num_queries(1):
        assert [alerts.of(accepted())[0].reason[:8] for _ in range(2)] == ["silenced"] * 2
    with django_assert_num_queries(0):
        assert list(traffic.of(accepted())) == list(traffic.of(accepted(routed_to=()))) == []
    with django_assert_num_queries(1):
        assert traffic.of(accepted(routed_to=(silenced.uuid,)))[0].reason.startswith("silenced")


def test_traffic_that_no_sink_hears_is_looked_up_once(acme, silenced, django_assert_max_num_queries):
    accept(acme, event_type("network_traffic"), [FLOW.replace(b'"1"', b'"0"', 1)])
    add_terms(
        acme.id, {term: make_number(acme.id, term) for term in TrafficTerm.objects.values_list("text", flat=True)}
    )
    # Two of a savepoint, the sinks, the integrations, and on SQLite the search row.
    with django_assert_max_num_queries(5):
        assert accept(acme, event_type("network_traffic"), [FLOW]).rejections == []
    assert not Delivery.objects.exists()


def test_options_that_can_not_be_read_are_in_the_way_of_no_event_that_does_not_need_them(acme, silenced):
    Destination.objects.filter(id=silenced.id).update(alert_template={"new": 1}, quiet={"new": 1})
    assert accept(acme, event_type("network_traffic"), [FLOW]).rejections == []
