"""Email: one message each through the operator's mail server (https://www.rfc-editor.org/rfc/rfc5321).

A tenant names recipients, never a server. The Message-ID is that of the delivery, so that a second copy is
recognised. All mails of one incident are in the same thread. If a recipient is refused for good, the others still
get the mail, and that counts as delivered. If one must be tried again, all are.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from html import escape
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, Field

from eventsinks.destinations.base import (
    Answers,
    Config,
    DestinationGone,
    DestinationType,
    Meaning,
    Message,
    Receipt,
    Temporary,
)
from eventsinks.destinations.base.rendering import (
    cut,
    drop_invisible,
    find_links,
    render_heading,
    render_left_out,
    render_letter,
    render_line,
    render_pairs,
    render_rows,
    render_state,
)
from eventsinks.event_types.base import Summary
from eventsinks.lib.net.smtp import FROM, MAIL, MAILBOX, TO
from eventsinks.lib.net.wire import Request, Response

MAX_RECIPIENTS = 20  # ours: a list for more belongs on a mail server
MAX_ADDRESS = 254  # characters; RFC 5321 section 4.5.3.1.3
MAX_SUBJECT = 200  # characters; ours
MAX_TEXT = 20_000  # characters; ours
ROWS, COLUMNS, CELL = 20, 8, 200
POLICY = SMTP.clone(cte_type="7bit", max_line_length=78)
ENHANCED = re.compile(rb"[45][0-9]{2}[ -]([45]\.[0-9]{1,3}\.[0-9]{1,3})\b")
# Trouble at the operator's own server, which no tenant can repair. It may pass while the alert waits.
OURS = (530, 534, 535, 538)
FULL, TOO_LARGE = "5.2.2", "5.3.4"  # RFC 3463
OF_THE_MAIL, OF_THE_RECIPIENTS = "mail", "recipients"  # ours: what the server's no is about


def find_code(response: Response) -> str:
    """Return what a server refuses for good, by the code and the step of the exchange."""
    found = ENHANCED.match(read_last_line(response))
    enhanced = found[1].decode() if found else ""
    if response.status < 500 or response.status in OURS or enhanced == FULL:
        return ""
    if enhanced == TOO_LARGE or was_spoken(response, b"354"):  # it had asked for the mail, and refuses it
        return OF_THE_MAIL
    knows_us = was_spoken(response, b"250")  # and not the recipients
    return OF_THE_RECIPIENTS if 550 <= response.status < 560 and knows_us else ""


def find_words(response: Response) -> str:
    """Return the message of the server."""
    return cut(render_line(read_last_line(response)[4:].decode("utf-8", "replace")), 300)


def read_last_line(response: Response) -> bytes:
    """Return the last line of a reply."""
    return (response.body.splitlines() or [b""])[-1]


def was_spoken(response: Response, code: bytes) -> bool:
    """Whether the server has replied with `code` before."""
    return any(line.startswith(code) for line in response.headers)


def find_no_pause(response: Response) -> None:
    """Return nothing: SMTP can't say how long to wait."""


# https://www.rfc-editor.org/rfc/rfc5321#section-4.2.3; a reply of 5yz is a refusal, not trouble of the server.
ANSWERS = Answers(
    "the mail server",
    codes={OF_THE_MAIL: Meaning.REFUSED, OF_THE_RECIPIENTS: Meaning.BROKEN},
    code=find_code,
    words=find_words,
    pause=find_no_pause,
    trouble_from=600,
)


def check_address(address: str) -> str:
    """Raise ValueError unless `address` is a plain address, without any other syntax."""
    if not MAILBOX.fullmatch(address):
        raise ValueError("an address is name@host, in ASCII and without a display name")
    return address


def drop_repeated(addresses: tuple[str, ...]) -> tuple[str, ...]:
    """Return each address once, in the given order."""
    return tuple(dict.fromkeys(addresses))


class EmailConfig(Config):
    """The recipients of the mail."""

    to: Annotated[
        tuple[Annotated[str, Field(max_length=MAX_ADDRESS), AfterValidator(check_address)], ...],
        AfterValidator(drop_repeated),
    ] = Field(min_length=1, max_length=MAX_RECIPIENTS, title="Recipients")


class Email(DestinationType[EmailConfig]):
    """Mail the event to up to 20 addresses."""

    key: ClassVar[str] = "email"
    label: ClassVar[str] = "Email"
    face = "event_sink"
    Config = EmailConfig
    answers = ANSWERS
    example: ClassVar[Mapping[str, Any]] = {"to": ["soc@example.com"]}

    def build(self, messages: Sequence[Message], at: datetime) -> Request:
        """Return one mail. Its headers are the envelope. Raises DestinationGone if there is no server."""
        (message,) = messages
        if not self.endpoints.smtp:
            raise DestinationGone("no mail server is set up here: the operator sets SMTP_URL")
        sender = self.endpoints.smtp_from
        envelope = ((FROM, sender), *((TO, address) for address in self.config.to))
        return Request(
            MAIL, self.endpoints.smtp, envelope, make_mail(message, sender, self.config.to, at).as_bytes()
        )

    def read(self, response: Response, messages: Sequence[Message]) -> Receipt:
        """Return the receipt of a 250. Raises SendFailure for any other reply."""
        receipt = super().read(response, messages)
        if any(re.match(rb"4[0-9]{2}[ -]", line) for line in response.body.splitlines()):
            raise Temporary("the mail server is to be asked again for one of the recipients", response)
        return receipt

    def target(self) -> str:
        """Return the first address, and the number of further ones."""
        first, *more = self.config.to
        return f"{first} and {len(more)} more" if more else first


def make_mail(message: Message, sender: str, to: Sequence[str], at: datetime) -> EmailMessage:
    """Return the mail as plain text and as HTML. A header has at most one line of an event's text."""
    summary, domain = message.summary, sender.rpartition("@")[2]
    thread = f"<{name_thread(message)}@{domain}>"
    made = EmailMessage(POLICY)
    made["From"] = Address("eventsinks", addr_spec=sender)
    made["To"] = [Address(addr_spec=address) for address in to]
    made["Subject"] = make_subject(summary)
    made["Date"] = format_datetime(at.astimezone(UTC))
    made["Message-ID"] = f"<{message.id}@{domain}>"
    made["In-Reply-To"] = thread
    made["References"] = thread
    made["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's holiday answers it
    made["X-Auto-Response-Suppress"] = "All"
    # In quoted-printable, no line can be the boundary, whatever text the event has.
    made["MIME-Version"] = "1.0"
    made["Content-Type"] = "multipart/alternative"
    made.set_boundary(f"=_{message.id.hex}")
    for part in message.once("email", lambda: [*make_parts(summary)]):
        made.attach(part)
    return made


def make_parts(summary: Summary) -> Iterator[EmailMessage]:
    """Yield the event as plain text and as HTML."""
    text = f"{render_heading(summary, MAX_SUBJECT)}\n\n{render_letter(summary, MAX_TEXT, ROWS, COLUMNS)}\n"
    for words, subtype in ((text, "plain"), (make_html(summary), "html")):
        part = EmailMessage(POLICY)
        part.set_content(words, subtype=subtype, cte="quoted-printable")
        if subtype == "plain":
            del part["MIME-Version"]
        yield part


def make_subject(summary: Summary) -> str:
    """Return the subject. It begins no RFC 2047 word, because such a word could hide line breaks."""
    told = cut(f"[{render_line(render_state(summary))}] {render_heading(summary, MAX_SUBJECT)}", MAX_SUBJECT)
    return told.replace("=?", "= ?")


def name_thread(message: Message) -> str:
    """Return the name of the incident's thread. It is the same in all its mails."""
    incident = f"{message.tenant_id}/{message.summary.dedup_key or message.id}"
    return f"incident-{hashlib.sha256(incident.encode()).hexdigest()[:32]}"


def make_html(summary: Summary) -> str:
    """Return the event as simple HTML. All its values are escaped."""
    parts = [
        f"<h2>{escape_html(render_heading(summary, MAX_SUBJECT))}</h2>",
        f"<p><b>{escape_html(render_state(summary))}</b></p>",
    ]
    if summary.text.strip():
        parts.append(f'<p style="white-space:pre-wrap">{escape_html(cut(summary.text, MAX_TEXT))}</p>')
    if known := render_pairs(summary):
        parts.append(make_rows([[label, cut(value, 1_000)] for label, value in known]))
    if lines := render_rows(summary, ROWS, COLUMNS, CELL):
        parts += [make_rows(lines), f"<p>{render_left_out(summary, len(lines) - 1)}</p>"]
    parts += [
        f'<p><a href="{escape(url)}">{escape_html(cut(label, 100))}</a></p>' for label, url in find_links(summary)
    ]
    if summary.tags:
        parts.append(f"<p><small>{escape_html(cut(render_line(' · '.join(summary.tags)), 500))}</small></p>")
    return "<html><body>\n" + "\n".join(parts) + "\n</body></html>\n"


def make_rows(lines: Sequence[Sequence[str]]) -> str:
    """Return a table of these lines."""
    cells = ("".join(f"<td>{escape_html(cell)}</td>" for cell in line) for line in lines)
    return '<table border="1" cellpadding="4">\n' + "".join(f"<tr>{row}</tr>\n" for row in cells) + "</table>"


def escape_html(text: str) -> str:
    """Return `text` without markup and invisible characters."""
    return escape(drop_invisible(text))
