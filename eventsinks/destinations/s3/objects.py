"""The objects in S3: name, bytes and metadata, which are the same in every try, and how we recognise ours."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson

from eventsinks.destinations.base import HourManifest, Message, MessageBatch
from eventsinks.destinations.base.netbird import write_seven_fields


@dataclass(frozen=True, slots=True)
class S3Object:
    """An object to write. `body` is its content before gzip. `ids` are the ids of its messages."""

    key: str
    body: bytes
    content_type: str
    metadata: Mapping[str, str]
    ids: Sequence[UUID] = ()
    gzipped: bool = False

    def make_entry(self, bucket: str) -> dict[str, Any]:
        """Return the entry for a manifest. Its size is that of the content before gzip."""
        count = int(self.metadata["count"])
        size, hash = len(self.body), self.metadata["sha256"]
        return {"bucket": bucket, "key": self.key, "count": count, "bytes": size, "sha256": hash}


def make_batch_objects(batch: MessageBatch, prefix: str) -> list[S3Object]:
    """Return one object for each hour in which events of a batch happened. The hour of the first event is first.

    An hour is written whole or not at all, and does not depend on other hours. So the rest of a batch makes the
    same objects again.
    """
    hours: dict[str, list[Message]] = {}
    for message in batch.messages:
        hours.setdefault(name_hour(message.occurred_at), []).append(message)
    return [make_hour_object(batch, hour, messages, prefix) for hour, messages in hours.items()]


def make_hour_object(batch: MessageBatch, hour: str, messages: Sequence[Message], prefix: str) -> S3Object:
    """Return a batch's messages of one hour as lines of JSON, in their order.

    The hash is of the lines: another version of zlib may write other gzip bytes.
    """
    body = b"".join([make_line(message.data) for message in messages])
    return S3Object(
        key=join_name(prefix, f"{hour}/{batch.number:012d}-{batch.id}.json.gz"),
        body=body,
        content_type="application/x-ndjson",
        gzipped=True,
        metadata={
            "batch-id": str(batch.id),
            "batch-number": str(batch.number),
            "first-id": str(messages[0].id),
            "last-id": str(messages[-1].id),
            "count": str(len(messages)),
            "sha256": make_digest(body),
        },
        ids=[message.id for message in messages],
    )


def make_manifest_object(manifest: HourManifest, prefix: str) -> S3Object:
    """Return the manifest of an hour. It is apart from the events, so a search for `dt=` does not find it.

    Its hour is the one in which the batches were settled. The keys of the objects have the hours of the events.
    """
    numbers = {"first_number": manifest.first, "last_number": manifest.last}
    said = {
        "integration": manifest.integration,
        "hour": f"{manifest.hour.isoformat()[:13]}:00:00Z",
        **numbers,
        "count": sum(object["count"] for object in manifest.objects),
        "objects": manifest.objects,
    }
    body = orjson.dumps(said, option=orjson.OPT_INDENT_2) + b"\n"
    name = f"{manifest.first:012d}-{manifest.last:012d}-{manifest.id}.json"
    return S3Object(
        key=join_name(prefix, f"_manifest/{name_hour(manifest.hour)}/{name}"),
        body=body,
        content_type="application/json",
        metadata={
            **{key.replace("_", "-"): str(number) for key, number in numbers.items()},
            "sha256": make_digest(body),
        },
    )


def make_event_object(message: Message, prefix: str) -> S3Object:
    """Return one event as an object with NetBird's name.

    NetBird's name has only seconds, so it is not unique. Therefore the message's id is at its end.
    """
    body = message.data
    time = message.occurred_at.astimezone(UTC).isoformat()[:19]
    id = re.sub(r"[^A-Za-z0-9_.-]", "-", str(write_seven_fields(message).id))[:80]
    return S3Object(
        key=join_name(prefix, f"ID{id}_{re.sub('[T:]', '-', time)}_{message.id}.json"),
        body=body,
        content_type="application/json",
        metadata={"event-id": str(message.id), "sha256": make_digest(body)},
        ids=[message.id],
    )


def name_hour(moment: datetime) -> str:
    """Return the folder for the hour of a moment, in UTC: `dt=2026-01-31/hour=12`."""
    said = moment.astimezone(UTC).isoformat()
    return f"dt={said[:10]}/hour={said[11:13]}"


def is_ours(answer: Mapping[str, Any], object: S3Object, body: bytes) -> bool:
    """Whether the stored object with our name is this object, whose stored bytes are `body`.

    The metadata proves it. Some stores keep no metadata. Then the same length and the same ETag prove it, because
    the name has an id that nobody else knew. An ETag that is not an MD5 (as under KMS) proves nothing.
    """
    if {name.lower(): value for name, value in answer.get("Metadata", {}).items()} == object.metadata:
        return True
    etag = str(answer.get("ETag", "")).strip('"').lower()
    differs = (
        re.fullmatch("[0-9a-f]{32}", etag) and etag != make_md5(body).hexdigest() and not is_encrypted(answer)
    )
    return answer.get("ContentLength") == len(body) and not differs


def is_encrypted(answer: Mapping[str, Any]) -> bool:
    """Whether an object is encrypted with a key of KMS or of the customer. Then its ETag is not its MD5."""
    return answer.get("ServerSideEncryption") not in (None, "AES256") or "SSECustomerAlgorithm" in answer


def make_md5(body: bytes) -> Any:
    """Return the MD5 of a body. It is a checksum, not a proof."""
    return hashlib.md5(body, usedforsecurity=False)


def make_digest(body: bytes) -> str:
    """Return a hash that identifies a body."""
    return hashlib.sha256(body).hexdigest()


def make_line(data: bytes) -> bytes:
    """Return JSON on one line. Line breaks outside of strings are white space."""
    return data.replace(b"\n", b" ").replace(b"\r", b" ") + b"\n"


def join_name(prefix: str, name: str) -> str:
    """Return the name with the prefix, if there is one."""
    return f"{prefix}/{name}" if prefix else name
