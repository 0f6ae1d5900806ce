"""How boto3 dials: a tenant's endpoint passes the guard on the address that is dialled, and TLS names the host."""

import asyncio
import socket
import time
from contextlib import suppress

import pytest

from eventsinks.lib.net import aws, aws_dial
from eventsinks.lib.net.addresses import AddressGuard
from eventsinks.lib.net.aws import AwsAccount, AwsKeys, CallFailed, Client
from tests.helpers.receiver import Receiver, answer
from tests.lib.test_http import certificate, tls_of  # noqa: F401

ACCOUNT = AwsAccount("eu-central-1", AwsKeys("AKIAACME", "secret"))
LOCAL = AddressGuard(["127.0.0.0/8"])


def put(endpoint, guard=LOCAL):
    client = Client("s3", ACCOUNT, endpoint, guard)
    return client.call("put_object", Bucket="acme", Key="a", Body=b"x")


def code_of(endpoint, guard=LOCAL):
    with pytest.raises(CallFailed) as caught:
        put(endpoint, guard)
    return caught.value.code


def failure_of(endpoint, guard):
    with pytest.raises(CallFailed) as caught:
        put(endpoint, guard)
    return caught.value.code, caught.value.message


def test_where_an_internal_name_leads_is_told_to_the_operator_alone(caplog, monkeypatch):
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.1.2.3", 443))]
    monkeypatch.setattr(aws_dial.socket, "getaddrinfo", lambda *given, **options: found)
    told = "store.corp.example has an internal address, which may not be dialled"
    assert failure_of("https://store.corp.example", AddressGuard()) == ("address_refused", told)
    assert f"refused to dial 10.1.2.3 for store.corp.example: {told}" in caplog.messages


def test_the_rules_for_ports_and_schemes_hold_for_a_store():
    with Receiver() as receiver:
        denied = AddressGuard(["127.0.0.0/8"], [str(receiver.port)])
        strict = AddressGuard(["127.0.0.0/8"], https_only=True)
        port = f"port {receiver.port} may not be dialled"
        assert failure_of(receiver.url(""), denied) == ("address_refused", port)
        assert failure_of(receiver.url(""), strict) == ("address_refused", "only https:// is allowed here")
        assert receiver.connections == 0


@pytest.fixture
def trusting(certificate, monkeypatch):  # noqa: F811
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    with Receiver(lambda got: answer(body=b""), tls=tls_of(certificate)) as receiver:
        yield receiver


@pytest.mark.guarantee("S9")
def test_the_certificate_must_name_the_host_not_the_address_it_led_to(trusting):
    assert put(trusting.url(""))
    assert code_of(trusting.url("", host="localhost")) == "connection_failed"
    assert len(trusting.got) == 1


def test_a_certificate_that_nobody_vouches_for_is_refused(certificate):  # noqa: F811
    with Receiver(tls=tls_of(certificate)) as receiver:
        assert code_of(receiver.url("")) == "connection_failed"
    assert receiver.got == []


@pytest.mark.guarantee("S1")
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1", "[::1]", "0.0.0.0"])
@pytest.mark.parametrize("guard", [AddressGuard(), AddressGuard(["10.0.0.0/8"]), None])
def test_no_internal_address_is_dialled_under_any_name(host, guard):
    with Receiver() as receiver:
        assert code_of(receiver.url("", host=host), guard) == "address_refused"
        assert receiver.connections == 0


def test_a_pair_of_host_and_port_lets_exactly_that_through():
    with Receiver(lambda got: answer(body=b"")) as receiver:
        assert put(receiver.url("", host="localhost"), AddressGuard([f"localhost:{receiver.port}"]))
        assert code_of(receiver.url(""), AddressGuard([f"localhost:{receiver.port}"])) == "address_refused"


@pytest.mark.parametrize(
    ("endpoint", "code"),
    [
        ("http://no-such-host.invalid", "connection_failed"),
        ("http://127.0.0.1:2", "connection_failed"),
        (f"http://{'x' * 80}.example", "bad_request"),
    ],
)
def test_what_can_not_be_reached_is_told(endpoint, code):
    assert code_of(endpoint) == code


@pytest.mark.guarantee("S1")
def test_a_name_is_looked_up_once_for_what_is_judged_and_dialled(monkeypatch):
    """A second answer of DNS could lead inside, after the first was found to be public."""
    import socket

    asked = []
    real = socket.getaddrinfo

    def look_up(host, *args, **kwargs):
        asked.append(host)
        return real("127.0.0.1" if host == "rebinding.example" else host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    with Receiver(lambda got: answer(body=b"")) as receiver:
        put(receiver.url("", host="rebinding.example"))
    assert asked.count("rebinding.example") == 1
    assert set(asked) <= {"rebinding.example", "127.0.0.1"}


def test_connections_are_kept_and_used_again():
    with Receiver(lambda got: answer(body=b"")) as receiver:
        client = Client("s3", ACCOUNT, receiver.url(""), LOCAL)
        for _ in range(3):
            client.call("put_object", Bucket="acme", Key="a", Body=b"x")
    assert receiver.connections == 1


async def trickle(reader, writer):
    writer.write(b"HTTP/1.1 200 OK\r\n")
    for number in range(10_000):
        writer.write(b"X-%d: y\r\n" % number if number % 2 else b"X")
        await writer.drain()
        await asyncio.sleep(0.1)


@pytest.mark.parametrize("tls", [False, True])
def test_a_far_end_that_never_comes_to_an_end_is_cut_off(monkeypatch, certificate, tls):  # noqa: F811
    monkeypatch.setattr(aws, "DEADLINE", 0.5)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    with Receiver(lambda got: trickle, tls=tls_of(certificate) if tls else None) as receiver:
        started = time.monotonic()
        assert code_of(receiver.url("")) == "timeout"
        assert receiver.connections == 1
    assert time.monotonic() - started < 5


def test_an_answer_without_end_is_read_up_to_the_cap():
    async def pour(reader, writer):
        writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 1000000000\r\n\r\n")
        with suppress(OSError):
            for _ in range(1_000):
                writer.write(b"x" * 1_000_000)
                await writer.drain()

    with Receiver(lambda got: pour) as receiver:
        assert code_of(receiver.url("")) == "403"


def test_all_calls_of_one_sending_share_their_time(monkeypatch):
    with Receiver(lambda got: answer(body=b"")) as receiver:
        client = Client("s3", ACCOUNT, receiver.url(""), LOCAL)
        for budget, at_most in ((5.0, 1), (0.0, 1), (5.0, 2)):
            monkeypatch.setattr(aws, "BUDGET", budget)
            client.begin()
            try:
                client.call("put_object", Bucket="acme", Key="a", Body=b"x")
            except CallFailed as failed:
                assert (failed.code, budget) == ("timeout", 0.0)  # noqa: PT017
            assert len(receiver.got) == at_most
