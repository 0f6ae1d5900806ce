"""Quiet, without silence about it: what holds alerts back, that each is counted, and the digests."""

import json
from datetime import timedelta

import pytest
from django.db.models import F
from django.utils import timezone

from eventsinks.actions import configure, silence
from eventsinks.actions.errors import NotConfigurable
from eventsinks.actions.explain import explain_event
from eventsinks.event_types import event_type
from eventsinks.intake.accept import accept
from eventsinks.models import Delivery, Destination, Event, QuietWindow, Silence
from eventsinks.models.options import Options
from eventsinks.sweeping.digest import send_digests
from tests.helpers.crowd import at_once

pytestmark = pytest.mark.django_db


@pytest.fixture
def make_sink(make_webhook):
    def make(**options):
        return make_webhook(options=Options.model_validate(options))

    return make


def states(sink):
    """Return (state, reason) of what a sink was given, in order."""
    return list(Delivery.objects.filter(destination=sink).order_by("id").values_list("state", "reason"))


def accept_alerts(tenant, *alerts):
    documents = [json.dumps({"name": "Root login", "severity": "High", **alert}).encode() for alert in alerts]
    return accept(tenant, event_type("detection_alert"), documents)


def pass_time(seconds):
    """Let every open window be so many seconds older."""
    passed = timedelta(seconds=seconds)
    QuietWindow.objects.filter(closed_at=None).update(
        starts_at=F("starts_at") - passed, ends_at=F("ends_at") - passed
    )


def find_digests(sink):
    """Return the digests that a sink is owed."""
    owed = Event.objects.filter(type="notice", deliveries__destination=sink).order_by("id")
    return [event.document for event in owed]


class TestFilters:
    def test_an_alert_that_a_filter_rejects_is_suppressed_and_the_clause_is_named(self, make_sink, make_alert):
        sink = make_sink(filter='severity_id >= 4 && name.startsWith("Root")')
        make_alert(severity="Low")
        ((state, reason),) = states(sink)
        assert (state, reason.startswith("filtered: not severity_id >= 4")) == ("suppressed", True)

    def test_an_alert_that_a_filter_accepts_is_owed(self, make_sink, make_alert):
        sink = make_sink(filter="severity_id >= 4")
        make_alert(severity="Critical")
        assert states(sink) == [("pending", "")]

    def test_explain_names_the_clause(self, make_sink, make_alert):
        make_sink(filter="severity_id >= 4")
        make_alert(severity="Low")
        (verdict,) = explain_event(Event.objects.get(type="detection_alert"))
        assert (verdict.verdict, "severity_id >= 4" in verdict.why) == ("suppressed", True)

    def test_an_alert_that_names_a_sink_goes_past_its_filter(self, make_sink, make_alert):
        sink = make_sink(filter="severity_id >= 4")
        make_alert(severity="Low", event_sink_ids=[str(sink.uuid)])
        assert states(sink) == [("pending", "")]

    def test_a_filter_that_is_none_can_not_be_kept(self):
        with pytest.raises(ValueError, match="filter"):
            Options.model_validate({"filter": "severity_id >="})


class TestDedup:
    def test_only_the_first_alert_of_an_incident_goes_on_within_the_window(self, acme, make_sink):
        sink = make_sink(quiet={"dedup_window_s": 600})
        accept_alerts(acme, {"dedup_key": "a"}, {"dedup_key": "b"}, {"dedup_key": "a"})
        accept_alerts(acme, {"dedup_key": "a"})
        assert [state for state, _ in states(sink)] == ["pending", "pending", "suppressed", "suppressed"]
        assert states(sink)[-1][1] == "deduplicated: this incident was told within 600 s"

    def test_when_the_window_is_over_the_incident_is_told_again(self, acme, make_sink):
        sink = make_sink(quiet={"dedup_window_s": 600})
        accept_alerts(acme, {"dedup_key": "a"})
        pass_time(601)
        accept_alerts(acme, {"dedup_key": "a"})
        assert [state for state, _ in states(sink)] == ["pending", "pending"]

    def test_alerts_without_a_dedup_key_are_incidents_of_their_own(self, acme, make_sink):
        sink = make_sink(quiet={"dedup_window_s": 600})
        accept_alerts(acme, {"detection_rule_id": "r"}, {"detection_rule_id": "r"})
        assert [state for state, _ in states(sink)] == ["pending", "pending"]
        assert not QuietWindow.objects.exists()

    def test_an_acknowledgement_and_a_resolution_always_go_on(self, acme, make_sink):
        sink = make_sink(quiet={"dedup_window_s": 600})
        for status in ("firing", "acknowledged", "resolved"):
            accept_alerts(acme, {"dedup_key": "a", "status": status})
        assert [state for state, _ in states(sink)] == ["pending"] * 3

    def test_one_sinks_window_is_not_anothers(self, acme, make_sink):
        quiet, loud = make_sink(quiet={"dedup_window_s": 600}), make_sink()
        accept_alerts(acme, {"dedup_key": "a"}, {"dedup_key": "a"})
        assert [state for state, _ in states(loud)] == ["pending", "pending"]
        assert [state for state, _ in states(quiet)] == ["pending", "suppressed"]

    @pytest.mark.django_db(transaction=True)
    def test_of_many_at_the_same_moment_one_goes_on(self, acme, make_sink):
        sink = make_sink(quiet={"dedup_window_s": 600, "throttle": {"limit": 100, "window_s": 60}})
        keys = ["a", "b", "c"]
        results = at_once(
            6,
            lambda index: accept_alerts(
                acme, *({"dedup_key": key} for key in (keys if index % 2 else reversed(keys)))
            ),
        )
        assert [result for result in results if isinstance(result, Exception)] == []
        found = [state for state, _ in states(sink)]
        assert (found.count("pending"), found.count("suppressed")) == (3, 15)


class TestGroupAndThrottle:
    def test_one_of_each_group_goes_on(self, acme, make_sink):
        sink = make_sink(quiet={"group": {"by": ["detection_rule_id", "user.name"], "window_s": 60}})
        rows = [("r1", "ann"), ("r1", "bob"), ("r1", "ann"), ("r2", "ann")]
        accept_alerts(acme, *({"detection_rule_id": rule, "user": {"name": name}} for rule, name in rows))
        assert [state for state, _ in states(sink)] == ["pending", "pending", "suppressed", "pending"]
        assert states(sink)[2][1].startswith("grouped: one alike in detection_rule_id, user.name")

    def test_a_throttle_lets_its_limit_through(self, acme, make_sink):
        sink = make_sink(quiet={"throttle": {"limit": 2, "window_s": 60}})
        accept_alerts(acme, {}, {}, {})
        accept_alerts(acme, {})
        assert [state for state, _ in states(sink)] == ["pending", "pending", "suppressed", "suppressed"]
        assert states(sink)[-1][1] == "throttled: more than 2 in 60 s"

    def test_what_dedup_holds_back_is_not_counted_by_the_throttle(self, acme, make_sink):
        sink = make_sink(quiet={"dedup_window_s": 60, "throttle": {"limit": 2, "window_s": 60}})
        accept_alerts(acme, {"dedup_key": "a"}, {"dedup_key": "a"}, {"dedup_key": "b"})
        assert [state for state, _ in states(sink)] == ["pending", "suppressed", "pending"]


class TestSilences:
    def hush(self, tenant, **options):
        options.setdefault("ends_at", timezone.now() + timedelta(hours=1))
        return silence.make_silence(tenant, **{"reason": "maintenance", "author": "Ann", **options})

    def test_what_matches_is_held_back_with_the_reason_and_the_author(self, acme, make_sink, make_alert):
        sink = make_sink()
        self.hush(acme, filter='name == "Root login"')
        make_alert()
        make_alert(name="Other")
        (held, reason), other = states(sink)
        assert (held, other) == ("suppressed", ("pending", ""))
        assert (reason.startswith("silenced by Ann until "), reason.endswith(": maintenance")) == (True, True)

    def test_a_silence_of_one_sink_leaves_the_others(self, acme, make_sink, make_alert):
        one, other = make_sink(), make_sink()
        self.hush(acme, sink=one)
        make_alert()
        assert [states(sink)[0][0] for sink in (one, other)] == ["suppressed", "pending"]

    def test_a_tenants_silence_holds_nothing_of_another(self, acme, globex, make_webhook, make_alert):
        sink = make_webhook(tenant=globex)
        self.hush(acme)
        make_alert(tenant=globex)
        assert states(sink) == [("pending", "")]

    def test_one_that_has_ended_or_not_begun_holds_nothing(self, acme, make_sink, make_alert):
        sink = make_sink()
        silence.end_silence(self.hush(acme))
        self.hush(acme, starts_at=timezone.now() + timedelta(minutes=5))
        make_alert()
        assert states(sink) == [("pending", "")]

    def test_an_alert_that_names_a_sink_does_not_go_past_its_silence(self, acme, make_sink, make_alert):
        sink = make_sink()
        self.hush(acme)
        make_alert(event_sink_ids=[str(sink.uuid)])
        assert states(sink)[0][0] == "suppressed"

    def test_when_it_is_ended_what_it_held_back_is_rounded_up(self, acme, make_sink, make_alert):
        sink = make_sink()
        hush = self.hush(acme)
        make_alert()
        make_alert(name="Second")
        assert silence.count_held(hush) == 2
        assert (silence.end_silence(hush), silence.end_silence(hush)) == (True, False)
        assert send_digests() == 1
        (told,) = find_digests(sink)
        assert (told["held"], told["held_by"], "last: Second" in told["name"]) == (2, "silence", True)

    def test_one_to_come_that_is_ended_never_begins(self, acme):
        begins = timezone.now() + timedelta(hours=1)
        hush = self.hush(acme, starts_at=begins, ends_at=begins + timedelta(hours=1))
        assert (silence.end_silence(hush), silence.end_silence(hush)) == (True, False)
        hush.refresh_from_db()
        assert hush.starts_at == hush.ends_at < begins

    def test_a_preview_says_what_would_match(self, acme, make_sink, make_alert):
        make_alert(name="A")
        Event.objects.filter(type="detection_alert").update(received_at=timezone.now() - timedelta(hours=25))
        make_alert(name="A")
        make_alert(name="B")
        seen = silence.preview_silence(acme, 'name == "A"')
        assert (seen.looked_at, seen.matching, [event.summary.title for event in seen.examples]) == (2, 1, ["A"])

    @pytest.mark.parametrize(
        ("options", "field"),
        [
            ({"filter": "name =="}, "filter"),
            ({"ends_at": timezone.now() - timedelta(seconds=1)}, "ends_at"),
            ({"ends_at": timezone.now() + timedelta(days=900)}, "ends_at"),
        ],
    )
    def test_one_that_can_not_be_is_refused_by_field(self, acme, options, field):
        with pytest.raises(NotConfigurable) as raised:
            self.hush(acme, **options)
        assert raised.value.errors[0].field == field
        assert not Silence.objects.exists()


class TestDigests:
    def test_a_window_that_held_something_back_ends_in_one_digest(self, acme, make_sink):
        sink = make_sink(quiet={"dedup_window_s": 600})
        accept_alerts(acme, *({"dedup_key": "a", "name": f"number {index}"} for index in range(38)))
        assert send_digests() == 0
        pass_time(601)
        assert (send_digests(), send_digests()) == (1, 0)
        (told,) = find_digests(sink)
        assert told["name"].startswith("+37 like this, ")
        assert told["name"].endswith("last: number 37")
        assert (told["dedup_key"], told["held"]) == ("a", 37)
        assert states(sink)[-1] == ("pending", "")

    def test_a_window_that_held_nothing_back_is_forgotten(self, acme, make_sink):
        make_sink(quiet={"dedup_window_s": 600})
        accept_alerts(acme, {"dedup_key": "a"})
        pass_time(601)
        assert send_digests() == 0
        assert not QuietWindow.objects.exists()

    def test_what_was_held_back_last_is_told_though_a_wider_throttle_let_one_through_since(self, acme, make_sink):
        sink = make_sink(quiet={"throttle": {"limit": 1, "window_s": 600}})
        accept_alerts(acme, {}, {"id": "held", "name": "Held"})
        wider = Options.model_validate({"quiet": {"throttle": {"limit": 5, "window_s": 600}}})
        configure.change(sink, options=wider)
        accept_alerts(acme, {"name": "Sent"})
        pass_time(601)
        assert send_digests() == 1
        (told,) = find_digests(sink)
        assert (told["held"], told["last_alert_id"]) == (1, "held")
        assert told["name"].endswith("last: Held")

    def test_a_title_that_no_column_takes_is_held_back_and_told_all_the_same(self, acme, make_sink):
        sink = make_sink(quiet={"throttle": {"limit": 1, "window_s": 600}})
        assert accept_alerts(acme, {}, {"name": "a\0b"}).rejections == []
        pass_time(601)
        assert send_digests() == 1
        assert find_digests(sink)[0]["name"].endswith("last: a\N{REPLACEMENT CHARACTER}b")

    def test_the_digest_of_a_window_that_a_new_alert_closed_is_not_lost(self, acme, make_sink):
        sink = make_sink(quiet={"dedup_window_s": 600})
        accept_alerts(acme, {"dedup_key": "a"}, {"dedup_key": "a"})
        pass_time(601)
        accept_alerts(acme, {"dedup_key": "a"})
        assert send_digests() == 1
        assert find_digests(sink)[0]["held"] == 1

    def test_no_silence_filter_or_window_holds_a_digest_back(self, acme, make_sink):
        sink = make_sink(quiet={"throttle": {"limit": 1, "window_s": 600}}, filter='name == "Root login"')
        accept_alerts(acme, {}, {})
        TestSilences().hush(acme)
        pass_time(601)
        send_digests()
        assert states(sink)[-1] == ("pending", "")

    @pytest.mark.django_db(transaction=True)
    def test_two_at_once_tell_it_once(self, acme, make_sink):
        sink = make_sink(quiet={"dedup_window_s": 600})
        accept_alerts(acme, {"dedup_key": "a"}, {"dedup_key": "a"})
        pass_time(601)
        at_once(4, lambda index: send_digests())
        assert len(find_digests(sink)) == 1

    def test_a_sink_that_was_deleted_is_told_nothing(self, acme, make_sink):
        sink = make_sink(quiet={"dedup_window_s": 600})
        accept_alerts(acme, {"dedup_key": "a"}, {"dedup_key": "a"})
        pass_time(601)
        configure.delete(sink)
        send_digests()
        assert find_digests(sink) == []
        assert Destination.objects.get(id=sink.id).deleted_at
