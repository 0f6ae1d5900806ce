"""Failed log-ins, and unlocking."""

from __future__ import annotations

from typing import Any, ClassVar

from axes.models import AccessAttempt
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin.models import DELETION, LogEntry
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.safestring import SafeString

from eventsinks.admin.parts import marks
from eventsinks.admin.parts.base import ModelAdmin, ReadOnly
from eventsinks.admin.people.lockout import get_cool_off


class AttemptAdmin(ReadOnly, ModelAdmin[AccessAttempt]):
    """Failed log-ins, by account and address. Unlocking deletes them."""

    list_display = ("account", "ip_address", "status", "failures_since_start", "last", "agent")
    list_display_links = None
    search_fields = ("username", "=ip_address")
    search_help_text = "Account or address"
    ordering = ("-attempt_time",)
    sortable_by = ()
    actions = ("unlock",)
    fields: ClassVar = ["username", "ip_address", "failures_since_start", "last", "agent"]

    @admin.display(description="Account")
    def account(self, attempt: AccessAttempt) -> str:
        """The account that was tried."""
        return attempt.username or "–"

    @admin.display(description="Status")
    def status(self, attempt: AccessAttempt) -> SafeString:
        """Whether its own failures lock it now. Other failures from the address may add to them."""
        over = attempt.attempt_time + get_cool_off() <= timezone.now()
        if over:
            return marks.make_chip("quiet", "Over")
        locked = attempt.failures_since_start >= settings.AXES_FAILURE_LIMIT
        return marks.make_chip("bad", "Locked") if locked else marks.make_chip("warning", "Counted")

    @admin.display(description="Last failure")
    def last(self, attempt: AccessAttempt) -> SafeString | str:
        """The moment of the last try."""
        return marks.mark_moment(attempt.attempt_time)

    @admin.display(description="Browser")
    def agent(self, attempt: AccessAttempt) -> SafeString:
        """The browser's user agent."""
        return marks.clip_text(attempt.user_agent)

    def has_unlock_permission(self, request: HttpRequest) -> bool:
        """Whether this user may unlock."""
        return request.user.has_perm("axes.delete_accessattempt")

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whether this user may see failed log-ins."""
        return request.user.has_perm("axes.view_accessattempt")

    @admin.action(description="Unlock", permissions=["unlock"])
    def unlock(self, request: HttpRequest, chosen: QuerySet[AccessAttempt]) -> None:
        """Delete the chosen failures, so that the account can log in from there again."""
        for attempt in chosen:
            said = f"Unlocked {attempt.username} from {attempt.ip_address}."
            LogEntry.objects.log_actions(request.user.pk or 0, [attempt], DELETION, said, single_object=True)
        count = chosen.delete()[0]
        self.message_user(request, f"Unlocked: {count} forgotten.", messages.SUCCESS)
