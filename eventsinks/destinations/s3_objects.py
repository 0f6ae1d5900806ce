"""What is written to S3: name, bytes and metadata of an object, the same over every try; how it is known again."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from typing import Any

import orjson

from eventsinks.destinations.base import Batch, Manifest, Message
from eventsinks.destinations.netbird import told


@dataclass(frozen=True, slots=True)
class Object:
    """An object to be written. `body` is what is in it, before it is zipped."""

    key: str
    body: bytes
    content_type: str
    metadata: Mapping[str, str]
    gzipped: bool = False

    def listed(self, bucket: str) -> dict[str, Any]:
        """Return what a manifest says of it: its size is that of what is in it, before it is zipped."""
        count = int(self.metadata["count"])
        size, hash = len(self.body), self.metadata["sha256"]
        return {"bucket": bucket, "key": self.key, "count": count, "bytes": size, "sha256": hash}


def object_of_batch(batch: Batch, prefix: str) -> Object:
    """Return a batch as lines of JSON, under the hour of its first event.

    Its hash is of the lines, not of the gzip, which another version of zlib may write otherwise.
    """
    first, last = batch.messages[0], batch.messages[-1]
    body = b"".join([line(message.data) for message in batch.messages])
    hour = first.occurred_at.astimezone(UTC).isoformat()
    return Object(
        key=joined(prefix, f"dt={hour[:10]}/hour={hour[11:13]}/{batch.number:012d}-{batch.id}.json.gz"),
        body=body,
        content_type="application/x-ndjson",
        gzipped=True,
        metadata={
            "batch-id": str(batch.id),
            "batch-number": str(batch.number),
            "first-id": str(first.id),
            "last-id": str(last.id),
            "count": str(len(batch.messages)),
            "sha256": digest(body),
        },
    )


def object_of_manifest(manifest: Manifest, prefix: str) -> Object:
    """Return the manifest of an hour, apart from the events: who looks for `dt=` alone does not meet it.

    The hour is the one in which its objects were written, which their keys need not say: those are of the events'
    time.
    """
    hour = manifest.hour.isoformat()
    numbers = {"first_number": manifest.first, "last_number": manifest.last}
    said = {
        "integration": manifest.integration,
        "hour": f"{hour[:13]}:00:00Z",
        **numbers,
        "count": sum(object["count"] for object in manifest.objects),
        "objects": manifest.objects,
    }
    body = orjson.dumps(said, option=orjson.OPT_INDENT_2) + b"\n"
    name = f"{manifest.first:012d}-{manifest.last:012d}-{manifest.id}.json"
    return Object(
        key=joined(prefix, f"_manifest/dt={hour[:10]}/hour={hour[11:13]}/{name}"),
        body=body,
        content_type="application/json",
        metadata={
            **{key.replace("_", "-"): str(number) for key, number in numbers.items()},
            "sha256": digest(body),
        },
    )


def object_of_event(message: Message, prefix: str) -> Object:
    """Return one event under NetBird's name for it.

    That name is not unique: it knows seconds only. So it ends in the message's id.
    """
    body = message.data
    time = message.occurred_at.astimezone(UTC).isoformat()[:19]
    id = re.sub(r"[^A-Za-z0-9_.-]", "-", str(told(message).id))[:80]
    return Object(
        key=joined(prefix, f"ID{id}_{re.sub('[T:]', '-', time)}_{message.id}.json"),
        body=body,
        content_type="application/json",
        metadata={"event-id": str(message.id), "sha256": digest(body)},
    )


def is_ours(answer: Mapping[str, Any], object: Object, body: bytes) -> bool:
    """Whether what a store says of an object in our place is this object, which is to be stored as `body`.

    Its metadata says it. Not every store keeps any; but the name holds an id that nobody else knew, so the same
    length and the same ETag say it too. An ETag that is no MD5 (as under KMS) says nothing.
    """
    if {name.lower(): value for name, value in answer.get("Metadata", {}).items()} == object.metadata:
        return True
    etag = str(answer.get("ETag", "")).strip('"').lower()
    differs = re.fullmatch("[0-9a-f]{32}", etag) and etag != md5(body).hexdigest() and not is_encrypted(answer)
    return answer.get("ContentLength") == len(body) and not differs


def is_encrypted(answer: Mapping[str, Any]) -> bool:
    """Whether an object is encrypted with a key of KMS's or the customer's: its ETag is then no MD5 of it."""
    return answer.get("ServerSideEncryption") not in (None, "AES256") or "SSECustomerAlgorithm" in answer


def md5(body: bytes) -> Any:
    """Return the MD5 of a body: a checksum, not a proof."""
    return hashlib.md5(body, usedforsecurity=False)


def digest(body: bytes) -> str:
    """Return what tells a body from every other."""
    return hashlib.sha256(body).hexdigest()


def line(data: bytes) -> bytes:
    """Return JSON on one line. Its line breaks are white space: in a string they are escaped."""
    return data.replace(b"\n", b" ").replace(b"\r", b" ") + b"\n"


def joined(prefix: str, name: str) -> str:
    """Return the name under the prefix, if there is one."""
    return f"{prefix}/{name}" if prefix else name
