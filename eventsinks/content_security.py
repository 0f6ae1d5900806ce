"""What a page may load, run and be framed by: what this server itself serves, and nothing else.

No script in a page runs, only files: what an event or a response says can't become one, even unescaped.
Alpine, which the pages of the admin are built on, evaluates its attributes and needs `unsafe-eval`; no page
outside the admin does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar
from urllib.parse import urlsplit

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase

HEADER = "Content-Security-Policy"
OURS_ONLY = "img-src 'self' data:; font-src 'self'; connect-src 'self'"
UNFRAMED = "frame-ancestors 'none'; base-uri 'none'"
ADMIN = (
    f"default-src 'none'; script-src 'self' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; {OURS_ONLY}; "
    f"form-action 'self'; {UNFRAMED}"
)
PAGE = f"default-src 'none'; script-src 'self'; style-src 'self'; {OURS_ONLY}; form-action 'self'; {UNFRAMED}"
DATA = f"default-src 'none'; {UNFRAMED}"  # of what is no page: an answer of the API, a file
Answer = TypeVar("Answer", bound=HttpResponseBase)


class ContentSecurity:
    """Middleware: set the policy on every answer. Stands first, so that no other's answer passes it by."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer, with the policy, and with what the other security headers would have been."""
        response = self.get_response(request)
        if not is_debug_page(response):
            response.headers.setdefault(HEADER, policy_of(request, response))
        response.headers.setdefault("X-Content-Type-Options", "nosniff")
        response.headers.setdefault("Referrer-Policy", "same-origin")
        response.headers.setdefault("X-Frame-Options", "DENY")
        return response


def policy_of(request: HttpRequest, response: HttpResponseBase) -> str:
    """Return the policy for an answer."""
    match = request.resolver_match
    if match is not None and match.app_name == "admin":
        return ADMIN
    return PAGE if response.headers.get("Content-Type", "").startswith("text/html") else DATA


def is_debug_page(response: HttpResponseBase) -> bool:
    """Whether it may be one of Django's own pages with tracebacks, which bring their style and script along."""
    return bool(settings.DEBUG) and response.status_code in (403, 404, 500)


def allow_forms_to_slack(response: Answer, policy: str, base_url: str) -> Answer:
    """Let the form of a page lead to Slack, which sends on to the workspace's own host.

    `policy` is the page's own, `base_url` where Slack's API is.
    """
    slack = urlsplit(base_url)
    hosts = f"{slack.scheme}://{slack.netloc} {slack.scheme}://*.{slack.netloc}"

    response.headers[HEADER] = policy.replace("form-action 'self'", f"form-action 'self' {hosts}")
    return response
