"""URLs on the wire: ASCII only, whatever a person typed."""

from __future__ import annotations

import re
from urllib.parse import quote

from eventsinks.lib.net.addresses import parse_ip, parse_url

# Characters that stay: those that a URL may contain (https://www.rfc-editor.org/rfc/rfc3986#section-2), and `%` of
# a text that is encoded already.
SAFE = "%!#$&'()*+,/:;=?@[]~"
PARTS = re.compile(r"(https?)://([^/?#]+)(.*)", re.IGNORECASE | re.DOTALL)
MAX_HOST, MAX_LABEL = 253, 63  # characters (https://www.rfc-editor.org/rfc/rfc1035#section-2.3.4)


def encode_url(url: str) -> str:
    """Return `url` as it is sent: the host in Punycode, other letters percent-encoded, the rest unchanged.

    Raises ValueError, with a reason fit for a user, for a URL that can't be sent.
    """
    parsed, parts = parse_url(url), PARTS.fullmatch(url)
    if parts is None or not parsed.host:
        raise ValueError("a URL must name a host after http:// or https://")
    scheme, authority, rest = parts.groups()
    check_host(parsed.host)
    if not authority.isascii() or "%" in authority:
        authority = parsed.host + (f":{port[1]}" if (port := re.search(r":(\d+)$", authority)) else "")
    try:
        return f"{scheme}://{authority}{quote(rest, safe=SAFE)}"
    except UnicodeEncodeError:
        raise ValueError("a URL must not contain half of a surrogate pair") from None


def check_host(host: str) -> None:
    """Raise ValueError for a name that can't be in the DNS."""
    labels = host.removesuffix(".").split(".")
    fits = len(host) <= MAX_HOST and all(0 < len(label) <= MAX_LABEL for label in labels)
    if not fits and parse_ip(host.strip("[]")) is None:
        raise ValueError(
            f"the host of a URL has parts of 1 to {MAX_LABEL} characters between its dots, and {MAX_HOST} in all"
        )
