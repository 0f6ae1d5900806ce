"""Limits of requests: how many requests and events a tenant may send, and the errors for too many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rest_framework.exceptions import APIException
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from eventsinks.limits import sending_lag
from eventsinks.limits.quotas import LimitReached, take_rate
from eventsinks.models import ApiKey, Tenant

COUNTED = "eventsinks.counted"  # in the environ: the rates in which the door has counted the request
REQUESTS = "requests_per_s"
TAKEN_IN = {
    "detection_alert": "alerts_per_s",
    "audit": "events_per_s",
    "network_traffic": "events_per_s",
    "proxy": "events_per_s",
}


class RequestRate(BaseThrottle):
    """Counts the requests of a tenant after its key was checked. An operator's key has no tenant, and no limit."""

    def allow_request(self, request: Request, view: Any) -> bool:
        """Count one request. Raises LimitReached."""
        if isinstance(request.auth, ApiKey) and request.auth.tenant is not None:
            count_once(request, request.auth.tenant, REQUESTS)
        return True


class TooManyWrongKeys(APIException):
    """429: too many unknown keys came from this address. A valid key is never refused for that."""

    status_code = 429
    default_code = "too_many_wrong_keys"

    def __init__(self, seconds: int) -> None:
        self.wait = seconds
        super().__init__(f"too many wrong API keys came from this address; try again in {seconds} s")


class SendingBehind(APIException):
    """503: alerts come in faster than they can be sent, and the first of them has waited long."""

    status_code = 503
    default_code = "sending_behind"
    wait = sending_lag.TRY_AGAIN

    def __init__(self, seconds: float) -> None:
        super().__init__(
            f"alerts come in faster than they can be sent: the oldest has waited for {seconds:.0f} s; try again"
        )


def count_events(request: Request, tenant: Tenant, type: str, documents: Sequence[bytes]) -> None:
    """Count all events of a request before the first is accepted. Raises LimitReached, and then counts none.

    Raises SendingBehind for alerts of a tenant that gets many more than can be sent.
    """
    if type == "detection_alert":
        sending_lag.read_lags([tenant.id])
        if sending_lag.is_too_far_behind(tenant.id):
            raise SendingBehind(sending_lag.find_lag(tenant.id))
    count_once(request, tenant, TAKEN_IN[type], len(documents))


def count_once(request: Request, tenant: Tenant, name: str, number: int = 1) -> None:
    """Count `number` in a rate, unless the door has counted this request. Raises LimitReached."""
    if name not in request.META.get(COUNTED, ()):
        take_rate(tenant, name, number)


def make_retry_after(error: LimitReached | APIException) -> dict[str, str]:
    """Return the Retry-After header if the error knows the number of seconds."""
    wait = getattr(error, "wait", None)
    return {"Retry-After": str(wait)} if wait else {}
