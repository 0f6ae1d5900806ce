"""What every destination type keeps, new ones too: they are here by being in DESTINATION_TYPES."""

import ast
import base64
import gzip
import inspect
import itertools
import json
import re
import sys
from html import escape
from typing import get_args
from urllib.parse import quote
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, SecretStr, ValidationError

from eventsinks.destinations import DESTINATION_TYPES
from eventsinks.destinations.base import (
    MASK,
    MAX_RETRY_AFTER,
    NEEDED,
    Answers,
    ClientType,
    EventRefused,
    SendFailure,
    TooLarge,
)
from eventsinks.destinations.base.config import read_leaves
from eventsinks.destinations.base.rendering import HIDDEN, measure_length
from eventsinks.event_types.base import NotAcceptable
from eventsinks.lib.net.smtp import MAIL
from eventsinks.lib.net.wire import Request
from eventsinks.lib.secrets.secret_texts import get_origin
from tests.destinations.examples import (
    ALERT,
    ANYWHERE,
    AT,
    example,
    find_test,
    make_message,
    make_response,
    make_streamed,
    make_type,
    of_its_test,
    takes_urls,
)

KEY = bytes(range(32))
HOSTILE_TEXTS = (
    "x" * 2_000_000,
    "<!channel> <@U123> <http://evil.example|good.example> @here",
    "line\r\nX-Injected: yes\r\n\r\n",
    "".join(map(chr, range(32))) + "\x7f\x85\u2028\u202egnp.exe",
    "👩‍👩‍👧‍👦🏳️‍🌈" * 5_000,
    "&<>" * 20_000,
    "\ufeff\u200b \ufffe\uffff",
    " ",
)
STATUSES = (200, 202, 204, 302, 400, 401, 403, 404, 410, 413, 429, 500, 503)
BODIES = (
    b"",
    b"\xff\xfe\x00garbage",
    b'<html>{"ok":',
    b"null",
    b"{}",
    b'{"ok":null,"error":{"a":1},"errors":7,"message":[]}',
    b'{"ok":false,"error":"a_code_of_tomorrow","errors":[1,null,{"a":[]}]}',
    b"[" * 60_000,
)

CLIENTS = {key for key, kind in DESTINATION_TYPES.items() if issubclass(kind, ClientType)}

every_type = pytest.mark.parametrize("key", sorted(DESTINATION_TYPES))
HTTP_TYPES = sorted(set(DESTINATION_TYPES) - CLIENTS)  # the rest: test_clients.py
http_type = pytest.mark.parametrize("key", HTTP_TYPES)
event_sink = pytest.mark.parametrize(
    "key", sorted(key for key, kind in DESTINATION_TYPES.items() if kind.face == "event_sink")
)


def leaves(value):
    """Return every string in a JSON value."""
    if isinstance(value, dict):
        return [leaf for child in value.values() for leaf in leaves(child)]
    return [value] if isinstance(value, str) else []


def secret_texts(value):
    """Return every secret of a configuration, as text; of secrets inside JSON, each."""
    if isinstance(value, SecretStr):
        text = value.get_secret_value()
        return [inside.split(" ")[-1] for inside in leaves(json.loads(text))] if text.startswith("{") else [text]
    children = dict(value).values() if isinstance(value, (dict, BaseModel)) else ()
    return [text for child in children for text in secret_texts(child) if text]


def build_or_refuse(destination, message):
    """Build, and return the request, None where the event was refused."""
    try:
        request = destination.build([message], AT)
    except EventRefused:
        return None
    assert isinstance(request, Request)
    return request


def assert_fit_for_the_wire(request):
    """No header can split the request or fail to be encoded."""
    for text in itertools.chain((request.method, request.url), *request.headers):
        assert not set("\r\n\0") & set(text)
        text.encode("latin-1")
    assert isinstance(request.body, bytes)


@every_type
def test_a_type_says_what_it_is(key):
    kind = DESTINATION_TYPES[key]
    assert kind.key == key
    assert kind.label
    assert kind.__doc__
    assert kind.face in ("event_sink", "integration")
    assert kind.face == "integration" or kind.limits.max_events == 1


@every_type
def test_a_type_has_an_example_that_fills_in_a_secret(key):
    config = make_type(key).config
    declares_one = "SecretStr" in repr(type(config).model_fields)
    assert secret_texts(config) or not declares_one


@event_sink
def test_a_type_can_be_shown_without_a_secret(key):
    kind = DESTINATION_TYPES[key]
    shown = kind.Config.model_validate(kind.example)
    assert MASK not in "".join(leaves(shown.dump_revealed()))
    for secret in secret_texts(shown):
        last = re.split("[/:]", secret)[-1]
        assert "example" in secret or len(set(last) - {"-"}) <= 1, "this could be a secret of somebody's"
    kind(shown).build([make_message()], AT)


@http_type
def test_a_type_signs_if_it_says_so_and_only_then(key):
    signed, plain = (make_type(key, signing_keys=keys).build([make_message()], AT) for keys in ([KEY], []))
    assert (signed != plain) is DESTINATION_TYPES[key].signs


def test_a_type_without_an_example_fails(monkeypatch):
    stranger = type("Stranger", (), {"__module__": "eventsinks.destinations.stranger"})
    monkeypatch.setitem(DESTINATION_TYPES, "stranger", stranger)
    with pytest.raises(AssertionError, match="test_stranger must define EXAMPLE"):
        example("stranger")


@http_type
def test_building_twice_gives_the_same_bytes(key):
    first, second = (make_type(key, signing_keys=[KEY]) for _ in range(2))
    messages = (make_message(), make_message(message_id=UUID(int=7)))[: first.limits.max_events]
    assert first.build(messages, AT) == first.build(messages, AT) == second.build(messages, AT)


@http_type
def test_building_changes_nothing(key):
    destination, message = make_type(key), make_message()
    before = destination.config.dump_revealed(), message.data, json.dumps(message.document)
    destination.build([message], AT)
    assert before == (destination.config.dump_revealed(), message.data, json.dumps(message.document))


@http_type
def test_a_request_is_fit_for_the_wire(key):
    assert_fit_for_the_wire(make_type(key, signing_keys=[KEY]).build([make_message()], AT))


@every_type
def test_a_secret_is_in_no_way_of_showing_a_configuration(key):
    config = make_type(key).config
    shown = repr(config) + str(config) + json.dumps(config.dump_masked()) + config.model_dump_json()
    assert not [secret for secret in secret_texts(config) if secret in shown]


@every_type
def test_an_error_of_validation_shows_no_secret(key):
    config = make_type(key).config
    with pytest.raises(ValidationError) as caught:
        type(config).model_validate({**config.dump_revealed(), "no_such_field": "x"})
    assert not [secret for secret in secret_texts(config) if secret in str(caught.value)]


@every_type
def test_what_was_shown_can_be_sent_back_and_keeps_the_secrets(key):
    config = make_type(key).config
    shown = json.loads(json.dumps(config.dump_masked()))
    assert MASK in "".join(leaves(shown)) or not config.secrets()
    assert config.apply_changes(shown) == config
    assert config.apply_changes({}).dump_revealed() == config.dump_revealed()


def goes_to(destination):
    """Return the scheme, host and port that a type sends its secrets to."""
    if isinstance(destination, ClientType):
        return destination.endpoint() or "its vendor"
    return get_origin(build_or_refuse(destination, make_message()).url)


def other_values(field):
    """Return what else a field may say, whether or not it makes sense there."""
    choices = [choice for kind in (field.annotation, *get_args(field.annotation)) for choice in get_args(kind)]
    urls = [
        "https://other.example/x/api",
        "https://other.example",
        "http://example.com/",
        "https://example.com:444/",
    ]
    return [*urls, "other", "us5.datadoghq.com", *(choice for choice in choices if isinstance(choice, str))]


def is_moved(key, name, value):
    """Whether a config that says so from the beginning sends its secrets elsewhere than the example does."""
    try:
        config = DESTINATION_TYPES[key].Config.model_validate({**example(key), name: value})
    except ValidationError:
        return False
    return goes_to(make_type(key, config.dump_revealed())) != goes_to(make_type(key))


@every_type
@pytest.mark.parametrize("masks", [False, True])
def test_another_origin_needs_the_secrets_again(key, masks):
    config = make_type(key).config
    kept = set(config.dump_masked()) & set(config.secrets())
    moved, movable = [], False
    for name, field in type(config).model_fields.items():
        for value in other_values(field):
            movable = movable or (bool(kept - {name}) and is_moved(key, name, value))
            given = {
                name: value,
                **({other: config.dump_masked()[other] for other in kept - {name}} if masks else {}),
            }
            try:
                after = config.apply_changes(given)
            except ValidationError as error:
                moved += [name for detail in error.errors() if detail["type"] == NEEDED]
                continue
            if set(after.secrets()) & (kept - {name}):
                assert goes_to(make_type(key, after.dump_revealed())) == goes_to(make_type(key)), given
    assert moved or not movable


@every_type
def test_a_field_that_is_a_url_is_one_of_the_two_kinds(key):
    for name, field in DESTINATION_TYPES[key].Config.model_fields.items():
        given = str(example(key).get(name, ""))
        leads = any(is_moved(key, name, url) for url in ANYWHERE)
        if (
            leads
            or given.startswith(("http://", "https://"))
            or "url" in f"{name} {field.title}".lower().split("_")
        ):
            assert takes_urls(key, name), f"{name} must be a PublicUrl or a SecretUrl"


@every_type
def test_the_secrets_given_again_are_taken_at_another_origin(key):
    config = make_type(key).config
    assert config.apply_changes(config.dump_revealed()) == config


@every_type
def test_a_type_masks_every_secret_of_its_own(key):
    destination = make_type(key, signing_keys=[KEY])
    secrets = [secret for secret in secret_texts(destination.config) if len(secret) >= 4]
    for secret in [*secrets, base64.b64encode(KEY).decode()]:
        text = secret.partition("://")[2].partition("/")[2] or secret
        for form in (text, quote(text, safe=""), json.dumps(text), escape(text), text.encode().hex()):
            assert text not in destination.redactor.mask(f"they said <{form}>, and more")
            assert form not in destination.redactor.mask(f"they said <{form}>, and more")
        for before in ("", "x", "xy"):
            shown = destination.redactor.mask(base64.b64encode(f"{before}{text} more".encode()).decode())
            assert MASK in shown
            assert base64.b64encode(text.encode())[4:-4].decode() not in shown


@every_type
def test_the_target_is_short_and_holds_no_secret(key):
    destination = make_type(key)
    assert 0 < len(destination.target()) <= 300
    seen = type(destination.config).model_construct(**destination.config.dump_masked())  # a list opens no secret
    assert DESTINATION_TYPES[key](seen).target() == destination.target()
    assert not [secret for secret in secret_texts(destination.config) if secret in destination.target()]


@pytest.mark.parametrize("text", HOSTILE_TEXTS, ids=range(len(HOSTILE_TEXTS)))
def test_a_hostile_alert_is_built_or_refused(text, subtests):
    message = hostile(text)
    for key in HTTP_TYPES:
        with subtests.test(key):
            assert_built_or_refused(key, message)


def assert_built_or_refused(key, message):
    """Whatever is built of an alert is fit for the wire."""
    request = build_or_refuse(make_type(key, signing_keys=[KEY]), message)
    if request is not None:
        assert_fit_for_the_wire(request)


def hostile(text):
    """Return an alert that says this text wherever it can."""
    row = {f"{text[:500]}{number}": text for number in range(30)}
    return make_message(
        name=text[:10_000],
        description=text,
        source=text,
        tags=[text] * 10,
        results_table={"columns": [text], "rows": [row]},
        **{"View in Scanner": "https://scanner.example/" + text, text[:100]: text},
    )


def find_at(value, path):
    """Return what stands at a path of a JSON value: `a.*.b`, where `*` is every one of a list."""
    name, _, rest = path.partition(".")
    if isinstance(value, list) and name == "*":
        found = value
    else:
        found = [value[name]] if isinstance(value, dict) and name in value else []
    return [leaf for child in found for leaf in (find_at(child, rest) if rest else [child])]


def list_too_long(request, limits):
    """Return what of a request is over the limits: of "" in bytes, of a path in characters as UTF-16 counts."""
    body = gzip.decompress(request.body) if ("Content-Encoding", "gzip") in request.headers else request.body
    found = [("", len(body))] if len(body) > limits.get("", len(body)) else []
    for path in set(limits) - {""}:
        texts = find_at(json.loads(body), path)
        found += [(path, len(text)) for text in texts if measure_length(text) > limits[path]]
    return found


def tell_everything(text):
    """Return an alert in which everything that a destination may tell is this text."""
    row = {f"{text[:500]}{number}": text[:2_000] for number in range(30)}
    return make_message(
        name=text[:10_000],
        description=text,
        source=text[:10_000],
        dedup_key=text[:255],
        tags=[text[:9_000]] * 30,
        results_table={"columns": list(row), "rows": [row, row], "total_row_count": 2},
        **{"View in Scanner": "https://scanner.example/" + text[:9_000], text[:100]: text[:2_000]},
    )


@http_type
@pytest.mark.parametrize("text", ["x" * 600_000, "👩" * 150_000, '"\\' * 150_000, "&<>*_" * 60_000], ids=range(4))
def test_an_alert_of_any_length_stays_within_what_the_vendor_takes(key, text):
    limits = of_its_test(key, "LIMITS", "the most that its vendor takes, in bytes and characters")
    destination, message = make_type(key, signing_keys=[KEY]), tell_everything(text)
    set_aside = len(message.data) > destination.limits.max_event_bytes  # by the engine, before there is a batch
    assert not set_aside or DESTINATION_TYPES[key].face == "integration"  # a full batch of which is tried below
    request = None if set_aside else build_or_refuse(destination, message)
    while request is not None:
        assert not list_too_long(request, limits)
        answers = (make_response(200, b'{"issues":[]}'), make_response(400, b"{}"))
        request = next((more for said in answers if (more := destination.then(message, request, said))), None)


@http_type
def test_each_limit_is_of_something_that_is_sent(key):
    destination, message = make_type(key), tell_everything("x" * 1_000)
    first = destination.build([message], AT)
    request = destination.then(message, first, make_response(200, b'{"issues":[]}')) or first
    body = gzip.decompress(request.body) if ("Content-Encoding", "gzip") in request.headers else request.body
    for path in set(of_its_test(key, "LIMITS", "the most that its vendor takes")) - {""}:
        assert find_at(json.loads(body), path), path


@http_type
def test_a_full_batch_stays_within_what_the_vendor_takes(key):
    destination = make_type(key)
    limits, allowed = destination.limits, of_its_test(key, "LIMITS", "the most that its vendor takes")
    for count in {limits.max_events, min(limits.max_events, 7), 1}:
        size = min(limits.max_bytes // count, limits.max_event_bytes, 2_000_000)
        for text in ("x", '\\"', "é"):
            message = make_streamed(
                "audit", activity=text * ((size - 1_000) // len(json.dumps(text).encode()[1:-1]))
            )
            try:
                request = destination.build([message] * count, AT)
            except (TooLarge, EventRefused):
                continue
            assert not list_too_long(request, allowed)


@event_sink
def test_people_read_both_the_title_and_the_message(key):
    message = make_message(name="Quokka at large", description="It went over the fence at noon.")
    destination = make_type(key, signing_keys=[KEY])
    first = destination.build([message], AT)
    request = destination.then(message, first, make_response(200, b'{"issues":[]}')) or first
    said = request.body.decode().replace("\\", "").replace("=\n", "")
    assert "Quokka at large" in said
    assert "It went over the fence at noon" in said


# Of each service whose texts may be markup, what would be some: marks, links, mentions, tags, what is filled in.
MARKS = (
    "*bold* **bold** _i_ __u__ ~s~ ||x|| `c` ```b``` > q",
    "# head",
    "- item",
    "1. item",
    "[good.example](https://evil.example) <https://evil.example|good.example> ![x](https://evil.example/x.png)",
    "<!channel> <!here|x> <@U0123> <#C1> <@&123> @here @everyone :fire: <:x:1>",
    "<b>x</b> <a href='https://evil.example'>x</a> <script>x</script> <img src=x> </p>",
    "h1. x {code}x{code} {color:red}x{color} [~jo] !x.png! ||a||b||",
    "{{DATE(2026-01-01T00:00:00Z, SHORT)}} ${x} {{x}} {% x %}",
    "\\*x\\* \\\\*x\\\\*",
)


def marks_of(key, text, pattern):
    """Return how often a pattern is found in what a type tells of an alert whose every text is this one.

    All texts count, unless `read_marked` in the type's own test says which of them its service reads for markup.
    """
    destination, message = (
        make_type(key),
        make_message(
            name=text, description=text, tags=[text], results_table={"columns": [text], "rows": [{text: text}] * 2}
        ),
    )
    document = json.loads(destination.build([message], AT).body)
    read = getattr(find_test(key), "read_marked", read_leaves)
    return sum(len(pattern.findall(leaf)) for leaf in read(document) if isinstance(leaf, str))


@pytest.mark.guarantee("S17")
@event_sink
@pytest.mark.parametrize("text", MARKS, ids=range(len(MARKS)))
def test_nothing_of_an_alert_is_markup(key, text):
    pattern = of_its_test(key, "MARKUP", "a pattern of what is markup to its service, None where nothing is,")
    if pattern is not None:
        assert marks_of(key, text, pattern) == marks_of(key, "plain", pattern)


@event_sink
def test_a_pattern_of_markup_finds_some(key):
    pattern = of_its_test(key, "MARKUP", "a pattern of what is markup to its service")
    assert pattern is None or any(pattern.search(text) for text in MARKS)


@http_type
def test_an_alert_of_two_hundred_levels_is_built_or_refused(key):
    deep = b"[" * 196 + b"]" * 196  # under four more
    raw = b'{"name":"n","severity":"Low","source":%s,"results_table":{"rows":[{"a":%s}]}}' % (
        deep,
        deep,
    )
    build_or_refuse(make_type(key), make_message(raw=raw))


@pytest.mark.guarantee("S16")
def test_an_alert_of_ten_thousand_levels_never_gets_here():
    with pytest.raises(NotAcceptable):
        make_message(raw=b'{"name":"n","severity":"Low","x":' + b"[" * 10_000 + b"]" * 10_000 + b"}")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(), children, max_size=4),
    max_leaves=12,
)
odd_fields = st.fixed_dictionaries(
    {"name": st.text(min_size=1), "severity": st.sampled_from(("Low", "fatal", "OTHER"))},
    optional={
        "description": st.none() | st.text(),
        "tags": st.none() | st.lists(st.text(), max_size=5),
        "source": json_values,
        "View in Scanner": json_values,
        "results_table": st.fixed_dictionaries({"rows": st.lists(json_values, max_size=3)}) | json_values,
        "status": st.sampled_from(("firing", "acknowledged", "resolved")),
    },
)


@http_type
@settings(deadline=None, max_examples=60, database=None)
@given(alert=odd_fields)
def test_any_alert_that_was_accepted_is_built_or_refused(key, alert):
    raw = json.dumps({**alert, "timestamp": ALERT["timestamp"]}).encode()
    try:
        message = make_message(raw=raw)
    except NotAcceptable:
        return
    request = build_or_refuse(make_type(key), message)
    if request is not None:
        assert_fit_for_the_wire(request)


def outcome_of(key, response):
    """Return the receipt, or the failure that was raised."""
    try:
        return make_type(key).read(response, [make_message()])
    except SendFailure as failure:
        return failure


@http_type
def test_an_answer_is_a_receipt_or_a_failure_with_a_reason(key, subtests):
    for status, body in itertools.product(STATUSES, BODIES):
        with subtests.test(status=status, body=body[:80]):
            outcome = outcome_of(key, make_response(status, body))
            assert isinstance(outcome, SendFailure) or outcome.response.ok
            if isinstance(outcome, SendFailure):
                assert outcome.response.status == status
                assert re.fullmatch(r".{1,500}", outcome.reason)


ODD = "first\r\nsecond\x00\x1b[31m\x85\u2028\u202egnp.exe\u2066 " + "x" * 5_000


def answers_of(key):
    """Return answers with an odd text wherever the type may look for one: under every word of its source."""
    package = DESTINATION_TYPES[key].__module__
    modules = [module for name, module in sys.modules.items() if name == package or name.startswith(package + ".")]
    trees = [ast.parse(inspect.getsource(module)) for module in modules]
    nodes = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    words = {
        node.value for node in nodes if isinstance(node.value, str) and re.fullmatch(r"[\w-]{2,30}", node.value)
    }
    flat = dict.fromkeys(words, ODD)
    for value in (ODD, [ODD], flat, [flat]):
        yield json.dumps(dict.fromkeys(words, value)).encode()
    yield ODD.encode()


@http_type
@pytest.mark.parametrize("status", [200, 400, 403, 422, 429, 500])
def test_what_a_vendor_says_is_told_on_one_line_that_shows_all_it_holds(key, status):
    for body in answers_of(key):
        outcome = outcome_of(key, make_response(status, body))
        if isinstance(outcome, SendFailure):
            assert len(outcome.reason) <= 500
            assert not HIDDEN.search(outcome.reason), repr(outcome.reason)
            assert len(outcome.reason.splitlines()) == 1


@http_type
def test_what_a_vendor_says_is_found_where_a_type_looks_for_it(key):
    reasons = [
        outcome.reason
        for status in (200, 400, 403, 422)
        for body in answers_of(key)
        if isinstance(outcome := outcome_of(key, make_response(status, body)), SendFailure)
    ]
    looks = DESTINATION_TYPES[key].answers.words is not Answers().words
    assert any("second" in reason for reason in reasons) or not looks


@http_type
@settings(deadline=None, max_examples=60, database=None)
@given(text=st.text(st.characters(max_codepoint=255, exclude_characters="\r\n")))
def test_no_retry_after_is_too_odd_to_be_read(key, text):
    with pytest.raises(SendFailure) as caught:
        make_type(key).read(make_response(429, retry_after=text), [make_message()])
    assert 0 <= (getattr(caught.value, "retry_after", None) or 0) <= MAX_RETRY_AFTER


@http_type
def test_a_far_end_in_trouble_is_tried_again_when_it_says(key):
    if make_type(key).build([make_message()], AT).method == MAIL:
        return  # a reply of a mail server names no time
    for status in (429, 503):
        with pytest.raises(SendFailure) as caught:
            make_type(key).read(make_response(status, retry_after="17"), [make_message()])
        assert caught.value.retry_after == 17
