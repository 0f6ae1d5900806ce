"""What can be done with an event sink: send a test, resume with a choice, see what was held back."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.urls import reverse
from django.utils import timezone

from eventsinks.actions import configure
from eventsinks.models import Delivery, EventSink, QuietWindow
from eventsinks.models.delivery import make_least_id
from eventsinks.models.options import Options
from eventsinks.sweeping.heartbeat import send_heartbeats
from tests.admin.conftest import HEADER, HOSTILE
from tests.helpers.receiver import Receiver


def page_of(sink, name="change"):
    return reverse(f"admin:eventsinks_eventsink_{name}", args=[sink.pk])


def test_a_test_shows_the_whole_attempt_and_counts_nowhere(operator, make_webhook):
    with Receiver() as receiver:
        sink = make_webhook(receiver.url("/hook?token=in-the-url"), config={"headers": {"Authorization": HEADER}})
        response = operator.post(page_of(sink, "test"))
    page = response.content.decode()
    for words in ("It arrived", "127.0.0.1", "Test alert for", "POST"):
        assert words in page
    for secret in (HEADER, "in-the-url"):
        assert secret not in page
    assert not Delivery.objects.exists()
    assert LogEntry.objects.get().change_message == "Tested: delivered."


def test_a_test_that_fails_says_whose_side_it_is_on(operator, make_webhook):
    page = operator.post(page_of(make_webhook("http://127.0.0.1:2/"), "test")).content.decode()
    assert "It did not arrive this time" in page
    assert "nothing listens at its address" in page


def test_a_real_alert_of_the_tenant_is_sent_as_a_test(operator, globex, make_webhook, make_alert):
    make_alert(id="ours", name=HOSTILE)
    make_alert(tenant=globex, id="theirs")
    with Receiver() as receiver:
        sink = make_webhook(receiver.url())
        page = operator.post(page_of(sink, "test"), {"alert": "ours"}).content.decode()
        assert "alert(&#x27;it ran&#x27;)" in page
        assert HOSTILE not in page
        assert operator.post(page_of(sink, "test"), {"alert": "theirs"}).status_code == 302


def test_who_may_not_change_a_sink_does_not_test_it(sign_in, make_webhook):
    sink, client = make_webhook(), sign_in("view_eventsink", "view_event")
    assert "/test/" not in client.get(page_of(sink)).content.decode()
    assert client.post(page_of(sink, "test")).status_code == 403
    assert client.get(page_of(sink, "test")).status_code == 405


def test_an_alert_is_not_sent_by_who_may_not_see_it(sign_in, make_webhook, make_alert):
    make_alert(id="ours")
    client = sign_in("view_eventsink", "change_eventsink")
    assert client.post(page_of(make_webhook(), "test"), {"alert": "ours"}).status_code == 403


# --- Resuming


@pytest.fixture
def paused(make_webhook, make_alert):
    """A paused sink with two deliveries, one of them a day old."""
    sink = make_webhook()
    make_alert()
    make_alert()
    old = Delivery.objects.order_by("id").first()
    Delivery.objects.filter(pk=old.pk).update(id=make_least_id(timezone.now() - timedelta(days=1)))
    configure.pause(sink)
    return sink


@pytest.mark.parametrize(
    ("answer", "left"), [({}, 2), ({"backlog": "all"}, 2), ({"backlog": "skip"}, 0), ({"backlog": "since"}, 1)]
)
def test_resuming_does_with_the_backlog_what_was_said(operator, paused, answer, left):
    assert "2 are waiting" in operator.get(page_of(paused)).content.decode()
    if answer.get("backlog") == "since":
        answer = {**answer, "moment": f"{timezone.now() - timedelta(hours=1):%Y-%m-%dT%H:%M}"}
    operator.post(page_of(paused, "resume"), answer)
    assert EventSink.objects.get().state == "active"
    states = [state for (state,) in Delivery.objects.values_list("state")]
    assert (states.count("pending"), states.count("suppressed")) == (left, 2 - left)


@pytest.mark.parametrize(
    "answer",
    [
        {"backlog": "since"},
        {"backlog": "since", "moment": "x"},
        {"backlog": "since", "moment": "0001-01-01T00:00"},
        {"backlog": "since", "moment": "9999-12-31T23:59"},
        {"backlog": "x"},
    ],
)
def test_an_answer_that_says_nothing_resumes_nothing(operator, paused, answer):
    page = operator.post(page_of(paused, "resume"), answer, follow=True).content.decode()
    assert "Not resumed" in page
    assert EventSink.objects.get().state == "paused"


# --- What it shows of its options


def test_the_page_shows_what_was_held_back(operator, make_webhook, make_alert):
    sink = make_webhook(options=Options.model_validate({"quiet": {"throttle": {"limit": 1, "window_s": 60}}}))
    make_alert()
    make_alert(name=HOSTILE)
    window = QuietWindow.objects.get()
    assert window.held == 1
    page = operator.get(page_of(sink)).content.decode()
    for words in ("Throttle", "alert(&#x27;it ran&#x27;)", "Open"):
        assert words in page
    assert HOSTILE not in page
    QuietWindow.objects.update(closed_at=timezone.now())
    assert "Digest is due" in operator.get(page_of(sink)).content.decode()
    QuietWindow.objects.update(told_at=timezone.now())
    assert "Told" in operator.get(page_of(sink)).content.decode()


def test_the_page_knows_a_heartbeat_test_that_was_from_one_that_is_to_come(operator, make_webhook):
    sink = make_webhook(options=Options(drill_interval_s=3600))
    assert operator.get(page_of(sink)).context["last_drill"] == "–"
    EventSink.objects.update(drilled_at=timezone.now() - timedelta(hours=2))
    assert send_heartbeats() == 1
    page = operator.get(page_of(sink))
    assert "ago" in page.context["last_drill"] or "now" in page.context["last_drill"]
    assert "in 59 min" in page.context["next_drill"]
