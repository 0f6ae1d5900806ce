"""Which requests talk to the world while they are answered, and may so hang for many seconds."""

from __future__ import annotations

import re

from eventsinks.front.answers import WholeRequest

SINKS = re.compile(r"/v1/event_sink")
# Methods and paths. What they call is in actions: try_out, probe, and what slack_install asks of Slack; and the
# provider that the operator's people log in with.
WORLDLY = [
    ("POST", re.compile(r"/v1/event_sink/[^/]+/test")),
    ("DELETE", re.compile(r"/v1/slack_integration/[^/]+")),
    ("POST PUT", re.compile(r"/api/(integrations/)?event-streaming(/[^/]+(/test)?)?")),
    ("GET HEAD", re.compile(r"/slack/oauth/callback")),
    ("GET HEAD POST", re.compile(r"/admin/account/oidc/.+")),
    ("POST", re.compile(r"/admin/eventsinks/(eventsink|integration)/.+/test/")),
    ("POST", re.compile(r"/admin/eventsinks/slackworkspace/(.+/delete/)?")),
]
# A new event sink may bring the code that Slack trades for a token; JSON may write a name's letters as \\uXXXX.
CODES = (b"slack_oauth_code", b"\\u")


def is_worldly(request: WholeRequest) -> bool:
    """Whether answering it means asking somebody else."""
    method, path = request.scope["method"], request.scope["path"]
    if method == "POST" and SINKS.fullmatch(path):
        return any(code in request.body for code in CODES)
    return any(method in methods.split() and pattern.fullmatch(path) for methods, pattern in WORLDLY)
