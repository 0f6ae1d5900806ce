"""Slack's Web API apart from messages: installing, tokens and channels, in short calls of Slack's own client.

The client dials only Slack: it uses no proxy of the environment and follows no redirect.

https://docs.slack.dev/authentication/installing-with-oauth
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal
from urllib.request import HTTPRedirectHandler, HTTPSHandler, OpenerDirector, ProxyHandler, Request, build_opener

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.oauth import AuthorizeUrlGenerator

from eventsinks.lib.net.handles import find_ca_bundle

TIMEOUT = 5  # seconds of one call
PAGES = 20  # of channels that are searched
PAGE = 1000  # channels
CAP = 8 * 1024 * 1024  # bytes of an answer that are read; a page of channels has some hundred thousand
SCOPES = ("chat:write", "chat:write.public", "channels:read", "groups:read", "channels:join")


class SlackSaid(Exception):
    """Slack answered with an error. `code` is Slack's name for it."""

    def __init__(self, code: str) -> None:
        super().__init__(f"Slack answered {code}")
        self.code = code


class Unreachable(Exception):
    """Slack did not answer, or its answer can't be read."""


@dataclass(frozen=True, slots=True)
class App:
    """Our Slack app, and the address of Slack (`base_url` ends in a slash)."""

    base_url: str
    client_id: str
    client_secret: str = field(repr=False)
    redirect_uri: str

    def authorize_url(self, state: str) -> str:
        """Return the page on which a person lets the app into a workspace."""
        page = self.base_url.rstrip("/").removesuffix("/api") + "/oauth/v2/authorize"
        generator = AuthorizeUrlGenerator(
            client_id=self.client_id,
            redirect_uri=self.redirect_uri,
            scopes=list(SCOPES),
            authorization_url=page,
        )
        return generator.generate(state)


@dataclass(frozen=True, slots=True)
class Grant:
    """What Slack returns for a code or a refresh token.

    `expires_in` is in seconds, None for a token that stays valid.
    """

    token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    expires_in: int | None
    scopes: str
    team_id: str
    team_name: str


def exchange_code(app: App, code: str) -> Grant:
    """Trade a single-use code for a token. Raises SlackSaid and Unreachable."""
    return call_oauth(app, code=code, redirect_uri=app.redirect_uri)


def exchange_refresh_token(app: App, refresh_token: str) -> Grant:
    """Trade a single-use refresh token for a new token. Raises SlackSaid and Unreachable."""
    return call_oauth(app, grant_type="refresh_token", refresh_token=refresh_token)


def revoke_token(base_url: str, token: str) -> None:
    """Revoke a token at Slack. Raises SlackSaid and Unreachable."""
    client = make_client(base_url, token)
    read_answer(lambda: client.auth_revoke())


def find_channel(base_url: str, token: str, by: Literal["id", "name"], wanted: str) -> tuple[str, str] | None:
    """Return (id, name) of a channel, None if the app can't see it. Raises SlackSaid and Unreachable."""
    client = make_client(base_url, token)
    if by == "id":
        found = read_answer(lambda: client.conversations_info(channel=wanted)).get("channel") or {}
        return (str(found.get("id", wanted)), str(found.get("name", ""))) if found else None
    try:
        return find_among(client, wanted, "public_channel,private_channel")
    except SlackSaid as said:
        if said.code != "missing_scope":
            raise
    if (found := find_among(client, wanted, "public_channel")) is None:
        raise Unreachable("private channels are not shown to the app")
    return found


def find_among(client: WebClient, wanted: str, types: str) -> tuple[str, str] | None:
    """Return (id, name) of the channel with the name `wanted`, page by page."""
    cursor = ""
    for _ in range(PAGES):
        page = read_answer(
            partial(
                client.conversations_list, types=types, exclude_archived=True, limit=PAGE, cursor=cursor or None
            )
        )
        for channel in page.get("channels") or ():
            if channel.get("name") == wanted:
                return str(channel["id"]), wanted
        cursor = (page.get("response_metadata") or {}).get("next_cursor") or ""
        if not cursor:
            return None
    raise Unreachable(f"it is not among the first {PAGES * PAGE} channels")


def call_oauth(app: App, **fields: str) -> Grant:
    """Call oauth.v2.access."""
    client = make_client(app.base_url)
    said = read_answer(
        lambda: client.oauth_v2_access(client_id=app.client_id, client_secret=app.client_secret, **fields)
    )
    team, token = said.get("team") or said.get("enterprise") or {}, said.get("access_token")
    if not isinstance(token, str) or not token or not team.get("id"):
        raise Unreachable("its answer holds no bot token of a workspace")
    return Grant(
        token=token,
        refresh_token=str(said.get("refresh_token") or ""),
        expires_in=said.get("expires_in") if isinstance(said.get("expires_in"), int) else None,
        scopes=str(said.get("scope") or ""),
        team_id=str(team["id"])[:32],
        team_name=str(team.get("name") or team["id"])[:200],
    )


class Unredirected(HTTPRedirectHandler):
    """Follows no redirect, and treats it as any other answer."""

    def redirect_request(self, *_: Any) -> None:
        """Return nothing, so that the answer is an error."""


class Direct(WebClient):
    """Slack's client with our own opener: the original takes a proxy from the environment, in two places."""

    def _perform_urllib_http_request_internal(self, url: str, req: Request) -> dict[str, Any]:
        if not url.startswith(self.base_url):
            raise Unreachable("that is not where Slack is")
        with make_opener().open(req, timeout=self.timeout) as answer:
            charset = answer.headers.get_content_charset() or "utf-8"
            return {"status": answer.code, "headers": answer.headers, "body": answer.read(CAP).decode(charset)}


def make_opener() -> OpenerDirector:
    """Return an opener that dials directly, over TLS 1.2 or newer."""
    tls = ssl.create_default_context(cafile=find_ca_bundle())
    tls.minimum_version = ssl.TLSVersion.TLSv1_2
    return build_opener(ProxyHandler({}), Unredirected, HTTPSHandler(context=tls))


def make_client(base_url: str, token: str | None = None) -> WebClient:
    """Return Slack's client, which tries once."""
    return Direct(token, base_url=base_url, timeout=TIMEOUT, retry_handlers=[])


def read_answer(call: Callable[[], Any]) -> Any:
    """Return the answer to a call.

    Raises SlackSaid and Unreachable, which contain neither the request nor a token.
    """
    try:
        return call().data
    except SlackApiError as error:
        code = error.response.get("error") if hasattr(error.response, "get") else None
        if isinstance(code, str) and code:
            raise SlackSaid(code[:100]) from None
        raise Unreachable("its answer can't be read") from None
    except (SlackClientError, OSError, ValueError) as error:
        raise Unreachable(type(error).__name__) from None
