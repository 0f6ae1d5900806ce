"""Jira Cloud: one issue for each incident, through https://developer.atlassian.com/cloud/jira/platform/rest/v3/.

A try searches first, and then writes. An issue has two labels: one of its incident, and one of the delivery that
opened it. If the incident has an open issue, a comment says what is new. If it has none, a firing alert opens one,
and a resolved alert does nothing. We never move or close an issue: the team does.

Delivery is at least once. A retry finds the issue that the try before it opened, unless Jira's search has not yet
seen it (https://developer.atlassian.com/cloud/jira/platform/search-and-reconcile: seconds, rarely minutes); a
comment may come twice. Labels must be on the screens of the project.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, ClassVar

import orjson
from pydantic import AfterValidator, Field, SecretStr

from eventsinks.destinations.base import (
    Answers,
    Config,
    DestinationType,
    Meaning,
    Message,
    PublicUrl,
    Receipt,
    Secret,
    Temporary,
)
from eventsinks.destinations.base.rendering import cut, read_answer, read_text, render_heading
from eventsinks.destinations.jira.document import make_document, make_one_paragraph
from eventsinks.lib.net.addresses import parse_url
from eventsinks.lib.net.smtp import MAILBOX
from eventsinks.lib.net.wire import Request, Response

MAX_SUMMARY = 255  # characters
SEARCH, ISSUE = "/rest/api/3/search/jql", "/rest/api/3/issue"
# A site, or the address of its API for a token with scopes.
SITE = re.compile(r"https://[A-Za-z0-9.-]+(:[0-9]+)?(/ex/jira/[0-9a-f-]{36})?", re.IGNORECASE)
OF_THE_CONFIG = frozenset(["project", "pid", "issuetype"])  # fields that no event fills in


def find_complaints(response: Response) -> tuple[dict[str, Any], list[Any]]:
    """Return the error messages of Jira: by field, and in prose."""
    found = read_answer(response.body)
    fields, messages = found.get("errors"), found.get("errorMessages")
    return fields if isinstance(fields, dict) else {}, messages if isinstance(messages, list) else []


def find_words(response: Response) -> str:
    """Return the error message of Jira, short enough to show. For a 400, it names the wrong fields."""
    fields, messages = find_complaints(response)
    words = [f"{field}: {text}" for field, text in fields.items()] or [str(text) for text in messages]
    return cut(read_text("; ".join(words)), 350) if not response.ok else ""


def find_code(response: Response) -> str:
    """Return a code if a 400 is about the project.

    If the project does not exist, or the account can't see it, Jira says so in prose only.
    """
    fields, messages = find_complaints(response)
    about_it = OF_THE_CONFIG & set(fields) or (not fields and "'project'" in " ".join(map(str, messages)))
    return "project" if response.status == 400 and about_it else ""


# https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-issues/#api-rest-api-3-issue-post-responses
ANSWERS = Answers(
    "Jira",
    codes={"project": Meaning.BROKEN},
    statuses={
        400: Meaning.PLAINER,
        401: Meaning.BROKEN,
        403: Meaning.BROKEN,
        404: Meaning.BROKEN,
        413: Meaning.PLAINER,
        422: Meaning.PLAINER,
    },
    code=find_code,
    words=find_words,
)


def check_site(url: str) -> str:
    """Return the URL without a slash at its end. Raises ValueError if it is not the URL of a site."""
    site = url.rstrip("/")
    if not SITE.fullmatch(site):
        raise ValueError("a site is https:// and a host, as https://example.atlassian.net")
    return site


def check_email(address: str) -> str:
    """Raise ValueError if it is not an email address."""
    if not MAILBOX.fullmatch(address):
        raise ValueError("the email address of the account that the token belongs to")
    return address


def check_token(token: SecretStr) -> SecretStr:
    """Raise ValueError if it can't be a token."""
    if not re.fullmatch(r"[\x21-\x7e]{8,500}", token.get_secret_value()):
        raise ValueError("a token is 8 to 500 letters, digits and signs without spaces")
    return token


class JiraConfig(Config):
    """The site and the project, the account, and the type of issue."""

    site: Annotated[PublicUrl, AfterValidator(check_site)] = Field(max_length=300, title="Site")
    email: Annotated[str, AfterValidator(check_email)] = Field(max_length=254, title="Account's email")
    api_token: Annotated[Secret, AfterValidator(check_token)] = Field(title="API token")
    project_key: str = Field(pattern=r"^[A-Z][A-Z0-9_]{0,254}$", max_length=255, title="Project key")
    issue_type: str = Field("Task", pattern=r"^[^\x00-\x1f\x7f]{1,60}$", title="Issue type")


class Jira(DestinationType[JiraConfig]):
    """Open an issue for the event, or comment on the one of its incident."""

    key: ClassVar[str] = "jira"
    label: ClassVar[str] = "Jira"
    face = "event_sink"
    Config = JiraConfig
    answers = ANSWERS
    example: ClassVar[Mapping[str, Any]] = {
        "site": "https://example.com",
        "email": "bot@example.com",
        "api_token": "0" * 16,
        "project_key": "SEC",
    }

    def build(self, messages: Sequence[Message], at: datetime) -> Request:
        """Return the search for issues of the same incident."""
        (message,) = messages
        mine, incident = make_labels(message)
        jql = (
            f'project = "{self.config.project_key}" AND (labels = "{mine}"'
            f' OR (labels = "{incident}" AND statusCategory != Done)) ORDER BY created DESC'
        )
        return self._post(SEARCH, {"jql": jql, "maxResults": 10, "fields": ["labels"]})

    def then(self, message: Message, request: Request, response: Response) -> Request | None:
        """Return the request that writes what is missing after the search. Return None if nothing is."""
        if not request.url.endswith(SEARCH):
            return super().then(message, request, response)
        if response.status != 200:
            return None
        found = read_issues(response)
        return None if found is None else self._missing(message, found)

    def read(self, response: Response, messages: Sequence[Message]) -> Receipt:
        """Return the receipt of a write, or of a search after which nothing is missing."""
        receipt = super().read(response, messages)
        (message,) = messages
        if response.status == 200:  # of a search: what is created, is told by 201
            found = read_issues(response)
            if found is None or self._missing(message, found) is not None:
                raise Temporary("Jira's answer can't be read", response)
        return receipt

    def in_words(self, message: Message, request: Request) -> Request | None:
        """Return an issue without its description, or a comment of one line."""
        given = orjson.loads(request.body)
        if "fields" in given:
            fields = {name: value for name, value in given["fields"].items() if name != "description"}
            plain = {"fields": fields}
        else:
            plain = {"body": make_one_paragraph(render_heading(message.summary, MAX_SUMMARY))}
        return request._replace(body=orjson.dumps(plain)) if plain != given else None

    def target(self) -> str:
        """Return the project and the host."""
        return f"{self.config.project_key} at {parse_url(self.config.site).host or ''}"

    def _missing(self, message: Message, found: Mapping[str, Sequence[str]]) -> Request | None:
        mine, incident = make_labels(message)
        if any(mine in labels for labels in found.values()):
            return None  # a try before this one has opened it
        if found:
            news = message.once("jira.comment", lambda: make_document(message.summary, head=True))
            return self._post(f"{ISSUE}/{next(iter(found))}/comment", {"body": news})
        if message.summary.status != "firing":
            return None  # over before anybody was told, or closed by a person
        fields = {
            "project": {"key": self.config.project_key},
            "issuetype": {"name": self.config.issue_type},
            "summary": render_heading(message.summary, MAX_SUMMARY),
            "description": message.once("jira.issue", lambda: make_document(message.summary)),
            "labels": ["eventsinks", incident, mine],
        }
        return self._post(ISSUE, {"fields": fields})

    def _post(self, path: str, body: Any) -> Request:
        pair = f"{self.config.email}:{self.config.api_token.get_secret_value()}".encode()
        headers = (
            ("Authorization", f"Basic {base64.b64encode(pair).decode()}"),
            ("Accept", "application/json"),
            ("Content-Type", "application/json"),
        )
        return Request("POST", self.config.site + path, headers, orjson.dumps(body))


def make_labels(message: Message) -> tuple[str, str]:
    """Return the labels of the delivery and of its incident. A label holds no spaces."""
    incident = f"{message.tenant_id}/{message.summary.dedup_key or message.id}"
    digest = hashlib.sha256(incident.encode()).hexdigest()[:32]
    return f"eventsinks-delivery-{message.id}", f"eventsinks-incident-{digest}"


def read_issues(response: Response) -> dict[str, list[str]] | None:
    """Return {key: labels} of the issues that were found. Return None if the answer can't be read."""
    found = read_answer(response.body).get("issues")
    if not isinstance(found, list):
        return None
    read: dict[str, list[str]] = {}
    for issue in found:
        key, fields = (issue.get("key"), issue.get("fields")) if isinstance(issue, dict) else (None, None)
        if not isinstance(key, str) or not re.fullmatch(r"[A-Z][A-Z0-9_]*-[0-9]+", key):
            return None  # it becomes a part of a URL
        given = fields.get("labels") if isinstance(fields, dict) else None
        read[key] = [label for label in given if isinstance(label, str)] if isinstance(given, list) else []
    return read
