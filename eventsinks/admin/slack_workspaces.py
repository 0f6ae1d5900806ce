"""Slack workspaces: an installed app's bot token is written here and never read again."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.db import transaction
from django.http import HttpRequest
from django.utils.decorators import method_decorator
from django.views.decorators.debug import sensitive_post_parameters
from unfold.contrib.filters.admin import AutocompleteSelectFilter

from eventsinks.actions import configure
from eventsinks.admin.base import ModelAdmin
from eventsinks.admin.forms import SecretField
from eventsinks.destinations.base import MASK
from eventsinks.models import SlackWorkspace


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
        """Require what Slack calls a team or enterprise id."""
        team_id = str(self.cleaned_data["team_id"]).strip()
        if not team_id.isalnum() or team_id[:1] not in "TE":
            raise forms.ValidationError("A team’s id is letters and digits, and begins with T (or E).")
        return team_id

    def clean_token(self) -> str:
        """Require what a header can hold."""
        token = str(self.cleaned_data["token"])
        if not token.isascii() or not token.isprintable() or " " in token:
            raise forms.ValidationError("A token has no spaces, line breaks or letters beyond ASCII.")
        return token

    def _post_clean(self) -> None:
        """Seal a token that is new."""
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
    fieldsets: ClassVar = [(None, {"fields": ["tenant", "team_id", "team_name", "token"]})]

    def get_readonly_fields(self, request: HttpRequest, obj: SlackWorkspace | None = None) -> tuple[str, ...]:
        """A workspace stays the tenant's: its event sinks use it."""
        return ("tenant",) if obj else ()

    @admin.display(description="Used by")
    def sinks(self, workspace: SlackWorkspace) -> str:
        """How many event sinks post to it."""
        count = workspace.destinations.filter(deleted_at=None).count()
        return "–" if not count else "1 event sink" if count == 1 else f"{count} event sinks"

    @transaction.atomic
    def save_model(self, request: HttpRequest, obj: SlackWorkspace, form: Any, change: bool) -> None:
        """Keep it; its event sinks are configured anew, so that workers take the new token."""
        super().save_model(request, obj, form, change)
        if change and "token" in form.changed_data:
            for sink in obj.destinations.filter(deleted_at=None):
                configure.change(sink, {"slack_integration_id": str(obj.pk)})
