"""Deliveries: the story of each, and trying again."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from eventsinks.actions import configure
from eventsinks.admin.deliveries.outcome import tell_story
from eventsinks.admin.parts.attempts.sides import NO_ANSWER
from eventsinks.admin.parts.attempts.timeline import draw_steps
from eventsinks.admin.sinks.health import find_open_deliveries
from eventsinks.models import Attempt, Delivery, Destination, Event
from eventsinks.sending.hold import hold, park

LIST = "admin:eventsinks_delivery_changelist"


def page_of(delivery, name="change"):
    return reverse(f"admin:eventsinks_delivery_{name}", args=[delivery.pk])


def columns(delivery):
    return Delivery.objects.filter(pk=delivery.pk).values().get()


# --- Trying again


def test_replay_moves_a_failed_delivery_to_pending_and_nothing_else(
    operator, delivery, in_state, make_attempt, make_webhook, make_alert
):
    make_webhook()
    make_alert(id="alert-2")
    others = Delivery.objects.exclude(pk=delivery.pk)
    for other, state in zip(others, ("delivered", "suppressed", "sending"), strict=False):
        in_state(other, state)
    in_state(delivery, "failed", tries=10, reason="the far end answered 502", status=502)
    make_attempt(delivery, number=10)
    before = {other.pk: columns(other) for other in others}

    operator.post(
        reverse(LIST), {"action": "replay", "_selected_action": [row.pk for row in Delivery.objects.all()]}
    )

    delivery.refresh_from_db()
    assert (delivery.state, delivery.tries, delivery.lease, delivery.settled_at) == ("pending", 0, None, None)
    assert {other.pk: columns(other) for other in others} == before
    assert Attempt.objects.count() == 1
    assert [entry.object_id for entry in LogEntry.objects.all()] == [str(delivery.pk)]


def test_a_replay_of_many_says_what_it_left(operator, delivery, in_state, make_alert, monkeypatch):
    monkeypatch.setattr("eventsinks.admin.deliveries.admin.FOUND", 1)
    make_alert(id="alert-2")
    for row in Delivery.objects.all():
        in_state(row, "failed")
    asked = {"action": "replay", "_selected_action": [row.pk for row in Delivery.objects.all()]}
    said = [operator.post(reverse(LIST), asked, follow=True).content.decode() for _ in range(3)]
    assert ["There are more" in page for page in said] == [True, False, False]
    assert ["Replayed 1 delivery." in page for page in said] == [True, True, False]
    assert "Nothing was done" in said[2]


def test_the_button_replays(operator, delivery, in_state):
    in_state(delivery, "failed", tries=10)
    assert operator.get(page_of(delivery, "replay")).status_code == 405
    assert page_of(delivery, "replay") in operator.get(page_of(delivery)).content.decode()
    operator.post(page_of(delivery, "replay"))
    delivery.refresh_from_db()
    assert delivery.state == "pending"
    assert LogEntry.objects.get().change_message == "Replayed."


@pytest.mark.guarantee("R18")
def test_a_second_click_replays_nothing(operator, delivery, in_state):
    in_state(delivery, "failed", tries=10)
    for _ in range(2):
        operator.post(page_of(delivery, "replay"))
    assert LogEntry.objects.count() == 1


@pytest.mark.guarantee("R18")
def test_what_has_arrived_is_sent_again_only_when_that_was_meant(operator, delivery, in_state):
    in_state(delivery, "delivered", tries=1)
    assert "the far end gets it twice" in operator.get(page_of(delivery)).content.decode()
    operator.post(page_of(delivery, "replay"))
    assert columns(delivery)["state"] == "pending"


def test_try_now_makes_the_next_try_due(operator, delivery):
    later = timezone.now() + timedelta(hours=5)
    Delivery.objects.filter(pk=delivery.pk).update(due_at=later, tries=3)
    before = columns(delivery)
    assert "Try now" in operator.get(page_of(delivery)).content.decode()
    operator.post(page_of(delivery, "try_now"))
    after = columns(delivery)
    assert after.pop("due_at") <= timezone.now() + timedelta(seconds=1)
    before.pop("due_at")
    assert after == before


@pytest.mark.parametrize(
    ("button", "state"), [("try_now", "pending"), ("replay", "failed"), ("replay", "delivered")]
)
def test_the_audit_event_names_who_had_it_sent_again(operator, delivery, in_state, button, state):
    in_state(delivery, state, tries=3, due_at=timezone.now() + timedelta(hours=5))
    operator.post(page_of(delivery, button))
    told = Event.objects.latest("id").document
    assert (told["initiator_name"], told["meta"]["replayed"]) == ("operator", "1")


def test_what_was_owed_to_a_deleted_sink_is_not_replayed(operator, delivery, in_state):
    in_state(delivery, "failed")
    configure.delete(Destination.objects.get())
    operator.post(page_of(delivery, "replay"))
    operator.post(reverse(LIST), {"action": "replay", "_selected_action": [delivery.pk]})
    assert columns(delivery)["state"] == "failed"


def test_who_may_only_look_replays_nothing(sign_in, delivery, in_state):
    in_state(delivery, "failed")
    client = sign_in("view_delivery")
    assert page_of(delivery, "replay") not in client.get(page_of(delivery)).content.decode()
    assert client.post(page_of(delivery, "replay")).status_code == 403
    client.post(reverse(LIST), {"action": "replay", "_selected_action": [delivery.pk]})
    assert columns(delivery)["state"] == "failed"


# --- The story


def test_a_delivery_that_waits_says_for_what(delivery):
    sink = delivery.destination
    assert "is due now" in tell_story(delivery, None).next
    delivery.due_at = timezone.now() + timedelta(minutes=28, seconds=5)
    assert tell_story(delivery, None).next.startswith("Try 1 of 10 in 28 min, at ")
    hold(sink.pk, 600)
    sink.refresh_from_db()
    assert "the far end asked for a pause" in tell_story(delivery, None).next
    park(sink.pk, sink.version, "410 Gone")
    sink.refresh_from_db()
    assert "repairs the event sink, which is disabled: 410 Gone" in tell_story(delivery, None).next
    configure.pause(sink)
    sink.refresh_from_db()
    assert "resumes the event sink" in tell_story(delivery, None).next


@pytest.mark.parametrize(
    ("state", "columns", "headline", "next_step"),
    [
        ("delivered", {"tries": 2}, "Delivered 0 s ago, on try 2", "Nothing more."),
        (
            "failed",
            {"tries": 10, "reason": "502"},
            "Given up after 10 tries: 502",
            "A replay gives it 10 new tries",
        ),
        ("failed", {"tries": 1, "reason": "502"}, "Given up after 1 try: 502", "replay"),
        ("suppressed", {"reason": "deleted"}, "Not sent: deleted", "Nothing more."),
        ("sending", {"tries": 1}, "Being sent: try 1", "another one takes over at"),
    ],
)
def test_the_banner_says_what_happened_and_what_comes_next(
    delivery, in_state, state, columns, headline, next_step
):
    settled = {"settled_at": timezone.now()} if state == "delivered" else {}
    story = tell_story(in_state(delivery, state, **columns, **settled), None)
    assert story.headline in (headline, headline.replace("0 s ago", "now"))
    assert next_step in story.next


@pytest.mark.parametrize(
    ("fields", "side"),
    [
        ({"status": 503}, "far end’s side"),
        ({"status": 401}, "settings of the event sink"),
        ({"status": 302}, "redirects are not followed"),
        ({"status": 413}, "too large"),
        ({"status": None, "reason": "tls_error: certificate has expired"}, "certificate"),
        ({"status": None, "reason": "address_refused: 10.0.0.1"}, "may not be dialled"),
    ],
)
def test_the_banner_says_whose_side_it_is_on(delivery, make_attempt, fields, side):
    last = make_attempt(delivery, **fields)
    delivery.reason = "it failed"
    assert side in tell_story(delivery, last).side


def test_after_a_replay_the_banner_does_not_speak_of_the_failure_before(delivery, in_state, make_attempt):
    last = make_attempt(in_state(delivery, "failed", tries=10, reason="the far end answered 503"))
    Delivery.objects.replay()
    delivery.refresh_from_db()
    story = tell_story(delivery, last)
    assert story.headline == "Waiting for the first of a fresh set of tries"
    assert (story.tone, story.side) == ("busy", "")


def test_every_way_in_which_no_answer_comes_is_explained():
    from eventsinks.lib.net.wire import ExchangeFailed

    for reason in NO_ANSWER:
        assert f"`{reason}`" in (ExchangeFailed.__doc__ or "")
    assert (ExchangeFailed.__doc__ or "").count("_") >= len(NO_ANSWER) - 1


def test_the_steps_of_an_attempt_add_up_to_the_whole():
    whole = Attempt(dns_ms=4, connect_ms=22, tls_ms=61, first_byte_ms=180, total_ms=200)
    steps = draw_steps(whole)
    assert [step.name for step in steps] == ["DNS", "connect", "TLS", "wait", "read"]
    assert sum(step.width for step in steps) == pytest.approx(100, abs=0.1)
    assert [step.name for step in draw_steps(Attempt(dns_ms=3, connect_ms=9, total_ms=20_000))][-1] == "wait"
    assert [step.name for step in draw_steps(Attempt(dns_ms=3, total_ms=5))] == ["DNS", "connect"]
    assert draw_steps(Attempt()) == []


def test_the_page_tells_each_attempt(operator, delivery, make_attempt):
    make_attempt(
        delivery, number=1, reason="the far end answered 503", excerpt="upstream <b>down</b>", peer="192.0.2.7"
    )
    page = operator.get(page_of(delivery)).content.decode()
    for words in ("Try 1", "Temporary failure", "503", "192.0.2.7", "183 ms", "upstream &lt;b&gt;down&lt;/b&gt;"):
        assert words in page


# --- The list


@pytest.mark.parametrize("term", ["alert-1", " alert-1 "])
def test_deliveries_are_found_by_the_exact_key_of_their_event(operator, delivery, make_alert, term):
    make_alert(id="alert-12")
    page = operator.get(reverse(LIST), {"q": term}).content.decode()
    assert page_of(delivery) in page
    assert "alert-12" not in page


def test_deliveries_are_found_by_their_own_id(operator, delivery, make_alert):
    make_alert(id="alert-2")
    page = operator.get(reverse(LIST), {"q": str(delivery.pk)}).content.decode()
    assert "alert-1" in page
    assert "alert-2" not in page


@pytest.mark.guarantee("O8")
def test_nothing_is_counted_and_no_data_is_read_for_the_list(operator, delivery, make_alert):
    make_alert(id="alert-2")
    for query in (
        {},
        {"state__exact": "pending"},
        {"sink": delivery.destination_id},
        {"since": "day"},
        {"_facets": "1"},
        {"q": "alert-2"},
    ):
        with CaptureQueriesContext(connection) as queries:
            assert "alert-2" in operator.get(reverse(LIST), query, follow=True).content.decode()
        of_deliveries = [one["sql"] for one in queries if "eventsinks_delivery" in one["sql"]]
        assert of_deliveries
        assert not any("COUNT(" in sql or '"data"' in sql for sql in of_deliveries)


def test_a_filter_that_means_nothing_finds_nothing_or_everything_and_breaks_nothing(operator, delivery):
    for query in ({"sink": "x"}, {"sink": "99999"}, {"since": "never"}, {"p": "9999"}, {"p": "x"}):
        assert operator.get(reverse(LIST), query).status_code in (200, 302)


def test_pages_go_on_while_there_is_more(operator, make_webhook, make_alert):
    make_webhook()
    for _ in range(51):
        make_alert()
    first = operator.get(reverse(LIST)).content.decode()
    answer = operator.get(reverse(LIST), {"p": 2})
    second = answer.content.decode()
    assert "Older" in first
    assert "Newer" not in first
    assert "Newer" in second
    assert "Older" not in second
    assert len(answer.context["cl"].result_list) == 1


def test_the_backlog_of_a_sink_is_read_from_the_index_of_what_is_open(delivery):
    looked_at = find_open_deliveries(delivery.destination_id).order_by("tries", "due_at").values_list("id")[:10]
    plan = looked_at.explain()
    if connection.vendor == "sqlite":  # PostgreSQL scans a table that is this small
        assert "delivery_open" in plan
    assert list(looked_at) == [(delivery.pk,)]
