"""What is no proper request is refused and ends nothing but its own connection; what is one is answered."""

from __future__ import annotations

import json
import re
import time

import pytest

from tests.front.conftest import head, read_answer, says_both, until


@pytest.fixture(scope="module")
def server(serve):
    return serve(EVENTSINKS_HEAD_TIMEOUT="2", EVENTSINKS_BODY_TIMEOUT="2", EVENTSINKS_ANSWER_TIMEOUT="2")


REFUSED = {
    "noise": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    "two lengths": (head("POST /nowhere", "Content-Length: 5", "Content-Length: 5") + b"12345", 400),
    "two different lengths": (head("POST /nowhere", "Content-Length: 5", "Content-Length: 6") + b"12345", 400),
    "a list of lengths": (head("POST /nowhere", "Content-Length: 5, 5") + b"12345", 400),
    "a length below nothing": (head("POST /nowhere", "Content-Length: -5"), 400),
    "length, then chunked": (
        head("POST /nowhere", "Content-Length: 5", "Transfer-Encoding: chunked") + b"0\r\n\r\n",
        400,
    ),
    "chunked, then length": (
        head("POST /nowhere", "Transfer-Encoding: chunked", "Content-Length: 5") + b"0\r\n\r\n",
        400,
    ),
    "gzip, chunked": (head("POST /nowhere", "Transfer-Encoding: gzip, chunked") + b"0\r\n\r\n", 400),
    "chunked twice": (
        head("POST /nowhere", "Transfer-Encoding: chunked", "Transfer-Encoding: chunked") + b"0\r\n\r\n",
        400,
    ),
    "identity": (head("POST /nowhere", "Transfer-Encoding: identity") + b"0\r\n\r\n", 400),
    "chunked in disguise": (head("POST /nowhere", "Transfer-Encoding: \x0bchunked") + b"0\r\n\r\n", 400),
    "a space before the colon": (head("POST /nowhere", "Content-Length : 5") + b"12345", 400),
    "a folded header": (b"GET /nowhere HTTP/1.1\r\nHost: localhost\r\nX: a\r\n b\r\n\r\n", 400),
    "chunked in HTTP/1.0": (
        b"POST /nowhere HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    "a chunk of no size": (head("POST /nowhere", "Transfer-Encoding: chunked") + b"zz\r\n", 400),
    "two hosts": (head("GET /nowhere", "Host: other"), 400),
    "no host": (b"GET /nowhere HTTP/1.1\r\n\r\n", 400),
    "another version": (b"GET /nowhere HTTP/3.7\r\nHost: localhost\r\n\r\n", 400),
    "a websocket": (
        head("GET /nowhere", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: x"),
        400,
    ),
    "HTTP/2": (head("GET /nowhere", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c"), 400),
    "HTTP/2 at once": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "a tunnel": (b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com\r\n\r\n", 400),
    "a header of a megabyte": (head("GET /nowhere", f"X: {'x' * 1_000_000}"), 431),
    "a thousand headers": (head("GET /nowhere", *[f"X-{number}: x" for number in range(1000)]), 431),
    "a header's name of a megabyte": (head("GET /nowhere", f"{'x' * 1_000_000}: x"), 431),
    "a URL of a megabyte": (head(f"GET /{'x' * 1_000_000}"), 414),
    "a URL that never ends": (b"GET /" + b"x" * 1_000_000, 414),
    "a header that never ends": (b"GET / HTTP/1.1\r\nX: " + b"x" * 1_000_000, 431),
    "chunks that are all framing": (
        head("POST /nowhere", "Transfer-Encoding: chunked") + b"1;" + b"x" * 300_000 + b"\r\nx\r\n",
        400,
    ),
    "a body over the limit": (head("POST /nowhere", "Content-Length: 999999999999"), 413),
    "half a head": (b"GET /nowhere HTTP/1.1\r\nHo", 408),
    "half a body": (head("POST /nowhere", "Content-Length: 100") + b"half", 408),
    "a body chunked without end": (head("POST /nowhere", "Transfer-Encoding: chunked") + b"4\r\nhalf\r\n", 408),
    "chunks, then headers without end": (
        head("POST /nowhere", "Transfer-Encoding: chunked") + b"0\r\nX: y\r\n",
        408,
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_proper_request_is_refused_and_its_connection_ends(server, name):
    sent, status = REFUSED[name]
    with server.connect() as client:
        client.sendall(sent)
        headers = says_both(read_answer(client), status)
        assert headers["connection"] == "close"
        assert client.recv(100) == b"", "the connection ends"


ANSWERED = {
    "HTTP/1.0": b"GET /nowhere HTTP/1.0\r\n\r\n",
    "HTTP/1.0 with a body": b"POST /nowhere HTTP/1.0\r\nContent-Length: 4\r\n\r\nbody",
    "chunked": head("POST /nowhere", "Transfer-Encoding: chunked") + b"4\r\nbody\r\n0\r\n\r\n",
    "chunked with something after": head("POST /nowhere", "Transfer-Encoding: chunked")
    + b"4\r\nbody\r\n0\r\nAuthorization: Bearer x\r\n\r\n",
    "lines before": b"\r\n\r\n" + head("GET /nowhere"),
    "the whole address": b"GET http://localhost/nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "bytes that are no text": b"GET /nowhere%FF%00?%FF HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a length of nothing": head("POST /nowhere", body=b""),
}


@pytest.mark.parametrize("name", ANSWERED)
def test_what_is_a_request_is_answered_by_django(server, name):
    with server.connect(ANSWERED[name]) as client:
        says_both(read_answer(client), 404)


def test_what_follows_a_chunked_body_is_no_header(server):
    sent = head("POST /v1/event_sink", "Transfer-Encoding: chunked")
    with server.connect(sent + b"0\r\nX-Request-Id: forged\r\nAuthorization: Bearer x\r\n\r\n") as client:
        status, headers, body = read_answer(client)
    assert (status, json.loads(body)["error"]["code"]) == (401, "not_authenticated")
    assert headers["x-request-id"] != "forged"


def test_one_who_expects_it_is_told_to_go_on_unless_the_body_is_too_large(server):
    with server.connect(head("POST /nowhere", "Expect: 100-continue", "Content-Length: 4")) as client:
        assert client.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"body")
        says_both(read_answer(client), 404)
    with server.connect(head("POST /nowhere", "Expect: 100-continue", "Content-Length: 999999999")) as client:
        says_both(read_answer(client), 413)


def test_requests_in_a_row_are_answered_in_their_order(server):
    paths = ["/healthz", "/nowhere", "/readyz?x", "/healthz", "/nowhere"]
    sent = [head(f"GET {path}", f"X-Request-Id: number-{number}") for number, path in enumerate(paths)]
    with server.connect(b"".join(sent)) as client:
        came = b""
        while came.count(b"HTTP/1.1 ") < len(paths):
            came += client.recv(65536)
    assert re.findall(rb"number-\d", came) == [b"number-%d" % number for number in range(len(paths))]


def test_what_is_broken_after_a_proper_request_does_not_take_its_answer(server):
    with server.connect(head("GET /readyz") + b"noise\r\n\r\n") as client:
        assert read_answer(client)[0] in (200, 503)
        client.settimeout(10)


def test_a_thousand_requests_in_a_row_are_not_kept_waiting(server):
    with server.connect(head("GET /nowhere") * 1000) as client:
        assert read_answer(client)[0] == 404
    assert server.answers()


def test_a_refusal_reaches_one_who_goes_on_sending(server):
    """It would be lost if the connection were reset while the client still sends."""
    with server.connect(head("POST /nowhere", "Content-Length: 99999999")) as client:
        client.sendall(b"x" * 4_000_000)
        says_both(read_answer(client), 413)


@pytest.mark.parametrize(
    "begun", [head("POST /nowhere", "Content-Length: 1000"), b"GET / HTTP/1.1\r\nX: "], ids=["body", "head"]
)
def test_what_is_drip_fed_has_the_same_deadline(server, begun):
    began = time.monotonic()
    with server.connect(begun) as client:
        client.settimeout(0.2)
        answer = b""
        while not answer and time.monotonic() - began < 30:
            try:
                client.sendall(b"x")
                answer = client.recv(65536)
            except TimeoutError:
                continue
    assert answer.startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("sent", [b"", b"\r\n\r\n"])
def test_one_who_sends_nothing_is_let_go(server, sent):
    with server.connect(sent) as client:
        assert client.recv(100) == b""


def test_one_who_does_not_read_is_cut_off(server):
    """What it asked for is larger than all that the kernel keeps for it."""
    path = "/static/drf_spectacular_sidecar/swagger-ui-dist/swagger-ui-bundle.js"
    with server.connect(head(f"GET {path}") * 12):
        assert until(lambda: metric(server, 'eventsinks_front_threads_busy{pool="web"}') == 1)
        assert server.answers()
        assert until(lambda: count(server, "slow_reader") == 1)


def metric(server, name):
    """Return what a metric tells."""
    body = server.ask("GET /metrics")[2].decode()
    return float(re.search(rf"^{re.escape(name)} (\S+)$", body, re.MULTILINE)[1])


def test_what_is_refused_is_counted_by_reason(server):
    before = count(server, "smuggling")
    with server.connect(REFUSED["gzip, chunked"][0]) as client:
        read_answer(client)
    assert count(server, "smuggling") == before + 1
    assert metric(server, "eventsinks_front_bodies") == 0
    assert metric(server, 'eventsinks_front_threads_busy{pool="web"}') == 1
    assert metric(server, 'eventsinks_front_waiting{pool="world"}') == 0


def count(server, reason):
    """Return how often it was refused for a reason; 0 before the first time."""
    try:
        return metric(server, f'eventsinks_front_refused_total{{reason="{reason}"}}')
    except TypeError:
        return 0


@pytest.mark.guarantee("O4")
@pytest.mark.parametrize("host", ["localhost", "evil.example", "", "a b", "127.0.0.1:99999"])
def test_healthz_is_answered_whatever_the_host_and_without_the_database(server, host):
    with server.connect(b"GET /healthz HTTP/1.1\r\nHost: %s\r\n\r\n" % host.encode()) as client:
        status, headers, body = read_answer(client)
    assert (status, json.loads(body)) == (200, {"status": "ok"})
    assert headers["content-type"] == "application/json"
    assert re.fullmatch(r"[0-9a-f]{32}", headers["x-request-id"])


def test_healthz_takes_get_and_head_only(server):
    with server.connect(head("HEAD /healthz") + head("GET /healthz")) as client:
        came = b""
        while came.count(b"HTTP/1.1 200") < 2 or not came.endswith(b"}"):
            came += client.recv(1000)
    assert came.count(b'{"status":"ok"}') == 1
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "TRACE"):
        assert says_both(server.ask(f"{method} /healthz"), 405)["allow"] == "GET, HEAD"


@pytest.mark.parametrize("path", ["/healthz", "/nowhere", "/readyz"])
def test_a_callers_request_id_is_kept_and_one_that_could_forge_a_line_is_not(server, path):
    assert server.ask(f"GET {path}", "X-Request-Id: my-own_1.2")[1]["x-request-id"] == "my-own_1.2"
    assert re.fullmatch(r"[0-9a-f]{32}", server.ask(f"GET {path}", "X-Request-Id: a b")[1]["x-request-id"])
