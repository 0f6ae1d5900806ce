"""Slack workspaces: the token goes in and never comes out."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse

from eventsinks.actions import configure
from eventsinks.models import Destination, Event, SlackInstall, SlackWorkspace
from eventsinks.models.secrets.sealing import seal
from eventsinks.sending.hold import park
from tests.admin.conftest import TOKEN

ADD, LIST, DELETE, INSTALL = (
    f"admin:eventsinks_slackworkspace_{page}" for page in ("add", "changelist", "delete", "install")
)
CHANNEL = {"channel_name": "alerts"}


def page_of(workspace):
    return reverse("admin:eventsinks_slackworkspace_change", args=[workspace.pk])


def test_a_workspace_is_added_with_its_token_sealed(operator, acme):
    given = {"tenant": acme.pk, "team_id": "T99", "team_name": "HQ", "token": TOKEN}
    operator.post(reverse(ADD), given)
    workspace = SlackWorkspace.objects.get()
    assert (workspace.tenant, workspace.team_id, workspace.token) == (acme, "T99", TOKEN)
    assert TOKEN not in workspace.sealed_token
    assert TOKEN not in LogEntry.objects.get().change_message


def test_what_is_not_a_token_or_a_team_is_refused(operator, acme):
    for wrong in ({"token": ""}, {"token": "****"}, {"token": "two words"}, {"team_id": "nonsense!"}):
        given = {"tenant": acme.pk, "team_id": "T99", "team_name": "HQ", "token": TOKEN, **wrong}
        response = operator.post(reverse(ADD), given)
        assert response.status_code == 200
        assert set(response.context["adminform"].form.errors) == set(wrong)
        assert TOKEN not in response.content.decode()
    assert not SlackWorkspace.objects.exists()


def test_a_workspace_is_there_once_per_tenant(operator, acme, workspace):
    given = {"tenant": acme.pk, "team_id": workspace.team_id, "team_name": "HQ", "token": TOKEN}
    assert operator.post(reverse(ADD), given).status_code == 200
    assert SlackWorkspace.objects.count() == 1


def test_the_masked_token_stays_as_it_was(operator, workspace):
    operator.post(page_of(workspace), {"team_id": "T0123", "team_name": "Renamed", "token": "****"})
    workspace.refresh_from_db()
    assert (workspace.team_name, workspace.token) == ("Renamed", TOKEN)


def test_a_new_token_reaches_the_sinks_that_use_it_and_wakes_them(operator, acme, workspace):
    config = {"slack_integration_id": str(workspace.id), "channel_name": "alerts"}
    sink = configure.create(acme, "slack", config, name="slack")
    park(sink.pk, sink.version, "Slack answered token_revoked")
    operator.post(page_of(workspace), {"team_id": "T0123", "team_name": "Acme HQ", "token": "xoxb-new"})
    changed = Destination.objects.get()
    assert changed.version > sink.version
    assert changed.state == "active"
    assert changed.opened_config().token.get_secret_value() == "xoxb-new"


def test_a_workspace_that_is_used_is_not_deleted(operator, acme, workspace):
    config = {"slack_integration_id": str(workspace.id), "channel_name": "alerts"}
    configure.create(acme, "slack", config, name="slack")
    operator.post(reverse("admin:eventsinks_slackworkspace_delete", args=[workspace.pk]), {"post": "yes"})
    assert SlackWorkspace.objects.exists()


@pytest.fixture
def slack(httpserver, settings):
    """Stand in for Slack, where our app has an id and a secret."""
    settings.SLACK_BASE_URL = httpserver.url_for("/api/")
    settings.SLACK_CLIENT_ID, settings.SLACK_CLIENT_SECRET = "1.2", "not-to-be-seen"
    httpserver.expect_request("/api/auth.revoke").respond_with_json({"ok": True, "revoked": True})
    return httpserver


def test_the_app_is_installed_for_the_chosen_tenant_at_slack(operator, acme, slack):
    response = operator.post(reverse(INSTALL), {"tenant": acme.pk})
    assert response.status_code == 302
    assert response.url.startswith(slack.url_for("/oauth/v2/authorize?"))
    assert "not-to-be-seen" not in response.url
    begun = SlackInstall.objects.get()
    assert (begun.tenant, begun.initiator_name) == (acme, "operator")


def test_only_the_browser_in_which_it_was_begun_brings_the_workspace(operator, acme, slack):
    slack.expect_request("/api/oauth.v2.access").respond_with_json(
        {"ok": True, "access_token": "xoxb-1", "scope": "chat:write", "team": {"id": "T1", "name": "HQ"}}
    )
    at_slack = urlsplit(operator.post(reverse(INSTALL), {"tenant": acme.pk}).url)
    back = {"state": parse_qs(at_slack.query)["state"][0], "code": "c1"}
    assert Client().get("/slack/oauth/callback", back).status_code == 400
    assert not SlackWorkspace.objects.exists()
    assert operator.get("/slack/oauth/callback", back).status_code == 200
    assert SlackWorkspace.objects.get().tenant == acme


def test_the_page_of_the_button_may_lead_to_slack_and_no_other_page_may(operator, acme, settings):
    settings.SLACK_BASE_URL = "https://slack.com/api/"
    page = operator.get(reverse(INSTALL), {"tenant": str(acme.pk)})
    assert "Acme" in page.content.decode()
    assert "form-action 'self' https://slack.com https://*.slack.com;" in page["Content-Security-Policy"]
    workspaces = operator.get(reverse(LIST))
    assert reverse(INSTALL) in workspaces.content.decode()
    assert "slack.com" not in workspaces["Content-Security-Policy"]


@pytest.mark.parametrize("tenant", ["", "x", "00000000-0000-0000-0000-000000000000"])
def test_without_a_tenant_nothing_is_installed(operator, slack, tenant):
    assert operator.get(reverse(INSTALL), {"tenant": tenant}).status_code == 200
    assert operator.post(reverse(INSTALL), {"tenant": tenant}).status_code == 200
    assert not SlackInstall.objects.exists()


def test_a_server_without_an_app_says_so(operator, acme, settings):
    settings.SLACK_CLIENT_ID = ""
    assert "SLACK_CLIENT_ID" in operator.post(reverse(INSTALL), {"tenant": acme.pk}).content.decode()


def test_only_who_may_add_workspaces_may_install(sign_in, acme, slack):
    limited = sign_in("view_slackworkspace")
    assert limited.post(reverse(INSTALL), {"tenant": acme.pk}).status_code == 403
    assert reverse(INSTALL) not in limited.get(reverse(LIST)).content.decode()
    assert not SlackInstall.objects.exists()


def test_scopes_and_expiry_are_shown_and_no_token(operator, workspace):
    assert "entered by hand" in operator.get(page_of(workspace)).content.decode()
    workspace.scopes, workspace.expires_at = "chat:write,channels:read", datetime(2031, 5, 4, 9, tzinfo=UTC)
    workspace.sealed_refresh_token = seal("xoxe-not-to-be-seen", workspace, "sealed_refresh_token")
    workspace.save()
    page = operator.get(page_of(workspace)).content.decode()
    assert "chat:write, channels:read" in page
    assert "2031" in page
    assert TOKEN not in page
    assert "xoxe-" not in page


def test_a_deleted_workspace_is_uninstalled_and_its_token_revoked(operator, acme, workspace, slack):
    sink = configure.create(acme, "slack", {**CHANNEL, "slack_integration_id": str(workspace.id)}, name="slack")
    configure.delete(sink)
    operator.post(reverse(DELETE, args=[workspace.pk]), {"post": "yes"})
    assert not SlackWorkspace.objects.exists()
    assert [request.path for request, _ in slack.log if "revoke" in request.path] == ["/api/auth.revoke"]
    told = json.loads(bytes(Event.objects.filter(type="audit").latest("id").data))
    assert (told["activity_code"], told["initiator_name"]) == ("integration.delete", "operator")


def test_the_sinks_that_keep_a_workspace_are_named(operator, acme, workspace, slack):
    configure.create(acme, "slack", {**CHANNEL, "slack_integration_id": str(workspace.id)}, name="Night shift")
    assert "Night shift" in operator.get(reverse(DELETE, args=[workspace.pk])).content.decode()
    chosen = {"action": "delete_selected", "_selected_action": str(workspace.pk), "post": "yes"}
    operator.post(reverse(LIST), chosen)
    assert SlackWorkspace.objects.exists()
