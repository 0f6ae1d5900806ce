"""The common parts of the types of Amazon's services: the account, and the meanings of errors.

https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html and
https://docs.aws.amazon.com/firehose/latest/APIReference/CommonErrors.html
"""

from __future__ import annotations

import json
import re
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import Annotated, Any, ClassVar, Self, TypeVar

from pydantic import AfterValidator, Field, SecretStr, model_validator

from eventsinks.destinations.base import (
    MASK,
    Absent,
    Answers,
    ClientType,
    Config,
    Meaning,
    MessageBatch,
    Receipt,
    Secret,
    SendFailure,
)
from eventsinks.lib.net.aws import AwsAccount, AwsKeys, CallFailed, Client

SPELLINGS = (("access_key", "access_key_id"), ("secret_key", "secret_access_key"))
# The errors that only a person can repair, with the explanation.
BROKEN = {
    "AccessDenied": "the keys may not do this, or the bucket is another account's",
    "AccessDeniedException": "the keys may not do this",
    "AccountProblem": "there is a problem with the AWS account",
    "AllAccessDisabled": "all access to this bucket is disabled",
    "AuthFailure": "the keys are not accepted",
    "AuthorizationHeaderMalformed": "this is the wrong region",
    "IllegalLocationConstraintException": "this is the wrong region",
    "IncompleteSignature": "the keys are not accepted",
    "InvalidAccessKeyId": "there is no such access key",
    "InvalidBucketName": "there can be no bucket of this name",
    "InvalidClientTokenId": "there is no such access key",
    "InvalidPayer": "all access to this bucket is disabled",
    "InvalidRequest": "the store does not take a request as this configuration makes it",
    "InvalidSecurity": "the keys are not accepted",
    "MethodNotAllowed": "nothing may be written there",
    "NotAuthorized": "the keys may not do this",
    "InvalidKMSResourceException": "its KMS key can't be used",
    "InvalidSignatureException": "the secret key is not the one of this access key",
    "InvalidSourceException": "the stream takes records from another source only",
    "InvalidToken": "there is no such access key",
    "KMS.DisabledException": "the KMS key is disabled",
    "KMS.NotFoundException": "there is no such KMS key",
    "KMS.InvalidStateException": "the KMS key can't be used in its state",
    "MissingAuthenticationToken": "the keys are not accepted",
    "NoSuchBucket": "there is no such bucket",
    "NotSignedUp": "the AWS account is not signed up for the service",
    "OptInRequired": "the AWS account is not signed up for the service",
    "PermanentRedirect": "this is the wrong region",
    "ResourceNotFoundException": "there is no such stream in this region",
    "SignatureDoesNotMatch": "the secret key is not the one of this access key",
    "UnrecognizedClientException": "there is no such access key",
    "ValidationError": "the role or its external id is malformed",
    "bad_request": "the request can't be made with this configuration",
    "301": "this is the wrong region",
    "401": "the keys are not accepted",
    "403": "the keys may not do this",
    "410": "the far end says that it is gone",
}
EXPIRED = ("ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired")
# The trouble of any error may pass. For these errors this is known.
PASSING = """
BadDigest ConditionalRequestConflict ExpiredToken ExpiredTokenException IncompleteBody InternalError
InternalFailure InternalServerError KMS.ThrottlingException LimitExceededException OperationAborted
ProvisionedThroughputExceededException ReducedRedundancyLostObject RequestExpired RequestLimitExceeded
RequestThrottled RequestTimeTooSkewed RequestTimeout RestoreAlreadyInProgress ServiceUnavailable
ServiceUnavailableException SlowDown TemporaryRedirect Throttling ThrottlingException TokenRefreshRequired
TooManyRequestsException
"""


def make_answers(service: str, refused: str) -> Answers:
    """Return the table of one of Amazon's services. `refused` are its codes for events that it refuses."""
    return Answers(
        service,
        codes={
            **dict.fromkeys(PASSING.split(), Meaning.PASSING),
            **dict.fromkeys(refused.split(), Meaning.REFUSED),
            **dict.fromkeys(BROKEN, Meaning.BROKEN),
        },
        why=BROKEN,
    )


def check_secret(secret: SecretStr) -> SecretStr:
    """Raise ValueError for a secret key with white space. Somebody pasted it wrongly."""
    if not re.fullmatch(r"[\x21-\x7e]{1,200}", secret.get_secret_value()):
        raise ValueError("a secret key has no spaces, line breaks or letters beyond ASCII")
    return secret


AccessKey = Annotated[Annotated[str, Field(pattern=r"\A[A-Za-z0-9_.+/=-]{1,128}\z")] | None, Absent]
SecretKey = Annotated[Annotated[Secret, AfterValidator(check_secret)] | None, Absent]


RoleArn = Annotated[str, Field(pattern=r"\Aarn:aws[a-z-]{0,20}:iam::[0-9]{12}:role/[A-Za-z0-9_+=,.@/-]{1,512}\z")]
ExternalId = Annotated[str, Field(pattern=r"\A[A-Za-z0-9_+=,.@:/-]{2,1224}\z")]


class AwsConfig(Config):
    """The account: the tenant's keys, and optionally a role to assume with them.

    Each key has two spellings: one on NetBird's pages, and one in its dashboard. The given spelling stays.
    """

    spellings: ClassVar[Sequence[tuple[str, str]]] = SPELLINGS

    region: str = Field(pattern=r"\A[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?\z", title="Region")
    access_key: AccessKey = Field(None, title="Access key")
    access_key_id: AccessKey = Field(None, title="Access key ID")
    secret_key: SecretKey = Field(None, title="Secret key")
    secret_access_key: SecretKey = Field(None, title="Secret access key")
    role_arn: Annotated[RoleArn | None, Absent] = Field(None, title="Role ARN")
    external_id: Annotated[ExternalId | None, Absent] = Field(None, title="External ID")

    @model_validator(mode="after")
    def require_keys(self) -> Self:
        """Require each key once, in one of its spellings."""
        for one, other in SPELLINGS:
            given = [name for name in (one, other) if getattr(self, name) is not None]
            if len(given) != 1:
                raise ValueError(f"{one} or {other} is required" + ", not both" * len(given))
        if self.external_id and not self.role_arn:
            raise ValueError("external_id is for assuming a role: role_arn is required")
        return self

    def complete_changes(self, changes: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return `changes`. A key in its other spelling replaces the first."""
        given = dict(changes)
        for one, other in (*SPELLINGS, *(pair[::-1] for pair in SPELLINGS)):
            stored = self.dump_revealed().get(other)
            if given.get(one) and other not in given and stored:
                given[other] = None
                given[one] = stored if given[one] == MASK else given[one]
        return given

    @property
    def own_keys(self) -> AwsKeys:
        """The keys, from either spelling."""
        secret = self.secret_key or self.secret_access_key or SecretStr("")
        return AwsKeys(self.access_key or self.access_key_id or "", secret.get_secret_value())


def write_statements(*allowed: tuple[Sequence[str], str]) -> str:
    """Return an IAM policy that allows these actions on these resources, to copy."""
    statements = [
        {"Effect": "Allow", "Action": list(actions), "Resource": resource} for actions, resource in allowed
    ]
    return json.dumps({"Version": "2012-10-17", "Statement": statements}, indent=2)


AwsConfigT = TypeVar("AwsConfigT", bound=AwsConfig)


class AwsType(ClientType[AwsConfigT]):
    """A destination type for one of Amazon's services."""

    service: ClassVar[str]

    def send(self, batch: MessageBatch, at: datetime) -> Receipt:
        """Send the batch within `seconds`, at most lib.net.aws.BUDGET. Raises SendFailure if all of it failed."""
        self._client.begin(self.seconds)
        return self.put(batch)

    @abstractmethod
    def put(self, batch: MessageBatch) -> Receipt:
        """Put the batch into the service. Raises SendFailure if it accepted nothing."""

    def call(self, operation: str, **arguments: Any) -> Mapping[str, Any]:
        """Call an operation of the service. Raises CallFailed."""
        try:
            return self._client.call(operation, **arguments)
        except CallFailed as error:
            if error.code in EXPIRED:
                self._client.forget()
            raise

    def endpoint(self) -> str | None:
        """Return the tenant's own endpoint, if the type allows one."""
        return None

    def failure(self, error: CallFailed, count: int = 1) -> SendFailure:
        """Return the failure of `count` messages for an error."""
        code, said = re.sub(r"[^\w.]", "", error.code)[:60], shorten(error.message)
        why = self.answers.why.get(error.code)
        reason = f"{why} ({code}: {said})" if why else f"{code}: {said}"
        status = error.response.status if error.response else 0
        meaning = self.answers.codes.get(error.code) or self.answers.meaning_of(status, "")
        if meaning is Meaning.TAKEN:  # an error under a 2xx
            meaning = Meaning.PASSING
        return self.answers.as_failure(meaning, reason, error.response, count)

    @cached_property
    def _client(self) -> Client:
        config = self.config
        account = AwsAccount(
            config.region, config.own_keys, config.role_arn, config.external_id, self.endpoints.aws
        )
        return Client(self.service, account, self.endpoint(), self.guard)


def shorten(text: str) -> str:
    """Return `text` on one line that is short enough to show."""
    line = " ".join(re.sub(r"[\x00-\x1f\x7f]", " ", text).split())
    return line if len(line) <= 300 else line[:299] + "…"
