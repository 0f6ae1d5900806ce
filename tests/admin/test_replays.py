"""Replays in the admin: nothing is sent again before it was counted; what runs can be watched and cancelled."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from eventsinks.actions.replaying import replay_job
from eventsinks.models import Delivery, Event, Replay
from tests.helpers.replays import start

ADD, LIST = reverse("admin:eventsinks_replay_add"), reverse("admin:eventsinks_replay_changelist")


@pytest.fixture
def failed(acme, globex, make_webhook, make_alert, in_state):
    """Return two sinks of Acme and one of Globex with two failed deliveries each."""
    sinks = [make_webhook(name=name, tenant=tenant) for name, tenant in (("a", acme), ("b", acme), ("c", globex))]
    for tenant in (acme, globex):
        for _ in range(2):
            make_alert(tenant, name=f"Login at {tenant.name}")
    for delivery in Delivery.objects.all():
        in_state(delivery, "failed", reason="503 Service Unavailable", status=503, tries=10)
    return sinks


def fill(since=timedelta(hours=1), until=None, **fields):
    """Return the fields of the form as a browser sends them."""
    now = timezone.now()
    start = now - since
    end = (f"{until:%Y-%m-%d}", f"{until:%H:%M:%S}") if until else ("", "")
    given = {
        "since_0": f"{start:%Y-%m-%d}",
        "since_1": f"{start:%H:%M:%S}",
        "until_0": end[0],
        "until_1": end[1],
        "states": ["failed"],
    }
    return {**given, **fields}


def count(operator, fields):
    """Press Count; return what the page says, and the fields with which Start is pressed."""
    page = operator.post(ADD, {**fields, "count": ""})
    text = page.content.decode()
    found = re.search(r'name="counted" value="(\w+)"', text)
    return text, {**fields, "counted": found[1] if found else "", "start": ""}


def test_counting_sends_nothing_and_shows_how_many_where_and_which(operator, failed):
    text, _ = count(operator, fill())
    assert "Replay 6 deliveries" in text
    assert re.findall(r"<li>(\w+): (\w) – (\d)</li>", text) == [
        ("Acme", "a", "2"),
        ("Acme", "b", "2"),
        ("Globex", "c", "2"),
    ]
    assert "Login at Globex" in text
    assert not Replay.objects.exists()


def test_what_was_counted_is_started_by_one_more_press(operator, failed):
    _, confirmed = count(operator, fill())
    answer = operator.post(ADD, confirmed)
    assert answer["Location"] == LIST
    assert {(one.destination.name, one.counted, one.asked_by) for one in Replay.objects.all()} == {
        ("a", 2, "operator"),
        ("b", 2, "operator"),
        ("c", 2, "operator"),
    }
    codes = Event.objects.filter(type="audit", key__startswith="").values_list("data", flat=True)
    assert sum(b"replay.create" in bytes(data) for data in codes) == 3


def test_what_was_changed_after_the_count_is_counted_anew(operator, failed):
    _, confirmed = count(operator, fill())
    text = operator.post(ADD, {**confirmed, "reason": "no such reason"}).content.decode()
    assert not Replay.objects.exists()
    assert "0 deliveries" in text
    assert 'name="start"' not in text


@pytest.mark.parametrize(
    ("fields", "number"),
    [
        ({"reason": "503"}, 6),
        ({"reason": "timeout"}, 0),
        ({"answer": "5"}, 6),
        ({"answer": "4"}, 0),
        ({"event_type": "audit"}, 0),
        ({"states": ["delivered"]}, 0),
        ({"states": ["failed", "delivered"]}, 6),
        ({"since": timedelta(seconds=-1)}, None),
    ],
)
def test_only_what_matches_is_counted(operator, failed, fields, number):
    text, _ = count(operator, fill(**fields))
    if number is None:
        assert "must not be in the future" in text
    else:
        assert f"{number} deliveries" in text


def test_one_tenant_or_one_sink_can_be_chosen(operator, failed, acme, globex):
    text, _ = count(operator, fill(tenants=[str(acme.pk)]))
    assert "Replay 4 deliveries" in text
    text, _ = count(operator, fill(where=[str(failed[2].pk)]))
    assert "Replay 2 deliveries" in text
    text, _ = count(operator, fill(tenants=[str(acme.pk)], where=[str(failed[2].pk)]))
    assert "Of another tenant: c." in text


def test_a_replay_that_runs_already_stops_its_tenant_s_and_no_other(operator, failed):
    start(failed[0], timezone.now() - timedelta(hours=1))
    _, confirmed = count(operator, fill())
    answer = operator.post(ADD, confirmed, follow=True)
    said = [str(message) for message in answer.context["messages"]]
    assert said == ["Acme: another replay of a is under way; cancel it, or wait for its end.", "Started 1 replay."]
    assert set(Replay.objects.values_list("destination__name", flat=True)) == {"a", "c"}


def test_a_replay_is_watched_and_cancelled(operator, failed):
    made = start(failed[0], timezone.now() - timedelta(hours=1), rate_per_s=1.0)
    replay_job.work_off_replays()
    page = operator.get(reverse("admin:eventsinks_replay_change", args=[made.pk]))
    assert page["Refresh"] == "3"
    assert "1 of 2" in page.content.decode()
    assert "at most 1 a second" in page.content.decode()
    operator.post(reverse("admin:eventsinks_replay_cancel", args=[made.pk]))
    made.refresh_from_db()
    assert made.state == "cancelled"
    page = operator.get(reverse("admin:eventsinks_replay_change", args=[made.pk]))
    assert "Refresh" not in page
    assert "/cancel/" not in page.content.decode()


def test_the_list_shows_running_and_past_ones(operator, failed):
    first = start(failed[0], timezone.now() - timedelta(hours=1))
    replay_job.cancel_replay(first)
    start(failed[1], timezone.now() - timedelta(hours=1))
    text = operator.get(LIST).content.decode()
    assert "Cancelled" in text
    assert "Running" in text
    assert "0 of 2" in text


def test_who_may_only_look_starts_and_cancels_nothing(sign_in, failed):
    made = start(failed[0], timezone.now() - timedelta(hours=1))
    client = sign_in("view_replay")
    assert client.get(LIST).status_code == 200
    assert client.post(ADD, fill()).status_code == 403
    assert client.post(reverse("admin:eventsinks_replay_cancel", args=[made.pk])).status_code == 403
    assert "/cancel/" not in client.get(reverse("admin:eventsinks_replay_change", args=[made.pk])).content.decode()


def test_a_form_can_be_linked_to_with_its_first_values(operator, failed):
    text = operator.get(f"{ADD}?where={failed[1].pk}&reason=503").content.decode()
    assert re.search(rf'<option value="{failed[1].pk}" selected>', text)
    assert 'value="503"' in text
    assert operator.get(f"{ADD}?where=x&tenants=%00").status_code == 200
