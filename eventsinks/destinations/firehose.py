"""Amazon Data Firehose: https://docs.aws.amazon.com/firehose/latest/APIReference/API_PutRecordBatch.html.

Firehose joins records without separators, so each record is a whole line. If it accepts only some records of a
batch, the others are sent again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar
from uuid import UUID

from pydantic import Field

from eventsinks.destinations.base import (
    BatchLimits,
    EventRefused,
    Message,
    MessageBatch,
    Receipt,
    SendFailure,
    Temporary,
)
from eventsinks.destinations.base.aws import AwsConfig, AwsType, make_answers, shorten, write_statements
from eventsinks.lib.net.aws import CallFailed, make_response
from eventsinks.lib.net.wire import Response

MAX_RECORDS = 500
MAX_RECORD = 1_000 * 1024  # bytes, with the line's end
MAX_REQUEST = 4 * 1024 * 1024  # bytes of all records


class FirehoseConfig(AwsConfig):
    """The stream, and its account."""

    stream_name: str = Field(pattern=r"\A[a-zA-Z0-9_.-]{1,64}\z", title="Stream name")


class Firehose(AwsType[FirehoseConfig]):
    """Put records into a stream of Amazon Data Firehose."""

    key: ClassVar[str] = "firehose"
    label: ClassVar[str] = "Amazon Data Firehose"
    face = "integration"
    Config = FirehoseConfig
    service = "firehose"
    # The invalid argument may be one of the records.
    answers = make_answers("Firehose", "413 InvalidArgumentException SerializationException ValidationException")
    limits = BatchLimits(MAX_RECORDS, MAX_REQUEST - MAX_RECORDS, MAX_RECORD - 1, linger=1.0)

    @classmethod
    def write_policy(cls, config: Mapping[str, Any]) -> str:
        """Return the least IAM policy: it puts records into this stream."""
        region, name = config.get("region") or "REGION", config.get("stream_name") or "STREAM"
        arn = f"arn:aws:firehose:{region}:ACCOUNT:deliverystream/{name}"
        return write_statements((["firehose:PutRecordBatch"], arn))

    def put(self, batch: MessageBatch) -> Receipt:
        """Put the batch, in as many requests as it needs. An event that is too large is refused alone.

        Raises SendFailure if nothing was accepted.
        """
        records = {message.id: make_line(message) for message in batch.messages}
        failures: dict[UUID, SendFailure] = {
            id: EventRefused(f"it has more than the {MAX_RECORD} bytes that a record may have")
            for id, record in records.items()
            if len(record) > MAX_RECORD
        }
        fitting = [(id, record) for id, record in records.items() if id not in failures]
        response: Response | None = None
        done = 0
        for chunk in split_records(fitting):
            try:
                response, refused = self._put(chunk)
            except SendFailure as error:
                if response is None:
                    raise
                failures |= dict.fromkeys((id for id, _ in fitting[done:]), error)
                break
            failures |= refused
            done += len(chunk)
        return Receipt(response, failures)

    def target(self) -> str:
        """Return the stream's name."""
        return self.config.stream_name

    def _put(self, chunk: Sequence[tuple[UUID, bytes]]) -> tuple[Response, dict[UUID, SendFailure]]:
        try:
            answer = self.call(
                "put_record_batch",
                DeliveryStreamName=self.config.stream_name,
                Records=[{"Data": record} for _, record in chunk],
            )
        except CallFailed as error:
            raise self.failure(error, len(chunk)) from None
        results = answer.get("RequestResponses") or []
        if len(results) != len(chunk):  # nothing else says which were taken
            raise Temporary("Firehose answered for another number of records", make_response(answer))
        failures: dict[UUID, SendFailure] = {
            id: Temporary(f"Firehose did not take it: {shorten(result['ErrorCode'])}")
            for (id, _), result in zip(chunk, results, strict=True)
            if result.get("ErrorCode")
        }
        return make_response(answer), failures

    def endpoint(self) -> None:
        """Return nothing: only Amazon has a Firehose."""


def make_line(message: Message) -> bytes:
    """Return the event on one line. In JSON, line breaks outside of strings are white space."""
    return message.data.replace(b"\n", b" ").replace(b"\r", b" ") + b"\n"


def split_records(records: Sequence[tuple[UUID, bytes]]) -> Iterator[list[tuple[UUID, bytes]]]:
    """Yield the records in order, in groups that one request can hold."""
    chunk: list[tuple[UUID, bytes]] = []
    size = 0
    for id, record in records:
        if len(chunk) == MAX_RECORDS or size + len(record) > MAX_REQUEST:
            yield chunk
            chunk, size = [], 0
        chunk.append((id, record))
        size += len(record)
    if chunk:
        yield chunk
