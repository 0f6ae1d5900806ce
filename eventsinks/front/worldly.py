"""Worldly requests: those that ask other services before they are answered, and so may hang for many seconds."""

from __future__ import annotations

import re

from eventsinks.front.answers import WholeRequest

SINKS = re.compile(r"/v1/event_sink")
# Methods and paths. They call try_out and probe in actions, slack_install at Slack, and the operator's log-in
# provider.
WORLDLY = [
    ("POST", re.compile(r"/v1/event_sink/[^/]+/test")),
    ("DELETE", re.compile(r"/v1/slack_integration/[^/]+")),
    ("POST PUT", re.compile(r"/api/(integrations/)?event-streaming(/[^/]+(/test)?)?")),
    ("GET HEAD", re.compile(r"/slack/oauth/callback")),
    ("GET HEAD POST", re.compile(r"/admin/account/oidc/.+")),
    ("POST", re.compile(r"/admin/eventsinks/(eventsink|integration)/.+/test/")),
    ("POST", re.compile(r"/admin/eventsinks/slackworkspace/(.+/delete/)?")),
]
# A new event sink may bring a code that we trade at Slack for a token. JSON may write a name's letters as \\uXXXX.
CODES = (b"slack_oauth_code", b"\\u")


def is_worldly(request: WholeRequest) -> bool:
    """Whether the answer needs a request to another service."""
    method, path = request.scope["method"], request.scope["path"]
    if method == "POST" and SINKS.fullmatch(path):
        return any(code in request.body for code in CODES)
    return any(method in methods.split() and pattern.fullmatch(path) for methods, pattern in WORLDLY)
