"""Clients of Amazon's services on boto3, with the keys they are given and no others.

Nothing is taken from the environment, from `~/.aws` or from the machine's own role: a tenant whose keys are wrong
must never borrow the operator's. A role is assumed with the tenant's own keys
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

# boto3 is imported where it is needed: it takes half a second, and most processes never talk to AWS.

CONNECT_TIMEOUT, READ_TIMEOUT = 5.0, 15.0  # seconds
DEADLINE = 20.0  # seconds that one exchange may take in all
BUDGET = 40.0  # seconds that the exchanges of one sending may take together, unless there is less
TRIES = 2  # of one call, by boto3; further ones are the engine's
AT_ONCE = 10  # connections of one client
ROLE_LASTS = 3600  # seconds, which every role allows
RENEW_AFTER = 50 * 60  # seconds
MAKING = threading.Lock()  # one session makes all clients, which is not safe to do in two threads


@dataclass(frozen=True, slots=True)
class AwsKeys:
    """What requests are signed with."""

    access_key: str
    secret_key: str = field(repr=False)
    token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class AwsAccount:
    """Whose account it is: keys, and the role to be assumed with them if there is one.

    `services` is where the operator says that Amazon's services are; None for where they are.
    """

    region: str
    keys: AwsKeys
    role_arn: str | None = None
    external_id: str | None = None
    services: str | None = None


class CallFailed(Exception):
    """A call came to nothing. `code` is the service's word or one of `timeout`, `connection_failed`,
    `address_refused`, `bad_response`, `bad_request`; `response` is None where there was none.
    """

    def __init__(self, code: str, message: str, response: Response | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.response = response


class Client:
    """A service as one account sees it. Makes its connection at the first call, and anew when a role runs out.

    `endpoint` is a place that the tenant named; what it resolves to must pass `guard` when it is dialled.
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
        """Give the calls from here on, together, `seconds`, at most BUDGET."""
        self._ends = time.monotonic() + min(seconds, BUDGET)

    def call(self, operation: str, **arguments: Any) -> Mapping[str, Any]:
        """Call an operation: `put_object`. Several threads may. Raises CallFailed."""
        return call_operation(self._ready(), operation, arguments)

    def forget(self) -> None:
        """Get new credentials before the next call: those in use were turned down as expired."""
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
    """Assume the account's role with its keys, and return the role's. Raises CallFailed."""
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
    """Call an operation of a client of boto3's. Raises CallFailed, whatever went wrong."""
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
    except Exception as error:  # boto3 meets an answer that it can't read with errors of many kinds
        raise CallFailed("bad_response", f"{type(error).__name__}: {error}") from None
    return answer


def make_response(answer: Mapping[str, Any], body: str = "") -> Response:
    """Return what of an answer is evidence: its status, its headers, what it said."""
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
    """Return a client of boto3's that dials as aws_dial does. Raises CallFailed for a place that can be none."""
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
    """Return how boto3 is to behave, whatever this machine's environment says."""
    from botocore.config import Config

    return Config(
        connect_timeout=CONNECT_TIMEOUT,
        read_timeout=READ_TIMEOUT,
        retries={"mode": "standard", "total_max_attempts": TRIES},
        proxies={},
        user_agent=f"eventsinks/{VERSION}",
        ignore_configured_endpoint_urls=True,  # type: ignore[call-arg]
        # Many stores that speak S3 know nothing of the checksums that newer clients add.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={"addressing_style": "path" if path_style else "auto"},
    )


def stay_in_region(params: Mapping[str, Any], context: dict[str, Any], **_: Any) -> None:
    """Tell boto3 that it has followed a redirect already: a wrong region is to be repaired, not gone after."""
    context["s3_redirect"] = {"redirected": True, "bucket": params.get("Bucket"), "params": params}


def send_at_once(params: Mapping[str, Any], **_: Any) -> None:
    """Ask for no 100-continue: it costs a round trip, and a second of waiting where the far end gives none."""
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
