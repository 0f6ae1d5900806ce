"""Slack workspaces over /v1: installed by OAuth, shown without a token, uninstalled."""

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from django.test import Client

from eventsinks.actions import configure
from eventsinks.models import Destination, Event, SlackInstall, SlackWorkspace
from eventsinks.models.destination import DestinationState
from eventsinks.sweeping import slack_tokens
from tests.api.conftest import Caller, says

pytestmark = pytest.mark.django_db

GRANT = {
    "ok": True,
    "access_token": "xoxb-granted",
    "token_type": "bot",
    "scope": "chat:write,channels:read",
    "team": {"id": "T0ACME", "name": "Acme Corp"},
}
ROTATING = {**GRANT, "access_token": "xoxe-1", "expires_in": 43200, "refresh_token": "xoxe-refresh-1"}


@pytest.fixture
def slack(httpserver, settings):
    """Stand in for Slack: it grants whatever it is asked for."""
    settings.SLACK_BASE_URL = httpserver.url_for("/api/")
    settings.SLACK_CLIENT_ID, settings.SLACK_CLIENT_SECRET = "1.2", "not-to-be-seen"
    httpserver.expect_request("/api/oauth.v2.access").respond_with_json(GRANT)
    httpserver.expect_request("/api/auth.revoke").respond_with_json({"ok": True, "revoked": True})
    return httpserver


def grants(slack, document):
    slack.clear()
    slack.expect_request("/api/oauth.v2.access").respond_with_json(document)


def begin(api):
    """Begin an installation as an API client does; return the address of our page for a browser."""
    return api.post("/v1/slack_integration/install").json()["authorize_url"]


def say_yes(browser, address):
    """Open our page and press its button; return the query with which Slack's page is asked."""
    page = urlsplit(address)
    state = parse_qs(page.query)["state"][0]
    assert browser.client.get(page.path, {"state": state}).status_code == 200
    answer = browser.client.post(page.path, {"state": state})
    assert answer.status_code == 302
    slack_page = urlsplit(answer.url)
    assert slack_page.path == "/oauth/v2/authorize"
    return {name: value for name, (value,) in parse_qs(slack_page.query).items()}


def come_back(browser, state, **query):
    return browser.client.get("/slack/oauth/callback", {"state": state, **query})


def install(api, nobody):
    query = say_yes(nobody, begin(api))
    return come_back(nobody, query["state"], code="c1")


def state_of(address):
    return parse_qs(urlsplit(address).query)["state"][0]


def test_a_new_workspace_was_updated_when_it_was_created_and_later_when_it_comes_again(api, nobody, slack):
    install(api, nobody)
    (first,) = api.get("/v1/slack_integration").json()["data"]["slack_integrations"]
    assert first["created_at"] == first["updated_at"]
    SlackWorkspace.objects.update(created_at=datetime(2026, 1, 1, tzinfo=UTC))
    install(api, nobody)
    (again,) = api.get("/v1/slack_integration").json()["data"]["slack_integrations"]
    assert again["updated_at"] > again["created_at"]


def test_an_installation_is_finished_by_the_browser_whose_person_said_yes_and_no_other(api, nobody, slack, acme):
    attacker, victim = nobody, Caller()
    state = say_yes(attacker, begin(api))["state"]
    refused = come_back(victim, state, code="the-victims")
    assert refused.status_code == 400
    assert b"not begun in this browser" in refused.content
    assert not slack.log
    assert not SlackWorkspace.objects.exists()
    assert come_back(attacker, state, code="its-own").status_code == 200


def test_the_cookie_of_one_installation_finishes_no_other(api, globex_api, nobody, slack):
    victim = nobody
    say_yes(victim, begin(api))
    of_the_attacker = say_yes(Caller(), begin(globex_api))["state"]
    assert come_back(victim, of_the_attacker, code="c1").status_code == 400
    victim.client.cookies["slack_install"] = of_the_attacker
    assert come_back(victim, of_the_attacker, code="c1").status_code == 400
    assert not slack.log


def test_a_link_to_our_page_names_the_tenant_and_installs_nothing_by_itself(api, nobody, slack, acme):
    address = begin(api)
    page = nobody.client.get(urlsplit(address).path, {"state": state_of(address)})
    assert b"Acme" in page.content
    assert not page.cookies.get("slack_install")
    assert come_back(nobody, state_of(address), code="c1").status_code == 400
    assert not slack.log


def test_another_site_can_not_say_yes_for_a_person(api, slack, db):
    state = state_of(begin(api))
    answer = Client(enforce_csrf_checks=True).post("/slack/install", {"state": state})
    assert answer.status_code == 403
    assert "slack_install" not in answer.cookies
    assert b"Not accepted" in answer.content


def test_the_cookie_is_for_http_alone_and_behind_tls_for_this_host_alone(api, nobody, slack, settings):
    plain = cookies_of(api, nobody)["slack_install"]
    assert (plain["httponly"], plain["samesite"], plain["secure"]) == (True, "Lax", "")
    settings.SESSION_COOKIE_SECURE = True
    secure = cookies_of(api, Caller())["__Host-slack_install"]
    assert (secure["httponly"], secure["samesite"], secure["secure"]) == (True, "Lax", True)
    assert (secure["path"], secure["domain"]) == ("/", "")


def cookies_of(api, browser):
    return browser.client.post("/slack/install", {"state": state_of(begin(api))}).cookies


def test_a_workspace_is_installed_by_the_page_of_slack(api, nobody, slack, acme):
    query = say_yes(nobody, begin(api))
    assert query["client_id"] == "1.2"
    assert query["redirect_uri"].endswith("/slack/oauth/callback")
    response = come_back(nobody, query["state"], code="c1")
    assert response.status_code == 200
    assert b"Acme Corp" in response.content
    (shown,) = api.get("/v1/slack_integration").json()["data"]["slack_integrations"]
    assert (shown["team_id"], shown["scopes"]) == ("T0ACME", ["chat:write", "channels:read"])
    assert "xoxb" not in str(shown)
    workspace = SlackWorkspace.objects.get(tenant=acme)
    assert workspace.token == "xoxb-granted"
    assert b"integration.create" in bytes(Event.objects.filter(type="audit").latest("id").data)


def test_a_state_is_good_once(api, nobody, slack):
    query = say_yes(nobody, begin(api))
    assert come_back(nobody, query["state"], code="c1").status_code == 200
    again = come_back(nobody, query["state"], code="c2")
    assert again.status_code == 400
    assert b"used already" in again.content
    assert len(slack.log) == 1


def test_a_state_is_good_for_ten_minutes_only(api, nobody, slack):
    query = say_yes(nobody, begin(api))
    SlackInstall.objects.update(expires_at=datetime.now(UTC) - timedelta(seconds=1))
    assert come_back(nobody, query["state"], code="c1").status_code == 400
    assert not SlackWorkspace.objects.exists()


@pytest.mark.parametrize("state", ["", "x", "4be0a2f6-43f0-4a6f-8d7e-7a9c3d1b5e20:1vNabc:forged", "\0"])
def test_a_state_that_we_did_not_sign_installs_nothing(nobody, slack, state):
    assert come_back(nobody, state, code="c1").status_code == 400
    assert not slack.log


def test_who_cancels_at_slack_is_told_so(api, nobody, slack):
    query = say_yes(nobody, begin(api))
    response = come_back(nobody, query["state"], error="access_denied")
    assert response.status_code == 400
    assert b"cancelled" in response.content


def test_what_slack_says_of_a_bad_code_is_on_the_page(api, nobody, slack):
    grants(slack, {"ok": False, "error": "invalid_code"})
    response = install(api, nobody)
    assert response.status_code == 400
    assert b"invalid_code" in response.content


def test_what_comes_in_a_query_is_no_markup_on_the_page(api, nobody, slack):
    grants(slack, {**GRANT, "team": {"id": "T1", "name": "<script>x</script>"}})
    assert b"<script>" not in install(api, nobody).content


def test_the_same_team_again_has_the_new_token_and_its_sinks_are_opened_anew(api, nobody, slack, acme):
    install(api, nobody)
    workspace = SlackWorkspace.objects.get()
    args = {"slack_integration_id": str(workspace.id), "channel_id": "C12345678"}
    sink = configure.create(acme, "slack", args, name="Alerts")
    Destination.objects.update(state=DestinationState.PARKED)
    grants(slack, {**GRANT, "access_token": "xoxb-second"})
    install(api, nobody)
    assert SlackWorkspace.objects.get().token == "xoxb-second"
    changed = Destination.objects.get()
    assert changed.version > sink.version
    assert changed.state == DestinationState.ACTIVE


def test_it_is_not_uninstalled_while_a_sink_uses_it_and_is_when_that_is_deleted(api, nobody, slack, acme):
    install(api, nobody)
    workspace = SlackWorkspace.objects.get()
    args = {"slack_integration_id": str(workspace.id), "channel_id": "C12345678"}
    sink = configure.create(acme, "slack", args, name="On call")
    says(api.delete(f"/v1/slack_integration/{workspace.id}"), 409, "On call")
    configure.delete(sink)
    assert api.delete(f"/v1/slack_integration/{workspace.id}").status_code == 200
    assert not SlackWorkspace.objects.exists()
    assert slack.log[-1][0].headers["Authorization"] == "Bearer xoxb-granted"
    assert slack.log[-1][0].path == "/api/auth.revoke"
    assert Destination.objects.filter(pk=sink.pk).exists()


def test_without_a_slack_app_nothing_can_be_installed(api, settings):
    settings.SLACK_CLIENT_ID = settings.SLACK_CLIENT_SECRET = ""
    says(api.post("/v1/slack_integration/install"), 409, "SLACK_CLIENT_ID")


def test_a_token_is_refreshed_well_before_it_expires_and_once(api, nobody, slack):
    grants(slack, ROTATING)
    install(api, nobody)
    assert slack_tokens.refresh_due_tokens() == 0
    SlackWorkspace.objects.update(expires_at=datetime.now(UTC) + timedelta(hours=1))
    grants(slack, {**ROTATING, "access_token": "xoxe-2", "refresh_token": "xoxe-refresh-2"})
    stale = SlackWorkspace.objects.get()
    assert slack_tokens.refresh_due_tokens() == 1
    assert slack_tokens.refresh_token(stale) is False
    workspace = SlackWorkspace.objects.get()
    assert (workspace.token, workspace.refresh_token) == ("xoxe-2", "xoxe-refresh-2")
    assert len(slack.log) == 1
    assert "grant_type=refresh_token" in slack.log[0][0].get_data(as_text=True)


def test_who_is_refreshing_is_not_joined_by_another(api, nobody, slack):
    grants(slack, ROTATING)
    install(api, nobody)
    soon = datetime.now(UTC) + timedelta(minutes=1)
    SlackWorkspace.objects.update(expires_at=soon, refresh_leased_until=soon)
    assert slack_tokens.refresh_due_tokens() == 0
    assert len(slack.log) == 1


def test_a_slack_that_is_down_leaves_the_token_as_it_was(api, nobody, slack, settings):
    grants(slack, ROTATING)
    install(api, nobody)
    SlackWorkspace.objects.update(expires_at=datetime.now(UTC))
    settings.SLACK_BASE_URL = "http://127.0.0.1:9/api/"
    assert slack_tokens.refresh_due_tokens() == 0
    assert SlackWorkspace.objects.get().token == "xoxe-1"


def create(api, acme, **slack_args):
    body = {
        "tenant_id": str(acme.id),
        "name": "Alerts",
        "description": "",
        "event_sink_args": {"Slack": slack_args},
    }
    return api.post("/v1/event_sink", body)


def channels(slack, *pages):
    """Have Slack list `pages` of (id, name)."""
    for number, page in enumerate(pages):
        following = f"cursor{number + 1}" if number + 1 < len(pages) else ""
        slack.expect_oneshot_request("/api/conversations.list").respond_with_json(
            {
                "ok": True,
                "channels": [{"id": id, "name": name} for id, name in page],
                "response_metadata": {"next_cursor": following},
            }
        )


def test_the_first_editions_code_makes_the_workspace_and_the_sink(api, slack, acme):
    channels(slack, [("C1", "general")], [("C2", "security-alerts")])
    response = create(api, acme, channel="#security-alerts", slack_oauth_code="c1")
    assert response.status_code == 200, response.content
    sink = response.json()["event_sink"]
    assert sink["configuration"] == {"Slack": {"channel_id": "C2", "channel_name": "security-alerts"}}
    assert sink["integration_id"] == str(SlackWorkspace.objects.get(tenant=acme).id)


def test_a_code_is_not_used_up_by_a_request_that_is_bad_elsewhere(api, slack, acme, globex):
    assert create(api, acme, channel="#not a name", slack_oauth_code="c1").status_code == 400
    assert create(api, acme, slack_oauth_code="c1").status_code == 400
    assert create(api, globex, channel="#alerts", slack_oauth_code="c1").status_code == 404
    assert not slack.log


def test_a_wrong_code_says_slacks_reason_at_its_field(api, slack, acme):
    grants(slack, {"ok": False, "error": "invalid_code"})
    error = says(create(api, acme, channel="#alerts", slack_oauth_code="c1"), 400, "invalid_code")
    assert [problem["field"] for problem in error["fields"]] == ["event_sink_args.Slack.slack_oauth_code"]
    assert not SlackWorkspace.objects.exists()


def test_a_channel_that_slack_does_not_know_is_refused_at_its_field(api, slack, acme, make_workspace):
    channels(slack, [("C1", "general")])
    response = create(api, acme, channel="#gone", slack_integration_id=str(make_workspace().id))
    error = says(response, 400, "no such channel")
    assert [problem["field"] for problem in error["fields"]] == ["event_sink_args.Slack.channel"]


def test_an_id_gets_its_name(api, slack, acme, make_workspace):
    slack.expect_request("/api/conversations.info").respond_with_json(
        {"ok": True, "channel": {"id": "C9", "name": "alerts"}}
    )
    response = create(api, acme, channel_id="C9", slack_integration_id=str(make_workspace().id))
    named = {"Slack": {"channel_id": "C9", "channel_name": "alerts"}}
    assert response.json()["event_sink"]["configuration"] == named


@pytest.mark.parametrize(
    "answer", [{"ok": False, "error": "missing_scope"}, {"ok": False, "error": "ratelimited"}]
)
def test_where_slack_can_not_say_what_was_given_is_kept(api, slack, acme, make_workspace, answer):
    slack.expect_request("/api/conversations.list").respond_with_json(answer)
    response = create(api, acme, channel="#alerts", slack_integration_id=str(make_workspace().id))
    kept = {"Slack": {"channel_id": "", "channel_name": "alerts"}}
    assert response.json()["event_sink"]["configuration"] == kept
