"""Who asks is who connected, unless a proxy of ours says otherwise; and a made-up key is nobody of its own."""

from __future__ import annotations

import re
import sys

import pytest

from eventsinks.checks import front_can_work
from eventsinks.front.callers import Callers
from eventsinks.lib.net.proxies import Proxies
from tests.front.conftest import head, read_answer

OURS = ["10.0.0.0/8", "192.0.2.7", "fd00::/8"]


@pytest.mark.parametrize(
    ("trusted", "peer", "forwarded", "client"),
    [
        ([], "10.0.0.1", "203.0.113.9", "10.0.0.1"),
        (OURS, "203.0.113.1", "203.0.113.9", "203.0.113.1"),
        (OURS, "10.0.0.1", "", "10.0.0.1"),
        (OURS, "10.0.0.1", "203.0.113.9", "203.0.113.9"),
        (OURS, "192.0.2.7", "203.0.113.9", "203.0.113.9"),
        (OURS, "192.0.2.8", "203.0.113.9", "192.0.2.8"),
        (OURS, "10.0.0.1", "1.1.1.1, 203.0.113.9", "203.0.113.9"),
        (OURS, "10.0.0.1", "1.1.1.1, 203.0.113.9, 10.9.9.9", "203.0.113.9"),
        (OURS, "10.0.0.1", "10.9.9.9, 10.8.8.8", "10.9.9.9"),
        (OURS, "10.0.0.1", "203.0.113.9, not an address", "10.0.0.1"),
        (OURS, "10.0.0.1", "203.0.113.9:4711", "203.0.113.9"),
        (OURS, "fd00::1", "[2001:db8::1]:4711", "2001:db8::1"),
        (OURS, "fd00::1", "2001:db8::1", "2001:db8::1"),
        (OURS, "::ffff:10.0.0.1", "203.0.113.9", "203.0.113.9"),
        (OURS, "10.0.0.1", "203.0.113.9\xff", "10.0.0.1"),
        (OURS, "10.0.0.1", ",,,", "10.0.0.1"),
        (OURS, "", "203.0.113.9", ""),
    ],
)
def test_the_client_is_the_last_address_that_no_proxy_of_ours_has(trusted, peer, forwarded, client):
    assert Proxies(trusted).client_of(peer, forwarded.encode("latin1")) == client


KEY = {b"authorization": b"Bearer es_good"}
COOKIE = {b"cookie": b"csrftoken=x; sessionid=good; y=z"}


def test_a_key_is_a_caller_of_its_own_once_it_was_let_in_and_until_it_is_not():
    callers = Callers()
    assert callers.caller_of(KEY, "203.0.113.9") == "address 203.0.113.9"
    for path, status in (("/v1/x", 404), ("/docs", 200), ("/readyz", 200), ("/admin/", 200), ("/v1/x", 401)):
        callers.answered(KEY, path, status)
    assert callers.caller_of(KEY, "203.0.113.9") == "address 203.0.113.9"
    callers.answered(KEY, "/v1/event_sink", 200)
    known = callers.caller_of(KEY, "203.0.113.9")
    assert known.startswith("key ")
    assert "es_good" not in known
    assert callers.caller_of(KEY, "203.0.113.10") == known
    callers.answered(KEY, "/api/events", 401)
    assert callers.caller_of(KEY, "203.0.113.9") == "address 203.0.113.9"


def test_a_session_is_one_once_the_admin_let_it_in():
    callers = Callers()
    for path, status in (("/admin/", 302), ("/admin/login/", 200), ("/docs", 200), ("/v1/x", 200)):
        callers.answered(COOKIE, path, status)
    assert callers.caller_of(COOKIE, "203.0.113.9") == "address 203.0.113.9"
    callers.answered(COOKIE, "/admin/", 200)
    known = callers.caller_of(COOKIE, "203.0.113.9")
    assert known.startswith("session ")
    assert callers.caller_of({b"cookie": b"sessionid=good;csrftoken=other"}, "203.0.113.9") == known


def test_an_ipv6_caller_is_its_network():
    callers = Callers()
    assert callers.caller_of({}, "2001:db8::1") == callers.caller_of({}, "2001:db8::ffff:2")
    assert callers.caller_of({}, "2001:db8::1") != callers.caller_of({}, "2001:db8:0:1::1")


def test_what_is_remembered_is_bounded():
    callers = Callers()
    for number in range(10_100):
        callers.answered({b"authorization": b"Bearer %d" % number}, "/v1/event_sink", 200)
    assert callers.caller_of({b"authorization": b"Bearer 50"}, "x").startswith("address")
    assert callers.caller_of({b"authorization": b"Bearer 10050"}, "x").startswith("key")
    assert sys.getsizeof(callers._known) < 10_000_000


@pytest.mark.parametrize("entry", ["10.0.0.0/33", "proxy.example", "10.0.0.1/8", "*"])
def test_a_proxy_that_is_none_is_refused_at_the_start(settings, entry):
    settings.EVENTSINKS_TRUSTED_PROXIES = [entry]
    assert [message.id for message in front_can_work()] == ["eventsinks.E020"]


@pytest.mark.parametrize(("trusted", "seen"), [("", "127.0.0.1"), ("127.0.0.0/8", "203.0.113.9")])
def test_a_refusal_names_the_true_client(serve, capfd, trusted, seen):
    server = serve(EVENTSINKS_TRUSTED_PROXIES=trusted)
    sent = head("POST /nowhere", "X-Forwarded-For: 203.0.113.9", "Content-Length: 999999999")
    with server.connect(sent) as client:
        assert read_answer(client)[0] == 413
    server.stop()
    assert re.search(rf"reason=too_large status=413 peer={re.escape(seen)} ", capfd.readouterr().err)
