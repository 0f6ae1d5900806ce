"""The errors of /api: `{"message", "code"}`, the same as NetBird's management server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.http import Http404
from pydantic import BaseModel, Field
from rest_framework import status
from rest_framework.exceptions import APIException, ParseError
from rest_framework.response import Response
from rest_framework.views import set_rollback

from eventsinks.api.limits import make_retry_after
from eventsinks.limits.quotas import LimitReached
from eventsinks.models.database.unavailable import find_reason, pause_for

NOT_JSON = "couldn't parse JSON request"


class ErrorBody(BaseModel):
    """What is wrong. `code` is the status."""

    message: str = Field(description="what is wrong, and where")
    code: int = Field(description="the status")


class InvalidArgument(APIException):
    """422: some fields are wrong. `problems` are pairs of path and message."""

    status_code = status.HTTP_422_UNPROCESSABLE_ENTITY
    default_code = "invalid_argument"

    def __init__(self, problems: Sequence[tuple[str, str]]) -> None:
        said = [
            f"{field}: {lower_first(message)}" if field else lower_first(message) for field, message in problems
        ]
        super().__init__("; ".join(said))


class BadRequest(APIException):
    """400: the request can't be read."""

    status_code = status.HTTP_400_BAD_REQUEST
    default_code = "bad_request"


class PreconditionFailed(APIException):
    """412: the far end did not accept the test message."""

    status_code = status.HTTP_412_PRECONDITION_FAILED
    default_code = "precondition_failed"


def handle_exception(error: Exception, context: dict[str, Any]) -> Response | None:
    """Return NetBird's answer for an error. Return None for an unknown error, which becomes a 500."""
    if isinstance(error, Http404):
        return respond(404, str(error) or "not found")
    if reason := find_reason(error):
        return respond(503, f"{reason}; try again", {"Retry-After": str(pause_for(reason))})
    if isinstance(error, LimitReached):
        set_rollback()
        return respond(429, str(error), make_retry_after(error))
    if not isinstance(error, APIException):
        return None
    set_rollback()
    headers = make_retry_after(error)
    if getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = error.auth_header  # type: ignore[attr-defined]
    return respond(error.status_code, str(error.detail), headers)


def respond(code: int, message: str, headers: dict[str, str] | None = None) -> Response:
    """Return an error response in NetBird's format."""
    return Response({"message": lower_first(message).rstrip("."), "code": code}, status=code, headers=headers)


def lower_first(message: str) -> str:
    """Return a message as NetBird writes it: the first letter is small, unless it begins an acronym."""
    return message if message[:2].isupper() else message[:1].lower() + message[1:]


def make_not_json() -> ParseError:
    """Return NetBird's error for a body that it can't read."""
    return ParseError(NOT_JSON)


ERRORS = {
    400: "The body is not JSON, or an id is no number.",
    401: "There is no API key, or one that opens nothing.",
    403: "The API key lacks the scope.",
    404: "There is no such thing in this account.",
    409: "It clashes with what is there; `message` says how.",
    410: "What was asked for was expunged, or is older than what is kept.",
    412: "The far end did not take the test message, or kept secrets must be given again; nothing was kept.",
    413: "The body is too large.",
    415: "The body is not JSON, or not in UTF-8.",
    422: "Something is not right; the message names the field.",
    429: "A limit is reached, which the message names.",
    503: "The database can't be reached.",
}
