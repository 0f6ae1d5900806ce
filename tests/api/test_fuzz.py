"""What nobody thought of: requests made up from the schema, and from nothing.

FUZZ_EXAMPLES=1000 asks for that many examples of each, anew each time; without it, the same few every time.
Of what is at the bounds of the schema a part is tried: all of it with FUZZ_EXAMPLES, and where CI is set.
"""

from __future__ import annotations

import contextlib
import ipaddress
import itertools
import os
import re
import uuid
from datetime import timedelta

import orjson
import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.generation.feedback import FeedbackSources
from schemathesis.generation.hypothesis.builder import HypothesisTestConfig, HypothesisTestMode, create_test
from schemathesis.generation.meta import TestPhase
from schemathesis.python._constants.orchestrator import make_constants_value_source

from eventsinks.actions import configure
from eventsinks.actions.silence import make_silence
from eventsinks.lib.net.addresses import AddressGuard
from eventsinks.models import Delivery, Destination, Event
from project.wsgi import application
from tests.api.conftest import Caller
from tests.helpers import replays

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "0"))
IS_THOROUGH = bool(EXAMPLES or os.environ.get("CI"))
FOR_OPERATORS = ("/v1/tenant", "/v1/api_key")
NDJSON = "application/x-ndjson"
load_all_checks()
# Not everything that fits the schema is good: a page token is opaque, an address is judged, a channel is named.
TOO_STRICT = CHECKS.get_by_names(["positive_data_acceptance"])
# Not for an id that is put in afterwards: it is not what was made up.
NEGATIVE = CHECKS.get_by_names(["negative_data_rejection"])


@pytest.fixture(autouse=True)
def nothing_leaves(monkeypatch, settings):
    """Let what is made up lead nowhere beyond this machine."""
    settings.AWS_ENDPOINT_URL = "http://127.0.0.1:9"
    monkeypatch.setattr(AddressGuard, "permits", lambda guard, address, host="", port=0: is_loopback(address))


def is_loopback(address):
    return ipaddress.ip_address(address.partition("%")[0]).is_loopback


def budget(few):
    """Return the settings of a test that tries `few` examples, unless more are asked for."""
    return settings(
        max_examples=EXAMPLES or few,
        derandomize=not EXAMPLES,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("platform", "config", "status", "why"),
    [
        ("generic_http", {"url": "http://93.184.215.14/"}, 422, "may not be dialled"),
        ("s3", {"bucket_name": "a-b", "region": "eu-west-1", "access_key": "A", "secret_key": "s"}, 412, "port=9"),
    ],
)
def test_what_is_made_up_is_not_sent_beyond_this_machine(api, platform, config, status, why):
    response = api.post("/api/event-streaming", {"platform": platform, "config": config, "enabled": True})
    assert (response.status_code, why in response.json()["message"]) == (status, True), response.content


# --- By the schema ---------------------------------------------------------------------------------


@schemathesis.serializer(NDJSON)
def as_lines(context, value):
    return {"data": value if isinstance(value, bytes) else str(value).encode(errors="replace")}


SCHEMA = schemathesis.openapi.from_wsgi("/schema", application).include(path_regex="^/(v1|api)")
OPERATIONS = {found.ok().label: found.ok() for found in SCHEMA.get_all_operations()}


def try_out(label, check):
    """Call `check` with what the schema makes up for an operation: what is at its bounds, and a few at random.

    All of it is made up here and not when pytest collects, which each process does, for all tests.
    """
    bounds = itertools.count()

    @budget(12 if IS_THOROUGH else 4)
    def check_case(case):
        if case.meta.phase.name != TestPhase.COVERAGE or is_tried(next(bounds)):
            check(case)

    constants = FeedbackSources(constants_value_source=make_constants_value_source(SCHEMA))
    config = HypothesisTestConfig(project=SCHEMA.config, modes=list(HypothesisTestMode), feedback=constants)
    create_test(operation=OPERATIONS[label], test_func=check_case, config=config)()


def is_tried(number):
    """Whether this one of what is at the bounds is tried: in CI each, else the first ones and then every fifth."""
    return IS_THOROUGH or number < 10 or number % 5 == 0


@pytest.fixture
def in_this_thread(db):
    """Keep the connection over requests, as Django's test client does, so that what they leave is rolled back."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.fixture
def known(in_this_thread, settings, acme, acme_key, operator_key, make_webhook, make_alert, make_workspace):
    """Something of everything, and the keys: what stands for an id in each path. None of it leads anywhere."""
    settings.EVENTSINKS_WRONG_KEYS_PER_MIN = 1_000_000  # schemathesis tries one with each case
    sink = make_webhook("http://127.0.0.1:2/", config={"headers": {"X-Key": "secret"}})
    make_alert(id="a/lert")
    ends_at = timezone.now() + timedelta(hours=1)
    hush = make_silence(acme, reason="r", author="a", filter="false", ends_at=ends_at)
    again = replays.start(make_webhook("http://127.0.0.1:2/"), since=timezone.now())
    stream = configure.create(acme, "generic_http", {"url": "http://127.0.0.1:2/"}, name="stream")
    return {
        "keys": {True: operator_key, False: acme_key},
        "ids": {
            "/v1/event_sink": sink.uuid,
            "/v1/delivery": Delivery.objects.get().id,
            "/v1/detection_alert": "a/lert",
            "/v1/tenant": acme.id,
            "/v1/silence": hush.id,
            "/v1/replay": again.id,
            "/v1/slack_integration": make_workspace().id,
            "/api/event-streaming": stream.id,
        },
    }


def send(case, known, excluded):
    beyond = set(case.query or {}) - {parameter.name for parameter in case.operation.query}
    if beyond:
        # What a query holds beyond what is known is refused by our own lists, and ignored by the others.
        excluded = excluded + NEGATIVE
    key = known["keys"][case.path.startswith(FOR_OPERATORS)]
    headers = {"Authorization": f"Bearer {key}"}
    response = case.call(headers=headers)
    case.validate_response(response, excluded_checks=excluded, headers=headers)


@pytest.mark.parametrize("label", OPERATIONS)
def test_what_the_schema_says_is_what_happens(label, known):
    try_out(label, lambda case: send(case, known, TOO_STRICT))


@pytest.mark.parametrize("label", [label for label in OPERATIONS if "{" in label])
def test_what_the_schema_says_is_what_happens_to_what_is_there(label, known):
    def send_to_what_is_there(case):
        for prefix, id in known["ids"].items():
            if case.path.startswith(prefix):
                case.path_parameters = dict.fromkeys(case.path_parameters, str(id))
        send(case, known, TOO_STRICT + NEGATIVE)

    try_out(label, send_to_what_is_there)


# --- By nothing ------------------------------------------------------------------------------------

texts = st.text(max_size=20)
leaves = (
    st.none()
    | st.booleans()
    | st.integers(min_value=-(2**63), max_value=2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts
    | st.sampled_from(["", "****", "\0", "C1", "#c", "https://example.com/", "High", str(uuid.UUID(int=1))])
)
documents = st.recursive(
    leaves, lambda inside: st.lists(inside, max_size=4) | st.dictionaries(texts, inside, max_size=4), max_leaves=12
)


def objects(**likely):
    """Return a strategy of objects whose keys are likely ones, with good values or with any."""
    return st.fixed_dictionaries(
        {}, optional={name: value | documents for name, value in likely.items()} | {"surprise": documents}
    )


def strict(**fields):
    """Return a strategy of objects that have all of these."""
    return st.fixed_dictionaries(fields)


names = st.text(min_size=1, max_size=20)
alerts = objects(
    id=names,
    name=names,
    severity=st.sampled_from(["High", "low"]),
    severity_id=st.integers(0, 6),
    status=st.sampled_from(["firing", "resolved"]),
    dedup_key=names,
    event_sink_ids=st.lists(st.just(str(uuid.UUID(int=1))), max_size=2),
    staging=st.booleans(),
    tags=st.lists(texts, max_size=3),
    timestamp=st.integers() | st.datetimes().map(str),
)
good_alerts = strict(name=names, severity=st.sampled_from(["High", "low"]), id=names, extra=documents)
webhooks = objects(
    url=st.just("https://example.com/"),
    headers=st.dictionaries(texts, texts, max_size=3),
    webhook_type=st.just("Torq"),
)
slacks = objects(slack_integration_id=st.just(str(uuid.UUID(int=1))), channel_id=texts, channel=texts)
arguments = st.dictionaries(
    st.sampled_from(["Webhook", "Slack", "PagerDuty", "Tines", "Email", "Jira", ""]) | texts,
    webhooks | slacks | objects(integration_key=st.just("0" * 32)) | documents,
    max_size=2,
)
sinks = objects(
    id=texts,
    tenant_id=st.just("TENANT"),
    name=names,
    description=texts,
    event_sink_args=arguments,
    enabled=st.booleans(),
)


def written(document):
    """Return a document as JSON; integers beyond 64 bits and lone surrogates are for others."""
    with contextlib.suppress(orjson.JSONEncodeError):
        return orjson.dumps(document)
    return b"{}"


def is_answered(response, ok=(200,)):
    """Assert that an answer is a good one, or an error that says where. Return whether it is good."""
    assert response.status_code in (*ok, 400, 404, 409, 413, 415), response.content
    assert response["Content-Type"] == "application/json"
    if response.status_code in ok:
        return True
    if response.status_code == 400:
        names_where(response.json())
    assert response.json()["error"]["message"].strip()
    return False


OF_THE_WHOLE = re.compile(
    r"must be a JSON object|no event in the body|nested deeper than|none of the \d+ events|data was truncated"
    r"|request: must not contain NUL"
)


def names_where(document):
    """Assert that an error names a field or a position, unless it is about the whole body."""
    error = document["error"]
    named = any(problem["field"] for problem in error["fields"])
    at = re.search(r"line \d+ column \d+|byte \d+", error["message"])
    assert named or at or OF_THE_WHOLE.search(error["message"]), error
    for one in document.get("data", {}).get("rejected", []):
        assert one["index"] >= 0
        assert (
            one["field"] or re.search(r"line \d+ column \d+", one["error"]) or OF_THE_WHOLE.search(one["error"])
        ), one


def kept():
    return Event.objects.count(), Delivery.objects.count()


@budget(120)
@given(body=st.binary(max_size=60) | documents.map(written) | alerts.map(written) | good_alerts.map(written))
def test_any_body_is_an_alert_or_is_refused_and_leaves_nothing(api, make_sink_once, body):
    before = kept()
    response = api.post("/v1/detection_alert", body)
    if not is_answered(response):
        assert kept() == before
    elif "detection_alert" in response.json():
        told = response.json()["detection_alert"]
        grown = 0 if told["duplicate"] else 1
        assert kept() == (before[0] + grown, before[1] + grown * told["deliveries"])
        event = Event.objects.get(key=told["id"])
        assert event.deliveries.count() == told["deliveries"]


@budget(80)
@given(
    lines=st.lists(
        st.binary(max_size=20) | documents.map(written) | alerts.map(written) | good_alerts.map(written),
        max_size=6,
    ),
    is_array=st.booleans(),
)
def test_of_many_all_that_is_good_is_kept_and_each_of_the_others_is_named(api, make_sink_once, lines, is_array):
    before = kept()
    if is_array:
        response = api.post("/v1/detection_alert", b"[" + b",".join(lines) + b"]")
    else:
        response = api.post("/v1/detection_alert", b"\n".join(lines), content_type=NDJSON)
    good = is_answered(response)
    counts = response.json().get("data", {"accepted": 0, "deliveries": 0})
    assert kept() == (before[0] + counts["accepted"], before[1] + counts["deliveries"])
    if good:
        sent = counts["accepted"] + counts["duplicates"] + len(counts["rejected"])
        assert counts["accepted"] + counts["duplicates"] > 0
        assert all(one["error"] and 0 <= one["index"] < sent for one in counts["rejected"])


@budget(150)
@given(body=st.binary(max_size=60) | documents.map(written) | sinks.map(written))
def test_any_body_makes_an_event_sink_or_is_refused_and_leaves_nothing(api, acme, body):
    before = Destination.objects.count()
    response = api.post("/v1/event_sink", body.replace(b'"TENANT"', b'"%s"' % str(acme.id).encode()))
    made = is_answered(response)
    assert Destination.objects.count() == before + made
    if made:
        sink = response.json()["event_sink"]
        assert api.get(f"/v1/event_sink/{sink['id']}").json()["event_sink"] == sink


@budget(150)
@given(body=st.binary(max_size=60) | documents.map(written) | sinks.map(written))
def test_any_body_changes_an_event_sink_or_is_refused_and_changes_nothing(api, sink, body):
    before = Destination.objects.filter(id=sink.id).values().get()
    response = api.put(f"/v1/event_sink/{sink.uuid}", body)
    if not is_answered(response):
        assert Destination.objects.filter(id=sink.id).values().get() == before
    # Whatever came, the engine can still open it.
    Destination.objects.select_related("slack_workspace").get(id=sink.id).opened()


@budget(100)
@given(
    query=st.dictionaries(
        st.sampled_from(
            [
                "page_size",
                "page_token",
                "pagination",
                "pagination[page_size]",
                "tenant_id",
                "pagination[page_token]",
                "state",
                "status_class",
                "reason",
                "detection_alert_id",
                "event_sink_id",
                "pagination[",
                "[]",
            ]
        ),
        texts | st.integers().map(str),
        max_size=4,
    ),
    path=st.sampled_from(["event_sink", "delivery", "detection_alert"]),
)
def test_any_question_is_answered_or_refused(api, sink, query, path):
    response = api.client.get(f"/v1/{path}", query, headers=api.headers)
    is_answered(response)


@budget(100)
@given(path=st.text(max_size=30), method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"]))
def test_any_path_is_answered_in_json(api, path, method):
    from urllib.parse import quote

    response = api.send(method, f"/v1/{quote(path, safe='/', errors='surrogatepass')}", b"{}")
    assert response.status_code in (200, 400, 403, 404, 405)
    assert response["Content-Type"] == "application/json"


@pytest.fixture
def sink(make_webhook):
    return make_webhook(config={"headers": {"X-Key": "secret"}})


@pytest.fixture
def make_sink_once(make_webhook):
    return make_webhook()


@pytest.fixture
def api(acme_key):
    return Caller(acme_key)
