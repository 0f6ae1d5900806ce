"""The configuration of an S3 store: the bucket, its place, and how objects are written."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from eventsinks.destinations.base import Absent, PublicUrl
from eventsinks.destinations.base.aws import AwsConfig
from eventsinks.lib.net.addresses import parse_url
from eventsinks.lib.secrets.secret_texts import get_origin

# The name of a bucket never begins or ends with these. (`-s3alias` and `--x-s3` mean other things.)
NO_BEGINNING, NO_END = ("xn--", "sthree-", "amzn-s3-demo-"), ("--ol-s3", ".mrap", "--table-s3")


def check_prefix(prefix: str) -> str:
    """Raise ValueError for a prefix that could lead elsewhere. A prefix contains nothing of an event."""
    if prefix.startswith("/") or ".." in prefix.split("/") or "//" in prefix:
        raise ValueError("a prefix does not start with /, and has no .. and no empty part")
    return prefix


def check_bucket(name: str) -> str:
    """Raise ValueError for a name that no bucket can have.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
    """
    labels = name.split(".")
    if not all(re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", label) for label in labels):
        raise ValueError("the parts between the dots of a bucket's name begin and end with a letter or a digit")
    if len(labels) == 4 and all(label.isdigit() for label in labels):
        raise ValueError("a bucket's name does not look like an IP address")
    if name.startswith(NO_BEGINNING) or name.endswith(NO_END):
        raise ValueError(f"a bucket's name begins with none of {NO_BEGINNING}, and ends with none of {NO_END}")
    return name


def check_endpoint(url: str) -> str:
    """Raise ValueError if the address of a store has more than a host and a path."""
    if parse_url(url).query or parse_url(url).fragment:
        raise ValueError("an endpoint has no ? and no #")
    return url


EndpointUrl = Annotated[PublicUrl, Field(max_length=2_000), AfterValidator(check_endpoint)]
Prefix = Annotated[str, Field(max_length=500, pattern=r"\A[A-Za-z0-9_!.*'()=/-]*\z"), AfterValidator(check_prefix)]
KmsKey = Annotated[str, Field(pattern=r"\A[A-Za-z0-9_:/-]{1,2048}\z")]
AccountId = Annotated[str, Field(pattern=r"\A[0-9]{12}\z")]


class S3Config(AwsConfig):
    """The bucket, its account, and how objects are written."""

    bucket_name: Annotated[str, AfterValidator(check_bucket)] = Field(
        pattern=r"\A[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]\z", title="Bucket name"
    )
    endpoint_url: Annotated[EndpointUrl | None, Absent] = Field(None, title="Endpoint URL")
    prefix: Annotated[Prefix | None, Absent] = Field(None, title="Prefix")
    sse: Annotated[Literal["AES256", "aws:kms"] | None, Absent] = Field(None, title="Server-side encryption")
    kms_key_id: Annotated[KmsKey | None, Absent] = Field(None, title="KMS key ID")
    expected_bucket_owner: Annotated[AccountId | None, Absent] = Field(None, title="Expected bucket owner")
    layout: Annotated[Literal["batch", "object_per_event"] | None, Absent] = Field(None, title="Layout")
    manifest: Annotated[Literal["hourly", "none"] | None, Absent] = Field(None, title="Manifest")

    @model_validator(mode="after")
    def check_kms_key(self) -> Self:
        """Refuse a KMS key that would encrypt nothing."""
        if self.kms_key_id and self.sse != "aws:kms":
            raise ValueError("kms_key_id is for sse aws:kms")
        return self

    @model_validator(mode="after")
    def check_manifest(self) -> Self:
        """Refuse a manifest for a layout without batches."""
        if self.manifest == "hourly" and self.layout == "object_per_event":
            raise ValueError("a manifest tells of batches: layout must be batch")
        return self

    def origins(self) -> set[Any]:
        """Return the store: Amazon's, or the named one. All regions of Amazon are one origin."""
        return {get_origin(self.endpoint_url) if self.endpoint_url else "Amazon"}

    @property
    def has_manifest(self) -> bool:
        """Whether each hour gets a manifest. The default is yes."""
        return self.layout != "object_per_event" and self.manifest != "none"
