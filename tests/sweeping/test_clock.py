"""The database's clock decides: a process whose own clock is a day off does what every other one does."""

import contextlib
import time
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.db.models import F
from django.db.models.expressions import RawSQL
from django.db.models.functions import Now

from eventsinks import tasks
from eventsinks.actions import configure
from eventsinks.actions.errors import NotConfigurable
from eventsinks.actions.explain import explain_delivery, explain_event
from eventsinks.actions.replaying import replay_job
from eventsinks.actions.secrets import rotate_secret
from eventsinks.actions.silence import end_silence, make_silence
from eventsinks.actions.tenants import create_tenant, issue_key
from eventsinks.admin.parts import marks
from eventsinks.lib.net.wire import Response
from eventsinks.models import (
    ApiKey,
    Delivery,
    Destination,
    Event,
    Incident,
    QuietWindow,
    Replay,
    Silence,
    SlackInstall,
    SlackWorkspace,
)
from eventsinks.models.database.clock import estimate_database_clock, read_database_clock
from eventsinks.models.delivery import make_least_id
from eventsinks.models.options import Options
from eventsinks.models.secrets.sealing import seal
from eventsinks.sending.dispatcher import Dispatcher
from eventsinks.sweeping import fall_back, slack_tokens, tidy
from eventsinks.sweeping.account import count_open
from eventsinks.sweeping.digest import send_digests
from eventsinks.sweeping.heartbeat import send_heartbeats
from tests.helpers import replays
from tests.helpers.worlds import World

DAYS = pytest.mark.parametrize("days", [-1, 1])
SOON = timedelta(minutes=2)  # how far apart what happens in one test may be
HOUR = timedelta(hours=1)


@contextlib.contextmanager
def off_by(days):
    """Let Python's clock be so many days ahead, and the database's go on."""
    with time_machine.travel(datetime.now(UTC) + timedelta(days=days), tick=True):
        yield


def is_now(moment):
    return abs(moment - read_database_clock()) < SOON


def heartbeat_tests():
    return Event.objects.filter(type="notice", key__startswith="drill-").count()


@DAYS
def test_only_pythons_clock_is_moved(db, days):
    before = read_database_clock()
    with off_by(days):
        assert abs(datetime.now(UTC) - before) > timedelta(hours=23)
        assert before <= read_database_clock() < before + SOON
        assert abs(estimate_database_clock() - before) < SOON
        assert time.monotonic() >= 0


@pytest.mark.guarantee("R32")
@DAYS
def test_a_heartbeat_test_comes_once_an_interval(make_webhook, days):
    sink = make_webhook(options=Options(drill_interval_s=3600))
    with off_by(days):
        assert (send_heartbeats(), heartbeat_tests()) == (0, 0)
        Destination.objects.update(drilled_at=Now() - timedelta(minutes=61))
        assert (send_heartbeats(), send_heartbeats(), heartbeat_tests()) == (1, 0, 1)
    assert is_now(Destination.objects.get(id=sink.id).drilled_at)


@pytest.mark.parametrize(
    "drilled_at",
    [
        Now() - timedelta(hours=2),
        Now() - timedelta(hours=2, microseconds=1),
        RawSQL("'2026-01-01 00:00:00.120'", []),  # as SQLite's own clock writes it
        datetime(2026, 1, 1, tzinfo=UTC),
        datetime(2026, 1, 1, microsecond=120_000, tzinfo=UTC),
        datetime(2026, 1, 1, microsecond=123_456, tzinfo=UTC),
        None,
    ],
)
def test_a_drill_that_is_due_is_held_whatever_the_precision_of_the_last(make_webhook, drilled_at):
    make_webhook(options=Options(drill_interval_s=3600))
    Destination.objects.update(drilled_at=drilled_at)
    assert [send_heartbeats(), send_heartbeats(), heartbeat_tests()] == [1, 0, 1]


@pytest.mark.guarantee("R32")
@DAYS
def test_what_is_fresh_does_not_fall_back(acme, make_webhook, make_alert, days):
    spare = make_webhook()
    sink = make_webhook(
        options=Options.model_validate({"fallback": {"event_sink_id": str(spare.uuid), "after_s": 600}})
    )
    named = {"event_sink_ids": [str(sink.uuid)]}
    make_alert(id="a", **named)
    with off_by(days):
        make_alert(id="b", **named)
        assert fall_back.fall_back_everywhere() == 0
    assert fall_back.fall_back_everywhere() == 0
    assert all(is_now(delivery.created_at) for delivery in Delivery.objects.all())
    old = Delivery.objects.get(event__key="a")
    Delivery.objects.filter(id=old.id).update(id=make_least_id(read_database_clock() - timedelta(seconds=601)))
    with off_by(days):
        assert fall_back.fall_back_everywhere() == 1
    assert is_now(Delivery.objects.get(fallback_of__isnull=False).created_at)


@DAYS
def test_a_secrets_overlap_lasts_as_long_as_was_said(make_webhook, days):
    sink = make_webhook()
    with off_by(days):
        rotate_secret.rotate_secret(sink, 3600)
    for off in (0, days):
        with off_by(off):
            sink = Destination.objects.get(id=sink.id)
            assert is_now(sink.old_signing_secret_until - HOUR)
            assert len(sink.opened().signing_keys) == 2
            assert rotate_secret.end_overlaps() == 0
    Destination.objects.update(old_signing_secret_until=Now() - timedelta(seconds=1))
    with off_by(days):
        assert len(Destination.objects.get(id=sink.id).opened().signing_keys) == 1
        assert rotate_secret.end_overlaps() == 1


@DAYS
def test_a_silence_holds_back_from_when_to_when_it_says(acme, make_webhook, make_alert, days):
    make_webhook()
    with off_by(days):
        made = make_silence(acme, reason="works", author="Jo", ends_at=read_database_clock() + HOUR)
        assert make_alert().deliveries == 0
        with pytest.raises(NotConfigurable):
            make_silence(acme, reason="over", author="Jo", ends_at=read_database_clock() - timedelta(seconds=1))
    window = QuietWindow.objects.get()
    assert is_now(made.starts_at)
    assert is_now(Silence.objects.get().created_at)
    assert abs(window.ends_at - made.ends_at) < timedelta(seconds=1)
    with off_by(days):
        assert send_digests() == 0  # it is not over
        assert end_silence(made)
        assert make_alert().deliveries == 1
        assert send_digests() == 1
    told = Event.objects.get(type="notice")
    assert is_now(told.occurred_at)


@pytest.mark.guarantee("R32")
@DAYS
def test_a_replay_takes_what_ended_before_it_was_made(acme, make_webhook, make_alert, days):
    sink = make_webhook()
    with off_by(days):
        make_alert(id="a")
        make_alert(id="b")
        Delivery.objects.filter(event__key="a").update(state="failed", tries=10, settled_at=Now())
        with pytest.raises(NotConfigurable):
            replays.start(sink, read_database_clock() + HOUR)
        made = replays.start(sink, read_database_clock() - HOUR, read_database_clock() + timedelta(days=9))
        assert (made.counted, is_now(made.until)) == (1, True)
        assert replay_job.work_off_replays() == 1
        assert replay_job.work_off_replays() == 0
    assert Replay.objects.get().state == "done"
    assert Delivery.objects.get(event__key="a").state == "pending"


@DAYS
def test_a_key_opens_until_it_expires(acme, days):
    for expires_at, usable in (
        (read_database_clock() + HOUR, True),
        (read_database_clock() - timedelta(seconds=1), False),
    ):
        key, _ = issue_key(acme, expires_at=expires_at)
        with off_by(days):
            assert ApiKey.objects.usable().filter(id=key.id).exists() == usable
            assert ApiKey.objects.get(id=key.id).is_usable == usable


@DAYS
def test_tokens_are_refreshed_when_they_run_out_and_begun_installations_last_their_time(acme, days):
    for name, lasts in (("soon", timedelta(minutes=90)), ("later", timedelta(hours=6))):
        one = SlackWorkspace(tenant=acme, team_id=name, team_name=name, expires_at=read_database_clock() + lasts)
        one.token = "xoxe-1"
        one.sealed_refresh_token = seal("xoxe-2", one, "sealed_refresh_token")
        one.save()
    SlackInstall.objects.create(
        tenant=acme, initiator_id="x", expires_at=read_database_clock() + timedelta(minutes=9)
    )
    with off_by(days):
        slack_tokens.refresh_due_tokens()  # no app is set: each that is due is looked at once, then has its lease
    leases = dict(SlackWorkspace.objects.values_list("team_id", "refresh_leased_until"))
    assert leases["later"] is None
    assert is_now(leases["soon"] - slack_tokens.LEASE)
    assert SlackInstall.objects.count() == 1
    SlackInstall.objects.update(expires_at=Now() - timedelta(seconds=1))
    with off_by(days):
        slack_tokens.refresh_due_tokens()
    assert SlackInstall.objects.count() == 0


@DAYS
def test_tidying_forgets_incidents_by_their_age(make_webhook, days):
    sink = make_webhook()
    with off_by(days):
        for key in ("old", "young"):
            Incident.objects.remember((sink.id, key), {})
    assert all(is_now(at) for at in Incident.objects.values_list("updated_at", flat=True))
    Incident.objects.filter(key="young").update(updated_at=Now() - timedelta(days=29, hours=12))
    Incident.objects.filter(key="old").update(updated_at=Now() - timedelta(days=30, hours=12))
    with off_by(days):
        tidy.tidy_up()
    assert list(Incident.objects.values_list("key", flat=True)) == ["young"]


@DAYS
def test_the_audit_goes_by_the_databases_clock(make_webhook, make_alert, days):
    make_webhook()
    make_alert(id="old")
    make_alert(id="new")
    with off_by(days):
        assert tasks.account() == 0
        assert count_open().late < SOON.total_seconds()
        Delivery.objects.filter(event__key="old").delete()
        Event.objects.filter(key="new").delete()
        assert tasks.account() == 2


@pytest.mark.guarantee("R32")
@DAYS
def test_what_a_process_makes_is_dated_by_the_database(acme, make_webhook, make_alert, days):
    with off_by(days):
        tenant = create_tenant("Initech")
        sink = make_webhook()
        key, _ = issue_key(acme)
        configure.pause(sink)
        make_alert()
    sink = Destination.objects.get(id=sink.id)
    for moment in (tenant.created_at, key.created_at, sink.created_at, sink.state_since, sink.updated_at):
        assert is_now(moment)
    assert [verdict.verdict for verdict in explain_event(Event.objects.get(type="detection_alert"))] == ["pending"]
    assert is_now(Event.objects.filter(type="audit").latest("id").occurred_at)


@DAYS
def test_pages_tell_ages_by_the_database(make_webhook, make_alert, days):
    sink = make_webhook()
    make_alert()
    delivery = Delivery.objects.get()
    with off_by(days):
        assert marks.write_distance(read_database_clock() - timedelta(minutes=3, seconds=5)) == "3 min ago"
        assert marks.write_distance(read_database_clock() + timedelta(hours=3, minutes=5)) == "in 3 h"
        Destination.objects.update(held_until=Now() + HOUR)
        assert marks.name_status(Destination.objects.get(id=sink.id))[0] == "warning"
        assert "the far end asked for a pause" in explain_delivery(Delivery.objects.get(id=delivery.id))
        Destination.objects.update(held_until=Now() - timedelta(seconds=1))
        assert marks.name_status(Destination.objects.get(id=sink.id))[0] == "good"
        assert explain_delivery(Delivery.objects.get(id=delivery.id)) == "waits for its first try"


@DAYS
@pytest.mark.parametrize("date", [True, False])
def test_a_far_ends_date_is_compared_with_what_it_says_that_it_is(make_webhook, make_alert, days, date):
    def http(moment):
        return f"{moment:%a, %d %b %Y %H:%M:%S} GMT".encode()

    now = datetime.now(UTC)
    headers = [b"Retry-After: " + http(now + timedelta(seconds=90))] + ([b"Date: " + http(now)] if date else [])
    make_webhook()
    make_alert()
    with off_by(days if date else 0):
        Dispatcher(World(lambda request: Response(503, headers, b""))).run()
    held = Destination.objects.annotate(left=F("held_until") - Now()).get().left
    assert timedelta(seconds=60) < held <= timedelta(seconds=91)
