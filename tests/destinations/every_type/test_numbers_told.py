"""Numbers go on as they were written: in whatever any destination type is told, in any mapping and template."""

import gzip
from email import message_from_bytes, policy

import pytest

from eventsinks.destinations import DESTINATION_TYPES
from eventsinks.destinations.base import ClientType, Message
from eventsinks.event_types import EVENT_TYPES
from eventsinks.event_types.alert_template import AlertTemplate
from eventsinks.mappings import MAPPINGS
from tests.destinations.examples import ACME, AT, MESSAGE_ID, make_response, make_type

NUMBERS = ["123456789012345678901234567890", "1.10", "1E5", "-0", "1e400", "0.10000000000000000000000000000001"]
TEMPLATE = AlertTemplate.model_validate({"info": [{"label": "Told", "value": "<{{@alert.n}}>"}]})
ALERT = (
    b'{"name":"n","severity":"High","id":"1","n":%s,'
    b'"results_table":{"columns":["a"],"rows":[{"a":%s},{"a":[%s]}],"total_row_count":2}}'
)
SINKS = [key for key, kind in sorted(DESTINATION_TYPES.items()) if kind.face == "event_sink"]
STREAMS = [key for key, kind in sorted(DESTINATION_TYPES.items()) if kind.face == "integration"]
every_number = pytest.mark.parametrize("number", NUMBERS)


def accepted(key, raw):
    """Return the type of an event, and it as it was accepted."""
    kind = EVENT_TYPES[key]
    return kind, kind.accept(raw, ACME)


def alert(number, template=None):
    """Return the message of an alert in which a number stands wherever one is told."""
    kind, taken = accepted("detection_alert", ALERT.replace(b"%s", number.encode()))
    return Message(MESSAGE_ID, kind, ACME, taken.occurred_at, taken.data, template=template)


def audit(number):
    """Return the message of an audit event with a number in its meta."""
    raw = b'{"id":"1","activity_code":"user.login","meta":{"n":%s}}'.replace(b"%s", number.encode())
    kind, taken = accepted("audit", raw)
    return Message(MESSAGE_ID, kind, ACME, taken.occurred_at, taken.data)


def text_of(request):
    """Return what a request says."""
    if request.method == "MAIL":
        return message_from_bytes(request.body, policy=policy.default).get_body().get_content()
    zipped = ("Content-Encoding", "gzip") in request.headers
    return (gzip.decompress(request.body) if zipped else request.body).decode().replace("\\\\", "")  # of Markdown


def told(kind, message):
    """Return the request that tells a message: of a type that searches first, the one after."""
    first = kind.build([message], AT)
    return kind.then(message, first, make_response(200, b'{"issues":[]}')) or first


@pytest.mark.guarantee("S16")
@pytest.mark.parametrize("key", SINKS)
def test_an_event_sink_is_told_every_digit(key):
    kind = make_type(key, signing_keys=[bytes(32)])
    for number in NUMBERS:
        assert number in text_of(told(kind, alert(number)))
        assert number in text_of(told(kind, alert(number, TEMPLATE)))


@pytest.mark.parametrize("key", SINKS)
def test_plain_words_are_found_for_any_number(key):
    kind = make_type(key, signing_keys=[bytes(32)])
    for number in NUMBERS:
        message = alert(number, TEMPLATE)
        plain = kind.in_words(message, told(kind, message))
        assert plain is None or plain.body, number


@pytest.mark.parametrize("name", sorted(MAPPINGS))
@pytest.mark.parametrize(
    ("key", "raw"),
    [
        ("detection_alert", ALERT),
        ("audit", b'{"id":"1","activity_code":"user.login","meta":{"n":%s,"m":[%s]},"n":%s}'),
        ("network_traffic", b'{"flow_id":"1","source":{},"destination":{},"protocol":6,"n":%s}'),
    ],
)
def test_a_mapping_keeps_every_digit(key, raw, name):
    # its meta has fields of its own, and no others
    is_left_out = name.startswith("netbird") and key == "network_traffic"
    for number in NUMBERS:
        kind, taken = accepted(key, raw.replace(b"%s", number.encode()))
        written = MAPPINGS[name].written(kind, taken.data, taken.occurred_at)
        assert is_left_out or number.encode() in written


@pytest.mark.guarantee("S16")
@every_number
@pytest.mark.parametrize("key", [key for key in STREAMS if not issubclass(DESTINATION_TYPES[key], ClientType)])
def test_a_stream_is_told_every_digit(key, number):
    assert number in text_of(make_type(key).build([audit(number)], AT))


@every_number
@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ('{"m":{{.Meta}},"n":{{.Meta.n}},"t":"{{.Meta.n}}"}', '{"m":{"n":%s},"n":%s,"t":"%s"}'),
        ("{{.Meta.n}} told", "%s told"),
    ],
)
def test_a_body_template_fills_in_every_digit(template, expected, number):
    config = {"url": "https://example.com/", "body_template": template}
    request = make_type("generic_http", config).build([audit(number)], AT)
    assert text_of(request) == expected.replace("%s", number)
