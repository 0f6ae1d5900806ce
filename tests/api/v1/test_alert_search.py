"""The search over /v1: lists of alerts and of deliveries take words and columns of an alert."""

import pytest

from eventsinks.models import Delivery
from eventsinks.models.search import progress


@pytest.fixture
def alerts(make_webhook, make_alert, globex):
    make_webhook()
    for number in range(4):
        make_alert(id=f"a-{number}", name="Port scan", severity="Low", detection_rule_id="rule-7", tags=["net"])
    make_alert(id="b", name="Root login", severity="critical", status="resolved", dedup_key="k")
    make_alert(globex, id="theirs", name="Root login", severity="Critical")
    while progress.count_behind():
        progress.index_next()


def ids(api, query):
    answer = api.get(f"/v1/detection_alert?{query}")
    assert answer.status_code == 200, answer.content
    return [one["id"] for one in answer.json()["data"]["detection_alerts"]]


@pytest.mark.parametrize(
    "query",
    [
        *("q=root", "q=LOG+roo", "severity=Critical", "severity=critical", "status=resolved", "dedup_key=k"),
        *("q=root&severity=Critical&since=2020-01-01T00:00:00Z", "q=root&until=2999-01-01"),
    ],
)
def test_alerts_of_the_tenant_alone_are_found(api, globex_api, alerts, query):
    assert ids(api, query) == ["b"]


@pytest.mark.parametrize(
    "query", ["q=theirs", "q=!!!", "tag=aws", "rule=rule", "q=root&until=2020-01-01", "since=2999-01-01T00:00:00Z"]
)
def test_what_matches_nothing_is_an_empty_page(api, alerts, query):
    assert ids(api, query) == []


def test_a_search_goes_on_page_after_page(api, alerts):
    found, query = [], "q=scan&rule=rule-7&tag=net&page_size=3"
    answer = api.get(f"/v1/detection_alert?{query}").json()
    found += [one["id"] for one in answer["data"]["detection_alerts"]]
    token = answer["pagination"]["next_page_token"]
    answer = api.get(f"/v1/detection_alert?{query}&page_token={token}").json()
    found += [one["id"] for one in answer["data"]["detection_alerts"]]
    assert found == ["a-3", "a-2", "a-1", "a-0"]
    assert answer["pagination"]["next_page_token"] is None


@pytest.mark.parametrize(
    "query", ["severity=Bad", "status=open", "word=x", "since=2026-01-02T00:00:00Z&until=2026-01-01T00:00:00Z"]
)
@pytest.mark.parametrize("path", ["detection_alert", "delivery"])
def test_a_wrong_query_is_refused_with_its_field(api, alerts, path, query):
    answer = api.get(f"/v1/{path}?{query}")
    assert answer.status_code == 400
    if query.startswith("word"):
        assert "severity" in answer.content.decode()


@pytest.mark.parametrize(
    "query", ["q=root", "severity=Critical", "status_code=503", "q=login&status_code=503&reason=BUSY"]
)
def test_deliveries_are_found_by_their_alert_and_their_answer(api, alerts, query):
    Delivery.objects.filter(event__key="b").update(status=503, reason="it was busy")
    answer = api.get(f"/v1/delivery?{query}")
    assert [one["detection_alert_id"] for one in answer.json()["data"]["deliveries"]] == ["b"]
    assert api.get(f"/v1/delivery?{query}&tag=aws").json()["data"]["deliveries"] == []
