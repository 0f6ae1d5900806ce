"""Slack workspaces: installed at Slack, or entered here with a bot token that is never shown again."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path
from django.utils.decorators import method_decorator
from django.utils.formats import localize
from django.utils.timezone import localtime
from django.views.decorators.debug import sensitive_post_parameters
from unfold.contrib.filters.admin import AutocompleteSelectFilter

from eventsinks.actions.slack import install
from eventsinks.admin.parts.base import ModelAdmin, get_initiator
from eventsinks.admin.parts.forms import SecretField
from eventsinks.admin.tenants.slack_install_page import show_install_page
from eventsinks.destinations.base import MASK
from eventsinks.models import Destination, SlackWorkspace


class WorkspaceForm(forms.ModelForm):  # type: ignore[type-arg]
    """One workspace, with its token masked."""

    token = SecretField(label="Bot token", help_text="xoxb-… with the scope chat:write. Stored encrypted.")

    class Meta:
        model = SlackWorkspace
        fields = ("tenant", "team_id", "team_name")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not self.instance._state.adding:
            self.fields["token"].initial = MASK

    def clean_team_id(self) -> str:
        """Require a Slack id of a team or an enterprise."""
        team_id = str(self.cleaned_data["team_id"]).strip()
        if not team_id.isalnum() or team_id[:1] not in "TE":
            raise forms.ValidationError("A team’s id is letters and digits, and begins with T (or E).")
        return team_id

    def clean_token(self) -> str:
        """Require a token that fits in a header."""
        token = str(self.cleaned_data["token"])
        if not token.isascii() or not token.isprintable() or " " in token:
            raise forms.ValidationError("A token has no spaces, line breaks or letters beyond ASCII.")
        return token

    def _post_clean(self) -> None:
        """Seal the token if it is new."""
        super()._post_clean()  # type: ignore[misc]
        if self.cleaned_data.get("token", MASK) != MASK:
            self.instance.token = self.cleaned_data["token"]


@method_decorator(sensitive_post_parameters(), name="changeform_view")
class SlackWorkspaceAdmin(ModelAdmin[SlackWorkspace]):
    """Slack workspaces."""

    list_display = ("team_name", "team_id", "tenant", "sinks", "updated_at")
    list_select_related = ("tenant",)
    list_filter: ClassVar = [("tenant", AutocompleteSelectFilter)]
    list_filter_submit = True
    search_fields = ("team_name", "=team_id")
    search_help_text = "Name or team id"
    sortable_by = ("team_name", "updated_at")
    autocomplete_fields = ("tenant",)
    form = WorkspaceForm
    change_list_template = "admin/eventsinks/slackworkspace/change_list.html"

    def get_fieldsets(self, request: HttpRequest, obj: SlackWorkspace | None = None) -> Any:
        """Show what Slack granted once there is a token."""
        granted = ["granted", "expires"] if obj else []
        return [(None, {"fields": ["tenant", "team_id", "team_name", "token", *granted]})]

    def get_readonly_fields(self, request: HttpRequest, obj: SlackWorkspace | None = None) -> tuple[str, ...]:
        """Keep a workspace with its tenant: the tenant's event sinks use it."""
        return ("tenant", "granted", "expires") if obj else ()

    def get_urls(self) -> list[URLPattern]:
        """Return the URL of the page's button and the usual ones."""
        view = self.admin_site.admin_view(self.install_view)
        return [path("install/", view, name="eventsinks_slackworkspace_install"), *super().get_urls()]

    def install_view(self, request: HttpRequest) -> HttpResponse:
        """Install the app in a workspace, at Slack."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        return show_install_page(request, self.admin_site)

    @admin.display(description="Scopes")
    def granted(self, workspace: SlackWorkspace) -> str:
        """The scopes that Slack granted to the token."""
        return workspace.scopes.replace(",", ", ") or "Not known: the token was entered by hand"

    @admin.display(description="Token expires")
    def expires(self, workspace: SlackWorkspace) -> str:
        """The moment when the token expires, and whether it is renewed."""
        if workspace.expires_at is None:
            return "Never"
        renewed = "; it is renewed before" if workspace.sealed_refresh_token else ""
        return f"{localize(localtime(workspace.expires_at))}{renewed}"

    @admin.display(description="Used by")
    def sinks(self, workspace: SlackWorkspace) -> str:
        """The number of event sinks that post to it."""
        count = workspace.destinations.filter(deleted_at=None).count()
        return "–" if not count else "1 event sink" if count == 1 else f"{count} event sinks"

    def save_model(self, request: HttpRequest, obj: SlackWorkspace, form: Any, change: bool) -> None:
        """Save it. Its event sinks are configured again, so that workers use the new token."""
        install.keep_workspace(obj, get_initiator(request))

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Return what is deleted, and the event sinks that prevent it. Deleted event sinks do not."""
        present = Destination.objects.present().filter(slack_workspace__in=[one.pk for one in objs])
        needed = set() if self.has_delete_permission(request) else {"Slack workspace"}
        return list(map(str, objs)), {"Slack workspaces": len(objs)}, needed, list(map(str, present))

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        """Uninstall one. Unlike in Django's view, no transaction is open while we ask Slack."""
        try:
            answer: HttpResponse = self._delete_view(request, object_id, extra_context)  # type: ignore[attr-defined]
            return answer
        except install.InUse as error:  # since the page was shown
            messages.error(request, f"It stays: {error}.")
            return redirect("admin:eventsinks_slackworkspace_change", object_id)

    def delete_model(self, request: HttpRequest, obj: SlackWorkspace) -> None:
        """Delete a workspace and revoke its token. Raises InUse."""
        install.uninstall(obj, get_initiator(request))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[SlackWorkspace]) -> None:
        """Uninstall the chosen ones, one after another."""
        for workspace in queryset.select_related("tenant"):
            try:
                self.delete_model(request, workspace)
            except install.InUse as error:
                messages.error(request, f"{workspace} stays: {error}.")
