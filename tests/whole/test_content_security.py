"""Every answer says what its page may load, run and be framed by, and no page brings a script of its own."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urlsplit

import pytest
from django.test import Client

from eventsinks.actions.slack import install
from tests.api.conftest import Caller

pytestmark = pytest.mark.django_db
INLINE = re.compile(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", re.IGNORECASE)
UNSAFE = ("unsafe-inline", "unsafe-eval", "*", "http:", "https:")


def policy(response):
    return dict(part.strip().partition(" ")[::2] for part in response["Content-Security-Policy"].split(";"))


@pytest.fixture
def state(acme, settings):
    settings.SLACK_CLIENT_ID = settings.SLACK_CLIENT_SECRET = "x"
    return install.begin_installation(acme)


def pages(state):
    """Return every page outside the admin that a person may come to see."""
    browser = Client()
    yield browser.get("/docs")
    yield browser.get("/slack/install", {"state": state})
    yield browser.get("/slack/install", {"state": "x"})
    yield browser.get("/slack/oauth/callback", {"state": "x", "code": "y"})
    yield Client(enforce_csrf_checks=True).post("/slack/install", {"state": state})


@pytest.mark.guarantee("S18")
def test_a_page_outside_the_admin_runs_and_loads_nothing_but_files_of_this_server(state):
    seen = 0
    for page in pages(state):
        seen += 1
        told = policy(page)
        assert page["Content-Type"].startswith("text/html")
        assert (told["default-src"], told["frame-ancestors"], told["base-uri"]) == ("'none'",) * 3
        assert (told["script-src"], told["style-src"]) == ("'self'", "'self'")
        loads = [sources for kind, sources in told.items() if kind.endswith("-src")]
        assert not [word for word in UNSAFE if any(word in sources for sources in loads)]
        assert not INLINE.search(page.content.decode()), page.content.decode()
    assert seen == 5


def test_the_question_before_slack_may_lead_there_and_no_other_page_may(state, settings):
    settings.SLACK_BASE_URL = "https://slack.com/api/"
    docs, question, *others = [policy(page)["form-action"] for page in pages(state)]
    assert question == "'self' https://slack.com https://*.slack.com"
    assert {docs, *others} == {"'self'"}


@pytest.mark.guarantee("S18")
@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/event_sink", 401),
        ("GET", "/api/event-streaming", 401),
        ("GET", "/nowhere", 404),
        ("GET", "/schema", 200),
        ("GET", "/docs?script=", 200),
        ("POST", "/docs", 405),
        ("GET", "/admin/", 302),
        ("GET", "/admin/nowhere", 302),
        ("GET", "/static/eventsinks/page.css", 200),
    ],
)
def test_every_answer_has_the_headers_whoever_gives_it(db, method, path, status):
    response = Caller().send(method, path)
    response.close()  # a file
    assert response.status_code == status
    assert policy(response)["frame-ancestors"] == "'none'"
    assert policy(response)["default-src"] == "'none'"
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["Referrer-Policy"] in ("same-origin", "no-referrer")
    assert response["X-Frame-Options"] == "DENY"


def test_an_answer_that_is_no_page_may_load_nothing(db):
    assert "script-src" not in policy(Caller().get("/v1/event_sink"))
    assert "script-src" not in policy(Caller().get("/docs?script="))


def test_the_script_of_the_docs_is_a_file_of_its_own_and_asks_no_other_server(db):
    page = Client().get("/docs").content.decode()
    sources = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert "/docs?script=" in sources
    assert all(urlsplit(source).netloc == "" for source in sources)
    script = Client().get("/docs?script=")
    assert script["Content-Type"].startswith("application/javascript")
    assert b'"validatorUrl": null' in script.content


def test_the_state_is_in_no_address_that_another_site_is_told(state):
    for page in pages(state):
        assert page["Referrer-Policy"] in ("no-referrer", "same-origin")
    assert parse_qs(urlsplit(install.make_landing_url(state)).query)["state"] == [state]
