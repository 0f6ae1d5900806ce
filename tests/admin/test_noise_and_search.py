"""Noisy rules and the search: an alert is found by what it says, and a rule is silenced for a while."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from eventsinks.admin.parts import search_filters
from eventsinks.models import Delivery, Event, Silence
from eventsinks.models.search import progress

EVENTS, DELIVERIES = "admin:eventsinks_event_changelist", "admin:eventsinks_delivery_changelist"
NOISY = "admin:eventsinks_silence_noisy"


@pytest.fixture
def alerts(make_webhook, make_alert):
    """Two alerts of one rule, and another alert, all in the search."""
    make_webhook(name="Receiver")
    for number in (1, 2):
        make_alert(
            id=f"noisy-{number}", name="Port scan", severity="Low", detection_rule_id="rule-7", tags=["net"]
        )
    make_alert(id="calm", name="Root login", severity="Critical", tags=["aws"])
    while progress.count_behind():
        progress.index_next()
    return {event.key: event for event in Event.objects.filter(type="detection_alert")}


def text_of(answer):
    assert answer.status_code == 200
    return answer.content.decode()


# --- Names and search


@pytest.mark.parametrize("page", [EVENTS, DELIVERIES])
@pytest.mark.parametrize(
    "query",
    [
        {"q": "root"},
        {"q": "calm"},
        {"severity": "Critical"},
        {"tag": "aws"},
        {"q": "log", "severity": "Critical", "tag": "aws"},
    ],
)
def test_a_list_shows_what_was_asked_for_by_name_and_nothing_else(operator, alerts, page, query):
    shown = text_of(operator.get(reverse(page), query))
    assert "Root login" in shown
    assert ">Critical</span>" in shown
    assert "Port scan" not in shown


@pytest.mark.parametrize("page", [EVENTS, DELIVERIES])
@pytest.mark.parametrize("query", [{"q": "nothing like it"}, {"rule": "rule"}, {"q": "root", "severity": "Low"}])
def test_a_list_shows_nothing_that_was_not_asked_for(operator, alerts, page, query):
    shown = text_of(operator.get(reverse(page), query))
    assert "Root login" not in shown
    assert "Port scan" not in shown


@pytest.mark.parametrize("page", [EVENTS, DELIVERIES])
def test_from_and_to_bound_a_list_and_nonsense_shows_nothing(operator, alerts, page):
    soon, before = (f"{timezone.localtime() + timedelta(minutes=m):%Y-%m-%dT%H:%M}" for m in (2, -2))
    assert "Root login" in text_of(operator.get(reverse(page), {"from": before, "to": soon}))
    assert "Root login" not in text_of(operator.get(reverse(page), {"from": soon}))
    assert "Root login" not in text_of(operator.get(reverse(page), {"to": before}))
    assert "Root login" not in text_of(operator.get(reverse(page), {"from": "yesterday"}))


def test_deliveries_are_found_by_answer_reason_and_tenant(operator, alerts, acme, globex):
    Delivery.objects.filter(event=alerts["calm"]).update(
        state="failed", status=503, reason="it answered 503: busy"
    )
    for query in ({"answer": "503"}, {"answer": "5xx"}, {"reason": "BUSY"}, {"answer": "5xx", "tenant": acme.id}):
        shown = text_of(operator.get(reverse(DELIVERIES), query))
        assert "Root login" in shown
        assert "Port scan" not in shown
    for query in ({"answer": "502"}, {"answer": "x"}, {"reason": "idle"}, {"tenant": globex.id}, {"tenant": "x"}):
        assert "Root login" not in text_of(operator.get(reverse(DELIVERIES), query))


def test_the_look_for_a_reason_is_bounded(operator, alerts, monkeypatch):
    Delivery.objects.update(reason="busy")
    monkeypatch.setattr(search_filters, "LOOKED_AT", 1)
    shown = text_of(operator.get(reverse(DELIVERIES), {"reason": "busy"}))
    assert "Root login" in shown  # the newest
    assert "Port scan" not in shown


def test_pages_are_called_what_their_alert_is_called(operator, alerts):
    event = alerts["calm"]
    delivery = Delivery.objects.get(event=event)
    for page in (
        operator.get(reverse("admin:eventsinks_event_change", args=[event.pk])),
        operator.get(reverse("admin:eventsinks_delivery_change", args=[delivery.pk])),
    ):
        assert page.context["title"].startswith("Root login")
        assert 'data-copy="#event-id"' in text_of(page)


def test_an_event_from_before_the_columns_is_named_by_its_document_with_one_query(operator, alerts):
    Event.objects.update(title="", severity=None, rule="", status="")
    with CaptureQueriesContext(connection) as queries:
        shown = text_of(operator.get(reverse(EVENTS)))
    assert "Root login" in shown
    assert ">Critical</span>" in shown
    assert sum('FROM "eventsinks_event"' in query["sql"] for query in queries) == 2


def test_a_list_says_when_the_search_is_behind(operator, alerts, make_alert, monkeypatch):
    monkeypatch.setattr(search_filters, "MANY_BEHIND", 0)
    assert "has not come to" not in text_of(operator.get(reverse(EVENTS), {"q": "root"}))
    make_alert()
    assert "has not come to the last 1 events" in text_of(operator.get(reverse(EVENTS), {"q": "root"}))


# --- Noisy rules


@pytest.mark.parametrize("query", [{}, {"period": "day"}, {"period": "year"}])
def test_the_noisiest_rule_comes_first_with_its_count(operator, alerts, query):
    rows = operator.get(reverse(NOISY), query).context["noise_rows"]
    assert [(row["count"], row["label"], row["rule"]) for row in rows] == [
        ("2", "Port scan", "rule-7"),
        ("1", "Root login", ""),
    ]
    assert "noisy-1" in text_of(operator.get(rows[0]["alerts"]))
    assert "Root login" not in text_of(operator.get(rows[0]["alerts"]))


def test_older_alerts_are_not_counted(operator, alerts):
    Event.objects.update(received_at=timezone.now() - timedelta(hours=2))
    assert operator.get(reverse(NOISY)).context["noise_rows"] == []
    assert len(operator.get(reverse(NOISY), {"period": "day"}).context["noise_rows"]) == 2


@pytest.mark.parametrize(("length", "minutes"), [("30m", 30), ("2h", 120), ("8h", 480), ("24h", 1440)])
def test_one_click_silences_exactly_that_rule_for_the_chosen_time(operator, alerts, make_alert, length, minutes):
    answer = operator.post(reverse(NOISY), {"event": alerts["noisy-2"].pk, "length": length}, follow=True)
    assert "“Port scan” is silenced" in text_of(answer)
    silence = Silence.objects.get()
    left = silence.ends_at - timezone.now()
    assert abs(left - timedelta(minutes=minutes)) < timedelta(minutes=1)
    assert silence.author == "operator"
    make_alert(id="noisy-3", name="Port scan", severity="Low", detection_rule_id="rule-7")
    make_alert(id="calm-2", name="Root login", severity="Critical")
    states = dict(Delivery.objects.values_list("event__key", "state"))
    assert (states["noisy-3"], states["calm-2"]) == ("suppressed", "pending")


def test_a_second_click_makes_no_second_silence_and_the_page_shows_the_first(operator, alerts):
    for _ in range(2):
        operator.post(reverse(NOISY), {"event": alerts["calm"].pk, "length": "2h", "back": "overview"})
    assert Silence.objects.count() == 1
    shown = operator.get(reverse(NOISY))
    assert [bool(row["silence"]) for row in shown.context["noise_rows"]] == [False, True]


@pytest.mark.parametrize(
    "given", [{}, {"event": "x", "length": "2h"}, {"event": "0", "length": "2h"}, {"length": "9h"}]
)
def test_nonsense_silences_nothing(operator, alerts, given):
    operator.post(reverse(NOISY), given)
    assert not Silence.objects.exists()


def test_who_may_only_look_silences_nothing_and_others_see_nothing(sign_in, alerts):
    looker = sign_in("view_silence", "view_event")
    assert "Silence for" not in text_of(looker.get(reverse(NOISY)))
    assert looker.post(reverse(NOISY), {"event": alerts["calm"].pk, "length": "2h"}).status_code == 403
    assert not Silence.objects.exists()


def test_overview_shows_the_noisiest_rules_only_to_who_may_see_them(operator, alerts, client, django_user_model):
    page = text_of(operator.get(reverse("admin:index")))
    assert "Noisy rules of the last hour" in page
    assert "Silence Port scan for 2 h" in page
    client.force_login(django_user_model.objects.create_user("nobody", is_staff=True))
    assert "Noisy rules of the last hour" not in text_of(client.get(reverse("admin:index")))
