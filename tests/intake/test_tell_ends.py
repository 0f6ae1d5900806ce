"""Whoever was told that an incident began is told that it ended, and nobody else is."""

from __future__ import annotations

import json
import threading
import time
from datetime import timedelta
from random import Random

import pytest
from django.db import connection, transaction
from django.test import override_settings
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eventsinks.actions import configure, silence
from eventsinks.actions.clear import work_off_clearings
from eventsinks.actions.replaying.replay import replay
from eventsinks.actions.replaying.skip import skip_deliveries
from eventsinks.event_types import event_type
from eventsinks.intake import line_up
from eventsinks.intake.accept import accept
from eventsinks.lib.net.wire import Response
from eventsinks.models import Count, CountDelta, Delivery, Destination, Event, Finding, QuietWindow, Silence
from eventsinks.models.delivery import UNTOLD, claim, find_due_lanes, suppress_untold_ends
from eventsinks.models.options import Options
from eventsinks.sending.dispatcher import Dispatcher
from eventsinks.sweeping.digest import send_digests
from eventsinks.sweeping.fall_back import fall_back_everywhere
from tests.helpers.counts import audit_account
from tests.helpers.worlds import World

pytestmark = pytest.mark.django_db
OK, BUSY = (Response(status, [], b"") for status in (202, 503))
DOWN, UP = "https://down.example.com/", "https://up.example.com/"
ORDERINGS = ["incident", "event_sink", "none"]


@pytest.fixture
def make_sink(make_webhook):
    return lambda url=UP, **options: make_webhook(url, options=Options.model_validate(options))


@pytest.fixture
def say(acme):
    """Accept alerts of the incident `db`, of these statuses, each in a request of its own."""

    def say(*statuses, **fields):
        for status in statuses:
            alert = {"name": status, "severity": "High", "dedup_key": "db", "status": status, **fields}
            acceptance = accept(acme, event_type("detection_alert"), [json.dumps(alert).encode()])
            assert not acceptance.rejections

    return say


def hush(tenant, **options):
    options = {"reason": "maintenance", "author": "Ann", "ends_at": timezone.now() + timedelta(hours=1), **options}
    return silence.make_silence(tenant, **options)


def deliver(*answers):
    """Send what is due, the answers in turn, then OK."""
    given = list(answers)
    Dispatcher(World(lambda request: given.pop(0) if given else OK)).run()


def fail_for_good():
    """Send what is due; the first one fails, and has no other try."""
    with override_settings(EVENTSINKS_RETRY_SCHEDULE=[]):
        deliver(BUSY)


def deliver_everything(answer=lambda request: OK):
    """Send until nothing waits that may be sent."""
    for _ in range(12):
        Delivery.objects.all().bring_forward()
        line_up.call_uncalled()
        Dispatcher(World(answer)).run()


def told(sink):
    """Return what a sink was told, in the order of acceptance."""
    rows = Delivery.objects.filter(destination=sink, state="delivered").order_by("event_id")
    return [one.event.document["status"] for one in rows.select_related("event")]


def kept(sink):
    """Return why what is suppressed is."""
    rows = Delivery.objects.filter(destination=sink, state="suppressed").order_by("event_id")
    return list(rows.values_list("reason", flat=True))


def test_the_end_of_what_was_told_goes_past_a_silence(acme, make_sink, say):
    sink = make_sink()
    say("firing")
    deliver()
    hush(acme)
    say("acknowledged", "resolved")
    deliver_everything()
    assert told(sink) == ["firing", "acknowledged", "resolved"]


def test_the_end_of_what_a_silence_kept_is_kept_after_the_silence_too(acme, make_sink, say):
    sink = make_sink()
    over = hush(acme)
    say("firing")
    silence.end_silence(over)
    say("acknowledged", "resolved")
    deliver_everything()
    assert (told(sink), kept(sink)[1:]) == ([], [UNTOLD, UNTOLD])


def test_what_ends_untold_is_no_part_of_a_silences_count(acme, make_sink, say):
    make_sink()
    over = hush(acme)
    say("firing", "acknowledged", "resolved")
    assert silence.count_held(over) == 1


@pytest.mark.parametrize("ordering", ORDERINGS)
def test_the_end_of_what_was_told_goes_past_a_filter(make_sink, say, ordering):
    sink = make_sink(filter="severity_id >= 4", ordering=ordering)
    say("firing", severity="Critical")
    say("resolved", severity="Low")
    deliver_everything()
    assert told(sink) == ["firing", "resolved"]


@pytest.mark.parametrize("ordering", ORDERINGS)
def test_the_end_of_what_a_filter_kept_is_kept_though_it_passes_the_filter(make_sink, say, ordering):
    sink = make_sink(filter="severity_id >= 4", ordering=ordering)
    say("firing", severity="Low")
    say("resolved", severity="Critical")
    deliver_everything()
    assert (told(sink), kept(sink)[1]) == ([], UNTOLD)


def test_a_filter_that_came_after_the_firing_keeps_no_end(make_sink, say):
    sink = make_sink()
    say("firing")
    configure.change(sink, options=Options(filter="name == 'other'"))
    say("resolved")
    deliver_everything()
    assert told(sink) == ["firing", "resolved"]


def test_a_sink_that_hears_no_alerts_any_more_hears_the_end_of_what_it_was_told(make_sink, say):
    sink = make_sink()
    say("firing")
    configure.change(sink, options=Options(event_types=[]))
    say("resolved", "firing")
    deliver_everything()
    assert told(sink) == ["firing", "resolved"]


def test_the_end_of_what_a_window_held_back_is_kept(make_sink, say):
    sink = make_sink(quiet={"throttle": {"limit": 1, "window_s": 600}})
    say("firing", dedup_key="other")
    say("firing", "resolved")
    say("resolved", dedup_key="other")
    deliver_everything()
    assert (told(sink), kept(sink)[1]) == (["firing", "resolved"], UNTOLD)


def test_the_end_comes_where_only_what_followed_the_first_firing_was_deduplicated(make_sink, say):
    sink = make_sink(quiet={"dedup_window_s": 600})
    say("firing", "firing", "resolved")
    deliver_everything()
    assert told(sink) == ["firing", "resolved"]


def test_only_the_sinks_that_an_alert_named_hear_its_end(make_sink, say):
    named, other = make_sink(), make_sink()
    say("firing", event_sink_ids=[str(named.uuid)])
    say("resolved")
    deliver_everything()
    assert (told(named), told(other), kept(other)) == (["firing", "resolved"], [], [UNTOLD])


def test_an_end_that_names_another_sink_comes_to_the_one_that_was_told(make_sink, say):
    was_told, other = make_sink(), make_sink()
    say("firing", event_sink_ids=[str(was_told.uuid)])
    say("resolved", event_sink_ids=[str(other.uuid)])
    deliver_everything()
    assert (told(was_told), told(other)) == (["firing", "resolved"], [])


def test_a_sink_made_after_the_firing_does_not_hear_the_end(make_sink, say):
    make_sink()
    say("firing")
    late = make_sink()
    say("resolved")
    deliver_everything()
    assert (told(late), kept(late)) == ([], [UNTOLD])


def test_an_end_of_which_no_beginning_is_known_is_an_alert_like_any_other(make_sink, say):
    sink, filtering = make_sink(), make_sink(filter="severity_id >= 4")
    say("resolved", severity="Low")
    deliver_everything()
    assert (told(sink), told(filtering)) == (["resolved"], [])


def test_a_tenants_incident_is_none_of_anothers(acme, globex, make_sink, make_webhook, make_alert, say):
    theirs = make_webhook(tenant=globex)
    make_sink()
    say("firing")
    make_alert(tenant=globex, dedup_key="db", status="resolved")
    deliver_everything()
    assert told(theirs) == ["resolved"]


def test_each_episode_of_an_incident_counts_for_itself(acme, make_sink, say):
    sink = make_sink()
    say("firing", "resolved")
    deliver_everything()
    over = hush(acme)
    say("firing")
    silence.end_silence(over)
    say("resolved")
    say("firing", "resolved")
    deliver_everything()
    assert told(sink) == ["firing", "resolved", "firing", "resolved"]


def test_one_request_that_begins_and_ends_an_incident_is_judged_in_its_order(acme, make_sink):
    sink = make_sink(filter="severity_id >= 4")
    said = [("db", "firing", 5), ("web", "firing", 1), ("db", "resolved", 1), ("web", "resolved", 5)]
    alerts = [{"name": key, "severity_id": n, "dedup_key": key, "status": status} for key, status, n in said]
    accept(acme, event_type("detection_alert"), [json.dumps(alert).encode() for alert in alerts])
    deliver_everything()
    assert (told(sink), audit_account(acme).balances) == (["firing", "resolved"], True)


def test_a_second_end_in_one_request_is_an_alert_like_any_other(acme, make_sink, say):
    sink = make_sink(filter="severity_id >= 4")
    say("firing")
    end = {"name": "n", "severity": "Low", "dedup_key": "db", "status": "resolved"}
    accept(acme, event_type("detection_alert"), [json.dumps({**end, "id": id}).encode() for id in "12"])
    deliver_everything()
    assert (told(sink), len(kept(sink))) == (["firing", "resolved"], 1)


@pytest.mark.django_db(transaction=True)
def test_a_replay_while_the_end_is_being_kept_back_brings_the_end_back(make_sink, say):
    """The one locks the firing before it suppresses the end; the other looks for ends after it has the lock."""
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has one writer at a time")
    sink = make_sink()
    say("firing")
    fail_for_good()
    say("resolved")
    claimed = claim([(lane, 1) for lane in find_due_lanes(9)], 60)
    replayer = threading.Thread(target=replay_alone, daemon=True)
    with transaction.atomic():
        assert suppress_untold_ends(claimed) == []
        replayer.start()
        replayer.join(0.3)
        assert replayer.is_alive()
    replayer.join(10)
    deliver_everything()
    assert (told(sink), kept(sink)) == (["firing", "resolved"], [])


def replay_alone():
    try:
        replay(Delivery.objects.filter(state="failed"))
    finally:
        connection.close()


@pytest.mark.parametrize("ordering", ["incident", "event_sink"])
def test_the_end_of_what_failed_for_good_is_kept_until_the_firing_is_replayed(make_sink, say, ordering):
    sink = make_sink(ordering=ordering)
    say("firing", "resolved")
    fail_for_good()
    assert (told(sink), kept(sink)) == ([], [UNTOLD])
    replay(Delivery.objects.filter(state="failed"))
    deliver_everything()
    assert (told(sink), kept(sink)) == (["firing", "resolved"], [])


def test_a_replay_of_a_firing_brings_back_the_end_of_its_own_episode_alone(make_sink, say):
    sink = make_sink()
    say("firing", "resolved")
    fail_for_good()
    say("firing", "resolved")
    fail_for_good()
    first = Delivery.objects.filter(state="failed").order_by("id").first()
    replay(Delivery.objects.filter(id=first.id))
    deliver_everything()
    assert (told(sink), kept(sink)) == (["firing", "resolved"], [UNTOLD])


def test_the_end_of_what_a_person_skipped_is_kept(make_sink, say):
    sink = make_sink()
    say("firing", "resolved")
    deliver(BUSY)
    skip_deliveries(Delivery.objects.filter(tries=1))
    deliver_everything()
    assert (told(sink), kept(sink)[1]) == ([], UNTOLD)


def test_an_incident_whose_beginning_was_skipped_at_resuming_has_no_end(make_sink, say):
    sink = make_sink()
    configure.pause(sink)
    say("firing")
    since = Event.objects.get(type="detection_alert").received_at + timedelta(milliseconds=2)
    time.sleep(0.005)
    say("resolved")
    configure.resume(Destination.objects.get(id=sink.id), since=since)
    work_off_clearings()
    deliver_everything()
    assert (told(sink), kept(sink)[1]) == ([], UNTOLD)


def test_what_waits_at_a_paused_sink_is_told_with_its_end(make_sink, say):
    sink = make_sink()
    configure.pause(sink)
    say("firing", "resolved")
    configure.resume(Destination.objects.get(id=sink.id))
    deliver_everything()
    assert told(sink) == ["firing", "resolved"]


class TestFallback:
    @pytest.fixture
    def pair(self, make_sink):
        """Return a sink that is down, and its fallback, which is up and hears nothing of its own."""
        up = make_sink(event_types=[])
        fallback = {"event_sink_id": str(up.uuid), "after_failures": 1, "after_s": 60}
        return make_sink(DOWN, fallback=fallback), up

    def test_the_fallback_that_was_told_of_the_beginning_is_told_of_an_end_that_comes_later(self, pair, say):
        down, up = pair
        say("firing")
        deliver(BUSY)
        fall_back_everywhere()
        say("resolved")
        deliver_everything(lambda request: BUSY if request.url == DOWN else OK)
        assert (told(down), told(up)) == ([], ["firing", "resolved"])

    def test_the_fallback_is_told_of_an_end_that_was_there_already(self, pair, say):
        down, up = pair
        say("firing", "resolved")
        deliver(BUSY)
        fall_back_everywhere()
        deliver_everything()
        assert (told(down), told(up)) == (["firing", "resolved"], ["firing", "resolved"])
        assert audit_account(Destination.objects.get(id=up.id).tenant).balances

    def test_the_fallback_is_told_of_the_end_of_what_failed_for_good(self, pair, say):
        down, up = pair
        say("firing", "resolved")
        fail_for_good()
        assert kept(down) == [UNTOLD]
        fall_back_everywhere()
        deliver_everything()
        assert (told(down), told(up)) == ([], ["firing", "resolved"])

    def test_the_fallback_that_was_not_told_of_the_beginning_is_not_told_of_the_end(self, pair, say):
        down, up = pair
        say("firing")
        deliver()
        say("resolved")
        deliver(BUSY)
        fall_back_everywhere()
        deliver_everything(lambda request: BUSY if request.url == DOWN else OK)
        assert (told(down), told(up)) == (["firing"], [])

    def test_an_end_without_a_known_beginning_falls_back_as_anything_does(self, pair, say):
        _, up = pair
        say("resolved")
        deliver(BUSY)
        fall_back_everywhere()
        deliver_everything()
        assert told(up) == ["resolved"]


def test_the_longest_of_the_silences_over_an_alert_counts_it(acme, make_sink, say):
    make_sink()
    longest = hush(acme, ends_at=timezone.now() + timedelta(hours=3))
    shorter = hush(acme, ends_at=timezone.now() + timedelta(hours=2))
    say("firing")
    assert (silence.count_held(longest), silence.count_held(shorter)) == (1, 0)


def test_a_digest_waits_for_a_longer_silence_that_began_later(acme, make_sink, say):
    sink = make_sink()
    first = hush(acme)
    say("firing")
    second = hush(acme, ends_at=timezone.now() + timedelta(hours=2))
    say("firing")
    silence.end_silence(first)
    send_digests()
    assert send_digests() == 0
    assert not Event.objects.filter(type="notice").exists()
    silence.end_silence(second)
    assert send_digests() == 2
    assert send_digests() == 0
    assert Event.objects.filter(type="notice", deliveries__destination=sink).count() == 2


def test_a_digest_waits_for_no_silence_over_other_alerts_or_another_sink(acme, make_sink, say):
    sink, other = make_sink(), make_sink()
    first = hush(acme, sink=sink)
    hush(acme, filter="name == 'other'")
    hush(acme, sink=other)
    say("firing")
    silence.end_silence(first)
    assert send_digests() == 1


FILTERS = ["", "severity_id >= 4", "name != 'quiet'"]
QUIETS = [None, {"dedup_window_s": 60}, {"throttle": {"limit": 1, "window_s": 60}}]
alerts = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["loud", "quiet"]),
        "severity_id": st.sampled_from([1, 5]),
        "status": st.sampled_from(["firing", "firing", "acknowledged", "resolved"]),
        "dedup_key": st.sampled_from(["a", "b"]),
    },
)
steps = st.one_of(
    st.tuples(st.just("accept"), st.lists(alerts, min_size=1, max_size=4)),
    st.tuples(st.just("accept"), st.lists(alerts, min_size=1, max_size=4)),
    st.tuples(st.just("send"), st.lists(st.sampled_from([202, 202, 413, 410, 503]), min_size=1, max_size=4)),
    st.tuples(st.just("send_for_the_last_time"), st.sampled_from([202, 503])),
    st.tuples(st.just("filter"), st.sampled_from(FILTERS)),
    st.tuples(st.just("silence"), st.sampled_from(FILTERS)),
    st.tuples(st.sampled_from(["end", "pause", "resume", "replay", "sweep", "skip", "add"]), st.just("")),
)


class Life:
    """What may happen to a tenant's incidents and sinks, in whatever order."""

    def __init__(self, tenant, make_sink, ordering, quiet, chance):
        self.tenant, self.make_sink, self.chance = tenant, make_sink, chance
        self.options = {"ordering": ordering, "quiet": quiet}
        self.last = make_sink(UP, event_types=[])
        self.sinks = [self.last]
        self.add("")

    def add(self, _):
        if len(self.sinks) < 4:
            fallback = {"event_sink_id": self.last.uuid, "after_failures": 1}
            self.sinks.append(self.make_sink(DOWN, fallback=fallback, **self.options))

    def accept(self, given):
        accept(self.tenant, event_type("detection_alert"), [json.dumps(alert).encode() for alert in given])

    def send(self, statuses):
        Delivery.objects.all().bring_forward()
        Dispatcher(World(lambda request: Response(self.chance.choice(statuses), [], b""))).run()

    def send_for_the_last_time(self, status):
        with override_settings(EVENTSINKS_RETRY_SCHEDULE=[]):
            self.send([status])

    def filter(self, text):
        configure.change(self.chance.choice(self.sinks), options=Options(filter=text or None))

    def silence(self, filter):
        hush(self.tenant, filter=filter)

    def end(self, _):
        for one in Silence.objects.in_force():
            silence.end_silence(one)

    def pause(self, _):
        configure.pause(Destination.objects.get(id=self.chance.choice(self.sinks).id))

    def resume(self, _):
        for sink in Destination.objects.present():
            configure.resume(sink)

    def replay(self, _):
        replay(Delivery.objects.filter(state="failed"))

    def skip(self, _):
        some = list(Delivery.objects.filter(state__in=["pending", "failed"]).order_by("id"))
        if some:
            skip_deliveries(Delivery.objects.filter(id=self.chance.choice(some).id))

    def sweep(self, _):
        send_digests()
        fall_back_everywhere()
        line_up.call_uncalled()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    ordering=st.sampled_from(["incident", "event_sink"]),
    quiet=st.sampled_from(QUIETS),
    story=st.lists(steps, min_size=3, max_size=14),
    seed=st.integers(0, 2**32),
)
def test_whatever_happens_each_sink_hears_the_end_of_what_it_was_told_and_of_nothing_else(
    acme, make_sink, ordering, quiet, story, seed
):
    for table in (Delivery, Event, Silence, QuietWindow, Count, CountDelta, Finding):
        table.objects.all().delete()
    Destination.objects.update(deleted_at=timezone.now())
    life = Life(acme, make_sink, ordering, quiet, Random(seed))
    for what, argument in story:
        getattr(life, what)(argument)
    life.sweep("")
    life.resume("")
    deliver_everything()
    life.sweep("")
    deliver_everything()
    assert audit_account(acme).balances
    for sink in life.sinks:
        for key in "ab":
            assert_told_as_it_began(sink, key)


def assert_told_as_it_began(sink, key):
    """Of one incident at a sink: no end without its beginning, and no beginning without what became of its end.

    An end that was given up or skipped is what became of it. The sink has heard of none, and may hear a later one.
    """
    begun = first_firing(key)
    is_open, heard_no_end, since_end, ended_before = False, False, 0, False
    rows = Delivery.objects.filter(destination=sink, event__type="detection_alert").order_by("event_id")
    for row in [row for row in rows.select_related("event") if row.event.document["dedup_key"] == key]:
        status = row.event.document["status"]
        if status == "firing":
            since_end += 1
            is_open |= row.state == "delivered"
            heard_no_end |= row.state == "delivered"
        elif status == "resolved" and row.state == "delivered":
            again = ended_before and not since_end
            assert heard_no_end or again or begun is None or row.event_id < begun, "told of an end alone"
            is_open, heard_no_end, since_end, ended_before = False, False, 0, True
        elif status == "resolved" and is_open:
            assert row.state in ("pending", "failed") or row.reason.startswith("skipped"), row.reason
            is_open = False


def first_firing(key):
    """Return the first event that told of an incident's beginning, None where there is none."""
    for event in Event.objects.filter(type="detection_alert").order_by("id"):
        if (event.document["dedup_key"], event.document["status"]) == (key, "firing"):
            return event.id
    return None
