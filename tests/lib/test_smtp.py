"""Mail over the one way out, to a real server: to the operator's only, and nothing in it can be a command."""

import socket

import pytest

from eventsinks.lib.net.addresses import AddressGuard
from eventsinks.lib.net.http import exchange_once, open_outlet
from eventsinks.lib.net.smtp import FROM, MAIL, TO, Server
from eventsinks.lib.net.wire import ExchangeFailed, Request, Response
from tests.helpers.mail_server import MailServer
from tests.helpers.receiver import Receiver
from tests.lib.test_http import certificate, tls_of  # noqa: F401  (a fixture)

STRICT = AddressGuard()  # lets nobody dial this machine
BODY = b"Subject: hello\r\n\r\nfirst\r\n.\r\n..two dots\r\nlast\r\n"
JO, KIM = "jo@example.com", "kim@example.com"


def sent(url, to=(JO,), sender="alerts@example.org", body=BODY, as_url=None, timeout=5, times=1):
    """Return what came of mails through the server of the operator at `url`."""
    server = Server.parse(url)
    envelope = ((FROM, sender), *((TO, address) for address in to))
    with open_outlet(STRICT, timeout, server) as way_out:
        outcomes: list[Response | ExchangeFailed] = []
        for _ in range(times):
            try:
                outcomes.append(exchange_once(way_out, Request(MAIL, as_url or server.url, envelope, body)))
            except ExchangeFailed as failed:
                outcomes.append(failed)
    return outcomes[0] if times == 1 else outcomes


def test_a_mail_arrives_to_the_byte_at_a_server_that_no_tenant_could_dial():
    with MailServer() as server:
        response = sent(server.url(), to=(JO, KIM))
    (got,) = server.got
    assert isinstance(response, Response)
    assert (response.status, response.body, response.peer) == (250, b"250 2.0.0 queued as 4XYZ\r\n", "127.0.0.1")
    assert (got.sender, got.recipients, got.data) == ("alerts@example.org", [JO, KIM], BODY)
    assert 0 < response.timings.connect <= response.timings.total


def test_mails_one_after_another_share_a_connection_and_nothing_else():
    with MailServer() as server:
        assert [response.status for response in sent(server.url(), times=3)] == [250] * 3
    assert server.connections == 1
    assert [mail.data for mail in server.got] == [BODY] * 3


def test_mail_to_another_server_than_the_operators_is_not_sent():
    with MailServer() as server, MailServer() as other:
        failed = sent(server.url(), as_url=other.url())
        with open_outlet(AddressGuard(["127.0.0.0/8"]), 5) as way_out, pytest.raises(ExchangeFailed) as unset:
            exchange_once(way_out, Request(MAIL, server.url(), ((FROM, JO), (TO, JO)), BODY))
    assert (failed.reason, unset.value.reason) == ("bad_request", "bad_request")
    assert server.connections == other.connections == 0


@pytest.mark.parametrize("scheme", ["http", "https", "smtp"])
def test_no_http_request_reaches_the_operators_mail_server(scheme):
    with MailServer() as server, open_outlet(STRICT, 5, Server.parse(server.url())) as way_out:
        with pytest.raises(ExchangeFailed) as failed:
            exchange_once(way_out, Request("POST", server.url(scheme), (), b"MAIL FROM:<x@example.com>\r\n"))
        assert server.connections == 0
    assert failed.value.reason == ("bad_request" if scheme == "smtp" else "address_refused")


def test_one_way_out_speaks_both_and_neither_leaves_anything_with_the_other():
    with MailServer() as server, Receiver() as receiver:
        mail = Request(MAIL, server.url(), ((FROM, JO), (TO, KIM)), BODY)
        post = Request("POST", receiver.url(), (("Content-Type", "text/plain"),), b"posted")
        with open_outlet(AddressGuard(["127.0.0.0/8"]), 5, Server.parse(server.url())) as way_out:
            assert [exchange_once(way_out, one).status for one in (mail, post, mail, post)] == [250, 200] * 2
    assert [got.body for got in receiver.got] == [b"posted"] * 2
    assert [got.data for got in server.got] == [BODY] * 2


@pytest.mark.parametrize(
    "address",
    [
        "a@b>\r\nRCPT TO:<c@d",
        "a@b\nDATA",
        "a@b\r",
        "a@b> SIZE=1",
        "<a@b>",
        "a b@c",
        "a\0@b",
        "zoë@example.com",
        "",
    ],
)
def test_an_address_that_is_more_than_an_address_is_never_sent(address):
    with MailServer() as server:
        assert sent(server.url(), to=(JO, address)).reason == "bad_request"
        assert sent(server.url(), sender=address).reason == "bad_request"
        assert server.connections == 0
        assert sent(server.url()).status == 250


@pytest.mark.parametrize("envelope", [(), ((FROM, JO),), ((TO, JO),), ((FROM, JO), (FROM, KIM), (TO, JO))])
def test_an_envelope_has_one_sender_and_a_recipient(envelope):
    with (
        MailServer() as server,
        open_outlet(STRICT, 5, Server.parse(server.url())) as way_out,
        pytest.raises(ExchangeFailed) as failed,
    ):
        exchange_once(way_out, Request(MAIL, server.url(), envelope, BODY))
    assert (failed.value.reason, server.connections) == ("bad_request", 0)


# --- What the server says


@pytest.mark.parametrize(
    ("begins", "reply"),
    [
        ("CONNECT", "554 5.3.2 no service"),
        ("MAIL", "451 4.3.0 later"),
        ("MAIL", "552 5.3.4 too large"),
        ("RCPT", "550 5.1.1 nobody here"),
        ("RCPT", "450 4.2.0 greylisted"),
        ("DATA", "451 4.3.0 later"),
        (".", "554 5.7.1 spam"),
        (".", "452 4.3.1 disk full"),
    ],
)
def test_a_no_is_an_answer(begins, reply):
    with MailServer({begins: reply}) as server:
        response = sent(server.url())
        assert isinstance(response, Response), response.message
    assert (response.status, response.body.decode().strip()) == (int(reply[:3]), reply)
    assert server.got == []


def test_a_recipient_who_is_refused_keeps_the_others_from_nothing():
    with MailServer({"RCPT TO:<JO@": "550 5.1.1 nobody here"}) as server:
        response = sent(server.url(), to=(JO, KIM))
    assert response.status == 250
    assert response.body == b"550 5.1.1 nobody here\r\n250 2.0.0 queued as 4XYZ\r\n"
    assert server.got[0].recipients == [KIM]


def test_a_connection_lost_before_the_message_left_is_no_unknown_outcome():
    with MailServer({"RCPT": None}) as server:
        failed = sent(server.url())
    assert (type(failed), failed.outcome_unknown) == (ExchangeFailed, False)


@pytest.mark.guarantee("R14")
def test_a_connection_lost_after_the_message_left_leaves_the_outcome_unknown():
    with MailServer({".": None}) as server:
        failed = sent(server.url())
    assert (failed.reason, failed.outcome_unknown) == ("connection_lost", True)


def test_a_server_that_says_nothing_ends_at_the_deadline():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        failed = sent(f"smtp://127.0.0.1:{silent.getsockname()[1]}", timeout=1)
    assert (failed.reason, failed.outcome_unknown) == ("timeout", False)


def test_a_server_that_is_not_there_is_a_refused_connection():
    with MailServer() as server:
        url = server.url()
    assert sent(url).reason == "connection_refused"


def test_an_endless_greeting_is_cut_off():
    with MailServer({"CONNECT": "220-hello\n" * 100_000}) as server:
        outcome = sent(server.url(), timeout=3)
    assert len(getattr(outcome, "headers", ())) <= 200


# --- Who we are, and who listens


def test_the_server_is_told_user_and_password_and_nobody_else_is():
    with MailServer(user=("alerts", "p@ss:w/rd")) as server:
        good = sent(server.url(credentials="alerts:p%40ss%3Aw%2Frd@"))
        wrong = sent(server.url(credentials="alerts:wrong@"))
        nobody = sent(server.url())
    assert (good.status, wrong.status, nobody.status) == (250, 535, 530)
    assert "p@ss" not in repr(good)
    assert Server.parse("smtps://alerts:secret@mail.example").url == "smtps://mail.example:465"


@pytest.mark.parametrize("scheme", ["smtp+starttls", "smtps"])
def test_mail_is_encrypted_where_the_operator_says_so(scheme, certificate, monkeypatch):  # noqa: F811
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    with MailServer(tls=tls_of(certificate), at_once=scheme == "smtps", user=("me", "secret")) as server:
        response = sent(server.url(scheme, "me:secret@"))
    assert (response.status, response.timings.tls > 0) == (250, True)
    assert server.got[0].data == BODY


def test_nothing_is_said_to_a_server_whose_certificate_nobody_vouches_for(certificate):  # noqa: F811
    with MailServer(tls=tls_of(certificate), user=("me", "secret")) as server:
        failed = sent(server.url("smtp+starttls", "me:secret@"))
    assert failed.reason == "tls_error"
    assert not [command for command in server.commands if command.startswith(("AUTH", "MAIL"))]


def test_nothing_is_said_to_a_server_that_can_not_encrypt():
    with MailServer(user=("me", "secret")) as server:
        outcome = sent(server.url("smtp+starttls", "me:secret@"))
    assert isinstance(outcome, ExchangeFailed)
    assert outcome.reason == "tls_error"
    assert not [command for command in server.commands if command.startswith(("AUTH", "MAIL"))]


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("smtp://mail.example", ("smtp", "mail.example", 25, "", "")),
        ("smtp+starttls://a%40b:c%20d@mail.example", ("smtp+starttls", "mail.example", 587, "a@b", "c d")),
        ("smtps://[fd00::5]:2465/", ("smtps", "fd00::5", 2465, "", "")),
    ],
)
def test_the_url_of_a_server_is_read(url, server):
    assert Server.parse(url) == server


@pytest.mark.parametrize(
    "url",
    [
        "mail.example:25",
        "http://mail.example",
        "smtp://",
        "smtp://u:pass/word@mail.example",
        "smtp://mail.example/path",
        "smtp://mail.example:99999",
        "smtp://mail.example\r\n",
    ],
)
def test_what_is_no_url_of_a_server_is_refused_without_repeating_it(url):
    with pytest.raises(ValueError, match="must") as refused:
        Server.parse(url)
    assert "pass" not in str(refused.value).replace("password percent-encoded", "")
