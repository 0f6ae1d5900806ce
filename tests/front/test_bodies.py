"""Bodies arrive as they were meant, chunked and packed or not, and none that is larger than the bound."""

from __future__ import annotations

import contextlib
import gzip
import json
import threading
import time
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as some

from eventsinks.actions import configure
from eventsinks.front.inflate import Bomb, Corrupt, inflate
from eventsinks.models import Event
from tests.front.conftest import ALERT, head, read_answer, says_both

PATH = "POST /v1/detection_alert"
LIMIT = 4 * 1024 * 1024
SMALL = b'{"id": "1", "name":  "Root login", "severity": "High"}'
LARGE = json.dumps(
    {"id": "1", "name": "Root login", "severity": "High", "description": "é" * 200_000}, ensure_ascii=False
).encode()

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(scope="module")
def server(serve):
    return serve(EVENTSINKS_MAX_BODY_BYTES=str(LIMIT), EVENTSINKS_HELD_BYTES=str(LIMIT * 8))


def kept():
    """Return the alerts that were kept, to the byte."""
    return [bytes(data) for data in Event.objects.filter(type="detection_alert").values_list("data", flat=True)]


def chunked(body, size):
    """Return a body in chunks."""
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x;extension\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\nX: y\r\n\r\n"


def deflated(body):
    """Return a body that is packed as no HTTP client should."""
    return zlib.compress(body)


@pytest.mark.parametrize("coding", ["gzip", "x-gzip", "GZip", "identity", ""])
@pytest.mark.parametrize("size", [None, 1, 7, 65_536])
def test_a_body_is_kept_to_the_byte_however_it_came(server, acme_key, coding, size):
    body = SMALL if size == 1 else LARGE
    sent = gzip.compress(body) if "zip" in coding.lower() else body
    headers = [f"Content-Encoding: {coding}", "Content-Type: application/json"]
    if size is None:
        with server.connect(head(PATH, *headers, f"Content-Length: {len(sent)}", key=acme_key) + sent) as client:
            answer = read_answer(client)
    else:
        with server.connect(head(PATH, *headers, "Transfer-Encoding: chunked", key=acme_key)) as client:
            client.sendall(chunked(sent, size))
            answer = read_answer(client)
    assert answer[0] == 200, answer
    assert kept() == [body]


PACKED = gzip.compress(LARGE)
REFUSED = {
    "deflate": ("deflate", deflated(ALERT), 415),
    "brotli": ("br", b"x", 415),
    "zstd": ("zstd", b"x", 415),
    "compress": ("compress", b"x", 415),
    "twice": ("gzip, gzip", gzip.compress(gzip.compress(ALERT)), 415),
    "gzip and identity": ("identity, gzip", gzip.compress(ALERT), 415),
    "a bomb": ("gzip", gzip.compress(bytes(LIMIT + 1)), 413),
    "a large bomb": ("gzip", gzip.compress(bytes(200_000_000)), 413),
    "a bomb in parts": ("gzip", gzip.compress(bytes(LIMIT // 2 + 1)) * 2, 413),
    "too many parts": ("gzip", gzip.compress(b"") * 500, 400),
    "plain": ("gzip", ALERT, 400),
    "zlib": ("gzip", deflated(ALERT), 400),
    "cut off": ("gzip", PACKED[:-9], 400),
    "cut off in the middle": ("gzip", PACKED[: len(PACKED) // 2], 400),
    "its head only": ("gzip", PACKED[:10], 400),
    "a wrong sum": ("gzip", PACKED[:-8] + b"\0" * 8, 400),
    "something after": ("gzip", PACKED + b"{}", 400),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_can_not_be_inflated_within_the_bound_is_refused_and_not_kept(server, acme_key, name):
    coding, sent, status = REFUSED[name]
    answer = server.ask(PATH, f"Content-Encoding: {coding}", body=sent, key=acme_key)
    headers = says_both(answer, status)
    assert ("accept-encoding" in headers) is (status == 415)
    assert headers.get("accept-encoding", "gzip") == "gzip"
    assert not kept()


def test_a_body_up_to_the_bound_is_taken_and_one_byte_more_is_not(server, acme_key):
    lines = (ALERT + b"\n") * (LIMIT // (len(ALERT) + 1))
    full = lines + b" " * (LIMIT - len(lines))
    ndjson = "Content-Type: application/x-ndjson"
    for body, status in ((full[: 9_000 * (len(ALERT) + 1)], 200), (full + b" ", 413)):
        for coding, sent in (("identity", body), ("gzip", gzip.compress(body))):
            headers = [ndjson, f"Content-Encoding: {coding}", f"Content-Length: {len(sent)}"]
            with server.connect(head(PATH, *headers, key=acme_key)) as client:
                client.sendall(sent)
                assert read_answer(client)[0] == status, (coding, status)


def test_a_chunked_body_over_the_bound_is_refused_before_it_ends(server, acme_key):
    with server.connect(head(PATH, "Transfer-Encoding: chunked", key=acme_key)) as client:
        chunk = b"100000\r\n" + b" " * 0x100000 + b"\r\n"
        for _ in range(5):
            client.sendall(chunk)
        says_both(read_answer(client), 413)


def test_a_get_with_a_body_reaches_its_view_with_it(server, acme, acme_key, make_webhook):
    for number in range(3):
        make_webhook(name=f"number {number}")
    body = json.dumps({"tenant_id": str(acme.id), "pagination": {"page_size": 2}}).encode()
    status, _, said = server.ask("GET /v1/event_sink", body=body, key=acme_key)
    assert (status, len(json.loads(said)["event_sinks"])) == (200, 2)
    wrong = json.dumps({"tenant_id": "00000000-0000-4000-8000-000000000000"}).encode()
    assert server.ask("GET /v1/event_sink", body=wrong, key=acme_key)[0] != 200


def test_a_chunked_body_is_read_at_api_too(server, acme, acme_key, globex_key):
    made = configure.create(acme, "generic_http", {"url": "https://example.com"}, name="x", enabled=False)
    put = f"PUT /api/event-streaming/{made.pk}"
    body = json.dumps({"enabled": False}).encode()
    headers = ["Transfer-Encoding: chunked", "Content-Type: application/json"]
    with server.connect(head(put, *headers, key=acme_key) + chunked(body, 3)) as client:
        assert read_answer(client)[0] == 200


def test_many_bombs_keep_nobody_waiting(server, acme_key, globex_key):
    bomb = gzip.compress(bytes(100_000_000))
    headers = ["Content-Encoding: gzip", "Content-Type: application/json", f"Content-Length: {len(bomb)}"]
    assert server.ask("GET /v1/event_sink", key=globex_key)[0] == 200

    def send():
        for _ in range(20):
            with server.connect(head(PATH, *headers, key=acme_key) + bomb) as client:
                assert read_answer(client)[0] == 413

    senders = [threading.Thread(target=send) for _ in range(8)]
    for sender in senders:
        sender.start()
    while any(sender.is_alive() for sender in senders):
        began = time.monotonic()
        assert server.answers()
        assert server.ask("GET /v1/event_sink", key=globex_key)[0] == 200
        assert time.monotonic() - began < 5


@given(some.lists(some.binary(max_size=300_000), min_size=1, max_size=4), some.integers(0, 9))
def test_what_was_packed_is_inflated_to_the_byte(parts, level):
    body = b"".join(parts)
    packed = b"".join(gzip.compress(part, level) for part in parts)
    assert inflate(packed, len(body)) == body
    if body:
        with pytest.raises(Bomb):
            inflate(packed, len(body) - 1)


@given(some.binary(max_size=2000), some.integers(0, 200), some.binary(min_size=1, max_size=3))
def test_what_is_broken_is_told_as_broken_or_as_too_large(body, position, put):
    packed = gzip.compress(body)
    broken = packed[:position] + put + packed[position + len(put) :]
    with contextlib.suppress(Corrupt, Bomb):
        assert len(inflate(broken, 10_000)) <= 10_000
