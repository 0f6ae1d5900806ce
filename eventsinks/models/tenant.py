"""Tenants, and their API keys."""

from __future__ import annotations

import hashlib
import re
import secrets
import uuid
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from eventsinks.models.database.clock import read_database_clock
from eventsinks.models.limits import TenantLimits, get_limits

# What an API key may do, each scope with a description.
SCOPES = {
    "event_sink:read": "see event sinks",
    "event_sink:write": "create, change and delete event sinks",
    "detection_alert:read": "see detection alerts and what became of them",
    "detection_alert:write": "send detection alerts",
    "delivery:read": "see deliveries and their attempts",
    "delivery:write": "replay deliveries",
    "event_streaming:read": "see integrations",
    "event_streaming:write": "create, change and delete integrations",
    "event:read": "see audit and network-traffic events",
    "event:write": "send audit and network-traffic events",
}
OPERATOR = "operator"  # the scope of a key that belongs to no tenant: manages tenants and their keys
KEY_PREFIX = "es_"
KEY_SHAPE = re.compile(re.escape(KEY_PREFIX) + r"([a-z0-9]{1,4}\.)?[A-Za-z0-9_-]{43}")  # of every key ever made


class Tenant(models.Model):
    """An organisation, which owns everything else. `tenant_id` on /v1, `account_id` on /api."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=200)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    own_limits = models.JSONField(db_default={}, default=dict, blank=True, editable=False)  # only those set
    own_retention = models.JSONField(
        db_default={}, default=dict, blank=True, editable=False
    )  # only days that are set
    # Since then it is being deleted: its keys open nothing, nothing is sent, and the sweep deletes what it has.
    deleted_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        verbose_name = "tenant"
        verbose_name_plural = "tenants"
        ordering: ClassVar = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def limits(self) -> TenantLimits:
        """What it may have and do."""
        return get_limits(self.own_limits)


class ApiKeyQuerySet(models.QuerySet["ApiKey"]):
    """API keys, and the usual filters."""

    def usable(self) -> ApiKeyQuerySet:
        """Keep those that are neither revoked nor expired."""
        return self.filter(Q(expires_at=None) | Q(expires_at__gt=Now()), revoked_at=None)

    def of_text(self, text: str) -> ApiKeyQuerySet:
        """Keep the key with this text."""
        return self.filter(digest=make_key_digest(text))


class ApiKey(models.Model):
    """A secret text that stands for a tenant with a set of scopes. Only its hash is stored."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    # None: an operator's key, which manages tenants and sees none of their events.
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="api_keys", null=True, blank=True)
    name = models.CharField(max_length=200, blank=True)
    prefix = models.CharField(max_length=12, editable=False)  # its first characters, to recognise it
    digest = models.CharField(max_length=64, unique=True, editable=False)  # SHA-256 of the whole, hexadecimal
    scopes = models.JSONField(default=list)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    objects = ApiKeyQuerySet.as_manager()

    class Meta:
        verbose_name = "API key"
        verbose_name_plural = "API keys"
        ordering: ClassVar = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.prefix}… {self.name}".strip()

    @property
    def is_usable(self) -> bool:
        """Whether it is neither revoked nor expired."""
        expired = self.expires_at is not None and self.expires_at <= read_database_clock()
        return self.revoked_at is None and not expired

    def allows(self, scope: str) -> bool:
        """Return whether it has `scope`."""
        return scope in self.scopes


def make_key_text() -> str:
    """Return the text of a new key: 256 random bits, behind the name of this cell if it has one."""
    cell = f"{settings.EVENTSINKS_CELL}." if settings.EVENTSINKS_CELL else ""
    return KEY_PREFIX + cell + secrets.token_urlsafe(32)


def make_key_digest(text: str) -> str:
    """Return the hash to store of a key's text. A plain hash is enough: the text is random, not a password."""
    return hashlib.sha256(text.encode()).hexdigest()
