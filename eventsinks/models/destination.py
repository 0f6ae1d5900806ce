"""Destinations: the services that a tenant sends events to. Event sinks and integrations are their two faces."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar, Self

import orjson
from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from eventsinks.destinations import DESTINATION_TYPES, destination_type
from eventsinks.destinations.base import AnyDestinationType, Config, Endpoints
from eventsinks.event_types.alert_template import AlertTemplate, load_template
from eventsinks.lib.net.smtp import Server
from eventsinks.lib.secrets.signing import decode_key, make_secret
from eventsinks.models.database.clock import read_database_clock
from eventsinks.models.health import Health
from eventsinks.models.options import make_empty
from eventsinks.models.secrets.sealing import open_sealed, seal
from eventsinks.models.slack_workspace import SlackWorkspace
from eventsinks.models.tenant import Tenant

Kind = type[AnyDestinationType]


class DestinationState(models.TextChoices):
    """Whether a destination gets messages. Its backlog stays in every state."""

    ACTIVE = "active", "Active"  # it gets messages
    PAUSED = "paused", "Paused"  # a person said: not now
    PARKED = "parked", "Disabled"  # the far end said: not until somebody repairs this
    RESUMING = "resuming", "Resuming"  # it gets messages again as soon as its skipped deliveries are suppressed


class DestinationQuerySet(models.QuerySet["Destination"]):
    """Destinations, and the usual filters."""

    def present(self) -> Self:
        """Keep those that are not deleted."""
        return self.filter(deleted_at=None)

    def of(self, tenant: Tenant) -> Self:
        """Keep those of one tenant that are not deleted. Every API query starts here."""
        return self.filter(tenant=tenant, deleted_at=None)

    def sinks(self) -> Self:
        """Keep event sinks."""
        return self.filter(type__in=list_types("event_sink"))

    def integrations(self) -> Self:
        """Keep integrations."""
        return self.filter(type__in=list_types("integration"))


class Destination(Health):
    """A service that a tenant sends events to. /v1 uses the UUID, /api the integer id.

    `config` is what a GET shows, with masked secrets. `sealed_secrets` has the same fields encrypted, so that
    reading never decrypts. A deleted destination keeps its row for its history, but without secrets.
    """

    id = models.BigAutoField(primary_key=True)
    uuid = models.UUIDField(unique=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="destinations")
    # The key of a destination type. (In a class body, `type` is this field from here on.)
    type = models.CharField(max_length=32)
    name = models.CharField(max_length=200)
    description = models.TextField(blank=True)
    config = models.JSONField(default=dict)
    sealed_secrets = models.TextField(blank=True, editable=False)
    sealed_signing_secret = models.TextField(blank=True, editable=False)
    # The previous secret, which also signs until its overlap is over.
    sealed_old_signing_secret = models.TextField(blank=True, db_default="", editable=False)
    old_signing_secret_until = models.DateTimeField(null=True, blank=True, editable=False)
    slack_workspace = models.ForeignKey(
        SlackWorkspace, on_delete=models.PROTECT, null=True, blank=True, related_name="destinations"
    )
    event_types = models.JSONField(default=list)  # the keys of the event types it gets
    mapping = models.CharField(max_length=32, default="as_accepted")  # the form in which events are streamed
    filter = models.TextField(blank=True)  # CEL over the event; empty wants every event of its event types
    alert_template = models.JSONField(null=True, blank=True)  # how alerts are shown there
    quiet = models.JSONField(default=dict, blank=True)  # what holds alerts back: the fields of options.Quiet
    # The event sink that also gets an alert if it can't be delivered here.
    fallback = models.ForeignKey(
        "self", on_delete=models.SET_NULL, null=True, blank=True, db_index=False, related_name="+"
    )
    fallback_after_failures = models.PositiveSmallIntegerField(default=3)
    fallback_after_s = models.PositiveIntegerField(default=600)
    options = models.JSONField(default=dict, db_default={}, blank=True)  # options without their own column
    drill_interval_s = models.PositiveIntegerField(null=True, blank=True)  # seconds between fire drills
    drilled_at = models.DateTimeField(null=True, blank=True)
    rate_limit_per_s = models.FloatField(null=True, blank=True)  # messages a second, at most
    limited_until = models.DateTimeField(null=True, blank=True)  # no more messages until then
    # What is sent in order: an incident's alerts ("incident"), everything ("event_sink") or nothing ("none"); or
    # events with the same value of an expression in CEL.
    ordering = models.CharField(max_length=16, default="incident", db_default="incident")
    ordering_key = models.TextField(blank=True, default="", db_default="")
    # After a delivery failed for good, the next one goes ("skip") or waits for a person ("wait").
    ordering_policy = models.CharField(max_length=8, default="skip", db_default="skip")
    version = models.PositiveIntegerField(default=1)  # rises with every change, so that workers notice it
    state = models.CharField(max_length=16, choices=DestinationState.choices, default=DestinationState.ACTIVE)
    state_reason = models.TextField(blank=True)
    state_since = models.DateTimeField(db_default=Now(), editable=False)
    # How often in a row the far end refused its credentials or address by a status alone, and since when.
    doubts = models.PositiveSmallIntegerField(db_default=0, editable=False)
    doubted_since = models.DateTimeField(null=True, editable=False)
    # The key to which its type's rate interval applies.
    rate_key = models.CharField(max_length=200, blank=True, db_default="", db_column="place")
    paced_until = models.DateTimeField(null=True, blank=True)  # the rate key is leased until then
    held_until = models.DateTimeField(null=True, blank=True)  # the far end asked for a pause until then
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = models.DateTimeField(db_default=Now(), editable=False)
    deleted_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects = DestinationQuerySet.as_manager()

    class Meta:
        verbose_name = "destination"
        verbose_name_plural = "destinations"
        ordering: ClassVar = ["id"]
        indexes: ClassVar = [
            models.Index(fields=["tenant", "id"], condition=Q(deleted_at=None), name="destination_present"),
            models.Index(
                fields=["id"],
                condition=Q(deleted_at=None) & (Q(fallback__isnull=False) | Q(drill_interval_s__isnull=False)),
                name="destination_looked_after",
            ),
            models.Index(fields=["rate_key"], condition=~Q(rate_key=""), name="destination_at_a_place"),
            models.Index(
                fields=["trouble"],
                condition=Q(trouble__gt=0) | Q(told__gt=0) | Q(told_operator__gt=0),
                name="destination_in_trouble",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def kind(self) -> Kind:
        """The class of its destination type."""
        return destination_type(self.type)

    @property
    def template(self) -> AlertTemplate | None:
        """The alert template, None if alerts are sent as they are."""
        return load_template(self.alert_template) if self.alert_template else None

    def option(self, name: str) -> Any:
        """Return the tenant's value of an option without its own column, else the default."""
        return self.options.get(name, make_empty(name))

    @property
    def orders_incidents(self) -> bool:
        """Whether it gets the alerts of one incident in order, and nothing else."""
        return self.ordering == "incident" and not self.ordering_key

    @property
    def enabled(self) -> bool:
        """Whether a person wants it to get messages."""
        return self.state != DestinationState.PAUSED

    @property
    def signing_secret(self) -> str:
        """The secret that signs its requests, `whsec_…`, in clear."""
        return open_sealed(self, "sealed_signing_secret")

    def set_config(self, config: Config) -> None:
        """Store `config` with sealed secrets. Create the signing secret if there is none yet."""
        self.config = config.dump_masked()
        key = self.kind(config).rate_key()
        self.rate_key = f"{self.type}:{key}"[:200] if key else ""
        secrets = config.secrets()
        text = orjson.dumps(secrets).decode()
        self.sealed_secrets = seal(text, self, "sealed_secrets") if secrets else ""
        if not self.sealed_signing_secret:
            self.sealed_signing_secret = seal(make_secret(), self, "sealed_signing_secret")

    def opened_config(self) -> Any:
        """Return the config with its secrets in clear. Raises CannotOpen."""
        secrets = orjson.loads(open_sealed(self, "sealed_secrets")) if self.sealed_secrets else {}
        workspace = self.slack_workspace
        token = {"token": workspace.token, "scopes": workspace.scopes} if workspace else {}
        return self.kind.Config.model_validate({**self.config, **secrets, **token})

    def opened(self) -> AnyDestinationType:
        """Return the destination type, ready to build requests. Raises CannotOpen."""
        keys = [decode_key(self.signing_secret)] if self.sealed_signing_secret else []
        if self.old_signing_secret_until and self.old_signing_secret_until > read_database_clock():
            keys.append(decode_key(open_sealed(self, "sealed_old_signing_secret")))
        return self.kind(self.opened_config(), keys, make_endpoints())

    def target(self) -> str:
        """Return a short description of the target, for a list. Opens no secret."""
        return self.kind(self.kind.Config.model_construct(**self.config)).target()


class EventSinkManager(models.Manager["EventSink"]):
    """Event sinks that are not deleted."""

    def get_queryset(self) -> models.QuerySet[EventSink]:
        """Return them."""
        return super().get_queryset().filter(type__in=list_types("event_sink"), deleted_at=None)


class EventSink(Destination):
    """A destination that gets each event at once, in a request of its own."""

    objects: ClassVar[EventSinkManager] = EventSinkManager()  # type: ignore[assignment]

    class Meta:
        proxy = True
        permissions: ClassVar = [("reveal_signing_secret", "Can reveal the signing secret")]
        verbose_name = "event sink"
        verbose_name_plural = "event sinks"


class IntegrationManager(models.Manager["Integration"]):
    """Integrations that are not deleted."""

    def get_queryset(self) -> models.QuerySet[Integration]:
        """Return them."""
        return super().get_queryset().filter(type__in=list_types("integration"), deleted_at=None)


class Integration(Destination):
    """A destination that gets the log in batches, in order."""

    objects: ClassVar[IntegrationManager] = IntegrationManager()  # type: ignore[assignment]

    class Meta:
        proxy = True
        verbose_name = "integration"
        verbose_name_plural = "integrations"


def list_types(face: str) -> list[str]:
    """Return the keys of the destination types with this face."""
    return [key for key, kind in DESTINATION_TYPES.items() if kind.face == face]


def make_endpoints() -> Endpoints:
    """Return the addresses of the services from the operator's settings."""
    server = make_mail_server()
    return Endpoints(
        slack=settings.SLACK_BASE_URL,
        pagerduty=settings.PAGERDUTY_URL,
        aws=settings.AWS_ENDPOINT_URL,
        smtp=server.url if server else "",
        smtp_from=settings.SMTP_FROM,
    )


def make_mail_server() -> Server | None:
    """Return the operator's mail server with its credentials, None if there is none. Raises ValueError."""
    return Server.parse(settings.SMTP_URL) if settings.SMTP_URL else None
