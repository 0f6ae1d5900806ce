"""The id of a request, which is in its response and in its log lines."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponseBase
from structlog.contextvars import bound_contextvars

from eventsinks.api.about import note_about
from eventsinks.lib.request_id import choose_request_id


class RequestIdMiddleware:
    """Uses the caller's `X-Request-Id` if it is usable, else makes one."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        request_id = choose_request_id(request.headers.get("X-Request-Id", ""))
        with bound_contextvars(request_id=request_id):
            response = self.get_response(request)
        if person := getattr(request, "_cached_user", None):  # who is logged in, if a view has asked
            note_about(request, user=person.pk)
        response["X-Request-Id"] = request_id
        return response
