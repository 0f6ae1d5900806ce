"""Mail over the one way out: it goes only to the operator's own server.

A Request with the method MAIL has the server's address as URL, the envelope as headers, and the message as body.
The address guard is not asked, because the server may well be internal; we check instead that it is the
operator's. No tenant names a server, and no HTTP request can reach this one if it is internal.
"""

from __future__ import annotations

import re
from io import BytesIO
from typing import Any, ClassVar, NamedTuple, Self
from urllib.parse import unquote, urlsplit

import pycurl

from eventsinks.lib.net.call import Call, Opened, Outcome
from eventsinks.lib.net.wire import Request, Response

MAIL = "MAIL"  # the method of such a request
FROM, TO = "MAIL FROM", "RCPT TO"  # its headers: one sender, and each recipient
PORTS = {"smtp": 25, "smtp+starttls": 587, "smtps": 465}
ADDRESS = re.compile(r"[!-;=?-~]{1,254}")  # so that no space, line break or angle bracket can end a command early
# A mail address as people write it: a name, and a host of labels
# (https://html.spec.whatwg.org/#valid-e-mail-address).
LABEL = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
MAILBOX = re.compile(rf"[A-Za-z0-9.!#$%&'*+/=?^_`{{|}}~-]{{1,64}}@{LABEL}(?:\.{LABEL})*")
MAX_REPLIES = 200  # lines from the server that are kept
ALLOW_FAILS = 290  # CURLOPT_MAIL_RCPT_ALLOWFAILS, which pycurl does not name: a server may refuse some recipients
# libcurl's errors when the server has said no.
ANSWERED_NO = frozenset(
    [
        pycurl.E_SEND_ERROR,
        pycurl.E_FTP_WEIRD_SERVER_REPLY,
        pycurl.E_LOGIN_DENIED,
        pycurl.E_USE_SSL_FAILED,
        pycurl.E_REMOTE_ACCESS_DENIED,
        pycurl.E_QUOTE_ERROR,
    ]
)


class Server(NamedTuple):
    """The operator's mail server. With `smtp+starttls` we send nothing before the connection is encrypted."""

    scheme: str
    host: str
    port: int
    user: str = ""
    password: str = ""

    @classmethod
    def parse(cls, url: str) -> Self:
        """Read `smtps://user:password@host:port`. Raises ValueError, whose message does not repeat it."""
        parts = urlsplit(url)
        if parts.scheme not in PORTS or not parts.hostname or re.search(r"[\s\x00-\x1f\x7f]", url):
            raise ValueError(f"must be a URL of {', '.join(PORTS)}, with a host")
        if parts.path.strip("/") or parts.query or parts.fragment:
            raise ValueError("must end after the host and port")
        try:
            port = parts.port or PORTS[parts.scheme]
        except ValueError:  # its message would repeat what it took for a port
            raise ValueError("must have a number for its port, and its password percent-encoded") from None
        user, password = (unquote(part or "") for part in (parts.username, parts.password))
        return cls(parts.scheme, parts.hostname, port, user, password)

    @property
    def url(self) -> str:
        """The server's address, without user and password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


class MailCall(Call):
    """The mail that a handle sends. The server's replies are its answer."""

    protocols: ClassVar[int] = pycurl.PROTO_SMTP | pycurl.PROTO_SMTPS
    __slots__ = ()

    def open_socket(self, purpose: int, address: Any) -> Any:
        """Open the socket that curl asks for: `prepare_mail` permits only the operator's server."""
        return Opened(address.family, address.socktype, address.protocol)

    def keep(self, line: bytes) -> None:
        """Keep a line from the server."""
        if len(self.headers) < MAX_REPLIES:
            self.headers.append(line[:1_000])

    def outcome(self, handle: pycurl.Curl, error: tuple[int, str] | None) -> Outcome:
        """Return the outcome. A no is an answer, and its body holds the refusals and the last line."""
        ended = super().outcome(handle, error)
        code = handle.getinfo(pycurl.RESPONSE_CODE)
        if isinstance(ended, Response) or (error and error[0] in ANSWERED_NO and 400 <= code < 600):
            refused = [line for line in self.headers[:-1] if line[:1] in (b"4", b"5")]
            body = b"".join([*refused, *self.headers[-1:]])
            return Response(code, self.headers, body, ended.timings, ended.peer)
        return ended

    def left(self, handle: pycurl.Curl) -> bool:
        """Whether a part of the message was sent. Before that, no recipient gets anything."""
        return bool(handle.getinfo(pycurl.SIZE_UPLOAD_T) > 0)


def prepare_mail(handle: Any, request: Request, server: Server | None) -> None:
    """Set the options of `handle` that differ between mails.

    Raises ValueError unless the mail goes to `server` and each address is nothing but an address.
    """
    if server is None or request.url != server.url:
        raise ValueError("mail is sent through the operator's server only, and this is not the one")
    senders, recipients = ([value for name, value in request.headers if name == of] for of in (FROM, TO))
    if len(senders) != 1 or not recipients or len(request.headers) != 1 + len(recipients):
        raise ValueError("an envelope has one sender and at least one recipient, and nothing else")
    if not all(map(ADDRESS.fullmatch, (*senders, *recipients))):
        raise ValueError("an address of mail must be printable ASCII without spaces and angle brackets")
    scheme = "smtps" if server.scheme == "smtps" else "smtp"
    handle.setopt(pycurl.URL, f"{scheme}{server.url.removeprefix(server.scheme)}")
    handle.setopt(pycurl.USE_SSL, pycurl.USESSL_NONE if server.scheme == "smtp" else pycurl.USESSL_ALL)
    if server.user:
        handle.setopt(pycurl.USERNAME, server.user)
        handle.setopt(pycurl.PASSWORD, server.password)
    handle.setopt(pycurl.MAIL_FROM, f"<{senders[0]}>")
    handle.setopt(pycurl.MAIL_RCPT, [f"<{address}>" for address in recipients])
    handle.setopt(ALLOW_FAILS, 1)
    handle.setopt(pycurl.UPLOAD, 1)
    handle.setopt(pycurl.READFUNCTION, BytesIO(request.body).read)
    handle.setopt(pycurl.INFILESIZE_LARGE, len(request.body))
    handle.setopt(pycurl.HEADERFUNCTION, handle.call.keep)
