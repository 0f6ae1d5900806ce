"""Transmit: how the messages of a batch are shared out among requests, and how it is told what came of them."""

from types import SimpleNamespace
from typing import Any

import pytest

from eventsinks.destinations.base import BatchLimits, DestinationGone, Receipt, Temporary
from eventsinks.streaming.transmit import split_into_requests, spread_outcome
from tests.destinations.examples import MESSAGE_ID, make_audit, make_type
from tests.destinations.test_s3 import EXAMPLE

SECRET = EXAMPLE["secret_key"]


def sizes(lengths, **limits):
    """Return how many messages of these lengths, in bytes, each request holds."""
    messages: list[Any] = [SimpleNamespace(data=b"x" * length) for length in lengths]
    return [
        len(portion) for portion in split_into_requests(messages, BatchLimits(**{"max_events": 100, **limits}))
    ]


@pytest.mark.parametrize(
    ("room", "requests"),
    [
        (30, [3]),  # each message takes one byte more than it has, for what parts it from the next
        (29, [2, 1]),
        (20, [2, 1]),
        (19, [1, 1, 1]),
    ],
)
def test_a_request_holds_no_byte_more_than_its_type_takes(room, requests):
    assert sizes([9, 9, 9], max_bytes=room) == requests


@pytest.mark.parametrize(("most", "requests"), [(3, [3]), (2, [2, 1]), (1, [1, 1, 1])])
def test_a_request_holds_no_message_more_than_its_type_takes(most, requests):
    assert sizes([9, 9, 9], max_events=most) == requests


def test_a_message_that_is_larger_than_a_request_goes_alone():
    assert sizes([1, 99, 1, 1], max_bytes=10) == [1, 1, 2]


def test_a_request_counts_the_bytes_of_its_own_messages_alone():
    assert sizes([9, 9, 9, 9, 9, 9], max_bytes=20) == [2, 2, 2]


def raising(error):
    def ask():
        raise error

    return ask


@pytest.mark.parametrize(
    "asked",
    [
        raising(Temporary(f"bad key {SECRET}")),
        raising(DestinationGone(f"bad key {SECRET}")),
        raising(ValueError(f"bad key {SECRET}")),
        lambda: Receipt(None, {MESSAGE_ID: Temporary(f"bad key {SECRET}")}),
    ],
)
def test_no_failure_of_a_batch_tells_a_secret_however_it_is_told_of(asked):
    sent = spread_outcome(make_type("s3"), asked, [make_audit()])
    assert "bad key ****" in sent.failures[MESSAGE_ID].reason
    assert SECRET not in repr(vars(sent.failures[MESSAGE_ID])) + str(sent.failures[MESSAGE_ID])
