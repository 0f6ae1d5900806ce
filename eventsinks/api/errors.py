"""The errors of /v1: what is wrong, in which field, and what would be right."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.template.loader import render_to_string
from pydantic import BaseModel, Field
from rest_framework import status
from rest_framework.exceptions import APIException
from rest_framework.response import Response
from rest_framework.views import set_rollback

from eventsinks.api.json import dumps
from eventsinks.api.limits import make_retry_after
from eventsinks.limits.quotas import LimitReached
from eventsinks.models.database.unavailable import find_reason, pause_for


class FieldProblem(BaseModel):
    """One field and what is wrong with it."""

    field: str = Field(description="its path in the body or the query; empty for the whole")
    message: str = Field(description="what is wrong with it, and what would be right")


class Problem(BaseModel):
    """What is wrong. `fields` names each field at fault, by its path in the body or the query."""

    code: str = Field(description="what is wrong, in a word, as `invalid`")
    message: str = Field(description="what is wrong, in words")
    fields: list[FieldProblem] = Field(description="each field at fault")


class ErrorResponse(BaseModel):
    """The answer of /v1 for every error."""

    error: Problem = Field(description="what is wrong")


class Invalid(APIException):
    """400: some fields are wrong. `problems` are pairs of path and message."""

    status_code = status.HTTP_400_BAD_REQUEST
    default_code = "invalid"

    def __init__(self, problems: Sequence[tuple[str, str]]) -> None:
        self.problems = problems
        text = "; ".join(f"{field}: {message}" if field else message for field, message in problems)
        super().__init__(text)


class Conflict(APIException):
    """409: the request conflicts with something that exists."""

    status_code = status.HTTP_409_CONFLICT
    default_code = "conflict"


class Gone(APIException):
    """410: the data that is needed was expunged, or is older than what is kept."""

    status_code = status.HTTP_410_GONE
    default_code = "gone"


def handle_v1_exception(error: Exception, context: dict[str, Any]) -> Response | None:
    """Return the answer of /v1 for an error. Return None for an unknown error, which becomes a 500."""
    if isinstance(error, Http404):
        return respond(404, "not_found", str(error) or "not found")
    if reason := find_reason(error):
        return respond(503, "unavailable", f"{reason}; try again", headers=make_retry_headers(reason))
    if isinstance(error, LimitReached):
        set_rollback()
        return respond(429, "limit_reached", str(error), [(error.name, error.brief)], make_retry_after(error))
    if not isinstance(error, APIException):
        return None
    set_rollback()
    headers = make_retry_after(error)
    if getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = error.auth_header  # type: ignore[attr-defined]
    code = getattr(error.detail, "code", error.default_code)
    return respond(error.status_code, code, str(error.detail), getattr(error, "problems", ()), headers)


def respond(
    code: int,
    word: str,
    message: str,
    problems: Sequence[tuple[str, str]] = (),
    headers: dict[str, str] | None = None,
) -> Response:
    """Return an error response of /v1."""
    return Response({"error": make_body(word, message, problems)}, status=code, headers=headers)


def make_body(word: str, message: str, problems: Sequence[tuple[str, str]] = ()) -> dict[str, Any]:
    """Return the content of `error` in an answer."""
    fields = [{"field": field, "message": text} for field, text in problems]
    return {"code": word, "message": message, "fields": fields}


def make_handler(code: int, word: str, message: str) -> Callable[..., HttpResponse]:
    """Return a handler for errors outside the views. Its answer has the fields of both wire formats."""

    def handler(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
        document = {"error": make_body(word, message), "message": message, "code": code}
        return HttpResponse(dumps(document), status=code, content_type="application/json")

    return handler


bad_request = make_handler(400, "bad_request", "bad request")
not_found = make_handler(404, "not_found", "not found")
internal_error = make_handler(500, "internal", "internal server error")


def answer_server_error(request: HttpRequest) -> HttpResponse:
    """Answer an error that no view has caught: 503 if the database refuses writes, else 500."""
    error = sys.exception()
    reason = find_reason(error) if error else ""
    if not reason:
        return internal_error(request)
    if request.path.startswith("/admin/"):
        page = render_to_string("503.html", {"reason": reason})
        return HttpResponse(page, status=503, headers=make_retry_headers(reason))
    answer = make_handler(503, "unavailable", f"{reason}; try again")(request)
    answer["Retry-After"] = str(pause_for(reason))
    return answer


def make_retry_headers(reason: str) -> dict[str, str]:
    """Return the header that says when to try again."""
    return {"Retry-After": str(pause_for(reason))}
