"""The door: what it takes, what it leaves to Django, and what is in force for the very next request."""

from __future__ import annotations

import json
import threading
from datetime import timedelta

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from eventsinks.actions import configure, silence
from eventsinks.actions.tenants import issue_key, revoke_key
from eventsinks.door import committer
from eventsinks.door.waiting import Posted
from eventsinks.event_types import event_type
from eventsinks.front.answers import Refusal
from eventsinks.limits import rates, sending_lag
from eventsinks.models import ApiKey, Delivery, Event
from eventsinks.models.options import Options
from tests.door.conftest import ALERTS, BOUND
from tests.front.conftest import until

ALERT = {"name": "Root login", "severity": "High"}


def alerts():
    return Event.objects.filter(type="detection_alert")


def read(answer):
    """Return what an answer 200 to one alert says."""
    assert answer.status == 200, answer.body
    return json.loads(answer.body)["detection_alert"]


class Gate:
    """Holds the committer before its next group."""

    def __init__(self, monkeypatch):
        self.came, self.open = threading.Event(), threading.Event()
        self.groups = []
        commit = committer.Committer._commit

        def held(this, group):
            self.groups.append(len(group))
            self.came.set()
            self.open.wait(20)
            commit(this, group)

        monkeypatch.setattr(committer.Committer, "_commit", held)


def test_the_first_request_of_a_kind_is_django_s_and_the_next_the_door_s(road, acme_key, taken):
    for _ in range(3):
        read(road.post(acme_key, ALERT))
    assert (len(taken), alerts().count()) == (1, 3)


def test_requests_that_come_while_one_commits_are_committed_together(
    road, acme_key, globex_key, make_webhook, monkeypatch
):
    make_webhook()
    road.learn(acme_key)
    gate = Gate(monkeypatch)
    posted = [road.post(acme_key, ALERT, wait=False)]
    assert gate.came.wait(10)
    posted += [road.post(key, ALERT, wait=False) for key in (acme_key, globex_key) * 8]
    assert until(lambda: road.door._waiting.count == 16)
    gate.open.set()
    owed = [read(answer.result(20))["deliveries"] for answer in posted]
    assert gate.groups == [1, 16]
    assert owed == [1, *[1, 0] * 8]
    assert (alerts().count(), Delivery.objects.count()) == (18, 10)


@pytest.mark.guarantee("R16")
def test_the_same_id_twice_in_one_group_is_accepted_once(road, acme_key, monkeypatch):
    road.learn(acme_key)
    gate = Gate(monkeypatch)
    posted = [road.post(acme_key, {**ALERT, "id": "0"}, wait=False)]
    assert gate.came.wait(10)
    posted += [road.post(acme_key, {**ALERT, "id": "a", "name": name}, wait=False) for name in ("x", "x", "y")]
    assert until(lambda: road.door._waiting.count == 3)
    gate.open.set()
    found = [answer.result(20) for answer in posted[1:]]
    assert [answer.status for answer in found] == [200, 200, 409]
    assert [read(answer)["duplicate"] for answer in found[:2]] == [False, True]
    assert alerts().filter(key="a").count() == 1


def test_a_caller_gets_half_of_the_waiting_line_and_then_503(road, acme_key, globex_key, monkeypatch):
    road.learn(acme_key)
    gate = Gate(monkeypatch)
    posted = [road.post(acme_key, ALERT, wait=False)]
    assert gate.came.wait(10)
    posted += [road.post(acme_key, ALERT, wait=False) for _ in range(BOUND // 2)]
    assert until(lambda: road.door._waiting.count == BOUND // 2)
    with pytest.raises(Refusal) as refused:
        road.post(acme_key, ALERT)
    assert (refused.value.answer.status, (b"retry-after", b"1") in refused.value.answer.headers) == (503, True)
    posted.append(road.post(globex_key, ALERT, wait=False))
    gate.open.set()
    assert {answer.result(20).status for answer in posted} == {200}


def test_who_is_refused_leaves_nothing_that_breaks_the_line(road, acme_key, globex_key, monkeypatch):
    road.learn(acme_key)
    gate = Gate(monkeypatch)
    posted = [road.post(acme_key, ALERT, wait=False)]
    assert gate.came.wait(10)
    for key in (acme_key, globex_key):
        posted += [road.post(key, ALERT, wait=False) for _ in range(BOUND // 2)]
    assert until(lambda: road.door._waiting.count == BOUND)
    stranger = "es_" + "x" * 43
    with pytest.raises(Refusal):
        road.post(stranger, ALERT)
    gate.open.set()
    assert {answer.result(20).status for answer in posted} == {200}
    assert read(road.post(acme_key, ALERT))["id"]


def test_an_alert_whose_answer_fails_is_not_accepted_again(road, acme_key, monkeypatch, taken):
    road.learn(acme_key)
    del taken[:]
    monkeypatch.setattr(committer, "write_body", lambda *_: 1 / 0)
    with pytest.raises(Refusal) as refused:
        road.post(acme_key, ALERT)
    assert (refused.value.answer.status, taken, alerts().count()) == (500, [], 2)


def test_one_request_that_breaks_a_group_breaks_no_other(road, acme_key, monkeypatch):
    road.learn(acme_key)
    gate = Gate(monkeypatch)
    kind = type(event_type("detection_alert"))
    check = kind.accept

    def breaking(self, raw, tenant_id):
        if b"poison" in raw:
            raise RuntimeError("poison")
        return check(self, raw, tenant_id)

    monkeypatch.setattr(kind, "accept", breaking)
    posted = [road.post(acme_key, ALERT, wait=False)]
    assert gate.came.wait(10)
    posted += [road.post(acme_key, {**ALERT, "name": name}, wait=False) for name in ("a", "b", "poison", "c", "d")]
    assert until(lambda: road.door._waiting.count == 5)
    gate.open.set()
    assert [answer.result(20).status for answer in posted] == [200, 200, 200, 500, 200, 200]
    assert alerts().count() == 6


@pytest.mark.guarantee("R2")
def test_a_lost_connection_is_a_503_and_never_a_second_try(road, acme_key, monkeypatch, taken):
    road.learn(acme_key)
    del taken[:]

    def lose(*_):
        raise OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(committer, "accept_all", lose)
    with pytest.raises(Refusal) as refused:
        road.post(acme_key, ALERT)
    assert json.loads(refused.value.answer.body)["error"] == {
        "code": "unavailable",
        "message": "the database can't be reached; try again",
        "fields": [],
    }
    monkeypatch.undo()
    assert (taken, read(road.post(acme_key, ALERT))["duplicate"]) == ([], False)


def test_a_change_is_in_force_for_the_very_next_alert(road, acme, acme_key, make_webhook):
    road.learn(acme_key)

    def owed():
        return read(road.post(acme_key, ALERT))["deliveries"]

    assert owed() == 0
    sinks = [make_webhook(name=f"sink {number}") for number in range(3) if owed() == number]
    assert (len(sinks), owed()) == (3, 3)
    configure.change(sinks[0], options=Options.model_validate({"filter": 'severity == "Low"'}))
    assert owed() == 2
    made = silence.make_silence(
        acme, reason="work", author="Ann", sink=sinks[1], ends_at=timezone.now() + timedelta(hours=1)
    )
    assert owed() == 1
    silence.end_silence(made)
    assert owed() == 2
    configure.delete(sinks[2])
    assert owed() == 1


def test_a_silence_begins_and_ends_at_its_moment(road, acme, acme_key, make_webhook):
    make_webhook()
    road.learn(acme_key)
    begins = timezone.now() + timedelta(seconds=1)
    silence.make_silence(
        acme, reason="work", author="Ann", starts_at=begins, ends_at=begins + timedelta(seconds=1)
    )
    seen = []
    while timezone.now() < begins + timedelta(seconds=1.5):
        seen.append((timezone.now(), read(road.post(acme_key, ALERT))["deliveries"], timezone.now()))
    for before, owed, after in seen:
        if after < begins or before > begins + timedelta(seconds=1.01):
            assert owed == 1
        if begins + timedelta(seconds=0.01) < before and after < begins + timedelta(seconds=0.99):
            assert owed == 0


def test_a_change_by_somebody_else_s_sql_is_in_force_too(road, acme_key, make_webhook):
    sink = make_webhook()
    road.learn(acme_key)
    assert read(road.post(acme_key, ALERT))["deliveries"] == 1
    with connection.cursor() as cursor:
        cursor.execute("UPDATE eventsinks_destination SET event_types = '[]' WHERE id = %s", [sink.id])
    assert read(road.post(acme_key, ALERT))["deliveries"] == 0


@pytest.fixture
def counted(monkeypatch):
    """Return the names of the rates that are taken from, one for each time."""
    names, take = [], rates.take_tokens

    def taking(tenant, name, number=1):
        names.append(name)
        return take(tenant, name, number)

    monkeypatch.setattr(rates, "take_tokens", taking)
    return names


def test_a_revoked_expired_or_narrowed_key_opens_nothing_more(road, acme, acme_key):
    road.learn(acme_key)
    keys = [issue_key(acme) for _ in range(3)]
    assert [road.post(text, ALERT).status for _, text in keys] == [200] * 3
    revoke_key(keys[0][0])
    ApiKey.objects.filter(id=keys[1][0].id).update(expires_at=timezone.now() - timedelta(seconds=1))
    ApiKey.objects.filter(id=keys[2][0].id).update(scopes=["event:write"])
    assert [road.post(text, ALERT).status for _, text in keys] == [401, 401, 403]


def test_a_lowered_limit_is_in_force_and_no_request_is_counted_twice(road, acme, acme_key, limit, counted):
    road.learn(acme_key)
    limit(acme, alerts_per_s=1)
    rates.forget()
    answers = [road.post(acme_key, ALERT).status for _ in range(13)]
    assert answers[:10] == [200] * 10
    assert answers[-1] == 429
    assert counted.count("requests_per_s") == 1 + 13


def test_a_lowered_limit_of_a_backlog_is_in_force(road, acme, acme_key, make_webhook, limit):
    make_webhook()
    road.learn(acme_key)
    assert read(road.post(acme_key, ALERT))["deliveries"] == 1
    limit(acme, pending_per_sink=2)
    answer = read(road.post(acme_key, ALERT))
    assert (answer["deliveries"], answer["backlog_full"]) == (0, 1)


def test_a_rejected_alert_is_counted_once(road, acme_key, counted):
    road.learn(acme_key)
    del counted[:]
    assert road.post(acme_key, {"name": ""}).status == 400
    assert counted == ["requests_per_s", "alerts_per_s"]


def test_nobody_is_answered_who_has_hung_up(road, acme_key, monkeypatch, taken):
    road.learn(acme_key)
    road.post(acme_key, ALERT, gone=True, wait=False)
    assert read(road.post(acme_key, ALERT))["id"]
    assert alerts().count() == 2


def test_a_large_body_is_django_s_so_that_nobody_waits_for_it(road, acme_key, taken):
    road.learn(acme_key)
    large = [{**ALERT, "description": "x" * 1000} for _ in range(1100)]
    assert json.loads(road.post(acme_key, large).body)["data"]["accepted"] == 1100
    assert len(taken) == 2


def test_a_query_or_another_method_is_django_s(road, acme_key, taken):
    road.learn(acme_key)
    for path in (ALERTS + "/", "/v1/event_sink", "/api/events"):
        road.post(acme_key, ALERT, path)
    assert len(taken) == 4


class TestBehind:
    """A tenant whose alerts come in faster than they can be sent."""

    @pytest.fixture
    def behind(self, acme, shared_by_all, monkeypatch):
        """Return a function that lets sending be behind for Acme by so many seconds, and all of them know it."""
        sending_lag.forget()
        monkeypatch.setattr(sending_lag, "ASK_AGAIN", 0.0)

        def tell(seconds):
            sending_lag.tell_lags({acme.id: seconds})
            sending_lag.read_lags([acme.id])

        yield tell
        sending_lag.forget()

    def test_its_answers_wait_and_those_of_others_do_not(
        self, road, acme_key, globex, globex_key, make_webhook, behind, monkeypatch
    ):
        paused = []
        monkeypatch.setattr(Posted, "__setattr__", note_pauses(paused))
        for tenant in (None, globex):
            make_webhook(tenant=tenant)
        for key in (acme_key, globex_key):
            road.learn(key)
        paused.clear()
        behind(3.0)
        slowed = sending_lag.SLOWED._value.get()
        for key in (acme_key, globex_key):
            read(road.post(key, ALERT))
        assert paused == [pytest.approx(0.5), 0.0]
        assert sending_lag.SLOWED._value.get() == slowed + 1

    def test_alerts_that_no_sink_wants_are_not_slowed_down(self, road, acme_key, behind, monkeypatch):
        paused = []
        monkeypatch.setattr(Posted, "__setattr__", note_pauses(paused))
        road.learn(acme_key)
        behind(3.0)
        read(road.post(acme_key, ALERT))
        assert paused == [0.0]

    @pytest.mark.parametrize("alone", [False, True], ids=["door", "django"])
    def test_from_half_a_minute_on_alerts_are_refused_with_a_time_to_try_again(
        self, road, acme_key, behind, alone
    ):
        road.learn(acme_key)
        behind(31.0)
        before = alerts().count()
        answer = road.post(acme_key, ALERT, alone=alone)
        assert (answer.status, dict(answer.headers)[b"retry-after"]) == (503, b"5")
        error = json.loads(answer.body)["error"]
        assert error["code"] == "sending_behind"
        assert "has waited for 31 s" in error["message"]
        assert alerts().count() == before
        behind(1.0)
        read(road.post(acme_key, ALERT, alone=alone))


def note_pauses(noted):
    """Return an assignment of attributes that notes the pauses of answers."""

    def assign(posted, name, value):
        if name == "pause" and posted.body is not None:
            noted.append(value)
        object.__setattr__(posted, name, value)

    return assign
