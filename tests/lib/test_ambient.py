"""No exchange takes anything from this machine: no proxy, no password, no certificates, no credentials of AWS."""

import ast
import shutil
import ssl
from pathlib import Path

import pytest

from eventsinks.lib.net import slack
from eventsinks.lib.net.addresses import AddressGuard
from eventsinks.lib.net.aws import AwsAccount, AwsKeys, CallFailed, Client
from eventsinks.lib.net.aws_dial import Dialler
from eventsinks.lib.net.http import exchange_once, open_outlet
from eventsinks.lib.net.smtp import FROM, MAIL, TO, Server
from eventsinks.lib.net.wire import ExchangeFailed, Request
from eventsinks.management import direct
from tests.helpers.mail_server import MailServer
from tests.helpers.receiver import Receiver, answer
from tests.lib.test_http import certificate, tls_of  # noqa: F401

ROOT = Path(__file__).parent.parent.parent
LOCAL = AddressGuard(["127.0.0.0/8"])
PROXIES = [
    name
    for base in ("http", "https", "all", "ftp", "socks")
    for name in (f"{base}_proxy", f"{base}_PROXY".upper())
]
# What may open connections, and where it is done. Whoever adds another place makes it direct, and adds it here.
CLIENTS = {
    "requests",
    "urllib.request",
    "urllib3",
    "http.client",
    "smtplib",
    "httpx",
    "aiohttp",
    "slack_sdk",
    "boto3",
}
DIALLING = {
    "eventsinks/lib/net/aws.py",
    "eventsinks/lib/net/aws_dial.py",
    "eventsinks/lib/net/slack.py",
    "eventsinks/admin/people/oidc.py",  # asks the operator's own provider, with no proxy of the environment
    "eventsinks/management/direct.py",
    "eventsinks/management/system.py",  # http.client knows no proxies
    "eventsinks/management/commands/send_alert.py",  # for the errors of requests
    "eventsinks/destinations/slack/blocks.py",  # builds messages
    "eventsinks/destinations/slack/incident.py",  # the same
}


@pytest.fixture
def proxy(monkeypatch):
    """Yield a far end that every variable for proxies names, and that must see nothing."""
    with Receiver() as listening:
        for name in PROXIES:
            monkeypatch.setenv(name, listening.url(""))
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        yield listening
        assert listening.connections == 0


@pytest.fixture
def receiver():
    with Receiver(lambda got: answer(body=b'{"ok": true}')) as opened:
        yield opened


def put(endpoint, keys=AwsKeys("AKIAACME", "secret"), services=None, role=None):
    account = AwsAccount("eu-central-1", keys, role, None, services)
    Client("s3", account, endpoint, LOCAL).call("put_object", Bucket="acme", Key="a", Body=b"x")


@pytest.mark.guarantee("S6")
def test_a_webhook_goes_past_every_proxy(proxy, receiver):
    with open_outlet(LOCAL, timeout=3) as fresh:
        assert exchange_once(fresh, Request("POST", receiver.url(), (), b"{}")).status == 200


@pytest.mark.guarantee("S6")
def test_mail_goes_past_every_proxy(proxy):
    with MailServer() as server, open_outlet(LOCAL, 3, Server.parse(server.url())) as fresh:
        headers = ((FROM, "a@acme.example"), (TO, "b@acme.example"))
        request = Request(MAIL, server.url(), headers, b"Subject: x\r\n\r\nx\r\n")
        assert exchange_once(fresh, request).status == 250


@pytest.mark.guarantee("S6")
@pytest.mark.parametrize("named", ["tenant", "operator"])
def test_a_store_is_dialled_past_every_proxy(proxy, receiver, named):
    receiver.answers = lambda got: answer(body=b"")
    put(receiver.url("") if named == "tenant" else None, services=receiver.url(""))
    assert len(receiver.got) == 1


@pytest.mark.guarantee("S6")
def test_slack_is_asked_past_every_proxy(proxy, receiver):
    slack.revoke_token(receiver.url("/api/"), "xoxb-1")
    assert [got.path for got in receiver.got] == ["/api/auth.revoke"]


def test_our_own_server_is_asked_past_every_proxy(proxy, receiver):
    assert direct.post(receiver.url(), data=b"{}", timeout=3).status_code == 200


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_slack_leads_to_no_other_place(receiver, status):
    with Receiver() as elsewhere:
        receiver.answers = lambda got: answer(status, [("Location", elsewhere.url())])
        with pytest.raises((slack.Unreachable, slack.SlackSaid)):
            slack.revoke_token(receiver.url("/api/"), "xoxb-1")
        assert elsewhere.connections == 0


def test_no_netrc_takes_the_place_of_a_key(receiver, monkeypatch, tmp_path):
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login operator password hunter2\n")
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    key = {"Authorization": "Bearer es_1"}
    direct.post(receiver.url(), data=b"{}", headers=key, timeout=3)
    with open_outlet(LOCAL, timeout=3) as fresh:
        exchange_once(fresh, Request("POST", receiver.url(), tuple(key.items()), b"{}"))
    assert [got.header("Authorization") for got in receiver.got] == ["Bearer es_1"] * 2


@pytest.fixture
def operator_of_aws(monkeypatch, tmp_path):
    """Give this machine credentials of AWS, in every way there is; yield who would be asked for more."""
    (tmp_path / "credentials").write_text(
        "[default]\naws_access_key_id = AKIAOPERATOR\naws_secret_access_key = operator\n[other]\n"
        "credential_process = /bin/false\n"
    )
    (tmp_path / "config").write_text("[default]\nregion = us-west-2\nrole_arn = arn:aws:iam::1:role/operator\n")
    (tmp_path / "token").write_text("token")
    with Receiver() as metadata:
        for name, value in {
            "AWS_ACCESS_KEY_ID": "AKIAOPERATOR",
            "AWS_SECRET_ACCESS_KEY": "operator",
            "AWS_SESSION_TOKEN": "operator",
            "AWS_PROFILE": "other",
            "AWS_DEFAULT_PROFILE": "other",
            "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"),
            "AWS_CONFIG_FILE": str(tmp_path / "config"),
            "BOTO_CONFIG": str(tmp_path / "credentials"),
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": metadata.url("/creds"),
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": metadata.url("/"),
            "AWS_WEB_IDENTITY_TOKEN_FILE": str(tmp_path / "token"),
            "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/operator",
            "AWS_ENDPOINT_URL": metadata.url("/"),
            "AWS_ENDPOINT_URL_S3": metadata.url("/"),
            "AWS_ENDPOINT_URL_STS": metadata.url("/"),
            "AWS_REGION": "us-west-2",
            "AWS_DEFAULT_REGION": "us-west-2",
            "HOME": str(tmp_path),
        }.items():
            monkeypatch.setenv(name, value)
        (tmp_path / ".aws").mkdir()
        for name in ("credentials", "config"):
            shutil.copy(tmp_path / name, tmp_path / ".aws" / name)
        yield metadata
        assert metadata.connections == 0


def test_a_tenants_store_never_sees_the_operators_credentials(operator_of_aws, receiver):
    receiver.answers = lambda got: answer(body=b"")
    put(receiver.url(""))
    (got,) = receiver.got
    assert "AKIAACME" in got.header("Authorization")
    assert "OPERATOR" not in str(got).upper()


def test_keys_that_are_empty_do_not_become_the_operators(operator_of_aws, receiver):
    with pytest.raises(CallFailed):
        put(receiver.url(""), AwsKeys("", ""))
    assert "OPERATOR" not in str(receiver.got).upper()


def test_a_role_is_assumed_with_the_tenants_keys_alone(operator_of_aws, receiver):
    receiver.answers = lambda got: answer(403)
    with pytest.raises(CallFailed):
        put(None, services=receiver.url(""), role="arn:aws:iam::123456789012:role/acme")
    assert receiver.got
    assert all("AKIAACME" in got.header("Authorization") for got in receiver.got)
    assert "OPERATOR" not in str(receiver.got).upper()


@pytest.mark.parametrize("name", ["AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_no_other_bundle_than_ours_is_trusted(certificate, monkeypatch, name):  # noqa: F811
    monkeypatch.setenv(name, str(certificate[0]))
    with Receiver(tls=tls_of(certificate)) as receiver:
        with pytest.raises(CallFailed):
            put(receiver.url(""))
        with pytest.raises(OSError, match="certificate"):
            direct.post(receiver.url(), data=b"{}", timeout=3)
        with pytest.raises(slack.Unreachable):
            slack.revoke_token(receiver.url("/api/"), "xoxb-1")
        with open_outlet(LOCAL, timeout=3) as fresh, pytest.raises(ExchangeFailed):
            exchange_once(fresh, Request("POST", receiver.url(), (), b"{}"))
        assert receiver.got == []


def test_the_operators_own_bundle_is_trusted_by_every_client(certificate, monkeypatch):  # noqa: F811
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    with Receiver(lambda got: answer(body=b'{"ok": true}'), tls=tls_of(certificate)) as receiver:
        slack.revoke_token(receiver.url("/api/"), "xoxb-1")
        assert direct.post(receiver.url(), data=b"{}", timeout=3).status_code == 200
        with open_outlet(LOCAL, timeout=3) as fresh:
            assert exchange_once(fresh, Request("POST", receiver.url(), (), b"{}")).status == 200
        receiver.answers = lambda got: answer(body=b"")
        put(receiver.url(""))
    assert len(receiver.got) == 4


@pytest.fixture
def old_tls(certificate, monkeypatch):  # noqa: F811
    """Yield a far end whose certificate is trusted, and that speaks nothing newer than TLS 1.1."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    context = tls_of(certificate)
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        context.minimum_version = ssl.TLSVersion.TLSv1
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    with Receiver(tls=context) as receiver:
        yield receiver


@pytest.mark.guarantee("S9")
def test_no_client_speaks_a_tls_older_than_1_2(old_tls):
    with open_outlet(LOCAL, timeout=3) as fresh, pytest.raises(ExchangeFailed):
        exchange_once(fresh, Request("POST", old_tls.url(), (), b"{}"))
    with pytest.raises(CallFailed):
        put(old_tls.url(""))
    with pytest.raises(slack.Unreachable):
        slack.revoke_token(old_tls.url("/api/"), "xoxb-1")
    with pytest.raises(OSError, match="SSL"):
        direct.post(old_tls.url(), data=b"{}", timeout=3)
    assert old_tls.got == []


def test_the_oldest_tls_is_set_and_not_left_to_the_machine():
    dialler = Dialler(None, (1, 1), lambda: 1, 1)
    contexts = [
        dialler._session._manager.connection_pool_kw["ssl_context"],
        *(handler._context for handler in slack.make_opener().handlers if hasattr(handler, "_context")),
    ]
    assert [context.minimum_version for context in contexts] == [ssl.TLSVersion.TLSv1_2] * 2
    assert [context.verify_mode for context in contexts] == [ssl.CERT_REQUIRED] * 2


@pytest.mark.guarantee("S1")
def test_every_place_that_dials_is_known():
    found = set()
    for path in [*ROOT.glob("eventsinks/**/*.py"), *ROOT.glob("project/**/*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            if any(name == client or name.startswith(f"{client}.") for name in names for client in CLIENTS):
                found.add(str(path.relative_to(ROOT)))
    assert found == DIALLING


@pytest.mark.guarantee("S9")
def test_nothing_turns_the_check_of_certificates_off():
    words = ("verify=False", "CERT_NONE", "_create_unverified_context", "SSL_VERIFYPEER", "SSL_VERIFYHOST")
    for path in [*ROOT.glob("eventsinks/**/*.py"), *ROOT.glob("project/**/*.py")]:
        assert not [word for word in words if word in path.read_text()], path
