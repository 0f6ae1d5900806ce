"""Secrets go in and never come out: every type's are planted, a far end echoes them, and all that is kept, shown,
logged or sent to the broker is looked through for them, in every form.
"""

import base64
import html
import json
import logging
import os
import secrets
import subprocess
import sys
import time
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote, quote_plus, urlsplit

import pytest
import redis
import requests
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.db.models.functions import Now
from django.urls import reverse

from eventsinks.actions.trying import send_now
from eventsinks.api.v1.event_sink_args import WIRE_TYPES
from eventsinks.destinations import DESTINATION_TYPES
from eventsinks.destinations.base import ClientType
from eventsinks.lib.net.addresses import AddressGuard
from eventsinks.lib.net.http import Outlet
from eventsinks.lib.secrets.crypto import make_key
from eventsinks.models import Attempt, Batch, Delivery, Destination, Event, SlackWorkspace
from eventsinks.sending.dispatcher import Dispatcher
from eventsinks.streaming.streamer import stream
from tests.api.conftest import Caller
from tests.destinations.every_type.test_contract import secret_texts
from tests.destinations.examples import example
from tests.helpers.broker import broker, free_port
from tests.helpers.databases import own_database
from tests.helpers.receiver import Receiver, answer
from tests.helpers.visible import visible

ROOT = Path(__file__).parents[2]
HEADER, QUERY = "hunter2secret", "hunter3/secret+token"
BY_HTTP = sorted(key for key in DESTINATION_TYPES if key != "email")  # mail has no secret of a tenant's


SECRET_HEADERS = ("authorization", "x-key", "dd-api-key")  # first, so that they are in what a reason says too


def echoed(got):
    """Answer with the request, as it is and in every form in which others write it."""
    status = 500 if "/hook" in got.path else 400  # of which the types tell what was said
    head = "\n".join([got.path, *(f"{name}: {value}" for name, value in got.headers)])
    said = head + "\n" + got.body.decode("utf-8", "replace")
    said = said[-900:]  # what is kept is the beginning of an answer
    forms = (said, quote(said, safe=""), json.dumps(said), html.escape(said), said.encode().hex())
    encoded = (base64.b64encode(text.encode()).decode() for text in (said, "x" + said))
    number = sum(map(ord, got.path + said)) % len(forms)  # each form begins an answer now and then
    secret = "; ".join(value for name, value in got.headers if name.lower() in SECRET_HEADERS)
    body = "\n".join([secret, *forms[number:], *encoded, *forms[:number]])
    return answer(
        status,
        body=json.dumps({"message": body, "errorMessages": [body]}).encode() if number % 2 else body.encode(),
    )


def forms_of(secret):
    """Return how a secret may be written, in lower case."""
    found = {secret, quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1], html.escape(secret)}
    found.add(secret.encode().hex())
    for before in range(3):
        whole = base64.b64encode(bytes(before) + secret.encode()).decode()
        found.add(whole[4 if before else 0 : len(whole) - 4])
    return {form.lower() for form in found if len(form) >= 6}


def assert_in_none_of(seen, planted):
    """Fail, naming where, if any secret stands in any of the texts."""
    for where, text in seen.items():
        low = text.lower()
        for secret in planted:
            for form in forms_of(secret):
                assert form not in low, (where, form, low[max(0, low.find(form) - 80) :][:200])


class ToReceiver(Outlet):
    """The real way out, but all of it leads to a receiver, whatever host is meant."""

    def __init__(self, receiver):
        super().__init__(AddressGuard(["127.0.0.0/8"]), timeout=5)
        self._receiver = receiver

    def start(self, request, token):
        parts = urlsplit(request.url)
        super().start(
            request._replace(url=self._receiver.url(parts.path + (f"?{parts.query}" if parts.query else ""))),
            token,
        )


@pytest.fixture
def far_end(monkeypatch, settings):
    with Receiver(echoed) as receiver:

        @contextmanager
        def outlet(*_):
            opened = ToReceiver(receiver)
            yield opened
            opened.close()

        monkeypatch.setattr(send_now, "open_outlet", outlet)
        settings.AWS_ENDPOINT_URL = receiver.url("")
        yield receiver


@pytest.fixture
def planted(acme, api_key, far_end):
    """Return a function that makes a destination of a type over the API, its answers, and its secrets."""

    def plant(key):
        config, answers = dict(example(key)), {}
        if key == "slack":
            workspace = SlackWorkspace(tenant=acme, team_id="T1", team_name="Acme")
            workspace.token = config.pop("token")
            workspace.save()
            config["slack_integration_id"] = str(workspace.id)
            config["channel"] = config.pop("channel_name")
        if key == "webhook":
            config |= {
                "url": f"https://example.com/hook?token={quote(QUERY, safe='')}",
                "headers": {"X-Key": HEADER},
            }
        kind = DESTINATION_TYPES[key]
        if kind.face == "event_sink":
            body = {"name": "n", "description": "", "tenant_id": str(acme.id)}
            made = api_key.post("/v1/event_sink", {**body, "event_sink_args": {WIRE_TYPES[key]: config}})
        else:
            tried = api_key.post("/api/event-streaming", {"platform": key, "config": config})
            answers["the trial"] = tried.content.decode()
            made = api_key.post("/api/event-streaming", {"platform": key, "config": config, "enabled": False})
        assert made.status_code == 200, made.content
        answers["create"] = made.content.decode()
        opened = Destination.objects.get().opened()
        found = [text.partition("://")[2].partition("/")[2] or text for text in secret_texts(opened.config)]
        extra = [HEADER, QUERY] if key == "webhook" else []
        signing = Destination.objects.get().signing_secret
        return answers, [
            text for text in (*found, *extra, signing, signing.removeprefix("whsec_")) if len(text) >= 8
        ]

    return plant


@pytest.fixture
def api_key(acme_key):
    return Caller(acme_key)


def everything_in_the_database():
    """Return every value of every row."""
    said = []
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT * FROM "{table}"')
            said += [
                f"{table}: {[bytes(v) if isinstance(v, memoryview) else v for v in row]}"
                for row in cursor.fetchall()
            ]
    return "\n".join(said)


def delivered_in_vain(api, tenant, sink, key, receiver):
    """Have a destination fail at the far end; return what the API then says."""
    if DESTINATION_TYPES[key].face == "event_sink":
        api.post("/v1/detection_alert", {"id": "a1", "name": "Root login", "severity": "High"})
        way_out = ToReceiver(receiver)
        Dispatcher(way_out).run()
        way_out.close()
        assert Attempt.objects.count() == 1
        assert Attempt.objects.get().excerpt
        delivery = Delivery.objects.get()
        paths = ["/v1/delivery", f"/v1/delivery/{delivery.id}", "/v1/detection_alert/a1/explain"]
        paths += [f"/v1/event_sink/{sink.uuid}", f"/v1/event_sink?tenant_id={tenant.id}", "/v1/detection_alert"]
        said = {path: api.get(path).content.decode() for path in paths}
        for verb in ("test", "pause", "resume"):
            said[verb] = api.post(f"/v1/event_sink/{sink.uuid}/{verb}").content.decode()
        said["update"] = api.put(f"/v1/event_sink/{sink.uuid}", {"name": "new"}).content.decode()
        said["replay"] = api.post(f"/v1/delivery/{delivery.id}/replay").content.decode()
        return said
    one = f"/api/event-streaming/{sink.id}"
    said = {"resume": api.post(f"{one}/resume").content.decode()}
    api.post("/api/events/audit", {"activity": "User joined", "activity_code": "user.join", "id": "7"})
    Event.objects.update(received_at=Now() - timedelta(hours=1))  # nothing waits for more to come
    visible(tenant)
    way_out = ToReceiver(receiver)
    stream(sink.id, way_out)
    way_out.close()
    assert Batch.objects.exclude(reason="").exists() or Delivery.objects.exclude(reason="").exists()
    for path in ("", "/position"):
        said[path] = api.get(one + path).content.decode()
    said["list"] = api.get("/api/event-streaming").content.decode()
    said["test"] = api.post(f"{one}/test").content.decode()
    said["update"] = api.put(one, {"config": sink.config, "enabled": True}).content.decode()
    return said


def admin_pages(operator, sink, delivery):
    """Return what the pages of the admin say."""
    model = "eventsink" if sink.kind.face == "event_sink" else "integration"
    address = f"admin:eventsinks_{model}"
    paths = [reverse("admin:index"), reverse(f"{address}_changelist"), reverse("admin:admin_logentry_changelist")]
    paths += [reverse(f"{address}_{page}", args=[sink.pk]) for page in ("change", "history", "delete")]
    paths.append(reverse("admin:eventsinks_delivery_changelist"))
    if delivery is not None:
        paths.append(reverse("admin:eventsinks_delivery_change", args=[delivery.pk]))
    said = {path: operator.get(path).content.decode() for path in paths}
    said["admin test"] = operator.post(reverse(f"{address}_test", args=[sink.pk])).content.decode()
    wrong = {"name": "", "description": ""}
    said["admin form"] = operator.post(reverse(f"{address}_change", args=[sink.pk]), wrong).content.decode()
    return said


@pytest.mark.guarantee("S10")
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("key", BY_HTTP)
def test_a_secret_that_went_in_comes_out_nowhere(
    key, acme, api_key, planted, far_end, client, caplog, django_user_model
):
    caplog.set_level(logging.INFO)  # as deep as any process logs what others' libraries tell: see below
    logging.getLogger("eventsinks").setLevel(logging.DEBUG)
    seen, secrets_of_it = planted(key)
    assert secrets_of_it
    sink = Destination.objects.get()
    seen |= delivered_in_vain(api_key, acme, sink, key, far_end)
    sink.refresh_from_db()
    client.force_login(django_user_model.objects.create_superuser("o", password="a long password"))
    seen |= admin_pages(client, sink, Delivery.objects.first())
    seen["history"] = "\n".join(LogEntry.objects.values_list("change_message", flat=True))
    seen["log"] = caplog.text
    seen["metrics"] = client.get("/metrics").content.decode()
    seen["database"] = everything_in_the_database()
    if not issubclass(DESTINATION_TYPES[key], ClientType) and key != "pagerduty":
        assert "****" in seen["database"]
    assert_in_none_of(seen, secrets_of_it)


def free_settings(tmp_path, receiver, redis_url):
    """Return settings for a whole system whose vendors are all the receiver."""
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {
        **inherited,
        "EVENTSINKS_VAR": str(tmp_path / "var"),
        "EVENTSINKS_ALLOWED_NETWORKS": f"127.0.0.1:{receiver.port}",
        "EVENTSINKS_RETRY_SCHEDULE": "600",
        "REDIS_URL": redis_url,
        "PAGERDUTY_URL": receiver.url("/v2/enqueue"),
        "SLACK_BASE_URL": receiver.url("/api/"),
        "AWS_ENDPOINT_URL": receiver.url(""),
        "LOG_LEVEL": "DEBUG",
        "PORT": str(free_port()),
        "SECRET_KEY": secrets.token_urlsafe(50),
        "EVENTSINKS_ENCRYPTION_KEYS": make_key(),
    }


@pytest.fixture
def database():
    """Return the settings of a database of its own, and a function that dumps all of it."""
    server = os.environ.get("TEST_DATABASE_URL")
    if server is None:
        yield {}, lambda var: b"".join(path.read_bytes() for path in (var / "var").glob("eventsinks.sqlite3*"))
        return
    with own_database(server) as url:
        yield (
            {"DATABASE_URL": url},
            lambda _: subprocess.run(["pg_dump", url], capture_output=True, check=True).stdout,
        )


def posted(system, path, body):
    """Post to a running system, and return the answer."""
    headers = {"Authorization": f"Bearer {system['api_key']}"}
    return requests.post(system["url"] + path, json=body, headers=headers, timeout=30)


def started(environment, var, log):
    """Start a whole system; return its process and what is needed to speak to it."""
    process = subprocess.Popen(
        [sys.executable, "manage.py", "run"], cwd=ROOT, env=environment, stdout=log, stderr=log
    )
    for _ in range(900):
        if (var / "var" / "credentials.json").exists() and b"eventsinks is ready" in Path(log.name).read_bytes():
            return process, json.loads((var / "var" / "credentials.json").read_text())
        assert process.poll() is None, Path(log.name).read_text()
        time.sleep(0.1)
    raise AssertionError("it did not start")


@pytest.mark.guarantee("S10")
@pytest.mark.skipif(sys.platform != "linux", reason="whole systems are started on Linux")
def test_real_processes_log_dump_and_send_no_secret_at_the_level_debug(tmp_path, database, request):
    planted = {"pagerduty": "R0ut1ngK3y5f0rAcm3sBlu3T3amX9876", "header": HEADER, "query": QUERY}
    planted |= {"aws": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYacmeacme", "bearer": "n0t-a-real-bearer"}
    own, dump = database
    with Receiver(echoed) as receiver, broker(tmp_path) as redis_server, (tmp_path / "log").open("wb") as log:
        environment = {**free_settings(tmp_path, receiver, redis_server.url), **own}
        process, system = started(environment, tmp_path, log)
        request.addfinalizer(process.kill)
        watching = redis.Redis.from_url(redis_server.url).monitor()
        said, commands = {}, []
        with watching:
            body = {"tenant_id": system["tenant_id"], "name": "n", "description": ""}
            url = receiver.url(f"/hook?token={quote(QUERY, safe='')}")
            for args in (
                {"Webhook": {"url": url, "headers": {"X-Key": HEADER}}},
                {"PagerDuty": {"integration_key": planted["pagerduty"]}},
            ):
                made = posted(system, "/v1/event_sink", {**body, "event_sink_args": args})
                assert made.status_code == 200, made.text
                said[f"create {next(iter(args))}"] = made.text
                said[f"test {next(iter(args))}"] = posted(
                    system, f"/v1/event_sink/{made.json()['event_sink']['id']}/test", {}
                ).text
            aws = {"region": "eu-central-1", "access_key": "AKIAACMEEVENTS000001", "secret_key": planted["aws"]}
            generic = {"url": url, "headers": json.dumps({"Authorization": f"Bearer {planted['bearer']}"})}
            for platform, config in (("s3", {**aws, "bucket_name": "acme-events"}), ("generic_http", generic)):
                for enabled in (True, False):
                    made = posted(
                        system,
                        "/api/event-streaming",
                        {"platform": platform, "config": config, "enabled": enabled},
                    )
                    said[f"{platform} {enabled}"] = made.text
                posted(system, f"/api/event-streaming/{made.json()['id']}/resume", {})
            posted(system, "/v1/detection_alert", {"name": "Root login", "severity": "High"})
            until = time.monotonic() + 60
            while time.monotonic() < until:
                said["deliveries"] = requests.get(
                    system["url"] + "/v1/delivery",
                    headers={"Authorization": f"Bearer {system['api_key']}"},
                    timeout=30,
                ).text
                if said["deliveries"].count('"temporary"') + said["deliveries"].count("500") >= 2:
                    break
                time.sleep(0.5)
            time.sleep(3)  # streams have had a turn
            until = time.monotonic() + 3  # what it was sent by then is in the buffer
            while time.monotonic() < until:
                commands.append(str(watching.next_command()))
        process.terminate()
        process.wait(60)
    assert said["deliveries"].count("500") >= 2, said["deliveries"]
    assert len(commands) > 10
    said |= {"log": (tmp_path / "log").read_text("utf-8", "replace"), "broker": "\n".join(commands)}
    said["dump"] = dump(tmp_path).decode("latin-1")
    assert "delivery.tried" in said["log"]
    planted |= {"key": system["api_key"], "sealing": environment["EVENTSINKS_ENCRYPTION_KEYS"]}
    planted["django"] = environment["SECRET_KEY"]
    shown_to_the_operator = said["log"].index("eventsinks is ready")  # with the key, once
    end = said["log"].index("Send a detection alert", shown_to_the_operator)
    end = said["log"].index("High", end)
    said["log"] = said["log"][:shown_to_the_operator] + said["log"][end:]
    assert_in_none_of(said, planted.values())


TALK = """
import sys, django; django.setup()
from eventsinks.lib.net import slack
from eventsinks.lib.net.aws import AwsAccount, AwsKeys, CallFailed, assume_role
try:
    slack.find_channel(sys.argv[1] + "/api/", "planted-token-of-slack", "name", "general")
except Exception as error:
    print(type(error).__name__)
role = "arn:aws:iam::123456789012:role/r"
account = AwsAccount("eu-central-1", AwsKeys("AKIA1", "s" * 40), role, None, sys.argv[1])
print(bool(assume_role(account, lambda: 9.0).token))
"""
STS = """<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>
<AccessKeyId>ASIA1</AccessKeyId><SecretAccessKey>planted-key-of-sts</SecretAccessKey><SessionToken>planted-token-of-sts
</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"""


def test_clients_of_vendors_log_no_token_at_the_level_debug(tmp_path):
    environment = {**os.environ, "EVENTSINKS_VAR": str(tmp_path), "LOG_LEVEL": "DEBUG"}
    environment |= {"DJANGO_SETTINGS_MODULE": "project.settings", "SECRET_KEY": "x" * 60}
    environment |= {"EVENTSINKS_ENCRYPTION_KEYS": make_key(), "DATABASE_URL": f"sqlite:///{tmp_path}/db"}
    with Receiver(lambda got: answer(body=STS.encode())) as far_end:
        done = subprocess.run(
            [sys.executable, "-c", TALK, far_end.url("")],
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert done.stdout.split() == ["SlackSaid", "True"], done.stderr
    assert "planted" not in done.stderr
