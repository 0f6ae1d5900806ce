"""Heads: checks beyond the parser's, so that a head is bounded and has one meaning only (RFC 9112)."""

from __future__ import annotations

from eventsinks.front.answers import Headers, Refusal, refuse_bad_request
from eventsinks.front.limits import HEAD_BYTES, HEADERS, URL_BYTES


class HeadSize:
    """The size of a head so far."""

    def __init__(self) -> None:
        self._url = self._bytes = self._headers = 0

    def add_url(self, count: int) -> None:
        """Add bytes of the URL. Raises Refusal for too many."""
        self._url += count
        if self._url > URL_BYTES:
            raise Refusal(414, "uri_too_long", f"the URL is longer than {URL_BYTES} bytes", "large_head")

    def add_header(self, count: int) -> None:
        """Add a header of so many bytes. Raises Refusal for too many."""
        self._headers += 1
        self._bytes += count
        if self._bytes > HEAD_BYTES or self._headers > HEADERS:
            raise self.refusal()

    @staticmethod
    def refusal() -> Refusal:
        """Return the refusal of a head that is too large."""
        said = f"the head has more than {HEADERS} headers, or {HEAD_BYTES} bytes"
        return Refusal(431, "headers_too_large", said, "large_head")


def check_head(headers: Headers, version: str, *, upgrades: bool) -> None:
    """Raise Refusal for an unclear body length, more than one host or none, and another protocol."""
    if version not in ("1.0", "1.1"):
        raise refuse_bad_request("this server speaks HTTP/1.1")
    if upgrades:
        raise refuse_bad_request("this server takes no upgrade and no tunnel", "upgrade")
    values = {name: [value for other, value in headers if other == name] for name, _ in headers}
    check_length(values, version)
    hosts = values.get(b"host", [])
    if len(hosts) > 1 or (not hosts and version == "1.1"):
        raise refuse_bad_request("a request names its host, once")


def check_length(values: dict[bytes, list[bytes]], version: str) -> None:
    """Raise Refusal unless the length of the body is certain."""
    codings, lengths = values.get(b"transfer-encoding", []), values.get(b"content-length", [])
    if len(lengths) > 1 or (codings and lengths):
        raise refuse_bad_request("the body's length is given twice", "smuggling")
    if codings and (version == "1.0" or [coding.strip().lower() for coding in codings] != [b"chunked"]):
        raise refuse_bad_request("of transfer encodings, chunked alone is taken", "smuggling")
