"""Clients of Amazon's services on boto3: each uses the keys that it gets, and no others.

The clients take nothing from the environment, from `~/.aws` or from the machine's own role: a tenant with wrong
keys must never use the operator's. A client assumes a role with the tenant's own keys
(https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_common-scenarios_third-party.html).
"""

from __future__ import annotations

import functools
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from eventsinks.lib.net.addresses import AddressGuard
from eventsinks.lib.net.wire import Response
from eventsinks.lib.version import VERSION

# Functions import boto3 only when they need it: the import takes half a second, and most processes never talk to
# AWS.

CONNECT_TIMEOUT, READ_TIMEOUT = 5.0, 15.0  # seconds
DEADLINE = 20.0  # seconds that one exchange may take in total
BUDGET = 40.0  # seconds that all exchanges of one send may take together, unless less time is left
TRIES = 2  # of one call, by boto3; the engine makes further ones
AT_ONCE = 10  # connections of one client
ROLE_LASTS = 3600  # seconds; every role allows that many
RENEW_AFTER = 50 * 60  # seconds
MAKING = threading.Lock()  # one session makes all clients, and two threads can't use it safely at once


@dataclass(frozen=True, slots=True)
class AwsKeys:
    """The keys that sign requests."""

    access_key: str
    secret_key: str = field(repr=False)
    token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class AwsAccount:
    """An account: its keys, and the role to assume with them, if there is one.

    `services` is the address of Amazon's services that the operator set, None for the usual one.
    """

    region: str
    keys: AwsKeys
    role_arn: str | None = None
    external_id: str | None = None
    services: str | None = None


class CallFailed(Exception):
    """A call failed.

    `code` is the service's error code, or one of `timeout`, `connection_failed`, `address_refused`,
    `bad_response`, `bad_request`. `response` is None if no response came.
    """

    def __init__(self, code: str, message: str, response: Response | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.response = response


class Client:
    """A client of one service for one account. It connects at the first call, and again before a role expires.

    `endpoint` is an address that the tenant named. `guard` must permit what it resolves to when it is dialled.
    """

    def __init__(
        self, service: str, account: AwsAccount, endpoint: str | None = None, guard: AddressGuard | None = None
    ) -> None:
        self._service = service
        self._account = account
        self._endpoint = endpoint
        self._guard = (guard or AddressGuard()) if endpoint else None
        self._client: Any = None
        self._until = float("inf")
        self._ends = float("inf")
        self._lock = threading.Lock()

    def begin(self, seconds: float = BUDGET) -> None:
        """Limit all calls from now on, together, to `seconds`, and to BUDGET at most."""
        self._ends = time.monotonic() + min(seconds, BUDGET)

    def call(self, operation: str, **arguments: Any) -> Mapping[str, Any]:
        """Call an operation, such as `put_object`. Several threads may call at once. Raises CallFailed."""
        return call_operation(self._ready(), operation, arguments)

    def forget(self) -> None:
        """Get new credentials before the next call, because the service rejected the current ones as expired."""
        self._client = None

    def _ready(self) -> Any:
        with self._lock:
            if self._client is None or time.monotonic() > self._until:
                self._client = self._made()
            return self._client

    def _made(self) -> Any:
        keys = self._account.keys
        if self._account.role_arn:
            keys, self._until = assume_role(self._account, self._left), time.monotonic() + RENEW_AFTER
        place = self._endpoint or self._account.services
        return make_client(self._service, self._account.region, keys, place, self._guard, self._left)

    def _left(self) -> float:
        return min(DEADLINE, self._ends - time.monotonic())


def assume_role(account: AwsAccount, left: Callable[[], float]) -> AwsKeys:
    """Assume the account's role with the account's keys, and return the role's keys. Raises CallFailed."""
    sts = make_client("sts", account.region, account.keys, account.services, None, left)
    given = {
        "RoleArn": account.role_arn,
        "RoleSessionName": "eventsinks",
        "DurationSeconds": ROLE_LASTS,
        "ExternalId": account.external_id,
    }
    answer = call_operation(
        sts, "assume_role", {name: value for name, value in given.items() if value is not None}
    )
    lent = answer.get("Credentials", {})
    try:
        return AwsKeys(lent["AccessKeyId"], lent["SecretAccessKey"], lent["SessionToken"])
    except KeyError:
        raise CallFailed("bad_response", "the role's credentials are missing", make_response(answer)) from None


def call_operation(client: Any, operation: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """Call an operation of a boto3 client. Raises CallFailed for every error."""
    from botocore import exceptions as e

    from eventsinks.lib.net.aws_dial import AddressRefused, Overdue

    try:
        answer: Mapping[str, Any] = getattr(client, operation)(**arguments)
    except e.ClientError as error:
        said = error.response.get("Error", {})
        response = make_response(error.response, str(said.get("Message") or ""))
        raise CallFailed(
            str(said.get("Code") or response.status), str(said.get("Message") or ""), response
        ) from None
    except AddressRefused as error:
        raise CallFailed("address_refused", str(error)) from None
    except (e.ConnectTimeoutError, e.ReadTimeoutError, Overdue) as error:
        raise CallFailed("timeout", str(error)) from None
    except (e.ConnectionError, e.HTTPClientError) as error:
        raise CallFailed("connection_failed", str(error.kwargs.get("error", error))) from None
    except (e.ParamValidationError, e.EndpointProviderError) as error:
        raise CallFailed("bad_request", str(error)) from None
    except Exception as error:  # boto3 raises many kinds of errors for an answer that it can't read
        raise CallFailed("bad_response", f"{type(error).__name__}: {error}") from None
    return answer


def make_response(answer: Mapping[str, Any], body: str = "") -> Response:
    """Return the evidence in an answer: its status, its headers and its text."""
    metadata = answer.get("ResponseMetadata", {})
    lines = [f"{name}: {value}".encode() for name, value in metadata.get("HTTPHeaders", {}).items()]
    return Response(int(metadata.get("HTTPStatusCode", 0)), lines, body.encode())


def make_client(
    service: str,
    region: str,
    keys: AwsKeys,
    endpoint: str | None,
    guard: AddressGuard | None = None,
    left: Callable[[], float] = lambda: DEADLINE,
) -> Any:
    """Return a boto3 client that dials through aws_dial. Raises CallFailed for an invalid endpoint."""
    from botocore.exceptions import BotoCoreError

    from eventsinks.lib.net.aws_dial import Dialler

    try:
        with MAKING:
            client = make_session().client(
                service,
                region_name=region,
                endpoint_url=endpoint,
                aws_access_key_id=keys.access_key,
                aws_secret_access_key=keys.secret_key,
                aws_session_token=keys.token,
                config=make_settings(path_style=endpoint is not None),
            )
    except (BotoCoreError, ValueError) as error:
        raise CallFailed("bad_request", str(error)) from None
    dialler = Dialler(guard, (CONNECT_TIMEOUT, READ_TIMEOUT), left, AT_ONCE)
    client.meta.events.register("before-send", dialler.dial)
    client.meta.events.register_last("before-parameter-build.s3", stay_in_region)
    client.meta.events.register_last("before-call.s3", send_at_once)
    return client


def make_settings(path_style: bool) -> Any:
    """Return boto3's settings, which ignore the environment of this machine."""
    from botocore.config import Config

    return Config(
        connect_timeout=CONNECT_TIMEOUT,
        read_timeout=READ_TIMEOUT,
        retries={"mode": "standard", "total_max_attempts": TRIES},
        proxies={},
        user_agent=f"eventsinks/{VERSION}",
        ignore_configured_endpoint_urls=True,  # type: ignore[call-arg]
        # Many stores with S3's API do not know the checksums that newer clients add.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={"addressing_style": "path" if path_style else "auto"},
    )


def stay_in_region(params: Mapping[str, Any], context: dict[str, Any], **_: Any) -> None:
    """Stop boto3 from following a redirect to another region: the tenant has to correct the region."""
    context["s3_redirect"] = {"redirected": True, "bucket": params.get("Bucket"), "params": params}


def send_at_once(params: Mapping[str, Any], **_: Any) -> None:
    """Ask for no 100-continue: it costs a round trip, and a second of waiting if the far end does not send one."""
    params["headers"].pop("Expect", None)


@functools.cache
def make_session() -> Any:
    """Return a session that reads no profile and no file of this machine."""
    import boto3
    import botocore.session

    core = botocore.session.Session(
        session_vars={
            "profile": (None, None, None, None),
            "config_file": (None, None, os.devnull, None),
            "credentials_file": (None, None, os.devnull, None),
        }
    )
    return boto3.Session(botocore_session=core)
