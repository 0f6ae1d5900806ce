"""Tenants, each with its keys, event sinks, integrations and Slack workspaces."""

from __future__ import annotations

import sys
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import get_object_or_404, redirect
from django.urls import URLPattern, path
from django.utils.safestring import SafeString

from eventsinks.actions.delete_tenant import delete_tenant
from eventsinks.actions.tenants import change_tenant, create_tenant
from eventsinks.admin.parts import marks
from eventsinks.admin.parts.base import ModelAdmin, ReadOnly, TabularInline, get_initiator
from eventsinks.admin.tenants import retention
from eventsinks.admin.tenants.api_keys import make_key_chip, show_scopes
from eventsinks.admin.tenants.limits import FIELDS, make_tenant_form, make_usage_table
from eventsinks.models import ApiKey, Destination, EventSink, Integration, SlackWorkspace, Tenant


class Owned(ReadOnly):
    """A table of a tenant's objects. Each row links to its own page."""

    extra = 0
    per_page = 20
    show_title = False
    if sys.version_info < (3, 12):
        hide_title = True  # its name in the django-unfold for Python 3.11


class KeysOfTenant(Owned, TabularInline[ApiKey, Tenant]):
    """The tenant's API keys."""

    model = ApiKey
    fields = readonly_fields = ("shown", "name", "scopes_shown", "status")

    @admin.display(description="Key")
    def shown(self, key: ApiKey) -> SafeString:
        """The first characters, as a link to its page."""
        return marks.make_link("apikey", key.pk, f"{key.prefix}…")

    @admin.display(description="Scopes")
    def scopes_shown(self, key: ApiKey) -> str:
        """The scopes."""
        return show_scopes(key)

    @admin.display(description="Status")
    def status(self, key: ApiKey) -> SafeString:
        """Whether it can be used."""
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
        """The type's label."""
        return destination.kind.label

    @admin.display(description="Goes to")
    def goes_to(self, destination: Destination) -> str:
        """The host, the channel or the bucket."""
        return marks.shorten(destination.target())

    @admin.display(description="Status")
    def status(self, destination: Destination) -> SafeString:
        """Whether it is active."""
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

    list_display = ("name", "id", "created_at", "deleted_at")
    search_fields = ("name", "=id")
    search_help_text = "Name or id"
    readonly_fields = ("id", "created_at", "deleted_at", "used", "kept")
    inlines = (KeysOfTenant, SinksOfTenant, IntegrationsOfTenant, WorkspacesOfTenant)
    change_form_template = "admin/eventsinks/tenant/change_form.html"

    def get_fieldsets(self, request: HttpRequest, obj: Tenant | None = None) -> Any:
        """Ask a new tenant only for its name. Show and ask for the limits of an existing one."""
        if obj is None:
            return [(None, {"fields": ["name"]})]
        shown = [(None, {"fields": ["name", "id", "created_at", "deleted_at", "used", "kept"]})]
        may = self.has_change_permission(request, obj)
        limits = ("Limits of its own", {"fields": FIELDS, "classes": ["collapse"]})
        days = ("Days of its own for which rows are kept", {"fields": retention.FIELDS, "classes": ["collapse"]})
        return [*shown, limits, days] if may else shown

    def get_form(
        self, request: HttpRequest, obj: Tenant | None = None, change: bool = False, **kwargs: Any
    ) -> Any:
        """Return the form. It has limits if the tenant exists and the user may change them."""
        if obj and self.has_change_permission(request, obj):
            kwargs["form"] = make_tenant_form()
        return super().get_form(request, obj, change, **kwargs)

    @admin.display(description="Usage")
    def used(self, tenant: Tenant) -> SafeString:
        """The limits, and what the tenant uses of them."""
        return make_usage_table(tenant)

    @admin.display(description="Kept")
    def kept(self, tenant: Tenant) -> SafeString:
        """Since when its rows are kept, and when the oldest go."""
        return retention.make_kept_table(tenant)

    def get_inlines(self, request: HttpRequest, obj: Tenant | None) -> Any:
        """Show a tenant's objects once the tenant exists."""
        return self.inlines if obj else ()

    def has_delete_permission(self, request: HttpRequest, obj: Tenant | None = None) -> bool:
        """Nobody deletes only the row: its events would lose their owner. The page's own button deletes all."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Tenant | None = None) -> bool:
        """Nobody changes a tenant that is being deleted."""
        return super().has_change_permission(request, obj) and (obj is None or obj.deleted_at is None)

    def get_urls(self) -> list[URLPattern]:
        """Return the URL of the page's button and the usual ones."""
        view = self.admin_site.admin_view(self.delete_all_view)
        return [
            path("<path:object_id>/delete-all/", view, name="eventsinks_tenant_delete_all"),
            *super().get_urls(),
        ]

    def delete_all_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Begin to delete a tenant with all that it has, if its name is typed."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if not request.user.has_perm("eventsinks.delete_tenant"):
            raise PermissionDenied
        tenant = get_object_or_404(Tenant, pk=object_id)
        if request.POST.get("name", "").strip() != tenant.name.strip():
            self.message_user(request, "Nothing was done: type the name of the tenant.", messages.WARNING)
        else:
            with transaction.atomic():
                if delete_tenant(tenant, get_initiator(request)):
                    self.log_deletions(request, Tenant.objects.filter(pk=tenant.pk))
            said = "Its keys open nothing from now on. All that it has is being deleted, step by step."
            self.message_user(request, said, messages.SUCCESS)
        return redirect("admin:eventsinks_tenant_change", tenant.pk)

    def save_model(self, request: HttpRequest, obj: Tenant, form: Any, change: bool) -> None:
        """Make the tenant, or change its name and limits."""
        if change:
            changed = change_tenant(obj, obj.name, form.limits(), form.retention(), get_initiator(request))
            obj.own_limits, obj.own_retention = changed.own_limits, changed.own_retention
        else:
            create_tenant(obj.name, obj.id, get_initiator(request))
