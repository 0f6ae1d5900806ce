"""Amazon S3, and compatible stores: https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html.

A batch becomes one object of gzipped lines for each hour of its events. The name, bytes and metadata of an object
are the same in every try, and an object is written only if its name is free. So it exists once, even if a worker
is killed. A store without conditions is first asked for the object, and then gets the same bytes under the same
name.
"""

from __future__ import annotations

import gzip
from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from eventsinks.destinations.base import (
    BatchLimits,
    DestinationGone,
    Endpoints,
    EventRefused,
    HourManifest,
    MessageBatch,
    Receipt,
    Temporary,
)
from eventsinks.destinations.base.aws import AwsType, make_answers, write_statements
from eventsinks.destinations.s3.config import S3Config
from eventsinks.destinations.s3.objects import (
    S3Object,
    is_ours,
    make_batch_objects,
    make_event_object,
    make_manifest_object,
    make_md5,
)
from eventsinks.destinations.s3.writing import make_blameless, write_all
from eventsinks.lib.net.aws import CallFailed, make_response
from eventsinks.lib.net.wire import Response

EACH = BatchLimits(max_events=200, max_bytes=8 * 1024 * 1024, linger=1.0)  # where every event is an object


class S3(AwsType[S3Config]):
    """Write objects into a bucket of Amazon S3 or of a compatible store."""

    key: ClassVar[str] = "s3"
    label: ClassVar[str] = "Amazon S3"
    face = "integration"
    Config = S3Config
    service = "s3"
    answers = make_answers("S3", "EntityTooLarge KeyTooLongError MetadataTooLarge")
    keeps_manifests = True
    limits = BatchLimits(max_events=10_000, max_bytes=16 * 1024 * 1024, linger=30.0)

    def __init__(
        self, config: S3Config, signing_keys: Sequence[bytes] = (), endpoints: Endpoints = Endpoints()
    ) -> None:
        super().__init__(config, signing_keys, endpoints)
        self._knows_conditions = True  # until the store says that it does not
        if config.layout == "object_per_event":
            self.limits, self.usual_mapping = EACH, "netbird"

    @classmethod
    def write_policy(cls, config: Mapping[str, Any]) -> str:
        """Return the least IAM policy: it writes objects, and looks at one if an answer was lost."""
        bucket, prefix = config.get("bucket_name") or "BUCKET", config.get("prefix") or ""
        allowed = [(["s3:PutObject", "s3:GetObject"], f"arn:aws:s3:::{bucket}/{prefix}*")]
        if key := config.get("kms_key_id"):
            allowed.append((["kms:GenerateDataKey", "kms:Decrypt"], key))
        return write_statements(*allowed)

    def put(self, batch: MessageBatch) -> Receipt:
        """Write one object for each hour of the batch, or one for each event."""
        prefix = (self.config.prefix or "").rstrip("/")
        if self.config.layout == "object_per_event":
            each = write_all([make_event_object(message, prefix) for message in batch.messages], self._write)
            return Receipt(each.response, each.failures)
        hours = write_all(make_batch_objects(batch, prefix), self._write_surely)
        failures = {id: make_blameless(failure) for id, failure in hours.failures.items()}
        stored = [object.make_entry(self.config.bucket_name) for object in hours.objects]
        return Receipt(hours.response, failures or None, stored=stored)

    def write_manifest(self, manifest: HourManifest) -> None:
        """Write the manifest of an hour, once. Raises SendFailure."""
        if self.config.has_manifest:
            self._client.begin(self.seconds)
            self._write_surely(make_manifest_object(manifest, (self.config.prefix or "").rstrip("/")))

    def target(self) -> str:
        """Return the bucket's name."""
        return self.config.bucket_name

    def endpoint(self) -> str | None:
        """Return the endpoint of a store that is not Amazon's."""
        return self.config.endpoint_url

    def _write(self, object: S3Object) -> Response:
        """Write one object, if its name is free. Raises SendFailure."""
        body = gzip.compress(object.body, 1, mtime=0) if object.gzipped else object.body
        if not self._knows_conditions:
            return self._write_unconditionally(object, body)
        try:
            return make_response(self.call("put_object", **self._arguments(object, body), IfNoneMatch="*"))
        except CallFailed as error:
            if error.code in ("PreconditionFailed", "412"):
                return self._check_ours(object, body, error)
            if not is_about_conditions(error):
                raise self.failure(error) from None
            self._knows_conditions = False
            return self._write_unconditionally(object, body)

    def _write_unconditionally(self, object: S3Object, body: bytes) -> Response:
        """Write one object, unless the store shows that it exists. Raises SendFailure."""
        try:
            answer = self.call("head_object", Key=object.key, **self._bucket())
        except CallFailed:  # there is none, or we may not look
            answer = {}
        if is_ours(answer, object, body):
            return make_response(answer)
        try:
            return make_response(self.call("put_object", **self._arguments(object, body)))
        except CallFailed as error:
            raise self.failure(error) from None

    def _write_surely(self, object: S3Object) -> Response:
        """Write one object that will never have another name. Raises SendFailure."""
        try:
            return self._write(object)
        except EventRefused as error:
            raise DestinationGone(error.reason, error.response) from None

    def _arguments(self, object: S3Object, body: bytes) -> Mapping[str, Any]:
        given = {
            "Key": object.key,
            "Body": body,
            # Buckets with object lock require a checksum, and every store knows this one.
            "ContentMD5": b64encode(make_md5(body).digest()).decode(),
            "ContentType": object.content_type,
            "ContentEncoding": "gzip" if object.gzipped else None,
            "Metadata": object.metadata,
            "ServerSideEncryption": self.config.sse,
            "SSEKMSKeyId": self.config.kms_key_id,
            **self._bucket(),
        }
        return {name: value for name, value in given.items() if value is not None}

    def _bucket(self) -> dict[str, str | None]:
        owner = {"ExpectedBucketOwner": self.config.expected_bucket_owner}
        return {"Bucket": self.config.bucket_name, **(owner if self.config.expected_bucket_owner else {})}

    def _check_ours(self, object: S3Object, body: bytes, found: CallFailed) -> Response:
        """Return the answer if the stored object is ours, from an earlier try whose answer was lost.

        Some keys may only write. Then the name is the proof: it ends in an id that nobody else knows before the
        object exists. Raises SendFailure.
        """
        try:
            answer = self.call("head_object", Key=object.key, **self._bucket())
        except CallFailed as error:
            if error.code in ("403", "AccessDenied"):
                return found.response or Response(412, [], b"")
            if error.code in ("404", "NoSuchKey"):
                raise Temporary("the object was there and is gone again", error.response) from None
            raise self.failure(error) from None
        if is_ours(answer, object, body):
            return make_response(answer)
        raise EventRefused(f"an object of somebody else's lies at {object.key}", make_response(answer))


def is_about_conditions(error: CallFailed) -> bool:
    """Whether a store says that it does not support `If-None-Match`."""
    status = error.response.status if error.response else 0
    named = "if-none-match" in error.message.lower()
    return status == 501 or error.code == "NotImplemented" or (status == 400 and named)
