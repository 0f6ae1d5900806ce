"""Who may look after it: accounts, their groups, and what they did."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.http import HttpRequest
from django.utils.safestring import SafeString
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from eventsinks.admin import marks
from eventsinks.admin.base import InfinitePaginator, ModelAdmin, ReadOnly

if TYPE_CHECKING:
    from django.contrib.auth.models import User

    Accounts = UserAdmin[User]
    Groups = GroupAdmin
else:
    Accounts = type("Accounts", (UserAdmin, ModelAdmin), {})
    Groups = type("Groups", (GroupAdmin, ModelAdmin), {})


class AccountAdmin(Accounts):
    """People who may sign in here."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_filter = ()


class RoleAdmin(Groups):
    """Groups of permissions."""


class LogEntryAdmin(ReadOnly, ModelAdmin[LogEntry]):
    """What was done here, by whom."""

    list_display = ("action_time", "user", "what", "kind", "object_repr")
    list_display_links = None
    list_select_related = ("user", "content_type")
    paginator = InfinitePaginator
    show_facets = admin.ShowFacets.NEVER  # they would be counted
    show_full_result_count = False
    list_disable_select_all = True
    ordering = ("-id",)
    sortable_by = ()
    fields: ClassVar = ["action_time", "user", "kind", "object_repr", "what"]

    @admin.display(description="What")
    def what(self, entry: LogEntry) -> SafeString:
        """What was done, in words."""
        return marks.clipped(entry.get_change_message() or entry.get_action_flag_display())

    @admin.display(description="Of")
    def kind(self, entry: LogEntry) -> str:
        """What sort of thing it was done to."""
        return str(getattr(entry.content_type, "name", "–"))

    def has_view_permission(self, request: HttpRequest, obj: LogEntry | None = None) -> bool:
        """Whether this user may read what others did."""
        return request.user.has_perm("admin.view_logentry")
