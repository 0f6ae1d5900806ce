"""Slack workspaces: the token goes in and never comes out."""

from __future__ import annotations

from django.contrib.admin.models import LogEntry
from django.urls import reverse

from eventsinks.actions import configure
from eventsinks.actions.hold import park
from eventsinks.models import Destination, SlackWorkspace
from tests.admin.conftest import TOKEN

ADD = "admin:eventsinks_slackworkspace_add"


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
