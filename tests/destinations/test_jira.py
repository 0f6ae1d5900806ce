"""Jira: one issue for each incident, found again by its label; what is over opens none."""

import base64
import json
from uuid import UUID

import orjson
import pytest
from pydantic import ValidationError

from eventsinks.destinations.base import DestinationGone, EventRefused, Temporary
from eventsinks.destinations.jira import JiraConfig, make_labels
from eventsinks.destinations.jira.document import MAX_FIELD
from eventsinks.lib.net.addresses import AddressGuard
from tests.destinations.examples import (
    AT,
    TEMPLATED,
    assert_golden,
    make_message,
    make_response,
    make_type,
    with_summary,
)

EXAMPLE = {
    "site": "https://acme.atlassian.net",
    "email": "bot@acme.example",
    "api_token": "ATATT3xFfGF0-n0t-a-real-token=8A1B2C3D",
    "project_key": "SEC",
    "issue_type": "Incident",
}
STATUSES = {
    "taken": (200, 201),
    "plainer": (400, 413, 422),
    "broken": (401, 403, 404),
    "passing": (429, 500, 503),
}
MARKUP = None  # its documents are trees: no text in them is read for markup
LIMITS = {"fields.summary": 255}
# Which marks and children https://developer.atlassian.com/cloud/jira/platform/apis/document/structure/ allows.
CHILDREN = {
    "doc": {"paragraph", "bulletList", "table"},
    "paragraph": {"text"},
    "bulletList": {"listItem"},
    "listItem": {"paragraph"},
    "table": {"tableRow"},
    "tableRow": {"tableHeader", "tableCell"},
    "tableHeader": {"paragraph"},
    "tableCell": {"paragraph"},
}


class Site:
    """A Jira that keeps issues by their labels, and answers as its documentation says."""

    def __init__(self, lost=()):
        self.issues = {}
        self.comments = []
        self.requests = []

    def answer(self, request):
        """Return the answer to one request."""
        body = json.loads(request.body)
        self.requests.append(request.url.removeprefix("https://acme.atlassian.net/rest/api/3"))
        if request.url.endswith("/search/jql"):
            found = [
                {"id": key, "key": key, "fields": {"labels": issue["labels"]}}
                for key, issue in self.issues.items()
                if any(f'"{label}"' in body["jql"] for label in issue["labels"]) and not issue.get("done")
            ]
            return make_response(200, orjson.dumps({"issues": found[: body["maxResults"]], "isLast": True}))
        if request.url.endswith("/comment"):
            self.comments.append(body["body"])
            return make_response(201, b'{"id":"10000"}')
        key = f"SEC-{len(self.issues) + 1}"
        self.issues[key] = body["fields"]
        return make_response(201, orjson.dumps({"id": "10000", "key": key}))


def sent(site, message=None, **changes):
    """Make one whole try; return the receipt."""
    jira, message = make_type("jira"), message or make_message(**changes)
    request = jira.build([message], AT)
    response = site.answer(request)
    while (request := jira.then(message, request, response)) is not None:
        response = site.answer(request)
    return jira.read(response, [message])


def created(message=None, **changes):
    """Return the request that opens an issue."""
    jira, message = make_type("jira"), message or make_message(**changes)
    return jira.then(message, jira.build([message], AT), make_response(200, b'{"issues":[]}'))


def read(status, body=b"{}", **headers):
    return make_type("jira").read(make_response(status, body, **headers), [make_message()])


def assert_a_document(node):
    """Hold a document against its structure: no text is empty, and nothing stands where it may not."""
    if node["type"] == "text":
        assert node["text"]
        assert {mark["type"] for mark in node.get("marks", ())} <= {"strong", "link"}
        return
    assert {child["type"] for child in node["content"]} <= CHILDREN[node["type"]]
    for child in node["content"]:
        assert_a_document(child)


def test_the_search_comes_first():
    assert_golden("jira/search", make_type("jira").build([make_message()], AT))


def test_the_issue_is_the_golden_one():
    assert_golden("jira/firing", created())


def test_the_comment_on_what_is_over_is_the_golden_one():
    jira, message = make_type("jira"), make_message(status="resolved", dedup_key="okta-admin/jo.berg")
    found = make_response(200, b'{"issues":[{"key":"SEC-7","fields":{"labels":[]}}]}')
    assert_golden("jira/resolved", jira.then(message, jira.build([message], AT), found))


def test_an_alert_with_a_template_and_rows_is_the_golden_one():
    assert_golden("jira/templated", created(with_summary(**TEMPLATED)))


def test_the_account_and_its_token_are_the_basic_pair():
    (value,) = [value for name, value in created().headers if name == "Authorization"]
    pair = base64.b64decode(value.removeprefix("Basic ")).decode()
    assert pair == "bot@acme.example:ATATT3xFfGF0-n0t-a-real-token=8A1B2C3D"


def test_an_incident_is_one_issue_with_a_comment_for_what_comes_after():
    site = Site()
    sent(site, dedup_key="a", id="1")
    sent(site, make_message(dedup_key="a", id="2", message_id=UUID(int=2)))
    sent(site, make_message(dedup_key="a", id="3", status="resolved", message_id=UUID(int=3)))
    sent(site, make_message(dedup_key="b", id="4", message_id=UUID(int=4)))
    assert site.requests == [
        "/search/jql",
        "/issue",
        "/search/jql",
        "/issue/SEC-1/comment",
        "/search/jql",
        "/issue/SEC-1/comment",
        "/search/jql",
        "/issue",
    ]


def test_a_retry_of_what_did_arrive_opens_no_second_issue_and_says_nothing():
    site = Site()
    sent(site, dedup_key="a")
    assert sent(site, dedup_key="a").response.ok
    assert (len(site.issues), site.comments) == (1, [])


@pytest.mark.parametrize("status", ["resolved", "acknowledged"])
def test_what_is_over_before_there_was_an_issue_opens_none(status):
    site = Site()
    assert sent(site, status=status).response.ok
    assert site.issues == {}


def test_an_incident_that_comes_back_after_its_issue_is_done_gets_a_new_one():
    search = json.loads(make_type("jira").build([make_message()], AT).body)
    mine, incident = make_labels(make_message())
    assert search["jql"] == (
        f'project = "SEC" AND (labels = "{mine}" OR (labels = "{incident}" AND statusCategory != Done))'
        " ORDER BY created DESC"
    )


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b'{"issues":7}',
        b'{"issues":[{"key":"../../x"}]}',
        b'{"issues":[{"key":null}]}',
        b'{"issues":[0]}',
    ],
)
def test_a_search_that_can_not_be_read_writes_nothing_and_is_tried_again(body):
    jira, message = make_type("jira"), make_message()
    assert jira.then(message, jira.build([message], AT), make_response(200, body)) is None
    with pytest.raises(Temporary):
        read(200, body)


def test_a_search_after_which_something_is_missing_is_not_taken_for_delivered():
    with pytest.raises(Temporary):
        read(200, b'{"issues":[]}')


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500])
def test_nothing_is_written_after_a_search_that_failed(status):
    jira, message = make_type("jira"), make_message()
    assert jira.then(message, jira.build([message], AT), make_response(status, b'{"issues":[]}')) is None


def test_a_document_holds_nothing_but_what_its_structure_allows():
    hostile = "h1. *x* [~accountid:1] @jo {code} [a|https://evil.example] <b>"
    message = with_summary(title=hostile, text=hostile + "\n\n\n" + hostile, tags=(hostile,), **TEMPLATED)
    fields = json.loads(created(message).body)["fields"]
    assert_a_document(fields["description"])
    assert "evil.example" not in json.dumps(marks(fields["description"]))


def marks(node):
    """Return the marks of every text."""
    inside = [found for child in node.get("content", ()) for found in marks(child)]
    return [*node.get("marks", ()), *inside]


@pytest.mark.parametrize("text", ["", "x", "\U0001f600", "a\n", "\n"])
def test_an_alert_of_any_length_fits(text):
    message = with_summary(
        title=text * 9_000,
        text=text * 40_000,
        info=((text * 500, text * 2_000),) * 40,
        actions=((text * 500, "https://wiki.example/" + "x" * 1_900),) * 9,
        tags=(text * 900,) * 9,
        columns=(text * 99,) * 9,
        rows=((text * 99,) * 9,) * 50,
    )
    fields = json.loads(created(message).body)["fields"]
    assert 0 < len(fields["summary"]) <= 255
    assert_a_document(fields["description"])
    assert sum(map(len, words(fields["description"]))) <= MAX_FIELD


def words(node):
    """Return every text."""
    return [node["text"]] if node["type"] == "text" else [t for child in node["content"] for t in words(child)]


@pytest.mark.parametrize(
    ("status", "body", "failure", "named"),
    [
        (400, b'{"errorMessages":[],"errors":{"labels":"cannot be set"}}', EventRefused, "labels: cannot be set"),
        (400, b'{"errorMessages":[],"errors":{"issuetype":"Specify a valid type"}}', DestinationGone, "issuetype"),
        (400, b'{"errors":{"project":"valid project is required"}}', DestinationGone, "project"),
        (
            400,
            b"{\"errorMessages\":[\"The value 'SEC' does not exist for the field 'project'.\"]}",
            DestinationGone,
            "SEC",
        ),
        (400, b'{"errorMessages":["Error in the JQL Query"]}', EventRefused, "JQL"),
        (401, b"Client must be authenticated", DestinationGone, "401"),
        (403, b"", DestinationGone, "403"),
        (404, b"", DestinationGone, "404"),
        (413, b"", EventRefused, "413"),
        (429, b"", Temporary, "429"),
        (503, b"", Temporary, "503"),
    ],
)
def test_each_error_becomes_what_it_means(status, body, failure, named):
    with pytest.raises(failure) as raised:
        read(status, body)
    assert named in raised.value.reason


@pytest.mark.parametrize(
    "change",
    [
        {"site": "http://acme.atlassian.net"},
        {"site": "https://acme.atlassian.net/browse/SEC-1"},
        {"site": "https://acme.atlassian.net?x=1"},
        {"site": "https://10.0.0.5"},
        {"email": "not an address"},
        {"email": "a@b.example:x"},
        {"api_token": "with space in it"},
        {"project_key": 'SEC" OR project = "HR'},
        {"project_key": "sec"},
        {"issue_type": "a\nb"},
    ],
)
def test_what_can_be_no_site_account_or_project_is_refused(change):
    with pytest.raises(ValidationError):
        JiraConfig.model_validate({**EXAMPLE, **change}, context={"guard": AddressGuard()})


def test_a_site_is_kept_without_the_slash_at_its_end():
    assert JiraConfig.model_validate({**EXAMPLE, "site": EXAMPLE["site"] + "/"}).site == EXAMPLE["site"]
    scoped = "https://api.atlassian.com/ex/jira/11111111-2222-3333-4444-555555555555"
    assert JiraConfig.model_validate({**EXAMPLE, "site": scoped}).site == scoped
