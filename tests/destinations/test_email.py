"""Email: a mail that a server takes and a mail program threads, in which no event writes a header."""

import email
import email.policy
import json
import re
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from eventsinks.destinations.base import DestinationGone, Endpoints, EventRefused, Temporary
from eventsinks.destinations.email import EmailConfig
from eventsinks.lib.net.addresses import AddressGuard
from eventsinks.lib.net.http import exchange_once, open_outlet
from eventsinks.lib.net.smtp import MAIL, Server
from eventsinks.lib.net.wire import Response
from tests.destinations.examples import (
    AT,
    TEMPLATED,
    assert_golden_data,
    make_message,
    make_type,
    with_summary,
)
from tests.helpers.mail_server import MailServer

EXAMPLE = {"to": ["soc@acme.example", "jo.berg+night@acme.example"]}
MARKUP = None  # the text of a mail is plain
LIMITS = {}  # a mail server names its own, if any
OPERATOR = Endpoints(smtp="smtp+starttls://mail.example:587", smtp_from="alerts@mail.example")
HEADERS = {
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "In-Reply-To",
    "References",
    "Auto-Submitted",
    "X-Auto-Response-Suppress",
    "MIME-Version",
    "Content-Type",
}


def built(message=None, **changes):
    return make_type("email", endpoints=OPERATOR).build([message or make_message(**changes)], AT)


def mail(message=None, **changes):
    return email.message_from_bytes(built(message, **changes).body, policy=email.policy.SMTP)


def parts(mail):
    return [part.get_content() for part in mail.iter_parts()]


def assert_golden_mail(name, request):
    """Compare envelope and message with tests/golden/<name>.json, the message by its lines."""
    lines = request.body.decode("ascii").split("\r\n")
    assert_golden_data(name, {**request._asdict(), "body": lines})


def test_the_alert_is_the_golden_one():
    assert_golden_mail("email/firing", built())


def test_the_resolved_alert_is_the_golden_one():
    assert_golden_mail("email/resolved", built(status="resolved", dedup_key="okta-admin/jo.berg"))


def test_an_alert_with_a_template_and_rows_is_told_as_text_and_as_html():
    text, html = parts(mail(with_summary(**TEMPLATED)))
    for told in (text, html):
        assert "ask in #security" in told
        assert "and 5 more rows" in told
        assert "https://wiki.example/runbook?x=1" in told
    assert "<td>&lt;Super Admin&gt;</td>" in html
    assert "jo.berg@acme.example | <Super Admin> | 3" in text


def test_the_envelope_is_the_operators_sender_and_the_tenants_recipients():
    request = built()
    assert (request.method, request.url) == (MAIL, "smtp+starttls://mail.example:587")
    assert [value for name, value in request.headers if name == "MAIL FROM"] == ["alerts@mail.example"]
    assert [value for name, value in request.headers if name == "RCPT TO"] == EXAMPLE["to"]


def test_a_retry_bears_the_same_message_id_and_another_delivery_does_not():
    ids = [mail(make_message(message_id=UUID(int=number)))["Message-ID"] for number in (1, 1, 2)]
    assert ids[0] == ids[1] != ids[2]
    assert ids[0] == "<00000000-0000-0000-0000-000000000001@mail.example>"


def test_what_is_over_comes_under_what_was_firing():
    fires, over = mail(dedup_key="a/b"), mail(dedup_key="a/b", status="resolved", id="x")
    other = mail(dedup_key="a/c")
    assert fires["References"] == over["References"] == over["In-Reply-To"] != other["References"]


def test_no_holiday_answers_it():
    assert mail()["Auto-Submitted"] == "auto-generated"


@pytest.mark.parametrize(
    "text",
    [
        "x\r\nBcc: evil@evil.example",
        "x\nBcc: evil@evil.example\n\nbody",
        "x\u2028Bcc: evil@evil.example",
        "x\x85Bcc: e\x0bBcc: f\x1cBcc: g",
        "=?utf-8?q?x=0D=0ABcc:_evil=40evil.example?=",
        "é" * 500 + "\r\nBcc: evil@evil.example",
        "x" * 5_000,
        "\U0001f600" * 300,
    ],
)
def test_no_event_writes_a_header(text):
    request = built(name=text, severity="High", tags=[text], description=text)
    head, _, _ = request.body.partition(b"\r\n\r\n")
    assert set(re.findall(r"^([A-Za-z-]+):", head.decode("ascii"), re.MULTILINE)) == HEADERS
    assert all(len(line) <= 998 for line in request.body.split(b"\r\n"))
    assert not re.search(rb"[^\r]\n|\r[^\n]", request.body)


@settings(deadline=None, max_examples=60, database=None)
@given(title=st.text(), text=st.text())
def test_whatever_is_told_has_the_same_headers_and_two_parts(title, text):
    made = mail(with_summary(title=title, text=text, tags=(text,)))
    assert set(made.keys()) == HEADERS
    assert [part.get_content_type() for part in made.iter_parts()] == ["text/plain", "text/html"]


@pytest.mark.guarantee("S17")
def test_html_has_no_tag_and_no_link_of_an_events():
    hostile = '<script>x</script><a href="https://evil.example">x</a> "onload=\'x'
    _, html = parts(
        mail(with_summary(title=hostile, text=hostile, info=((hostile, hostile),), link="javascript:x"))
    )
    assert set(re.findall(r"<(\w+)", html)) <= {"html", "body", "h2", "p", "b", "table", "tr", "td", "small"}


def test_a_long_alert_is_cut_with_an_ellipsis():
    made = mail(name="x" * 1_000, description="y" * 30_000)
    assert (len(made["Subject"]), made["Subject"][-1]) == (200, "…")
    assert all("y" * 19_999 + "…" in part and "y" * 20_000 not in part for part in parts(made))


def test_without_a_mail_server_the_sink_is_disabled_and_says_why():
    with pytest.raises(DestinationGone, match="SMTP_URL"):
        make_type("email", endpoints=Endpoints(smtp="")).build([make_message()], AT)


# --- What the server replies


def answered(replies, to=EXAMPLE["to"]):
    """Send to a real server that replies so; return the receipt, or the failure that is raised."""
    with MailServer(replies) as server:
        kind = make_type("email", {"to": to}, endpoints=Endpoints(smtp=server.url()))
        with open_outlet(AddressGuard(), 5, Server.parse(server.url())) as way_out:
            response = exchange_once(way_out, kind.build([make_message()], AT))
        return kind.read(response, [make_message()]), server


def test_a_real_server_takes_it():
    receipt, server = answered({})
    assert receipt.response.status == 250
    assert server.got[0].recipients == EXAMPLE["to"]
    assert server.got[0].data == make_type("email").build([make_message()], AT).body


@pytest.mark.parametrize(
    ("replies", "failure"),
    [
        ({"RCPT": "550 5.1.1 nobody here"}, DestinationGone),
        ({"RCPT": "550 nobody here"}, DestinationGone),
        ({"RCPT": "553 5.1.3 bad address"}, DestinationGone),
        ({"RCPT": "552 5.2.2 mailbox full"}, Temporary),
        ({"RCPT": "450 4.2.0 greylisted"}, Temporary),
        ({"MAIL": "552 5.3.4 too large"}, EventRefused),
        ({"MAIL": "530 5.7.0 authenticate first"}, Temporary),
        ({".": "554 5.7.1 this is spam"}, EventRefused),
        ({".": "550 5.7.1 this is spam"}, EventRefused),
        ({".": "451 4.3.0 later"}, Temporary),
        ({"CONNECT": "421 4.3.2 closing"}, Temporary),
        ({"CONNECT": "554 5.3.2 not to you"}, Temporary),
    ],
)
def test_each_reply_becomes_what_it_means(replies, failure):
    (reply,) = replies.values()
    with pytest.raises(failure) as raised:
        answered(replies)
    assert str(raised.value.response.status) == reply[:3]
    assert reply.split(" ", 1)[1] in raised.value.reason


def test_a_recipient_who_is_gone_takes_it_from_no_other():
    receipt, server = answered({"RCPT TO:<SOC@": "550 5.1.1 nobody here"})
    assert receipt.failures is None
    assert server.got[0].recipients == EXAMPLE["to"][1:]
    assert b"nobody here" in receipt.response.body


def test_a_recipient_who_is_to_be_asked_again_is():
    with pytest.raises(Temporary):
        answered({"RCPT TO:<SOC@": "450 4.2.0 greylisted"})


def test_a_password_that_the_server_does_not_take_is_no_tenants_to_repair():
    with pytest.raises(Temporary):
        make_type("email").read(Response(535, [b"250 ok\r\n"], b"535 5.7.8 who?\r\n"), [make_message()])


# --- Who may be written to


@pytest.mark.parametrize(
    "address",
    [
        "a@b>\r\nRCPT TO:<c@d",
        "a@b.example\n",
        "Jo <a@b.example>",
        "a@b.example,c@d.example",
        "a b@c.example",
        "zoë@b.example",
        "a@[127.0.0.1]",
        "a@-b.example",
        "@b.example",
        "a",
        "",
        "x" * 65 + "@b.example",
    ],
)
def test_an_address_that_is_more_or_less_than_one_is_refused(address):
    with pytest.raises(ValidationError):
        EmailConfig.model_validate({"to": [address]})


@pytest.mark.parametrize(("count", "good"), [(0, False), (1, True), (20, True), (21, False)])
def test_there_are_1_to_20_recipients(count, good):
    config = {"to": [f"a{number}@b.example" for number in range(count)]}
    if good:
        assert len(EmailConfig.model_validate(config).to) == count
    else:
        with pytest.raises(ValidationError):
            EmailConfig.model_validate(config)


def test_nobody_gets_it_twice():
    assert make_type("email", {"to": ["a@b.example"] * 3}).config.to == ("a@b.example",)


def test_the_target_is_the_first_of_them():
    assert make_type("email").target() == "soc@acme.example and 1 more"
    assert json.loads(make_type("email").config.model_dump_json()) == EXAMPLE
