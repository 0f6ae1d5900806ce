"""An incident's life in Slack: one message that is edited, a thread that tells the news, one message a second."""

import itertools
import json
import time
from collections import Counter
from datetime import timedelta

import pytest
from django.db.models import F
from django.utils import timezone

from eventsinks.actions import configure
from eventsinks.lib.net.wire import ExchangeFailed, Response
from eventsinks.models import Delivery, Destination, Incident, SlackWorkspace
from eventsinks.models.delivery import find_due_lanes, lease_rate_keys
from eventsinks.models.options import Options
from eventsinks.sending.dispatcher import Dispatcher
from eventsinks.sending.rate_limit import claim_within_rates
from tests.helpers.crowd import at_once
from tests.helpers.worlds import World

pytestmark = pytest.mark.django_db


class Channel(World):
    """A Slack that keeps what it is told. `lost`: message timestamps that are not there any more."""

    def __init__(self):
        super().__init__(self.answer)
        self.calls, self.messages, self.numbers_ = [], {}, itertools.count(1)
        self.lost, self.fails = set(), []

    def answer(self, request):
        method, said = request.url.rsplit("/", 1)[1], json.loads(request.body)
        self.calls.append((method, said))
        if self.fails:
            return self.fails.pop(0)
        if method == "chat.update":
            if said["ts"] in self.lost:
                return self.json({"ok": False, "error": "message_not_found"})
            self.messages[said["ts"]] = said
            return self.json({"ok": True, "channel": said["channel"], "ts": said["ts"], "text": said["text"]})
        if said.get("thread_ts") in self.lost:
            return self.json({"ok": False, "error": "thread_not_found"})
        ts = f"100.{next(self.numbers_)}"
        self.messages[ts] = said
        told = {"text": said["text"], **({"thread_ts": said["thread_ts"]} if "thread_ts" in said else {})}
        return self.json({"ok": True, "channel": said["channel"], "ts": ts, "message": told})

    def json(self, answer):
        return Response(200, [], json.dumps(answer).encode())

    def methods(self):
        """Return the calls since the last time, a post into a thread as `reply`."""
        named = ["reply" if "thread_ts" in said else method for method, said in self.calls]
        self.calls = []
        return named


@pytest.fixture
def slack():
    return Channel()


@pytest.fixture
def make_sink(acme):
    workspace = SlackWorkspace(tenant=acme, team_id="T1", team_name="Acme")
    workspace.token = "xoxb-1"
    workspace.save()

    def make(channel="C1", **options):
        args = {"slack_integration_id": str(workspace.id), "channel_id": channel, "channel_name": channel.lower()}
        return configure.create(acme, "slack", args, name="Alerts", options=Options.model_validate(options))

    return make


@pytest.fixture
def tell(slack, make_alert):
    """Accept an alert and deliver it, as if the pause after the last one were over."""

    def send(status="firing", key="incident", **fields):
        make_alert(status=status, dedup_key=key, **fields)
        deliver(slack)
        return slack.methods()

    return send


def deliver(slack):
    Destination.objects.update(paced_until=None)
    Delivery.objects.filter(state="pending").update(due_at=timezone.now() - timedelta(seconds=1))
    dispatcher = Dispatcher(slack)
    dispatcher._free_rate_key = lambda ready: None
    dispatcher.run()
    Destination.objects.update(paced_until=None)


class TestLife:
    def test_the_first_message_is_edited_and_the_news_is_in_its_thread(self, slack, make_sink, tell):
        make_sink()
        assert tell(name="Root login", description="from nowhere") == ["chat.postMessage"]
        assert tell("acknowledged", description="Ann looks") == ["chat.update", "reply"]
        assert tell("resolved", description="was Ann") == ["chat.update", "reply"]
        first = json.dumps(slack.messages["100.1"])
        assert "resolved" in first
        assert "from nowhere" in first
        assert "was Ann" not in first
        assert "was Ann" in json.dumps(slack.messages["100.3"])
        assert slack.messages["100.3"]["thread_ts"] == "100.1"

    def test_firing_again_while_it_is_open_is_told_in_the_thread(self, make_sink, tell):
        make_sink()
        assert [tell(), tell(), tell()] == [["chat.postMessage"], ["reply"], ["reply"]]

    def test_firing_after_it_was_resolved_is_a_new_message(self, slack, make_sink, tell):
        make_sink()
        tell()
        tell("resolved")
        assert tell() == ["chat.postMessage"]
        assert tell("resolved") == ["chat.update", "reply"]
        assert "resolved" in json.dumps(slack.messages["100.3"])

    def test_an_incident_with_a_nul_in_its_texts_is_told_as_one(self, make_sink, tell):
        make_sink()
        told = [tell(status, key="a\0b", name="c\0d", tags=["e\0f"]) for status in ("firing", "resolved")]
        assert told == [["chat.postMessage"], ["chat.update", "reply"]]
        assert set(Delivery.objects.values_list("state", flat=True)) == {"delivered"}

    def test_an_alert_whose_blocks_slack_refuses_is_told_in_words(self, slack, make_sink, tell):
        make_sink()
        slack.fails = [slack.json({"ok": False, "error": "invalid_blocks"})]
        assert tell(name="Root login", description="from <!here>") == ["chat.postMessage", "chat.postMessage"]
        (said,) = slack.messages.values()
        assert not {"blocks", "attachments"} & set(said)
        assert "Root login" in said["text"]
        assert "from &lt;!here&gt;" in said["text"]
        assert Delivery.objects.get().state == "delivered"
        assert tell("resolved") == ["chat.update", "reply"]

    def test_two_incidents_are_two_messages_whatever_their_rule(self, make_sink, tell):
        make_sink()
        assert tell(key="a", detection_rule_id="r") == ["chat.postMessage"]
        assert tell(key="b", detection_rule_id="r") == ["chat.postMessage"]
        assert tell("resolved", key="a") == ["chat.update", "reply"]

    def test_what_is_resolved_without_a_first_message_is_told_whole(self, make_sink, tell):
        make_sink()
        assert tell("resolved") == ["chat.postMessage"]

    @pytest.mark.parametrize("status", ["firing", "resolved"])
    def test_a_first_message_that_somebody_deleted_is_told_anew(self, slack, make_sink, tell, status):
        make_sink()
        tell()
        slack.lost.add("100.1")
        tried = {"resolved": "chat.update", "firing": "reply"}[status]
        assert tell(status) == [tried, "chat.postMessage"]
        assert tell("resolved") == ["chat.update", "reply"]

    def test_a_firing_that_comes_after_its_resolution_begins_no_new_incident(self, slack, make_sink, make_alert):
        make_sink(ordering="none")
        make_alert(dedup_key="i", name="first")
        slack.fails = [Response(500, [], b"")]
        deliver_first_only(slack)
        make_alert(dedup_key="i", status="resolved")
        Delivery.objects.filter(tries=1).update(due_at=timezone.now() + timedelta(hours=1))
        dispatch_once(slack)
        assert slack.methods() == ["chat.postMessage", "chat.postMessage"]
        deliver(slack)
        assert slack.methods() == ["reply"]
        assert Incident.objects.get().memory["status"] == "resolved"

    def test_one_sinks_incident_is_not_anothers(self, slack, make_sink, tell):
        make_sink()
        make_sink("C2")
        assert Counter(tell()) == {"chat.postMessage": 2}
        assert Counter(tell("resolved")) == {"chat.update": 2, "reply": 2}

    def test_a_worker_lost_after_the_post_and_before_the_settlement_posts_nothing_twice(
        self, slack, make_sink, make_alert, monkeypatch
    ):
        make_sink()
        make_alert(dedup_key="i")
        monkeypatch.setattr("eventsinks.sending.settle_attempts.settle_surely", lambda settlements: [])
        deliver(slack)
        monkeypatch.undo()
        Delivery.objects.update(due_at=timezone.now() - timedelta(seconds=1))
        deliver(slack)
        assert slack.methods() == ["chat.postMessage", "chat.update"]
        assert Delivery.objects.get().state == "delivered"

    def test_what_is_remembered_is_forgotten_when_it_is_old(self, make_sink, tell):
        make_sink()
        tell()
        Incident.objects.update(updated_at=F("updated_at") - timedelta(days=31))
        Incident.objects.forget_old()
        assert tell("resolved") == ["chat.postMessage"]

    def test_what_an_older_version_remembered_is_no_error(self, make_sink, tell):
        make_sink()
        tell()
        Incident.objects.update(memory={"other": 1})
        assert tell("resolved") == ["chat.postMessage"]


def dispatch_once(slack):
    dispatcher = Dispatcher(slack)
    dispatcher._free_rate_key = lambda ready: None
    Destination.objects.update(paced_until=None)
    dispatcher.run()
    Destination.objects.update(paced_until=None)


deliver_first_only = dispatch_once


class TestPace:
    def test_a_channel_gets_one_message_a_second_whatever_the_sinks(self, slack, make_sink, make_alert):
        make_sink()
        make_sink()
        make_alert()
        started = time.monotonic()
        Dispatcher(slack).run()
        assert time.monotonic() - started >= 1.0
        assert slack.methods() == ["chat.postMessage", "chat.postMessage"]
        assert not Delivery.objects.exclude(state="delivered").exists()

    def test_another_channel_has_a_pace_of_its_own(self, slack, make_sink, make_alert):
        make_sink("C1")
        make_sink("C2")
        make_alert()
        dispatcher = Dispatcher(slack)
        dispatcher._claim()
        assert len(slack.calls) == 2

    def test_another_worker_waits_for_the_turn(self, slack, make_sink, make_alert):
        make_sink()
        make_alert()
        make_alert()
        held = Channel()
        held.answers = lambda request: None
        first = Dispatcher(held)
        first._claim()
        assert len(held.held) == 1
        second = Dispatcher(slack)
        second._claim()
        assert slack.calls == []

    def test_the_turn_of_a_worker_that_died_is_free_when_its_lease_is_over(self, slack, make_sink, make_alert):
        make_sink()
        make_alert()
        place = Destination.objects.get().rate_key
        assert lease_rate_keys([place], 60.0) == {place}
        Dispatcher(slack)._claim()
        assert slack.calls == []
        Destination.objects.update(paced_until=timezone.now() - timedelta(seconds=1))
        Dispatcher(slack)._claim()
        assert len(slack.calls) == 1

    def test_a_turn_for_which_nothing_is_left_is_free_again_at_once(self, make_sink, make_alert):
        make_sink()
        make_alert()
        (lane,) = find_due_lanes(10)
        Delivery.objects.update(due_at=timezone.now() + timedelta(hours=1))  # somebody else was faster
        assert claim_within_rates([(lane, 1)])[0] == []
        assert lease_rate_keys([lane.rate_key], 60.0) == {lane.rate_key}

    def test_a_failure_ends_the_turn_too(self, slack, make_sink, make_alert):
        make_sink()
        make_alert()
        slack.fails = [ExchangeFailed("timeout", "no answer")]
        Dispatcher(slack).run()
        assert Destination.objects.get().paced_until < timezone.now() + timedelta(seconds=2)

    @pytest.mark.django_db(transaction=True)
    def test_of_many_at_the_same_moment_one_gets_the_turn(self, make_sink):
        place = make_sink().rate_key
        results = at_once(8, lambda index: lease_rate_keys([place], 60.0))
        assert sorted(map(len, results)) == [0] * 7 + [1]

    def test_a_webhook_has_no_pace(self, make_webhook):
        assert make_webhook().rate_key == ""
