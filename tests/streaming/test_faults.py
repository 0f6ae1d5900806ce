"""Streams where something goes wrong half-way: nothing comes twice that need not, nobody acts on a lost lease."""

from datetime import timedelta

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from eventsinks.actions.replaying.replay import replay
from eventsinks.destinations.base import BatchLimits, DestinationGone, EventRefused, Temporary, TooLarge
from eventsinks.destinations.datadog import Datadog
from eventsinks.models import Batch, Delivery, Destination, Event, Position
from eventsinks.models.options import Options
from eventsinks.streaming import streamer as streaming
from eventsinks.streaming.settle_batch import settle_batch
from eventsinks.streaming.streamer import stream
from tests.helpers.streams import all_that_came, came, make_due, text
from tests.helpers.worlds import World

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("silent_audit")]


def test_what_was_taken_of_a_batch_that_goes_on_in_halves_is_not_sent_again(far, integrate, log, outlet):
    far.limits = BatchLimits(max_events=6)
    integration = integrate()
    log(1, 2, 3, 4, 5, 6, 7)

    def says(batch):
        codes = [text(message) for message in batch.messages]
        return {code: TooLarge("too large") for code in ("2", "3", "5") if len(codes) > 1 and code in codes}

    far.says = staticmethod(says)
    stream(integration.id, outlet)
    assert came(far) == [["1", "2", "3", "4", "5", "6"], ["2"], ["3", "5"], ["3"], ["5"], ["7"]]
    assert not Batch.objects.filter(state="open").exists()
    assert Position.objects.get().sent_events == 7


def test_a_crash_between_the_halves_loses_neither(far, integrate, log, outlet):
    far.limits = BatchLimits(max_events=4)
    integration = integrate()
    log(1, 2, 3, 4, 5)
    far.says = staticmethod(
        lambda batch: {text(m): TooLarge("too large") for m in batch.messages if len(batch.messages) > 2}
    )
    turns = iter([False, False, True])  # stopped after the first half
    stream(integration.id, outlet, lambda: next(turns))
    assert came(far) == [["1", "2", "3", "4"], ["1", "2"]]
    stream(integration.id, outlet)
    assert came(far)[2:] == [["3", "4"], ["5"]]


def test_who_lost_the_lease_does_not_park_the_integration(far, integrate, log):
    integration = integrate()
    (id,) = log(1)
    position = Position.objects.lease(integration.id, 60)
    batch = streaming.open_next_batch(position, integration.opened())
    Position.objects.filter(destination=integration).update(lease="00000000-0000-4000-8000-000000000000")
    assert settle_batch(position, batch, {id: DestinationGone("nobody there")}) is False
    assert Destination.objects.get().state == "active"


def test_only_what_was_taken_counts_as_sent(far, integrate, log, outlet):
    integration = integrate()
    log(1, 2, 3)
    far.says = staticmethod(lambda batch: {"2": EventRefused("no"), "3": Temporary("later")})
    stream(integration.id, outlet)
    assert Position.objects.get().sent_events == 1
    far.says = staticmethod(lambda batch: {})
    make_due(integration)
    stream(integration.id, outlet)
    assert Position.objects.get().sent_events == 2


def test_a_batch_has_a_whole_lease_however_long_went_by_before_it(far, integrate, log, outlet, settings):
    integration = integrate()
    log(1)
    far.says = staticmethod(lambda batch: {"1": EventRefused("no")})
    stream(integration.id, outlet)
    replay(Delivery.objects.all())
    log(2)
    left = []

    def says(batch):
        if text(batch.messages[0]) == "2":
            left.append((Position.objects.get().due_at - timezone.now()).total_seconds())
        else:  # what was set aside goes first, and takes its time
            Position.objects.update(due_at=Now() + timedelta(seconds=5))
        return {}

    far.says = staticmethod(says)
    stream(integration.id, outlet)
    (seconds,) = left
    assert seconds > settings.EVENTSINKS_LEASE - 5


def test_a_batch_whose_lease_was_lost_before_it_was_sent_is_not_sent(far, integrate, log, outlet, monkeypatch):
    integration = integrate()
    log(1)
    read = streaming.read_members

    def slowly(ids):
        Position.objects.update(lease="00000000-0000-4000-8000-000000000000")
        return read(ids)

    monkeypatch.setattr(streaming, "read_members", slowly)
    stream(integration.id, outlet)
    assert came(far) == []


def test_a_type_knows_how_long_its_sending_may_take(far, integrate, log, outlet, settings):
    integration = integrate()
    log(1)
    given = []
    send = far.send
    far.send = lambda self, batch, at: given.append(self.seconds) or send(self, batch, at)
    stream(integration.id, outlet)
    assert given == [settings.EVENTSINKS_LEASE - streaming.MARGIN]


def test_a_dead_letter_of_others_is_not_looked_through(far, integrate, log, outlet):
    integration = integrate()
    log(1)
    with CaptureQueriesContext(connection) as captured:
        stream(integration.id, outlet)
    looks = [query["sql"] for query in captured if "eventsinks_delivery" in query["sql"]]
    assert looks
    assert all(f"destination_id = {integration.id} " in look for look in looks)


def test_a_pause_that_is_asked_for_while_replaying_holds_for_what_is_new_too(far, integrate, log, outlet):
    integration = integrate()
    log(1)
    far.says = staticmethod(lambda batch: {"1": EventRefused("no")})
    stream(integration.id, outlet)
    replay(Delivery.objects.all())
    log(2)
    far.says = staticmethod(lambda batch: {"1": Temporary("wait", retry_after=60)})
    stream(integration.id, outlet)
    assert all_that_came(far) == ["1", "1"]


def test_a_type_that_says_while_building_that_all_is_gone_parks_the_integration(integrate, log, monkeypatch):
    config = {"api_key": "k", "site": "datadoghq.eu"}
    integration = integrate("datadog", config)
    (id,) = log(1)

    def build(self, messages, at):
        raise DestinationGone("no key opens this")

    monkeypatch.setattr(Datadog, "build", build)
    monkeypatch.setattr(Datadog, "limits", BatchLimits(max_events=10))
    world = World()
    stream(integration.id, world)
    parked = Destination.objects.get()
    assert (parked.state, parked.state_reason) == ("parked", "no key opens this")
    assert world.sent() == []
    assert Batch.objects.get(state="open").members == [id]


@pytest.mark.parametrize("filter", ["", 'activity_code != "x"'])
def test_an_event_of_a_type_that_is_not_known_here_becomes_a_dead_letter_and_sent_by_who_knows_it(
    far,
    integrate,
    log,
    outlet,
    filter,
):
    integration = integrate(options=Options(filter=filter))
    (_, new, _) = log(1, 2, 3)
    types = [*Destination.objects.get().event_types, "of_tomorrow"]
    Destination.objects.update(event_types=types)
    Event.objects.filter(id=new).update(type="of_tomorrow")
    stream(integration.id, outlet)
    assert all_that_came(far) == ["1", "3"]
    aside = Delivery.objects.get()
    assert (aside.event_id, aside.state) == (new, "failed")
    assert aside.reason == "events of type of_tomorrow are not known here"
    replay(Delivery.objects.all())
    make_due(integration)
    stream(integration.id, outlet)
    assert Delivery.objects.get().state == "failed"
    Event.objects.filter(id=new).update(type="audit")
    replay(Delivery.objects.all())
    make_due(integration)
    stream(integration.id, outlet)
    assert all_that_came(far) == ["1", "3", "2"]
