"""What every type keeps that its vendor's client sends, new ones too: over a far end that answers anything."""

import json
import re
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings

from eventsinks.destinations import DESTINATION_TYPES
from eventsinks.destinations.base import ClientType, Endpoints, EventRefused, Receipt, SendFailure, Temporary
from eventsinks.event_types.base import NotAcceptable
from tests.destinations.every_type.test_contract import BODIES, HOSTILE_TEXTS, STATUSES, odd_fields, secret_texts
from tests.destinations.examples import ALERT, AT, make_audit, make_batch, make_message, make_traffic, make_type
from tests.helpers.receiver import Receiver, answer

OF_ONE_TRY = ("date", "authorization", "amz-sdk-invocation-id", "host")  # and what begins with x-amz-date
client_type = pytest.mark.parametrize(
    "key", sorted(key for key, kind in DESTINATION_TYPES.items() if issubclass(kind, ClientType))
)


@pytest.fixture(scope="module")
def receiver():
    with Receiver(lambda got: answer(body=b"")) as receiver:
        yield receiver


def outcome_of(receiver, key, *messages, says=b""):
    """Send to a far end that says this; return the receipt, or the failure that was raised."""
    receiver.got.clear()
    receiver.answers = lambda got: says or answer(body=b"")
    destination = make_type(key, endpoints=Endpoints(aws=receiver.url("")))
    try:
        outcome = destination.send(make_batch(*messages), AT)
    except SendFailure as failure:
        return failure
    assert isinstance(outcome, Receipt)
    assert set(outcome.failures or ()) <= {message.id for message in messages}
    return outcome


def sent(receiver, key, *messages):
    """Return what goes over the wire, without what is of one try only."""
    outcome_of(receiver, key, *messages)
    return [
        (got.method, got.path, sorted(h for h in got.headers if of_every_try(h[0].lower())), got.body)
        for got in receiver.got
    ]


def of_every_try(name):
    """Whether a header is the same over every try."""
    return name not in OF_ONE_TRY and not name.startswith(("x-amz-date", "x-amz-security"))


@client_type
def test_sending_twice_sends_the_same_bytes(receiver, key):
    messages = make_audit(), make_traffic(message_id=UUID(int=2)), make_message(message_id=UUID(int=3))
    first, second = (sent(receiver, key, *messages) for _ in range(2))
    assert first == second != []


@client_type
def test_sending_changes_nothing(receiver, key):
    message = make_message()
    before = message.data, json.dumps(message.document)
    outcome_of(receiver, key, message)
    assert before == (message.data, json.dumps(message.document))


@client_type
def test_a_type_of_this_kind_builds_no_request(key):
    with pytest.raises(NotImplementedError):
        make_type(key).build([make_message()], AT)


@client_type
def test_no_secret_goes_over_the_wire_or_into_a_failure(receiver, key):
    outcome = outcome_of(receiver, key, make_audit(), says=answer(403, body=b""))
    seen = repr((receiver.got, outcome, vars(outcome)))
    assert secret_texts(make_type(key).config)
    assert not [secret for secret in secret_texts(make_type(key).config) if secret in seen]


@client_type
@pytest.mark.parametrize("text", HOSTILE_TEXTS, ids=range(len(HOSTILE_TEXTS)))
def test_a_hostile_alert_is_sent_or_refused(receiver, key, text):
    row = {f"{text[:500]}{number}": text[:100_000] for number in range(10)}
    message = make_message(
        name=text[:10_000], description=text, results_table={"rows": [row]}, **{text[:100]: text}
    )
    outcome = outcome_of(receiver, key, message)
    assert isinstance(outcome, Receipt | Temporary)
    if not receiver.got:
        assert {type(failure) for failure in outcome.failures.values()} == {EventRefused}


@client_type
@settings(deadline=None, max_examples=30, database=None, suppress_health_check=list(HealthCheck))
@given(alert=odd_fields)
def test_any_alert_that_was_accepted_is_sent(receiver, key, alert):
    raw = json.dumps({**alert, "timestamp": ALERT["timestamp"]}).encode()
    try:
        message = make_message(raw=raw)
    except NotAcceptable:
        return
    outcome_of(receiver, key, message)
    assert len(receiver.got) == 1


@client_type
@pytest.mark.parametrize("status", STATUSES)
def test_an_answer_is_a_receipt_or_a_failure_with_a_reason(receiver, key, status):
    # Of those that are tried twice, with a pause between, one body will do.
    for body in BODIES if status < 429 and status != 200 else BODIES[:3:2]:
        outcome = outcome_of(receiver, key, make_audit(), says=answer(status, body=body))
        assert isinstance(outcome, SendFailure) or outcome.response.status == status
        if isinstance(outcome, SendFailure):
            assert re.fullmatch(r".{1,500}", outcome.reason)


@client_type
@pytest.mark.parametrize("status", [429, 503])
def test_a_far_end_in_trouble_is_tried_again_when_it_says(receiver, key, status):
    outcome = outcome_of(receiver, key, make_audit(), says=answer(status, [("Retry-After", "17")], b""))
    assert isinstance(outcome, Temporary)
    assert outcome.retry_after == 17


@client_type
def test_a_far_end_that_is_not_there_is_tried_again(key):
    destination = make_type(key, endpoints=Endpoints(aws="http://127.0.0.1:1"))
    with pytest.raises(Temporary, match="connection_failed"):
        destination.send(make_batch(), AT)


@client_type
def test_a_connection_that_is_lost_is_tried_again(receiver, key):
    outcome = outcome_of(receiver, key, make_audit(), says=lambda reader, writer: writer.transport.abort())
    assert isinstance(outcome, Temporary)
