"""Slack workspaces: where a tenant has installed the Slack app. The Scanner API calls one a Slack integration."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.db import models
from django.db.models.functions import Now

from eventsinks.models.secrets.sealing import open_sealed, seal
from eventsinks.models.tenant import Tenant


class SlackWorkspace(models.Model):
    """An installed Slack app. Its id is the `slack_integration_id` of a Slack event sink."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="slack_workspaces")
    team_id = models.CharField(max_length=32)
    team_name = models.CharField(max_length=200)
    sealed_token = models.TextField(editable=False)
    scopes = models.TextField(blank=True, default="", editable=False)  # with commas; empty: not known
    sealed_refresh_token = models.TextField(blank=True, default="", editable=False)
    expires_at = models.DateTimeField(null=True, blank=True, editable=False)  # of the token; null: never
    refresh_leased_until = models.DateTimeField(null=True, blank=True, editable=False)  # a refresh is running
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        verbose_name = "Slack workspace"
        verbose_name_plural = "Slack workspaces"
        ordering: ClassVar = ["team_name"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["tenant", "team_id"], name="slack_workspace_once_per_tenant")
        ]

    def __str__(self) -> str:
        return self.team_name

    @property
    def token(self) -> str:
        """The bot token, in clear."""
        return open_sealed(self, "sealed_token")

    @token.setter
    def token(self, text: str) -> None:
        self.sealed_token = seal(text, self, "sealed_token")

    @property
    def refresh_token(self) -> str:
        """The token that is exchanged for the next token, in clear."""
        return open_sealed(self, "sealed_refresh_token")


class SlackInstall(models.Model):
    """An installation that has begun. Its state works once, until `expires_at`."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="+")
    initiator_id = models.CharField(max_length=64)
    initiator_name = models.CharField(max_length=200, blank=True)
    expires_at = models.DateTimeField(db_index=True)

    class Meta:
        verbose_name = "begun Slack installation"
