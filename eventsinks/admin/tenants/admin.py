"""Tenants, each with its keys, event sinks, integrations and Slack workspaces."""

from __future__ import annotations

import sys
from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.safestring import SafeString

from eventsinks.actions.tenants import change_tenant, create_tenant
from eventsinks.admin.parts import marks
from eventsinks.admin.parts.base import ModelAdmin, ReadOnly, TabularInline, get_initiator
from eventsinks.admin.tenants.api_keys import make_key_chip, show_scopes
from eventsinks.admin.tenants.limits import FIELDS, make_tenant_form, make_usage_table
from eventsinks.models import ApiKey, Destination, EventSink, Integration, SlackWorkspace, Tenant


class Owned(ReadOnly):
    """A table of what a tenant owns; each row links to its own page."""

    extra = 0
    per_page = 20
    show_title = False
    if sys.version_info < (3, 12):
        hide_title = True  # its name in the django-unfold that Python 3.11 gets


class KeysOfTenant(Owned, TabularInline[ApiKey, Tenant]):
    """The tenant's API keys."""

    model = ApiKey
    fields = readonly_fields = ("shown", "name", "scopes_shown", "status")

    @admin.display(description="Key")
    def shown(self, key: ApiKey) -> SafeString:
        """The first characters, which lead to its page."""
        return marks.make_link("apikey", key.pk, f"{key.prefix}…")

    @admin.display(description="Scopes")
    def scopes_shown(self, key: ApiKey) -> str:
        """What it may do."""
        return show_scopes(key)

    @admin.display(description="Status")
    def status(self, key: ApiKey) -> SafeString:
        """Whether it opens anything."""
        return make_key_chip(key)


class DestinationsOfTenant(Owned):
    """What the tables of event sinks and of integrations show."""

    fields: Any = ("shown", "type_label", "goes_to", "status")
    readonly_fields: Any = fields

    @admin.display(description="Name")
    def shown(self, destination: Destination) -> SafeString | str:
        """The name, which leads to its page."""
        return marks.link_sink(destination)

    @admin.display(description="Type")
    def type_label(self, destination: Destination) -> str:
        """The type, as people call it."""
        return destination.kind.label

    @admin.display(description="Goes to")
    def goes_to(self, destination: Destination) -> str:
        """The host, the channel or the bucket."""
        return marks.shorten(destination.target())

    @admin.display(description="Status")
    def status(self, destination: Destination) -> SafeString:
        """Whether it is sent to."""
        return marks.make_status_chip(destination)


class SinksOfTenant(DestinationsOfTenant, TabularInline[EventSink, Tenant]):
    """The tenant's event sinks."""

    model = EventSink


class IntegrationsOfTenant(DestinationsOfTenant, TabularInline[Integration, Tenant]):
    """The tenant's integrations."""

    model = Integration


class WorkspacesOfTenant(Owned, TabularInline[SlackWorkspace, Tenant]):
    """The tenant's Slack workspaces."""

    model = SlackWorkspace
    fields = readonly_fields = ("shown", "team_id", "updated_at")

    @admin.display(description="Workspace")
    def shown(self, workspace: SlackWorkspace) -> SafeString:
        """The name, which leads to its page."""
        return marks.make_link("slackworkspace", workspace.pk, workspace.team_name)


class TenantAdmin(ModelAdmin[Tenant]):
    """Tenants."""

    list_display = ("name", "id", "created_at")
    search_fields = ("name", "=id")
    search_help_text = "Name or id"
    readonly_fields = ("id", "created_at", "used")
    inlines = (KeysOfTenant, SinksOfTenant, IntegrationsOfTenant, WorkspacesOfTenant)
    change_form_template = "admin/eventsinks/tenant/change_form.html"

    def get_fieldsets(self, request: HttpRequest, obj: Tenant | None = None) -> Any:
        """Ask for the name alone where there is nothing else yet; then show its limits, and ask for them."""
        if obj is None:
            return [(None, {"fields": ["name"]})]
        shown = [(None, {"fields": ["name", "id", "created_at", "used"]})]
        may = self.has_change_permission(request, obj)
        return [*shown, ("Limits of its own", {"fields": FIELDS, "classes": ["collapse"]})] if may else shown

    def get_form(
        self, request: HttpRequest, obj: Tenant | None = None, change: bool = False, **kwargs: Any
    ) -> Any:
        """Return the form, with the limits where there is a tenant and they may be changed."""
        if obj and self.has_change_permission(request, obj):
            kwargs["form"] = make_tenant_form()
        return super().get_form(request, obj, change, **kwargs)

    @admin.display(description="Usage")
    def used(self, tenant: Tenant) -> SafeString:
        """What it may have and do, and what it has and does."""
        return make_usage_table(tenant)

    def get_inlines(self, request: HttpRequest, obj: Tenant | None) -> Any:
        """Show what a tenant owns once there is one."""
        return self.inlines if obj else ()

    def has_delete_permission(self, request: HttpRequest, obj: Tenant | None = None) -> bool:
        """Nobody deletes a tenant here: its events would lose whom they belong to."""
        return False

    def save_model(self, request: HttpRequest, obj: Tenant, form: Any, change: bool) -> None:
        """Make the tenant, or give it another name."""
        if change:
            obj.own_limits = change_tenant(obj, obj.name, form.limits(), get_initiator(request)).own_limits
        else:
            create_tenant(obj.name, obj.id, get_initiator(request))
