"""The whole engine against a model of it: whatever happens in whatever order, every delivery is accounted for.

The model is what a person would keep on paper: each delivery's state, tries and lease, each sink's state, secrets
and silences. Workers claim, are killed, settle late; sinks are paused, parked, resumed and deleted; people replay,
rotate secrets and silence alerts; some sinks get one alert after another. After each step the database must say
what the model says, and in the end nothing is left over.
"""

import itertools
import json
import uuid
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from django.db.models import F
from django.db.models.functions import Now
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from standardwebhooks import Webhook

from eventsinks.actions import configure
from eventsinks.actions.expunge import expunge_event
from eventsinks.actions.secrets.rotate_secret import rotate_secret
from eventsinks.actions.silence import end_silence, make_silence
from eventsinks.actions.tenants import create_tenant
from eventsinks.event_types import event_type
from eventsinks.intake.accept import accept
from eventsinks.intake.line_up import call_uncalled
from eventsinks.lib.net.wire import ExchangeFailed, Response
from eventsinks.models import (
    Attempt,
    Count,
    CountDelta,
    Delivery,
    Destination,
    Event,
    Finding,
    RetentionWalk,
    Silence,
)
from eventsinks.models.counting.roll_up import roll_up_some
from eventsinks.models.delivery import BEHIND, Settlement, claim, find_due_lanes, settle
from eventsinks.models.options import Options
from eventsinks.sending.dispatcher import Dispatcher
from eventsinks.sweeping import retain
from eventsinks.sweeping.account import read_account
from eventsinks.sweeping.auditing.walk import audit_all
from eventsinks.sweeping.tidy import tidy_up
from tests.helpers.counts import count_rows, read_counts
from tests.helpers.worlds import World

MAX_TRIES = 4
PAUSE = 1000.0
SEVERITY = st.sampled_from(["Low", "High"])
ANSWERS = {
    "taken": Response(200, [], b"ok"),
    "later": Response(503, [], b"\x00later"),
    "gone": Response(410, [], b""),
    "wait": Response(429, [b"Retry-After: 500\r\n"], b""),
    "lost": ExchangeFailed("timeout", "no answer", outcome_unknown=True),
}
# What the world answers, one after another: often well.
WORLD = st.just(["taken"]) | st.lists(st.sampled_from(sorted(ANSWERS)), min_size=1, max_size=10)


@dataclass
class Owed:
    """What the model knows of a delivery."""

    sink: int
    number: int  # of its alert: they are in the order of acceptance
    state: str = "pending"
    tries: int = 0
    lease: uuid.UUID | None = None
    due: bool = True
    expunged: bool = False


class Engine(RuleBasedStateMachine):
    """Everything that can happen, and what it must come to."""

    def __init__(self):
        super().__init__()
        ours = (Attempt, Delivery, Event, Silence, Destination, RetentionWalk, Count, CountDelta, Finding)
        for table in ours:
            table.objects.all().delete()
        self.tenant = create_tenant("Acme")
        self.sinks = {}  # id -> active, paused, parked, held or deleted
        self.ordered = set()  # the sinks that get one alert after another
        self.secrets = {}  # of each sink: those that sign, the newest first
        self.silences = {}  # id -> the severity that it holds back
        self.owed = {}
        self.replayed = set()  # what is sent again goes behind what was under way
        self.claimed = []  # what workers hold, or believe to hold
        self.numbers = itertools.count()
        self.sent = Counter()
        self.make_sink("none")
        self.make_sink("event_sink")

    # What people do

    def make_sink(self, ordering):
        url = f"https://{next(self.numbers)}.example/"
        options = Options(ordering=ordering)
        sink = configure.create(self.tenant, "webhook", {"url": url}, name=url, options=options)
        self.sinks[sink.id] = "active"
        self.secrets[sink.id] = [sink.signing_secret]
        if ordering == "event_sink":
            self.ordered.add(sink.id)

    @precondition(lambda self: len(self.sinks) < 4)
    @rule(ordering=st.sampled_from(["none", "event_sink"]))
    def one_more_sink(self, ordering):
        self.make_sink(ordering)

    @rule(number=st.integers(1, 5), severity=SEVERITY, again=st.booleans())
    def alerts_come_in(self, number, severity, again):
        keys = [str(next(self.numbers)) for _ in range(number)]
        documents = [json.dumps({"id": key, "name": "n", "severity": severity}).encode() for key in keys]
        for _ in range(2 if again else 1):
            accept(self.tenant, event_type("detection_alert"), documents)
        expected = {(key, sink) for key in keys for sink, state in self.sinks.items() if state != "deleted"}
        new = Delivery.objects.filter(event__key__in=keys).values_list("id", "event__key", "destination_id")
        assert sorted((key, sink) for _, key, sink in new) == sorted(expected)
        state = "suppressed" if severity in self.silences.values() else "pending"
        self.owed |= {id: Owed(sink, int(key), state) for id, key, sink in new}

    @precondition(lambda self: len(self.silences) < 2)
    @rule(severity=SEVERITY)
    def somebody_silences_alerts(self, severity):
        until = datetime.now(UTC) + timedelta(days=1)
        wanted = f'severity == "{severity}"'
        made = make_silence(self.tenant, reason="maintenance", author="Ann", ends_at=until, filter=wanted)
        self.silences[made.id] = severity

    @precondition(lambda self: self.silences)
    @rule(data=st.data())
    def a_silence_ends(self, data):
        id = data.draw(st.sampled_from(sorted(self.silences)))
        assert end_silence(Silence.objects.get(id=id))
        del self.silences[id]

    @rule(data=st.data(), overlap_s=st.sampled_from([0, 3600]))
    def a_secret_is_rotated(self, data, overlap_s):
        sink = data.draw(st.sampled_from(sorted(self.sinks)))
        new = rotate_secret(Destination.objects.get(id=sink), overlap_s)
        assert (new is None) == (self.sinks[sink] == "deleted")
        if new:
            self.secrets[sink] = [new, *(self.secrets[sink][:1] if overlap_s else [])]

    @rule(data=st.data(), to=st.sampled_from(["paused", "active"]))
    def a_sink_is_paused_or_resumed(self, data, to):
        sink = data.draw(st.sampled_from(sorted(self.sinks)))
        (configure.pause if to == "paused" else configure.resume)(Destination.objects.get(id=sink))
        if self.sinks[sink] == "held" and to == "active":
            return  # it is active already, and what the far end asked for stands
        if self.sinks[sink] != "deleted":
            self.sinks[sink] = to

    @rule(data=st.data())
    def a_sink_is_repaired(self, data):
        sink = data.draw(st.sampled_from(sorted(self.sinks)))
        if self.sinks[sink] == "deleted":
            return
        configure.change(Destination.objects.get(id=sink), {"url": f"https://{next(self.numbers)}.example/"})
        if self.sinks[sink] != "paused":
            self.sinks[sink] = "active"

    @precondition(lambda self: len(self.sinks) > 2)
    @rule(data=st.data())
    def a_sink_is_deleted(self, data):
        sink = data.draw(st.sampled_from(sorted(self.sinks)))
        assert configure.delete(Destination.objects.get(id=sink)) == (self.sinks[sink] != "deleted")
        if self.sinks[sink] != "deleted":
            self.sinks[sink] = "deleted"
            for one in self.owed.values():
                if one.sink == sink and (one.state == "pending" or (one.state == "sending" and one.due)):
                    one.state, one.lease = "suppressed", None

    @precondition(lambda self: self.owed)
    @rule(data=st.data(), twice=st.booleans())
    def somebody_replays(self, data, twice):
        ids = data.draw(st.lists(st.sampled_from(sorted(self.owed)), max_size=5, unique=True))
        kept = [id for id in ids if not self.owed[id].expunged]
        ended = [id for id in kept if self.owed[id].state in ("delivered", "failed")]
        assert Delivery.objects.filter(id__in=ids).replay() == len(ended)
        if twice:
            assert Delivery.objects.filter(id__in=ids).replay() == 0
        self.replayed |= set(ended)
        for id in ended:
            self.owed[id] = Owed(self.owed[id].sink, self.owed[id].number)

    @precondition(lambda self: self.owed)
    @rule(data=st.data())
    def an_event_is_expunged(self, data):
        chosen = data.draw(st.sampled_from(sorted(self.owed)))
        event = Event.objects.get(deliveries=chosen)
        assert expunge_event(event) == (not self.owed[chosen].expunged)
        for id in Delivery.objects.filter(event=event).values_list("id", flat=True):
            one = self.owed[id]
            one.expunged = True
            if one.state in ("pending", "sending", "failed"):
                one.state, one.lease = "suppressed", None

    @rule()
    def what_is_old_goes(self):
        Event.objects.filter(type="detection_alert").update(received_at=datetime.now(UTC) - timedelta(days=99))
        walk, _ = RetentionWalk.objects.get_or_create(tenant=self.tenant, name="detection_alert")
        RetentionWalk.objects.update(due_at=datetime.now(UTC) - timedelta(days=1))
        events = {}
        for id, event_id in Delivery.objects.values_list("id", "event_id"):
            events.setdefault(event_id, []).append(id)
        retain.do_step(walk)
        for ids in events.values():
            if not any(self.owed[id].state in ("pending", "sending") for id in ids):
                for id in ids:
                    del self.owed[id]
        self.the_audit_misses_nothing()

    # What workers do

    def claimable(self):
        own_turn = set(Delivery.objects.filter(due_at__lte=Now()).values_list("id", flat=True))
        return {
            id
            for id, one in self.owed.items()
            if (id in own_turn if one.sink in self.ordered else one.due)
            and one.state in ("pending", "sending")
            and one.tries < MAX_TRIES
            and self.sinks[one.sink] == "active"
        }

    @rule(quota=st.sampled_from([1, 2, 1000]))
    def a_worker_claims(self, quota):
        due, lanes = self.claimable(), find_due_lanes(MAX_TRIES)
        assert {(lane.destination_id, lane.tries) for lane in lanes} == {
            (self.owed[id].sink, self.owed[id].tries) for id in due
        }
        claimed = claim([(lane, quota) for lane in lanes], 60.0)
        assert {one.id for one in claimed} <= due
        assert quota < 1000 or len(claimed) == len(due)
        for one in claimed:
            before = self.owed[one.id]
            assert one.tries == before.tries + 1
            self.owed[one.id] = Owed(before.sink, before.number, "sending", one.tries, one.lease, due=False)
        self.claimed += claimed

    @precondition(lambda self: self.claimed)
    @rule(data=st.data(), twice=st.booleans())
    def a_worker_settles(self, data, twice):
        chosen = data.draw(st.lists(st.sampled_from(range(len(self.claimed))), min_size=1, unique=True))
        ways = data.draw(st.lists(st.sampled_from(["delivered", "pending", "failed", "gone"]), min_size=1))
        settlements, moved = [], 0
        for index, way in zip(chosen, itertools.cycle(ways), strict=False):
            one, given_back = self.claimed[index], int(way == "gone")
            to = "pending" if given_back else way
            settlements.append(
                Settlement(one, uuid.uuid4(), to, "temporary", datetime.now(UTC), PAUSE, given_back)
            )
            model = self.owed.get(one.id)
            if model and model.state == "sending" and model.lease == one.lease:
                moved += 1
                self.owed[one.id] = Owed(model.sink, model.number, to, model.tries - given_back, due=False)
        assert settle(settlements) == moved
        if twice:
            assert settle(settlements) == 0
        kept = [s.attempt_id for s in settlements if s.claimed.id in self.owed]
        written = Attempt.objects.filter(id__in=[s.attempt_id for s in settlements])
        assert sorted(written.values_list("id", flat=True)) == sorted(kept)
        self.claimed = [one for index, one in enumerate(self.claimed) if index not in chosen]

    @rule()
    def workers_are_killed(self):
        self.claimed = []

    @rule(number=st.integers(3, 5), severity=SEVERITY, answers=WORLD)
    def alerts_come_in_while_a_whole_worker_runs(self, number, severity, answers):
        self.alerts_come_in(number, severity, again=False)
        self.a_whole_worker_runs(answers)

    @rule(answers=WORLD)
    def time_passes_while_a_whole_worker_runs(self, answers):
        self.time_passes()
        self.the_sweep_tidies()
        self.a_whole_worker_runs(answers)

    @rule(answers=WORLD)
    def a_whole_worker_runs(self, answers):
        world, turn, told = World(), itertools.cycle(answers), []

        def answer(request):
            id = uuid.UUID(dict(request.headers)["webhook-id"])
            self.check_signatures(request, self.secrets[self.owed[id].sink])
            told.append((id, next(turn)))
            return ANSWERS[told[-1][1]]

        world.answers = answer
        due = self.claimable()
        Dispatcher(world).run()
        for id, what in told:
            assert id in due or self.owed[id].sink in self.ordered
            self.after_try(id, what)
        assert self.claimable() == set()
        for sink in self.ordered:
            once = [id for id, _ in told if id not in self.replayed]
            numbers = [self.owed[id].number for id in once if self.owed[id].sink == sink]
            assert numbers == sorted(set(numbers))

    def check_signatures(self, request, secrets):
        headers = dict(request.headers)
        assert len(headers["webhook-signature"].split()) == len(secrets)
        for secret in secrets:
            Webhook(secret).verify(request.body, headers)

    def after_try(self, id, what):
        self.sent[id] += 1
        one = self.owed[id]
        if what == "taken":
            self.owed[id] = Owed(one.sink, one.number, "delivered", one.tries + 1, due=False)
        elif what == "gone":
            self.owed[id] = Owed(one.sink, one.number, "pending", one.tries)
            self.sinks[one.sink] = "parked"
        else:
            state = "pending" if one.tries + 1 < MAX_TRIES else "failed"
            self.owed[id] = Owed(one.sink, one.number, state, one.tries + 1, due=False)
            if what == "wait" and self.sinks[one.sink] == "active":
                self.sinks[one.sink] = "held"

    @rule()
    def the_sweep_tidies(self):
        moved = 0
        due = set(Delivery.objects.filter(due_at__lte=Now()).values_list("id", flat=True))
        for id, one in self.owed.items():
            if one.sink in self.ordered:
                one.due = id in due
            deleted = self.sinks[one.sink] == "deleted"
            if one.state == "pending" and deleted:
                one.state, moved = "suppressed", moved + 1
            elif one.state == "sending" and one.due and deleted:
                one.state, one.lease, moved = "suppressed", None, moved + 1
            elif one.state in ("pending", "sending") and one.due and one.tries >= MAX_TRIES:
                one.state, one.lease, moved = "failed", None, moved + 1
        assert tidy_up() == moved
        call_uncalled()

    @rule()
    def time_passes(self):
        Delivery.objects.filter(due_at__lt=BEHIND).update(due_at=F("due_at") - timedelta(days=1))
        Destination.objects.update(
            held_until=F("held_until") - timedelta(days=2),
            old_signing_secret_until=F("old_signing_secret_until") - timedelta(days=2),
        )
        self.secrets = {id: secrets[:1] for id, secrets in self.secrets.items()}
        for one in self.owed.values():
            one.due = True
        self.sinks = {id: "active" if state == "held" else state for id, state in self.sinks.items()}

    # What must be so

    @invariant()
    def the_database_says_what_the_model_says(self):
        rows = Delivery.objects.values_list("id", "state", "tries", "lease")
        assert {id: rest for id, *rest in rows} == {
            id: [one.state, one.tries, one.lease] for id, one in self.owed.items()
        }

    @invariant()
    def everything_is_accounted_for(self):
        counts = Counter(Delivery.objects.values_list("state", flat=True))
        assert set(counts) <= {"pending", "sending", "delivered", "failed", "suppressed"}
        assert sum(counts.values()) == len(self.owed)

    @invariant()
    def the_counts_say_what_the_rows_say(self):
        assert read_counts() == count_rows()
        account = read_account()
        ended = account.delivered + account.failed + account.suppressed
        assert account.accepted == account.pending + ended == len(self.owed)

    @rule()
    def the_audit_misses_nothing(self):
        assert read_counts() == count_rows()
        assert (audit_all(), Finding.objects.count()) == (0, 0)
        assert read_counts() == count_rows()

    @rule()
    def the_sweep_sums_up(self):
        while roll_up_some():
            pass

    @invariant()
    def what_has_ended_says_when(self):
        ended = Delivery.objects.exclude(settled_at=None).values_list("state", flat=True)
        open_ = Delivery.objects.filter(settled_at=None).values_list("state", flat=True)
        assert set(ended) <= {"delivered", "failed", "suppressed"}
        assert set(open_) <= {"pending", "sending"}

    @invariant()
    def of_a_line_at_most_one_is_on_its_way(self):
        first = Delivery.objects.filter(destination_id__in=self.ordered, due_at__lt=BEHIND)
        going = Counter(first.filter(state__in=["pending", "sending"]).values_list("destination_id", flat=True))
        assert set(going.values()) <= {1}

    def teardown(self):
        """In the end, with everybody well, nothing is left over."""
        for sink in self.sinks:
            configure.resume(Destination.objects.get(id=sink))
        Destination.objects.update(held_until=None)
        Delivery.objects.filter(due_at__lt=BEHIND).update(due_at=F("due_at") - timedelta(days=1))
        tidy_up()
        call_uncalled()
        world = World()
        Dispatcher(world).run()
        self.the_audit_misses_nothing()
        assert set(Delivery.objects.values_list("state", flat=True)) <= {"delivered", "failed", "suppressed"}
        for id in world.sent():
            assert Delivery.objects.get(id=id).state == "delivered"


@pytest.mark.guarantee("R34")
def test_whatever_happens_every_delivery_is_accounted_for(db, settings):
    settings.EVENTSINKS_RETRY_SCHEDULE = [PAUSE] * (MAX_TRIES - 1)
    run_state_machine_as_test(Engine, settings=EXAMPLES)


EXAMPLES = settings(
    max_examples=20,
    stateful_step_count=40,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
