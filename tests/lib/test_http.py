"""The one way out, over real sockets: what it refuses to dial, to follow, to read and to wait for."""

import asyncio
import datetime
import gzip
import ipaddress
import ssl
import threading
import time

import pycurl
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from eventsinks.lib.net.addresses import AddressGuard
from eventsinks.lib.net.handles import make_handle
from eventsinks.lib.net.http import CAP, Outlet, exchange_once, open_outlet
from eventsinks.lib.net.wire import ExchangeFailed, Request, Response
from tests.helpers.receiver import Receiver, answer, hang, lose

LOCAL = AddressGuard(["127.0.0.0/8"])
JSON = (("Content-Type", "application/json"),)


@pytest.fixture
def receiver():
    with Receiver() as opened:
        yield opened


@pytest.fixture
def way_out():
    with open_outlet(LOCAL, timeout=5) as opened:
        yield opened


def post(way_out, url, body=b"{}", headers=JSON, method="POST"):
    """Return the outcome of one exchange."""
    try:
        return exchange_once(way_out, Request(method, url, tuple(headers), body))
    except ExchangeFailed as failed:
        return failed


def raw(data):
    """Answer these bytes and close the connection."""

    async def write(reader, writer):
        writer.write(data)
        await writer.drain()
        writer.close()

    return lambda got: write


def test_a_request_arrives_as_it_was_handed_over(receiver, way_out):
    body = b'{"a": 1.10, "\\u00e9":\t"\xc3\xa9\x00"}'
    headers = (*JSON, ("X-Latin", "caf\xe9"), ("X-Empty", ""), ("X-Tab", "a\tb"))
    response = post(way_out, receiver.url("/a/../b?x=%2F#fragment"), body, headers)
    (got,) = receiver.got
    assert isinstance(response, Response)
    assert (got.method, got.path, got.body) == ("POST", "/a/../b?x=%2F", body)
    for name, value in headers:
        assert got.header(name) == value
    assert got.header("Host") == f"127.0.0.1:{receiver.port}"
    assert not {"expect", "cookie", "accept-encoding"} & {name.lower() for name, _ in got.headers}


def test_a_response_is_told_whole(receiver, way_out):
    receiver.answers = lambda got: answer(503, [("Retry-After", "7"), ("retry-AFTER", "8")], b"later")
    response = post(way_out, receiver.url())
    assert (response.status, response.body, response.peer) == (503, b"later", "127.0.0.1")
    assert response.header("retry-after") == "8"
    assert response.header("x-none") is None
    assert 0 < response.timings.connect <= response.timings.first_byte <= response.timings.total


def test_a_method_does_not_stick_to_the_next_request(receiver, way_out):
    methods = ["PUT", "GET", "POST", "DELETE", "GET", "PATCH", "POST"]
    for method in methods:
        post(way_out, receiver.url(), b"" if method == "GET" else b"{}", method=method)
    assert [got.method for got in receiver.got] == methods
    assert [got.body for got in receiver.got if got.method == "GET"] == [b"", b""]


def test_a_body_does_not_stick_to_the_next_request(receiver, way_out):
    post(way_out, receiver.url(), b"long" * 1000)
    post(way_out, receiver.url(), b"short", (("Content-Type", "text/plain"),))
    assert receiver.got[1].body == b"short"
    assert receiver.got[1].header("Content-Type") == "text/plain"


# --- What may be dialled --------------------------------------------------------------------------


@pytest.mark.guarantee("S1")
def test_an_internal_address_is_not_dialled(receiver):
    with open_outlet(AddressGuard(), timeout=3) as strict:
        failed = post(strict, receiver.url())
    assert (failed.reason, failed.peer, failed.outcome_unknown) == ("address_refused", "", False)
    assert failed.message == "127.0.0.1 is an internal address, which may not be dialled"
    assert receiver.connections == 0


@pytest.mark.guarantee("S3")
@pytest.mark.parametrize(
    "host", ["127.1", "0x7f.0.0.1", "2130706433", "0177.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "0"]
)
def test_no_spelling_of_an_internal_address_is_dialled(receiver, host):
    with open_outlet(AddressGuard(), timeout=3) as strict:
        failed = post(strict, receiver.url(host=host))
    assert failed.reason == "address_refused"
    assert receiver.connections == 0


@pytest.mark.guarantee("S1")
def test_a_name_that_resolves_to_an_internal_address_is_not_dialled(receiver):
    with open_outlet(AddressGuard(), timeout=3) as strict:
        failed = post(strict, receiver.url(host="localhost"))
    assert failed.reason == "address_refused"
    assert receiver.connections == 0


@pytest.mark.guarantee("S8")
@pytest.mark.parametrize("name", ["db.corp.example", "localhost.corp.example"])
def test_what_an_internal_name_leads_to_is_told_to_the_operator_alone(receiver, caplog, name):
    """Curl is told what the name leads to, as a resolver inside would."""
    guard = AddressGuard()
    with open_outlet(guard, timeout=3) as strict:
        handle = make_handle("POST", guard, 3)
        handle.setopt(pycurl.RESOLVE, [f"{name}:{receiver.port}:127.0.0.1"])
        strict._idle[type(handle.call)].append(handle)
        failed = post(strict, receiver.url(host=name))
    assert failed.message == f"{name} has an internal address, which may not be dialled"
    assert (failed.reason, failed.peer) == ("address_refused", "")
    assert "127.0.0.1" not in f"{failed} {failed.__dict__}"
    assert caplog.messages == [f"refused to dial 127.0.0.1 for {name}: {failed.message}"]
    assert receiver.connections == 0


def test_a_connection_that_fails_does_not_tell_where_a_name_leads(way_out):
    with Receiver() as gone:
        url = gone.url(host="localhost")
    assert "127.0.0.1" not in post(way_out, url).message


@pytest.mark.guarantee("S5")
def test_a_denied_port_is_not_dialled_even_if_it_was_saved(receiver):
    with open_outlet(AddressGuard(["127.0.0.0/8"], [str(receiver.port)]), timeout=3) as strict:
        failed = post(strict, receiver.url())
    assert (failed.reason, failed.message) == ("address_refused", f"port {receiver.port} may not be dialled")
    assert receiver.connections == 0


@pytest.mark.guarantee("S5")
def test_nothing_is_sent_in_clear_where_only_https_is_allowed(receiver, certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    with open_outlet(AddressGuard(["127.0.0.0/8"], https_only=True), timeout=3) as strict:
        failed = post(strict, receiver.url())
        assert (failed.reason, failed.message) == ("address_refused", "only https:// is allowed here")
        with Receiver(tls=tls_of(certificate)) as secure:
            assert post(strict, secure.url()).status == 200
    assert receiver.connections == 0


def test_a_name_is_dialled_where_its_address_is_allowed(receiver, way_out):
    assert post(way_out, receiver.url(host="localhost")).status == 200


def test_an_allowed_pair_opens_no_other_port(receiver):
    with Receiver() as other, open_outlet(AddressGuard([f"localhost:{receiver.port}"]), timeout=3) as narrow:
        assert post(narrow, receiver.url(host="localhost")).status == 200
        assert post(narrow, other.url(host="localhost")).reason == "address_refused"
    assert other.connections == 0


@pytest.mark.guarantee("S5")
@pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "file:///etc/passwd", "gopher://127.0.0.1/", "nonsense", ""])
def test_no_other_scheme_is_spoken(way_out, url):
    assert post(way_out, url).reason in ("bad_request", "dns_error")


@pytest.mark.guarantee("S6")
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(receiver, way_out, status):
    receiver.answers = lambda got: answer(status, [("Location", receiver.url("/elsewhere"))])
    assert post(way_out, receiver.url()).status == status
    assert [got.path for got in receiver.got] == ["/hook"]


@pytest.mark.guarantee("S6")
def test_no_proxy_of_the_environment_is_used(receiver, monkeypatch):
    with Receiver() as proxy:
        for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url(""))
        with open_outlet(LOCAL, timeout=3) as fresh:
            assert post(fresh, receiver.url()).status == 200
    assert proxy.connections == 0


def test_cookies_are_not_kept(receiver, way_out):
    receiver.answers = lambda got: answer(headers=[("Set-Cookie", "session=1; Path=/")])
    post(way_out, receiver.url())
    post(way_out, receiver.url())
    assert [name for got in receiver.got for name, _ in got.headers if name.lower() == "cookie"] == []


@pytest.mark.guarantee("S14")
@pytest.mark.parametrize(
    "header",
    [
        ("X-A", "1\r\nX-Evil: 1"),
        ("X-A", "1\nX-Evil: 1"),
        ("X-A", "1\rX-Evil: 1"),
        ("X-A\r\nX-Evil", "1"),
        ("X-A", "1\x002"),
        ("X-A", "日本"),
    ],
)
def test_a_header_that_could_split_is_refused(receiver, way_out, header):
    failed = post(way_out, receiver.url(), headers=[header])
    assert (failed.reason, failed.outcome_unknown) == ("bad_request", False)
    assert receiver.connections == 0
    assert post(way_out, receiver.url()).status == 200  # and the handle is as good as before


# --- How much is read, and how long it is waited for ----------------------------------------------


@pytest.mark.guarantee("S7")
def test_a_slow_drip_ends_at_the_deadline(receiver):
    async def drip(reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        while True:
            writer.write(b"x")
            await asyncio.sleep(1)

    receiver.answers = lambda got: drip
    with open_outlet(LOCAL, timeout=2.5) as impatient:
        response = post(impatient, receiver.url())
    assert (response.status, response.cut.partition(":")[0]) == (200, "timeout")


@pytest.mark.guarantee("S7")
def test_headers_that_drip_end_at_the_deadline(receiver):
    async def drip(reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            writer.write(b"X-A: b\r\n")
            await asyncio.sleep(0.2)

    receiver.answers = lambda got: drip
    with open_outlet(LOCAL, timeout=1) as impatient:
        failed = post(impatient, receiver.url())
    assert (failed.reason, failed.outcome_unknown) == ("timeout", True)


@pytest.mark.guarantee("S7")
@pytest.mark.parametrize("line", [b"X-A: b\r\n", b"X: " + b"a" * 60_000 + b"\r\n", b"no line break"])
def test_endless_headers_are_cut_off(receiver, way_out, line):
    async def flood(reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            writer.write(line * 10)
            await writer.drain()

    receiver.answers = lambda got: flood
    assert post(way_out, receiver.url()).reason in ("bad_response", "connection_lost")


def test_endless_early_hints_are_cut_off(receiver, way_out):
    async def flood(reader, writer):
        while True:
            writer.write(b"HTTP/1.1 103 Early Hints\r\nX: " + b"a" * 10_000 + b"\r\n\r\n")
            await writer.drain()

    receiver.answers = lambda got: flood
    assert post(way_out, receiver.url()).reason in ("bad_response", "connection_lost")


@pytest.mark.guarantee("S7")
def test_an_endless_body_is_cut_at_the_cap_and_is_still_a_response(receiver, way_out):
    async def flood(reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"4000\r\n" + b"x" * 0x4000 + b"\r\n")
            await writer.drain()

    receiver.answers = lambda got: flood
    response = post(way_out, receiver.url())
    assert (response.status, response.body) == (200, b"x" * CAP)


@pytest.mark.parametrize(("size", "kept"), [(CAP - 1, CAP - 1), (CAP, CAP), (CAP + 1, CAP)])
def test_a_body_is_kept_up_to_the_cap(receiver, way_out, size, kept):
    receiver.answers = lambda got: answer(body=b"x" * size)
    assert len(post(way_out, receiver.url()).body) == kept


@pytest.mark.guarantee("S7")
def test_a_compressed_bomb_is_not_opened(receiver, way_out):
    bomb = gzip.compress(b"\0" * 20_000_000)
    receiver.answers = lambda got: answer(headers=[("Content-Encoding", "gzip")], body=bomb)
    assert post(way_out, receiver.url()).body == bomb[:CAP]


# --- How it can fail ------------------------------------------------------------------------------


def test_nobody_listening_is_a_refused_connection(way_out):
    with Receiver() as gone:
        url = gone.url()
    failed = post(way_out, url)
    assert (failed.reason, failed.outcome_unknown) == ("connection_refused", False)


def test_a_name_that_does_not_resolve_is_told(way_out):
    failed = post(way_out, "http://no-such-host.invalid/")
    assert (failed.reason, failed.outcome_unknown) == ("dns_error", False)


@pytest.mark.guarantee("R14")
def test_a_connection_lost_after_the_body_was_sent_leaves_the_outcome_unknown(receiver, way_out):
    receiver.answers = lambda got: lose
    failed = post(way_out, receiver.url())
    assert (failed.reason, failed.outcome_unknown) == ("connection_lost", True)


CUT = {
    "a body shorter than announced": (b"Content-Length: 40\r\n\r\nhello world", b"hello world"),
    "no body at all": (b"Content-Length: 40\r\n\r\n", b""),
    "chunks without an end": (b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", b"hello"),
    "a chunk that is none": (b"Transfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n", b""),
}


@pytest.mark.parametrize("status", [200, 202, 410, 503])
@pytest.mark.parametrize(("rest", "body"), CUT.values(), ids=CUT)
def test_an_answer_whose_status_was_read_is_a_response_that_says_it_was_cut(receiver, way_out, status, rest, body):
    receiver.answers = raw(b"HTTP/1.1 %d Whatever\r\nRetry-After: 7\r\n" % status + rest)
    response = post(way_out, receiver.url())
    assert (response.status, response.body, response.header("Retry-After")) == (status, body, "7")
    assert response.cut


def test_an_answer_that_is_whole_was_not_cut(receiver, way_out):
    assert post(way_out, receiver.url()).cut == ""


def test_an_announcement_is_no_answer(receiver, way_out):
    receiver.answers = raw(b"HTTP/1.1 100 Continue\r\n\r\n")
    failed = post(way_out, receiver.url())
    assert isinstance(failed, ExchangeFailed)
    assert failed.outcome_unknown


@pytest.mark.parametrize(
    "data", [b"nonsense\r\n\r\n", b"SSH-2.0-OpenSSH_9.6\r\n", b"HTTP/1.1 abc\r\n\r\n", b"\x00\x01"]
)
def test_an_answer_that_is_not_http_is_a_bad_response_whose_outcome_is_unknown(receiver, way_out, data):
    receiver.answers = raw(data)
    failed = post(way_out, receiver.url())
    assert (failed.reason, failed.outcome_unknown) == ("bad_response", True)


# --- TLS ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """Return the files of a certificate for 127.0.0.1 that nobody vouches for, and of its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(address, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    pem, private = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (folder / "certificate.pem").write_bytes(made.public_bytes(pem))
    (folder / "key.pem").write_bytes(key.private_bytes(pem, private, serialization.NoEncryption()))
    return folder / "certificate.pem", folder / "key.pem"


def tls_of(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return context


@pytest.mark.guarantee("S9")
def test_a_certificate_that_nobody_vouches_for_is_refused(certificate, way_out):
    with Receiver(tls=tls_of(certificate)) as receiver:
        failed = post(way_out, receiver.url())
    assert (failed.reason, failed.outcome_unknown) == ("tls_error", False)
    assert receiver.got == []


def test_a_certificate_that_the_operator_vouches_for_is_taken(certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    with Receiver(tls=tls_of(certificate)) as receiver, open_outlet(LOCAL, timeout=3) as trusting:
        response = post(trusting, receiver.url())
        assert response.status == 200
        assert response.timings.tls > 0
        wrong_name = post(trusting, receiver.url(host="localhost"))
    assert wrong_name.reason == "tls_error"


@pytest.mark.guarantee("S9")
def test_tls_older_than_1_2_is_not_spoken(certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    old = tls_of(certificate)
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    with Receiver(tls=old) as receiver, open_outlet(LOCAL, timeout=3) as trusting:
        assert post(trusting, receiver.url()).reason == "tls_error"
    assert receiver.got == []


def test_plain_http_on_a_tls_port_is_told(receiver, way_out):
    failed = post(way_out, receiver.url().replace("http:", "https:"))
    assert failed.reason in ("tls_error", "timeout", "connection_lost")
    assert receiver.got == []


# --- Many at once ---------------------------------------------------------------------------------


def test_500_exchanges_are_under_way_at_once_and_each_gets_its_own_answer(receiver):
    async def last_one_opens_the_gate(reader, writer, got):
        receiver.hanging += 1
        if receiver.hanging == 500:
            receiver.let_go.set()
        await receiver.let_go.wait()
        writer.write(answer(body=got.body))

    receiver.answers = lambda got: lambda reader, writer: last_one_opens_the_gate(reader, writer, got)
    with open_outlet(LOCAL, timeout=20) as wide:
        for number in range(500):
            wide.start(Request("POST", receiver.url(), JSON, b"%d" % number), number)
        outcomes = {}
        while wide.in_flight:
            outcomes |= dict(wide.poll(5))
    assert {token: outcome.body for token, outcome in outcomes.items()} == {n: b"%d" % n for n in range(500)}


def test_connections_are_kept_and_used_again(receiver, way_out):
    for _ in range(20):
        assert post(way_out, receiver.url()).status == 200
    assert receiver.connections == 1


def test_a_kept_connection_that_the_far_end_closed_is_replaced(receiver, way_out):
    receiver.answers = raw(answer())
    assert [post(way_out, receiver.url()).status for _ in range(3)] == [200] * 3
    assert receiver.connections == 3


def test_one_that_hangs_holds_up_no_other(receiver, way_out):
    with Receiver() as well:
        receiver.answers = lambda got: hang(receiver)
        way_out.start(Request("POST", receiver.url(), JSON, b"{}"), "hangs")
        for number in range(10):
            way_out.start(Request("POST", well.url(), JSON, b"{}"), number)
        ended = []
        while len(ended) < 10:
            ended += [token for token, _ in way_out.poll(5)]
        assert sorted(ended) == list(range(10))
        assert way_out.in_flight == 1
        receiver.release()
        ((token, response),) = way_out.poll(5)
        assert (token, response.status) == ("hangs", 200)


def test_polling_with_nothing_under_way_waits_no_longer_than_asked():
    idle = Outlet(LOCAL)
    before = time.monotonic()
    assert (idle.poll(0), idle.poll(0.2)) == ([], [])
    assert 0.2 <= time.monotonic() - before < 30
    idle.close()


def test_polling_ends_when_another_thread_wakes_it_and_many_calls_are_one():
    idle = Outlet(LOCAL)
    before = time.monotonic()
    waking = threading.Timer(0.2, lambda: [idle.wake() for _ in range(100_000)])
    waking.start()
    assert idle.poll(60) == []
    assert time.monotonic() - before < 30
    waking.join()
    idle.poll(0)
    before = time.monotonic()
    idle.poll(0.2)
    assert time.monotonic() - before >= 0.2
    idle.close()


def test_a_wake_before_the_polling_ends_it_too():
    idle = Outlet(LOCAL)
    idle.wake()
    before = time.monotonic()
    assert idle.poll(60) == []
    assert time.monotonic() - before < 30
    idle.close()


def test_an_exchange_that_does_not_end_in_time_is_told_by_exchange_once(receiver):
    receiver.answers = lambda got: hang(receiver)
    with open_outlet(LOCAL, timeout=60) as patient, pytest.raises(ExchangeFailed) as failed:
        exchange_once(patient, Request("POST", receiver.url(), JSON, b"{}"), timeout=0.5)
    assert (failed.value.reason, failed.value.outcome_unknown) == ("timeout", True)


def test_a_failed_exchange_says_what_its_message_says():
    assert str(ExchangeFailed("timeout", "no answer within 5 s")) == "no answer within 5 s"
