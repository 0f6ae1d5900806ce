"""Everything is accounted for: accepted = delivered + pending + failed + suppressed."""

import json
import random
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.db.models import F
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eventsinks import tasks, telemetry
from eventsinks.actions import configure, silence
from eventsinks.event_types import event_type
from eventsinks.intake.accept import accept
from eventsinks.lib.net.wire import Response
from eventsinks.models import Count, CountDelta, Delivery, Destination, Event, Finding, QuietWindow, Silence
from eventsinks.models.delivery import BEHIND
from eventsinks.models.options import Options
from eventsinks.sending.dispatcher import Dispatcher
from eventsinks.sweeping.account import read_account
from eventsinks.sweeping.digest import send_digests
from eventsinks.sweeping.fall_back import fall_back_everywhere
from tests.helpers.counts import audit_account
from tests.helpers.worlds import World

pytestmark = pytest.mark.django_db

NAMES = ["Root login", "Port scan"]
FILTERS = [
    "",
    "severity_id >= 3",
    'name == "Root login"',
    "user == 'ann' && severity_id > 1",
    "'x' in tags",
]
QUIETS = [
    None,
    {"dedup_window_s": 60},
    {"throttle": {"limit": 2, "window_s": 60}},
    {"group": {"by": ["user"], "window_s": 30}, "throttle": {"limit": 3, "window_s": 60}},
]
alerts = st.fixed_dictionaries(
    {
        "name": st.sampled_from(NAMES),
        "severity_id": st.integers(0, 6),
        "status": st.sampled_from(["firing", "firing", "firing", "acknowledged", "resolved"]),
        "tags": st.lists(st.sampled_from(["x", "y"]), max_size=2),
        "staging": st.sampled_from([False, False, False, True]),
    },
    optional={
        "id": st.sampled_from([str(number) for number in range(6)]),
        "dedup_key": st.sampled_from(["a", "b"]),
        "user": st.sampled_from(["ann", "bob"]),
    },
)
steps = st.one_of(
    st.tuples(st.just("accept"), st.lists(alerts, min_size=1, max_size=5)),
    st.tuples(st.just("deliver"), st.lists(st.sampled_from([200, 400, 410, 500]), min_size=1, max_size=4)),
    st.tuples(st.just("pass"), st.integers(1, 120)),
    st.tuples(st.just("silence"), st.sampled_from(FILTERS)),
    st.tuples(st.just("end"), st.none()),
    st.tuples(st.just("resume"), st.booleans()),
    st.tuples(st.just("sweep"), st.none()),
)


class Life:
    """A tenant's life: what may be done in it, in whatever order."""

    def __init__(self, tenant, sinks):
        self.tenant, self.sinks = tenant, sinks

    def accept(self, given):
        accept(self.tenant, event_type("detection_alert"), [json.dumps(alert).encode() for alert in given])

    def deliver(self, statuses):
        waiting = Delivery.objects.filter(state="pending", due_at__lt=BEHIND)
        waiting.update(due_at=timezone.now() - timedelta(seconds=1))
        Dispatcher(World(lambda request: Response(random.choice(statuses), [], b""))).run()

    def pass_(self, seconds):
        passed = timedelta(seconds=seconds)
        open_ = QuietWindow.objects.filter(closed_at=None)
        open_.update(starts_at=F("starts_at") - passed, ends_at=F("ends_at") - passed)

    def silence(self, filter):
        ends_at = timezone.now() + timedelta(hours=1)
        silence.make_silence(self.tenant, reason="why", author="Ann", filter=filter, ends_at=ends_at)

    def end(self, _):
        for one in Silence.objects.in_force():
            silence.end_silence(one)

    def resume(self, skip):
        for sink in self.sinks:
            configure.resume(sink, since=timezone.now() if skip else None)

    def sweep(self, _):
        send_digests()
        fall_back_everywhere()


@pytest.mark.guarantee("R29")
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    chosen=st.lists(st.tuples(st.sampled_from(FILTERS), st.sampled_from(QUIETS)), min_size=1, max_size=3),
    story=st.lists(steps, min_size=1, max_size=12),
)
def test_whatever_happens_the_account_balances_and_each_suppression_names_its_reason(
    acme, make_webhook, chosen, story
):
    for table in (Delivery, Event, Count, CountDelta, Finding):
        table.objects.all().delete()
    Destination.objects.update(deleted_at=timezone.now())
    Silence.objects.all().delete()
    QuietWindow.objects.all().delete()
    last = make_webhook(options=Options(event_types=[]))
    fallback = {"event_sink_id": last.uuid, "after_failures": 1}
    sinks = [
        make_webhook(options=Options.model_validate({"filter": text, "quiet": quiet, "fallback": fallback}))
        for text, quiet in chosen
    ]
    life = Life(acme, [*sinks, last])
    for what, argument in story:
        getattr(life, "pass_" if what == "pass" else what)(argument)
        found = audit_account(acme)
        assert found.balances
        assert found.accepted == found.delivered + found.pending + found.failed + found.suppressed
    hearing = Event.objects.filter(type="detection_alert").count() - staged()
    for sink in sinks:
        rows = Delivery.objects.filter(destination=sink, fallback_of=None, event__type="detection_alert")
        assert rows.count() == hearing
        assert not rows.filter(state="suppressed", reason="").exists()
    assert_windows_count_what_is_suppressed(sinks)


def staged():
    return sum(event.document["staging"] for event in Event.objects.filter(type="detection_alert"))


def assert_windows_count_what_is_suppressed(sinks):
    """What windows say was held back is what was, each kind for itself."""
    words = {"silence": "silenced", "dedup": "deduplicated", "group": "grouped", "throttle": "throttled"}
    for sink in sinks:
        for kind, word in words.items():
            counted = sum(QuietWindow.objects.filter(destination=sink, kind=kind).values_list("held", flat=True))
            rows = Delivery.objects.filter(destination=sink, state="suppressed", reason__startswith=word)
            assert counted == rows.count()


def test_the_account_of_some_hours_is_of_what_was_accepted_in_them(make_webhook, make_alert):
    make_webhook()
    make_alert()
    Count.objects.update(slot=F("slot") - 7200)
    CountDelta.objects.update(slot=F("slot") - 7200)
    make_alert()
    since = timezone.now() - timedelta(hours=1)
    assert (read_account().accepted, read_account(since=since).accepted) == (2, 1)


@pytest.mark.guarantee("O1")
def test_the_metrics_tell_what_is_missing_and_what_waits(make_webhook, make_alert):
    make_webhook()
    make_alert()
    assert tasks.account() == 0
    Event.objects.filter(type="detection_alert").delete()
    Delivery.objects.all().delete()
    make_alert()
    assert tasks.account() == 2
    text = telemetry.write_facts().decode()
    assert "eventsinks_unaccounted 2.0" in text
    assert "eventsinks_open_deliveries 1.0" in text


def test_the_command_fails_where_something_is_missing(make_webhook, make_alert):
    make_webhook()
    make_alert()
    said = StringIO()
    call_command("account", stdout=said)
    assert "balances" in said.getvalue()
    Event.objects.filter(type="detection_alert").delete()
    with pytest.raises(SystemExit):
        call_command("account", "--audit", stdout=said)
    assert "1 of the events with ids from" in said.getvalue()
    call_command("account", "--dismiss", stdout=said)
    call_command("account", stdout=StringIO())
