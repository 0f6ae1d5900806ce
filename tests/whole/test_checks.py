"""What is checked before anything starts."""

import pytest

from eventsinks.checks import cell_is_a_name, denied_ports_are_ports, mail_can_be_sent, services_are_https
from eventsinks.models.tenant import make_key_text


@pytest.mark.parametrize("url", ["", "smtp://mail.example", "smtp+starttls://me:secret@10.0.0.5:2525"])
def test_a_mail_server_and_none_are_both_good(settings, url):
    settings.SMTP_URL = url
    assert mail_can_be_sent() == []


@pytest.mark.parametrize("url", ["mail.example", "http://mail.example", "smtp://me:s3cret/x@mail.example"])
def test_a_mail_server_that_can_not_be_understood_stops_the_start_and_is_not_repeated(settings, url):
    settings.SMTP_URL = url
    (error,) = mail_can_be_sent()
    assert error.id == "eventsinks.E005"
    assert "s3cret" not in error.msg


@pytest.mark.parametrize(
    "sender", ["", "Alerts <alerts@acme.example>", "alerts", "a@b.example\r\nBcc: c@d.example"]
)
def test_a_sender_that_is_no_bare_address_stops_the_start(settings, sender):
    settings.SMTP_FROM = sender
    assert [error.id for error in mail_can_be_sent()] == ["eventsinks.E006"]


def test_a_port_that_is_none_stops_the_start(settings):
    assert denied_ports_are_ports() == []
    settings.EVENTSINKS_DENIED_PORTS = ["22", "ssh"]
    (error,) = denied_ports_are_ports()
    assert (error.id, "'ssh'" in error.msg) == ("eventsinks.E029", True)


def test_a_vendors_service_in_clear_stops_the_start_where_only_https_is_allowed(settings):
    settings.SLACK_BASE_URL = "http://slack.internal/api/"
    assert services_are_https() == []
    settings.EVENTSINKS_HTTPS_ONLY = True
    assert [error.msg.split()[0] for error in services_are_https()] == ["SLACK_BASE_URL"]


@pytest.mark.parametrize("name", ["", "a", "eu1", "0042"])
def test_a_cell_with_a_name_gives_it_to_its_keys(settings, name):
    settings.EVENTSINKS_CELL = name
    assert cell_is_a_name() == []
    assert make_key_text().startswith(f"es_{name}." if name else "es_")


@pytest.mark.parametrize("name", ["europe", "EU", "a.b", "é", " "])
def test_a_name_of_a_cell_that_no_key_can_have_stops_the_start(settings, name):
    settings.EVENTSINKS_CELL = name
    assert [error.id for error in cell_is_a_name()] == ["eventsinks.E033"]
