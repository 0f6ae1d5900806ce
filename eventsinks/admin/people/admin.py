"""Accounts: the people of the admin, their groups, and what they did."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, cast

from allauth.mfa.models import Authenticator
from django.contrib import admin, messages
from django.contrib.admin.models import LogEntry
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Permission, User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import get_object_or_404, redirect
from django.urls import URLPattern, path
from django.utils.safestring import SafeString
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from eventsinks.actions.secrets.reset_second_factor import reset_second_factor
from eventsinks.admin.parts import marks
from eventsinks.admin.parts.base import InfinitePaginator, ModelAdmin, ReadOnly

if TYPE_CHECKING:
    from django.contrib.auth.models import Group

    Accounts = UserAdmin[User]
    Groups = GroupAdmin
else:
    Accounts = type("Accounts", (UserAdmin, ModelAdmin), {})
    Groups = type("Groups", (GroupAdmin, ModelAdmin), {})


RIGHTS = ("is_superuser", "groups", "user_permissions")  # only a superuser may change these


class AccountAdmin(Accounts):
    """People who may sign in here. With this page, nobody can get permissions that they do not have."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_filter = ()

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> Any:
        """Let only superusers change permissions."""
        return () if is_superuser(request) else RIGHTS

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Whether this user may change an account and its password: not if that account may do more."""
        return super().has_change_permission(request, obj) and may_touch(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Whether this user may delete an account: not if that account may do more."""
        return super().has_delete_permission(request, obj) and may_touch(request, obj)

    def get_actions(self, request: HttpRequest) -> Any:
        """Leave actions to superusers: an action does not check each account."""
        return super().get_actions(request) if is_superuser(request) else {}

    def get_urls(self) -> list[URLPattern]:
        """Return the URL of the page's button and the usual ones."""
        view = self.admin_site.admin_view(self.reset_view)
        own = path("<int:pk>/reset-second-factor/", view, name="auth_user_reset_second_factor")
        return [own, *super().get_urls()]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Show one account. A superuser also gets the button that resets its second factor."""
        has = object_id.isdecimal() and Authenticator.objects.filter(user_id=int(object_id)).exists()
        context = {"may_reset": has and is_superuser(request), **(extra_context or {})}
        return super().change_view(request, object_id, form_url, context)

    def reset_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Remove the second factors of an account, and note in the history who did it."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if not is_superuser(request):
            raise PermissionDenied
        person = get_object_or_404(User, pk=pk)
        if reset_second_factor(person, cast(User, request.user)):
            messages.success(request, f"{person} logs in with the password alone now.")
        return redirect("admin:auth_user_change", pk)


class RoleAdmin(Groups):
    """Groups of permissions. Only superusers change them, because each member gets what a group gets."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Whether this user may make a group."""
        return is_superuser(request)

    def has_change_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        """Whether this user may change a group."""
        return is_superuser(request)

    def has_delete_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        """Whether this user may delete a group."""
        return is_superuser(request)


def is_superuser(request: HttpRequest) -> bool:
    """Whether a superuser is signed in."""
    return bool(request.user.is_active and request.user.is_superuser)


def may_touch(request: HttpRequest, person: User | None) -> bool:
    """Whether the signed-in user may do all that `person` may. Otherwise a change could give them more."""
    if person is None or is_superuser(request):
        return True
    return not person.is_superuser and list_permissions(person) <= list_permissions(request.user)


def list_permissions(person: Any) -> set[str]:
    """Return the permissions of an account, even if it is not active."""
    own = person.user_permissions.all().values_list("content_type__app_label", "codename")
    by_group = Permission.objects.filter(group__user=person).values_list("content_type__app_label", "codename")
    return {f"{app}.{name}" for app, name in {*own, *by_group}}


class LogEntryAdmin(ReadOnly, ModelAdmin[LogEntry]):
    """The history of what people did here."""

    list_display = ("action_time", "user", "what", "kind", "object_repr")
    list_display_links = None
    list_select_related = ("user", "content_type")
    paginator = InfinitePaginator
    show_facets = admin.ShowFacets.NEVER  # they would have to be counted
    show_full_result_count = False
    list_disable_select_all = True
    ordering = ("-id",)
    sortable_by = ()
    fields: ClassVar = ["action_time", "user", "kind", "object_repr", "what"]

    @admin.display(description="What")
    def what(self, entry: LogEntry) -> SafeString:
        """What was done, in words."""
        return marks.clip_text(entry.get_change_message() or entry.get_action_flag_display())

    @admin.display(description="Of")
    def kind(self, entry: LogEntry) -> str:
        """The kind of object that it was done to."""
        return str(getattr(entry.content_type, "name", "–"))

    def has_view_permission(self, request: HttpRequest, obj: LogEntry | None = None) -> bool:
        """Whether this user may read what others did."""
        return request.user.has_perm("admin.view_logentry")
