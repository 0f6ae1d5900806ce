"""Many who send or read nothing, from the same address: who is honest is answered all the while."""

from __future__ import annotations

import contextlib
import secrets
import threading
import time

import pytest

from tests.front.conftest import ALERT, head, read_answer, until

pytestmark = pytest.mark.django_db(transaction=True)

DEADLINE = 4  # seconds, of the servers here
CROWD = 500


@pytest.fixture(scope="module")
def server(serve):
    return serve(EVENTSINKS_HEAD_TIMEOUT=str(DEADLINE), EVENTSINKS_BODY_TIMEOUT=str(DEADLINE))


@pytest.fixture(scope="module")
def patient(serve):
    """Return a server whose deadlines are so far off that only its bounds can help."""
    return serve(EVENTSINKS_HEAD_TIMEOUT="600", EVENTSINKS_BODY_TIMEOUT="600", EVENTSINKS_BODIES="300")


def half_a_login():
    """Return half of what a browser posts, with cookies that are made up."""
    token = secrets.token_hex(16)
    cookies = f"Cookie: csrftoken={token}; sessionid={secrets.token_hex(16)}"
    form = "Content-Type: application/x-www-form-urlencoded"
    return head("POST /admin/login/", cookies, form, "Content-Length: 500") + b"username="


def half_an_alert(key):
    """Return half of what a tenant posts."""
    return (
        head("POST /v1/detection_alert", "Content-Type: application/json", "Content-Length: 5000", key=key) + b"{"
    )


CROWDS = {
    "half a head": lambda key: b"POST /v1/detection_alert HTTP/1.1\r\nHost: local",
    "half a login": lambda key: half_a_login(),
    "half an alert with a made-up key": lambda key: half_an_alert(secrets.token_hex(8)),
    "half an alert": half_an_alert,
    "half a chunked alert": lambda key: (
        head("POST /v1/detection_alert", "Transfer-Encoding: chunked", key=key) + b"4\r\n{   \r\n"
    ),
}


@contextlib.contextmanager
def crowd(server, make, count=CROWD):
    """Keep `count` connections open, on each of which something was sent."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(server.connect(make())) for _ in range(count)]


def let_in(server, *keys):
    """Have a server know these keys."""
    for key in keys:
        assert server.ask("GET /v1/event_sink", key=key)[0] == 200


def is_quick(server, key, seconds):
    """Whether an honest caller, asking all the while, waits much less than a crowd could make it wait.

    It waits some tenths of a second at most; the margin is for a machine that has other things to do.
    """
    return slowest_of(server, key, seconds) < DEADLINE - 1


def slowest_of(server, key, seconds):
    """Return the longest that an honest caller waits for any answer."""
    slowest, until = 0.0, time.monotonic() + seconds
    while time.monotonic() < until:
        for line, body in (
            ("GET /healthz", None),
            ("GET /v1/event_sink", None),
            ("POST /v1/detection_alert", ALERT),
        ):
            began = time.monotonic()
            assert server.ask(line, body=body, key=key)[0] == 200
            slowest = max(slowest, time.monotonic() - began)
        time.sleep(0.05)  # often enough to be kept waiting by whatever lasts, and no load itself
    return slowest


@pytest.mark.parametrize("name", CROWDS)
def test_500_half_sent_requests_keep_nobody_waiting(server, acme_key, globex_key, name):
    let_in(server, acme_key)
    with crowd(server, lambda: CROWDS[name](acme_key)) as clients:
        assert is_quick(server, globex_key, DEADLINE + 1)
        for client in clients:
            client.settimeout(10)
            came = b"".join(iter(lambda client=client: client.recv(65536), b""))
            assert came.startswith(b"HTTP/1.1 408 "), "each is told so, and its connection ends"
            assert b"x-request-id" in came


@pytest.mark.parametrize("name", ["half a login", "half an alert", "half an alert with a made-up key"])
def test_without_a_deadline_the_bounds_alone_keep_room_for_the_honest(patient, acme_key, globex_key, name):
    let_in(patient, acme_key)
    with crowd(patient, lambda: CROWDS[name](acme_key)) as clients:
        assert is_quick(patient, globex_key, 2)
        answered = 0
        for client in clients:
            client.settimeout(0.001)
            with contextlib.suppress(TimeoutError):
                answered += client.recv(100).startswith(b"HTTP/1.1 408 ")
        assert answered >= CROWD - 64, "all but the bound of one caller made place"


def test_one_who_sends_at_a_fair_speed_is_never_the_one_to_go(patient, globex_key):
    """It is unknown, of the same address, and comes in the midst of the crowd."""
    body = ALERT + b" " * 900_000
    with (
        crowd(patient, lambda: half_an_alert("made-up"), 100),
        patient.connect(head("POST /v1/detection_alert", body=body, key=globex_key)) as honest,
    ):
        for start in range(0, len(body), 300_000):
            honest.sendall(body[start : start + 300_000])
            with crowd(patient, lambda: half_an_alert("made-up"), 50):
                assert patient.answers()
        assert read_answer(honest)[0] == 200


def test_2000_idle_connections_keep_nobody_waiting_and_are_let_go(server, globex_key):
    with crowd(server, lambda: b"", 2000) as clients:
        assert is_quick(server, globex_key, DEADLINE + 1)
        for client in clients:
            client.settimeout(10)
            assert client.recv(100) == b""


def test_60_who_do_not_read_keep_nobody_waiting(server, acme_key, globex_key):
    path = "/static/drf_spectacular_sidecar/swagger-ui-dist/swagger-ui-bundle.js"
    with crowd(server, lambda: head(f"GET {path}"), 60):
        assert until(lambda: server.answers(), 10)
        assert is_quick(server, globex_key, 4)


def test_a_server_short_of_descriptors_lets_the_oldest_idle_go(serve, globex_key):
    small = serve_with_few_files(serve)
    with crowd(small, lambda: b"", 600) as clients:
        assert is_quick(small, globex_key, 1)
        clients[0].settimeout(10)
        with contextlib.suppress(ConnectionError):
            assert clients[0].recv(100) == b""
        clients[-1].settimeout(0.1)
        with pytest.raises(TimeoutError):
            clients[-1].recv(100)


def serve_with_few_files(serve):
    """Return a server that may open 512 files, as those it starts."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_NOFILE)

    def few():
        resource.setrlimit(resource.RLIMIT_NOFILE, (512, 512))

    assert before[1] > 1024
    return serve(few_files=few, EVENTSINKS_HEAD_TIMEOUT="60")


def test_who_hangs_up_before_its_turn_is_not_answered(server, acme_key, globex_key):
    let_in(server, acme_key)
    asks = head("GET /v1/detection_alert?page_size=1000", key=acme_key)
    for _ in range(300):
        server.connect(asks).close()
    assert is_quick(server, globex_key, 1)
    assert threading.active_count() < 100
