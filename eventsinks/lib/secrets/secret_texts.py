"""Secret texts: which parts of a value or a URL reveal a secret, and how to show a URL without them.

We show the host and the path of a URL. We mask credentials, the query's values that are named or look like tokens,
and the parts of the path that only the sender may know: everything after the known webhook paths of services, and
what looks like a token in other paths.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import unquote, unquote_plus

from eventsinks.lib.secrets.redact import MASK

PIECE = 8  # characters of the shortest part of a secret that counts as a secret itself
BETWEEN = re.compile(r"[\s;,='\"&/?:@|]+")
URL = re.compile(r"(https?://)(?:([^/?#@]*)@)?([^/?#]*)([^?#]*)(\?[^#]*)?(#.*)?", re.IGNORECASE | re.DOTALL)
NAMED = re.compile(
    r"token|key|secret|^sig|signature|^code$|auth|pass|pwd|credential|jwt|hmac|session|^sid$|bearer", re.IGNORECASE
)
PAIR = re.compile(r"([?#&;])([^&;=]*)(?:(=)([^&;]*))?")  # of a query or a fragment: mark, name, =, value
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
# One run of letters and digits that no person chose, at least as long as the shortest tokens.
RANDOM = re.compile(r"(?=[A-Za-z]*[0-9])(?=[0-9]*[A-Za-z])[A-Za-z0-9]{16,}")
MIXED = re.compile(r"(?=[a-z]*[A-Z])(?=[A-Z]*[a-z])[A-Za-z]{24,}")
# Hosts where services accept webhooks, each with the path before its secret.
WEBHOOKS = tuple(
    (re.compile(host), re.compile(path, re.IGNORECASE))
    for host, path in (
        (r"(^|\.)slack(-gov)?\.com$", r"/(services|workflows|triggers)/"),
        (r"(^|\.)(webhook\.office|outlook\.office(365)?)\.com$", r"/webhook(b2)?/"),
        (r"(^|\.)(logic\.azure|azure-apihub|powerplatform|powerautomate)\.", r"/(.*/)?workflows/"),
        (r"(^|\.)discord(app)?\.com$", r"/api(/v[0-9]+)?/webhooks/[0-9]+/"),
        (r"(^|\.)tines\.(com|io)$", r"/webhook/"),
        (r"^hooks\.zapier\.com$", r"/hooks/catch/"),
        (r"^hooks?\.[a-z0-9.]*(make|integromat|torq)\.(com|io)$", r"/(v1/webhooks/)?"),
        (r"^api\.telegram\.org$", r"/(?=bot)"),
        (r"^events\.(eu\.)?pagerduty\.com$", r"/(integration|x-ere)/"),
        (r"^alert\.victorops\.com$", r"/integrations/[a-z]+/[0-9]+/alert/"),
        (r"^maker\.ifttt\.com$", r"/trigger/[^/]+/(json/)?with/key/"),
        (r"(^|\.)(feishu\.cn|larksuite\.com)$", r"/open-apis/bot/(v2/)?hook/"),
        (r"^webhook\.site$", r"/"),
    )
)
# Parts of webhook paths that are the same for everybody.
WORDS = frozenset(
    ["webhooks", "services", "workflows", "triggers", "manual", "webhookb2", "incomingwebhook", "paths", "invoke"]
)


class Parts(NamedTuple):
    """The parts of a URL. Joined, they are the URL again."""

    scheme: str
    user: str | None
    host: str
    path: str
    query: str
    fragment: str

    @property
    def url(self) -> str:
        """The URL of these parts."""
        user = "" if self.user is None else f"{self.user}@"
        return f"{self.scheme}{user}{self.host}{self.path}{self.query}{self.fragment}"


def split_url(url: str) -> Parts | None:
    """Return the parts of a URL, None for a text that is not one."""
    match = URL.fullmatch(url)
    if match is None:
        return None
    scheme, user, host, path, query, fragment = match.groups()
    return Parts(scheme, user, host, path, query or "", fragment or "")


def mask_url(url: str) -> str:
    """Return a URL with `****` in place of each secret, as it is shown."""
    parts = split_url(url)
    if parts is None:
        return url
    return parts._replace(
        user=None if parts.user is None else MASK,
        path="/".join(MASK if secret else segment for segment, secret in split_segments(parts)),
        query=mask_pairs(parts.query),
        fragment=mask_pairs(parts.fragment),
    ).url


def unmask_url(before: str, after: str) -> str:
    """Return `after` with each `****` replaced by the text at the same place in `before`, or unchanged if none."""
    was, now = split_url(before), split_url(after)
    if was is None or now is None or MASK not in after:
        return after
    old, new = was.path.split("/"), now.path.split("/")
    path = [old[at] if part == MASK and at < len(old) else part for at, part in enumerate(new)]
    return now._replace(
        user=was.user if now.user == MASK else now.user,
        path="/".join(path),
        query=unmask_pairs(was.query, now.query),
        fragment=unmask_pairs(was.fragment, now.fragment),
    ).url


def split_segments(parts: Parts) -> Iterator[tuple[str, bool]]:
    """Yield each segment of a path, and whether it is secret."""
    host = split_host(parts.host)[0].lower().rstrip(".")
    known = [path.match(parts.path) for of, path in WEBHOOKS if of.search(host)]
    public = min((match.end() for match in known if match), default=len(parts.path))
    at = 0
    for segment in parts.path.split("/"):
        behind = at >= public and segment.lower() not in WORDS
        yield segment, bool(segment) and segment != MASK and (behind or looks_random(segment))
        at += len(segment) + 1


def mask_pairs(text: str) -> str:
    """Return a query or a fragment with the secret values masked: those that are named or look like tokens."""
    return PAIR.sub(_mask_pair, text)


def _mask_pair(pair: re.Match[str]) -> str:
    before, name, equals, value = pair.groups()
    if not equals:
        return before + (MASK if looks_random(name) else name)
    return f"{before}{name}={MASK if is_secret_pair(name, value) else value}"


def is_secret_pair(name: str, value: str) -> bool:
    """Whether the value in a query is a secret."""
    return bool(value) and (bool(NAMED.search(unquote_plus(name))) or looks_random(value))


def unmask_pairs(before: str, after: str) -> str:
    """Return a query with each masked value replaced by the next value of that name in `before`."""
    kept: dict[str, list[str]] = {}
    for _, name, equals, value in PAIR.findall(before):
        kept.setdefault(name if equals else "", []).append(value if equals else name)

    def unmasked(pair: re.Match[str]) -> str:
        name = pair[2] if pair[3] else ""
        values = kept.get(name, [])
        masked = (pair[4] if pair[3] else pair[2]) == MASK
        value = values.pop(0) if values else None
        return pair[0] if not masked or value is None else f"{pair[1]}{name}{pair[3] or ''}{value}"

    return PAIR.sub(unmasked, after)


def looks_random(text: str) -> bool:
    """Whether a text is an id or a token, which no person chose."""
    text = unquote(text)
    return bool(UUID.search(text) or RANDOM.search(text) or MIXED.search(text))


def get_origin(url: str) -> tuple[str, str, str]:
    """Return scheme, host and port of a URL in one spelling."""
    parts = split_url(url)
    if parts is None:
        return "", url, ""
    scheme, (host, port) = parts.scheme.lower(), split_host(parts.host)
    return scheme, host.lower().rstrip("."), (port.lstrip("0") or {"http://": "80", "https://": "443"}[scheme])


def split_host(text: str) -> tuple[str, str]:
    """Return host and port, "" for no port. The host may be an IPv6 address in brackets."""
    host, colon, port = text.rpartition(":")
    return (host, port) if colon and (port.isdigit() or not port) else (text, "")


def find_url_secrets(url: str, *, wholly: bool = False) -> Iterator[str]:
    """Yield the secrets in a URL. With `wholly`, all that is the URL's own after the host is secret."""
    parts = split_url(url)
    if parts is None:
        return
    found = [segment for segment, secret in split_segments(parts) if secret]
    if wholly:
        yield from (parts.path + parts.query, parts.path.strip("/"))
        found += [part for part in parts.path.split("/") if len(part) >= PIECE and part.lower() not in WORDS]
    if parts.user:
        found += [parts.user, parts.user.partition(":")[2]]
    for _, name, equals, value in PAIR.findall(parts.query + parts.fragment):
        if is_secret_pair(name, value) or (not equals and looks_random(name)):
            found.append(value if equals else name)
    for text in filter(lambda text: text not in ("", MASK), found):
        yield from {text, unquote(text), unquote_plus(text)}


def split_secret(secret: str) -> Iterator[str]:
    """Yield a secret, and its parts that are secrets themselves.

    For a URL these are the parts after its host, for a JSON object its values, for an `Authorization` its
    credentials.
    """
    if split_url(secret):
        yield from find_url_secrets(secret, wholly=True)
        return
    if secret.startswith("{"):
        yield from (text for leaf in read_json_leaves(secret) for text in split_secret(leaf))
        return
    yield secret
    scheme, _, rest = secret.partition(" ")
    if rest and re.fullmatch(r"[A-Za-z0-9-]{1,20}", scheme):
        yield rest.strip()
        if scheme.lower() == "basic":
            yield from decode_credentials(rest)
    yield from (piece for piece in BETWEEN.split(secret) if len(piece) >= PIECE)


def decode_credentials(encoded: str) -> Iterator[str]:
    """Decode the credentials after `Basic`. Yield user and password together, then the password."""
    try:
        pair = base64.b64decode(encoded, validate=True).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        return
    yield pair
    yield pair.partition(":")[2]


def read_json_leaves(text: str) -> Iterator[str]:
    """Yield each text in a JSON document, or the text itself if it is not JSON."""
    try:
        yield from _leaves(json.loads(text))
    except ValueError:
        yield text


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for child in children:
        yield from _leaves(child)
