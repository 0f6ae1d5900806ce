"""Mail through the engine: sent at once with everything else, with the evidence of what the server said."""

import pytest

from eventsinks.actions import configure
from eventsinks.lib.net.addresses import AddressGuard
from eventsinks.lib.net.http import open_outlet
from eventsinks.models import Attempt, Delivery, Destination
from eventsinks.models.destination import make_mail_server
from eventsinks.sending.dispatcher import Dispatcher
from eventsinks.tasks import open_way_out
from tests.helpers.mail_server import MailServer

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def server(settings):
    with MailServer(user=("alerts", "s3cret")) as server:
        settings.SMTP_URL = server.url(credentials="alerts:s3cret@")
        settings.SMTP_FROM = "alerts@acme.example"
        yield server


@pytest.fixture
def sink(acme):
    return configure.create(acme, "email", {"to": ["soc@acme.example"]}, name="mail")


def dispatched():
    """Deliver what is due, by a way out that dials nobody on this machine but the mail server."""
    with open_outlet(AddressGuard(), 5, make_mail_server()) as way_out:
        return Dispatcher(way_out).run()


def test_an_alert_is_mailed_and_the_attempt_tells_what_the_server_said(server, sink, make_alert):
    make_alert()
    dispatched()
    delivery, attempt = Delivery.objects.get(), Attempt.objects.get()
    assert (delivery.state, attempt.status, attempt.excerpt.strip()) == (
        "delivered",
        250,
        "250 2.0.0 queued as 4XYZ",
    )
    assert server.got[0].recipients == ["soc@acme.example"]
    assert f"Message-ID: <{delivery.id}@acme.example>".encode() in server.got[0].data
    assert "s3cret" not in str(Attempt.objects.values())


def test_many_are_sent_at_once_and_each_arrives_once(server, sink, make_alert):
    for _ in range(30):
        make_alert()
    dispatched()
    assert set(Delivery.objects.values_list("state", flat=True)) == {"delivered"}
    assert len({mail.data for mail in server.got}) == len(server.got) == 30


def test_a_recipient_who_is_gone_parks_the_sink(server, sink, make_alert):
    server.replies = {"RCPT": "550 5.1.1 nobody here"}
    make_alert()
    dispatched()
    parked = Destination.objects.get()
    assert (parked.state, Delivery.objects.get().state) == ("parked", "pending")
    assert "nobody here" in parked.state_reason


def test_without_a_mail_server_the_sink_is_disabled_and_its_backlog_kept(settings, sink, make_alert):
    settings.SMTP_URL = ""
    make_alert()
    dispatched()
    assert (Destination.objects.get().state, Delivery.objects.get().state) == ("parked", "pending")
    assert "SMTP_URL" in Destination.objects.get().state_reason


def test_a_worker_opens_its_way_out_with_the_operators_mail_server(server, sink, make_alert):
    make_alert()
    way_out = open_way_out()
    Dispatcher(way_out).run()
    way_out.close()
    assert len(server.got) == 1
