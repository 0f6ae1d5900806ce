"""The API as its callers see it: bytes in, status, headers and bytes out."""

from __future__ import annotations

import orjson
import pytest
from django.test import Client

from eventsinks.actions import configure
from eventsinks.actions.tenants import issue_key
from eventsinks.models import SlackWorkspace
from tests.conftest import unrecorded


class Caller:
    """Somebody with an API key (or none), over Django's test client: no socket, but every middleware."""

    def __init__(self, key="", scheme="Bearer"):
        self.client = Client(raise_request_exception=False)
        self.headers = {"Authorization": f"{scheme} {key}"} if key else {}

    def send(self, method, path, body=b"", content_type="application/json", **headers):
        """Send `body`: bytes as they are, everything else as JSON."""
        data = body if isinstance(body, bytes) else orjson.dumps(body)
        headers = {**self.headers, **{name.replace("_", "-"): value for name, value in headers.items()}}
        return self.client.generic(method, path, data, content_type, headers=headers)

    def get(self, path, **options):
        return self.send("GET", path, **options)

    def post(self, path, body=b"", **options):
        return self.send("POST", path, body, **options)

    def put(self, path, body=b"", **options):
        return self.send("PUT", path, body, **options)

    def delete(self, path, **options):
        return self.send("DELETE", path, **options)


@pytest.fixture
def nobody(db):
    return Caller()


@pytest.fixture
def api(acme_key):
    """Acme's way in."""
    return Caller(acme_key)


@pytest.fixture
def globex_api(globex_key):
    """Globex's way in."""
    return Caller(globex_key)


@pytest.fixture
def operator_key(db):
    return issue_key(None)[1]


@pytest.fixture
def operator_api(operator_key):
    """The way in of who runs the server."""
    return Caller(operator_key)


@pytest.fixture
def make_workspace(acme):
    """Install the Slack app for Acme (or `tenant`)."""

    def make(tenant=None, team_id="T00000001", token="xoxb-not-to-be-seen"):
        workspace = SlackWorkspace(tenant=tenant or acme, team_id=team_id, team_name="Acme's Slack")
        workspace.token = token
        workspace.save()
        return workspace

    return make


@pytest.fixture
def make_slack(acme, make_workspace):
    def make(**config):
        workspace = make_workspace()
        config = {"slack_integration_id": str(workspace.id), "channel_id": "C12345678", **config}
        with unrecorded():
            return configure.create(acme, "slack", config, name="Slack")

    return make


@pytest.fixture
def make_pagerduty(acme):
    def make(key="0123456789abcdef0123456789abcdef"):
        with unrecorded():
            return configure.create(acme, "pagerduty", {"integration_key": key}, name="PagerDuty")

    return make


def says(response, status, *texts):
    """Assert that an answer is an error in the shape of /v1 and says each of `texts`. Return the error."""
    assert response.status_code == status, response.content
    assert response["Content-Type"] == "application/json"
    error = response.json()["error"]
    assert set(error) == {"code", "message", "fields"}
    assert error["message"]
    for text in texts:
        assert text in response.content.decode(), error
    return error


def fields_of(response):
    """Return the paths that an error names."""
    return [problem["field"] for problem in response.json()["error"]["fields"]]
