"""What a page of the admin may load and run: what this server itself serves, and nothing else.

No script in a page runs, only files: what an event or a response says can't become one, even unescaped.
Alpine, which the pages are built on, evaluates its attributes and needs `unsafe-eval`.
"""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self' 'unsafe-eval'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    )
)


class ContentSecurity:
    """Middleware: set the policy on every page of the admin."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer, with the policy where the page is the admin's."""
        response = self.get_response(request)
        match = request.resolver_match
        if match is not None and match.app_name == "admin":
            response.headers.setdefault("Content-Security-Policy", POLICY)
            response.headers.setdefault("Referrer-Policy", "same-origin")
        return response
