"""Redaction: masks secrets by value, anywhere in a text that a person will see.

Others send our secrets back in their own forms: percent-encoded, escaped as JSON or HTML, in base64 or
hexadecimal, over several lines, or cut off in the middle. So we search a text as it is, and again after undoing
its escapes. We search for the base64 of a secret in each form that the bytes before it can give it.

We do not mask what is shorter than four bytes, or a word that appears in many answers.
"""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

MASK = "****"
SHORTEST = 4  # bytes of the shortest secret that is masked
SURE = 8  # bytes of the shortest text that counts as a part of a secret, or as one with other white space
COMMON = frozenset(
    b"application/json application/x-ndjson text/plain utf-8 true false null none json text html http https post "
    b"basic bearer token test webhook success error message status".split()
)
ESCAPE = re.compile(
    rb"%[0-9a-f]{2}|\\ud[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2}|\\u[0-9a-f]{4}|\\x[0-9a-f]{2}|\\[\"\\/bfnrt']"
    rb"|&#[0-9]{1,7};|&#x[0-9a-f]{1,6};|&[a-z]{2,8};",
    re.IGNORECASE,
)
HALF_ESCAPE = re.compile(rb"(?:%[0-9a-f]?|\\(?:u[0-9a-f]{0,3})?|&(?:#?x?[0-9a-z]{0,7}))\Z", re.IGNORECASE)
CONTROLS = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t"}
ROUNDS = 3  # levels of nested escapes that are undone
ELLIPSIS = "…".encode()  # marks where we cut a text
CUTS = 3  # ends where half a secret is searched for: the end of the text, and ellipses
LOOKS = 32  # places before such an end where half a secret may begin
ALPHABET = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789+/-_")


class SecretForm(NamedTuple):
    """What is looked for, in lower case; `is_base64` says that the signs beside it hold a bit of it too."""

    text: bytes
    is_base64: bool = False


class TextView(NamedTuple):
    """A text as it reads, in lower case, and where each of its bytes begins and ends in the text as it came."""

    text: bytes
    starts: list[int] | range
    ends: list[int] | range


class Redactor:
    """Masks the secrets that it was made with. Make it once: it computes each form of them."""

    def __init__(self, secrets: Iterable[str | bytes] = ()) -> None:
        found = {needle for secret in secrets for needle in make_needles(secret)}
        self._needles = sorted(found, key=lambda needle: (-len(needle.text), needle))
        squeezed = {(squeeze(needle.text), needle.is_base64) for needle in found}
        self._squeezed = sorted(SecretForm(*one) for one in squeezed if len(one[0]) >= SURE)
        self._last = (b"", b"")  # what was masked last, and how: a far end mostly answers the same

    def mask(self, text: str) -> str:
        """Return `text` with `****` in place of every secret."""
        if not self._needles or not text:
            return text
        return self.mask_bytes(text.encode("utf-8", "surrogatepass")).decode("utf-8", "replace")

    def mask_bytes(self, data: bytes) -> bytes:
        """Return `data` with `****` in place of every secret."""
        if not self._needles or len(data) < SHORTEST:
            return data
        seen, known = self._last
        if seen != data:
            known = self._masked(data)
            self._last = data, known
        return known

    def _masked(self, data: bytes) -> bytes:
        spans: list[tuple[int, int]] = []
        for view in make_views(data):
            spans += find_spans(view, self._needles)
            if (dense := make_view_without_space(view)) is not None:
                spans += find_spans(dense, self._squeezed)
        return mask_spans(data, spans)


def make_needles(secret: str | bytes) -> Iterator[SecretForm]:
    """Yield every form of a secret that is looked for."""
    for raw in encode_secret(secret):
        raw = raw.strip()
        if len(raw) < SHORTEST or raw.lower() in COMMON:
            continue
        yield SecretForm(raw.lower())
        yield SecretForm(raw.hex().encode())
        if b" " in raw:
            yield SecretForm(raw.replace(b" ", b"+").lower())
        for text in encode_base64(raw):
            yield SecretForm(text.lower(), is_base64=True)


def encode_secret(secret: str | bytes) -> set[bytes]:
    """Return a secret as bytes, in each encoding that a header or a body may have."""
    if isinstance(secret, bytes):
        return {secret}
    found = {secret.encode("utf-8", "surrogatepass")}
    if not secret.isascii() and all(ord(character) < 256 for character in secret):
        found.add(secret.encode("latin-1"))
    return found


def encode_base64(raw: bytes) -> Iterator[bytes]:
    """Yield the base64 characters that depend only on `raw`, in both alphabets, after 0, 1 and 2 other bytes."""
    for before in range(3):
        whole = base64.b64encode(bytes(before) + raw)
        ours = whole[-(-8 * before // 6) : 8 * (before + len(raw)) // 6]
        if len(ours) >= SHORTEST + 1:
            yield ours
            yield ours.translate(bytes.maketrans(b"+/", b"-_"))


def make_views(data: bytes) -> Iterator[TextView]:
    """Yield the text as it is, and as it reads with its escapes undone once, twice, …"""
    view = TextView(data.lower(), range(len(data)), range(1, len(data) + 1))
    raw = data
    for _ in range(ROUNDS):
        yield view
        if not ESCAPE.search(raw):
            return
        raw, view = unescape(raw, view)
    yield view


def unescape(raw: bytes, view: TextView) -> tuple[bytes, TextView]:
    """Return the text with its escapes undone once, and its view."""
    parts: list[bytes] = []
    starts: list[int] = []
    ends: list[int] = []
    at = 0
    for match in ESCAPE.finditer(raw):
        parts.append(raw[at : match.start()])
        starts += view.starts[at : match.start()]
        ends += view.ends[at : match.start()]
        at = match.end()
        meant = read_escape(match[0])
        parts.append(meant)
        starts += [view.starts[match.start()]] * len(meant)
        ends += [view.ends[at - 1]] * len(meant)
    parts.append(raw[at:])
    whole = b"".join(parts)
    return whole, TextView(whole.lower(), [*starts, *view.starts[at:]], [*ends, *view.ends[at:]])


def read_escape(escape: bytes) -> bytes:
    """Return what one escape stands for, or the escape itself if it stands for nothing."""
    if escape[:1] == b"%" or escape[:2] in (b"\\x", b"\\X"):
        return bytes.fromhex(escape[-2:].decode())
    if escape[:1] == b"&":
        return html.unescape(escape.decode()).encode("utf-8", "surrogatepass")
    if escape[:2] in (b"\\u", b"\\U"):
        units = bytes.fromhex("".join(escape.decode()[at + 2 : at + 6] for at in range(0, len(escape), 6)))
        return units.decode("utf-16-be", "surrogatepass").encode("utf-8", "surrogatepass")
    return CONTROLS.get(escape[1:], escape[1:])


def squeeze(text: bytes) -> bytes:
    """Return `text` without white space."""
    return b"".join(text.split())


def make_view_without_space(view: TextView) -> TextView | None:
    """Return the view without white space; None where there is none in it."""
    kept = [at for at, byte in enumerate(view.text) if byte not in b" \t\r\n\f\v"]
    if len(kept) == len(view.text):
        return None
    return TextView(squeeze(view.text), [view.starts[at] for at in kept], [view.ends[at] for at in kept])


def find_spans(view: TextView, needles: Iterable[SecretForm]) -> Iterator[tuple[int, int]]:
    """Yield where in the text as it came a needle stands, or the beginning of one where the text is cut."""
    cuts = find_cuts(view.text)
    for needle in needles:
        for start, end in (*find_whole(view.text, needle.text), *find_halves(view.text, needle.text, cuts)):
            if needle.is_base64:
                start, end = start - belongs(view, start - 1, start), end + belongs(view, end, end - 1)
            yield view.starts[start], view.ends[end - 1]


def belongs(view: TextView, at: int, beside: int) -> bool:
    """Whether a sign of base64 is `at`, right beside another."""
    if not 0 <= at < len(view.text) or view.text[at] not in ALPHABET:
        return False
    first, second = sorted((at, beside))
    return view.ends[first] >= view.starts[second]


def find_whole(text: bytes, needle: bytes) -> Iterator[tuple[int, int]]:
    """Yield where a text contains a needle."""
    at = text.find(needle)
    while at >= 0:
        yield at, at + len(needle)
        at = text.find(needle, at + len(needle))


def find_halves(text: bytes, needle: bytes, cuts: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Yield where at least SURE first bytes of a needle stand directly before a cut."""
    if len(needle) <= SURE:
        return
    head = needle[:SURE]
    for cut in cuts:
        at = text.find(head, max(0, cut - len(needle) + 1), cut)
        for _ in range(LOOKS):
            if at < 0:
                break
            if needle.startswith(text[at:cut]):
                yield at, cut
                break
            at = text.find(head, at + 1, cut)


def find_cuts(text: bytes) -> list[int]:
    """Return where the text may have been cut: at its end, before half an escape there, and before an ellipsis."""
    half = HALF_ESCAPE.search(text, max(0, len(text) - 10))
    found = [half.start() if half else len(text)]
    at = text.find(ELLIPSIS)
    while at >= 0 and len(found) < CUTS:
        found.append(at)
        at = text.find(ELLIPSIS, at + 1)
    return found


def mask_spans(data: bytes, spans: Iterable[tuple[int, int]]) -> bytes:
    """Return `data` with a mask over every span. Spans that overlap or touch get one mask."""
    parts: list[bytes] = []
    at = 0
    for start, end in sorted(spans):
        if start > at or not parts:
            parts += [data[at:start], MASK.encode()]
        at = max(at, end)
    return b"".join([*parts, data[at:]]) if parts else data
