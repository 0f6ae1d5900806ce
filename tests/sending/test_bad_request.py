"""What can't be written as a request is no passing trouble: its destination waits for a repair."""

import pytest

from eventsinks.actions import configure
from eventsinks.actions.trying.probe import probe_connection
from eventsinks.actions.trying.try_out import try_out
from eventsinks.destinations.base import DestinationGone
from eventsinks.event_types import event_type
from eventsinks.intake.accept import accept
from eventsinks.lib.net.wire import ExchangeFailed, Response
from eventsinks.models import Attempt, Delivery, Destination
from eventsinks.sending.dispatcher import Dispatcher
from eventsinks.streaming.streamer import stream
from tests.helpers.receiver import Receiver
from tests.helpers.visible import visible
from tests.helpers.worlds import World

pytestmark = pytest.mark.django_db
UNWRITABLE = ExchangeFailed("bad_request", "URL using bad/illegal format")


def test_a_sink_is_disabled_with_the_reason_and_gets_all_after_the_repair(make_webhook, make_alert):
    sink = make_webhook()
    make_alert()
    Dispatcher(World(lambda request: UNWRITABLE)).run()
    parked = Destination.objects.get()
    assert (parked.state, parked.state_reason) == ("parked", "bad_request: URL using bad/illegal format")
    assert (Delivery.objects.get().state, Attempt.objects.get().outcome) == ("pending", "gone")
    configure.change(sink, {"url": "https://example.com/mended"})
    Dispatcher(World(lambda request: Response(200, [], b""))).run()
    assert Delivery.objects.get().state == "delivered"


@pytest.mark.django_db(transaction=True)
def test_an_integration_is_disabled_with_the_reason(acme):
    made = configure.create(acme, "generic_http", {"url": "https://example.com/"}, name="i")
    accept(acme, event_type("audit"), [b'{"activity_code":"a"}'])
    visible(acme)
    assert stream(made.id, World(lambda request: UNWRITABLE)) == 0
    assert Destination.objects.get().state == "parked"
    assert Destination.objects.get().state_reason.startswith("bad_request")


@pytest.mark.parametrize("url", ["https://example.com/hööks", "https://exämple.com/a?b=ü"])
def test_a_url_that_was_kept_before_it_was_looked_at_so_is_sent_all_the_same(make_webhook, make_alert, url):
    sink = make_webhook()
    Destination.objects.filter(id=sink.id).update(config={**sink.config, "url": url})
    make_alert()
    world = World(lambda request: Response(200, [], b""))
    Dispatcher(world).run()
    assert Delivery.objects.get().state == "delivered"
    assert all(url.isascii() for _, _, url in world.log)


def test_a_path_and_a_query_with_other_letters_arrive_as_they_are_meant(make_webhook, make_alert, dispatcher):
    with Receiver() as receiver:
        make_webhook(receiver.url("/hööks") + "?team=Zürich")
        make_alert()
        dispatcher.run()
        assert [got.path for got in receiver.got] == ["/h%C3%B6%C3%B6ks?team=Z%C3%BCrich"]


def test_who_tries_it_is_told_that_it_is_no_passing_trouble(acme, make_webhook, monkeypatch):
    made = configure.create(acme, "generic_http", {"url": "https://example.com/"}, name="i")
    kind = made.opened()
    kind.config = kind.config.model_copy(update={"url": "https://exa mple/"})
    with pytest.raises(DestinationGone, match="bad_request"):
        probe_connection(acme, kind)
    sink = make_webhook()
    build = sink.kind.build
    monkeypatch.setattr(sink.kind, "build", lambda *given: build(*given)._replace(url="https://exa mple/"))
    assert try_out(sink).outcome == "gone"
