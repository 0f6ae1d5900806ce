"""The buttons on a destination's page, and the actions of the list: pause, resume and test."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from eventsinks.actions import configure
from eventsinks.actions.trying.try_out import TryOut
from eventsinks.admin.parts.attempts.trial import show_trial
from eventsinks.admin.parts.base import get_initiator
from eventsinks.admin.parts.signing import Signed
from eventsinks.limits.quotas import LimitReached
from eventsinks.models import Destination

Move = Callable[[Any], object]


class DestinationButtons(Signed):
    """The part of a destination's page for its buttons. It stands before ModelAdmin."""

    def buttons(self) -> dict[str, Callable[..., HttpResponse]]:
        """Return the views of the buttons, by the last part of their URL."""
        return {
            "pause": self.pause_view,
            "resume": self.resume_view,
            "signing-secret": self.secret_view,
            "rotate-secret": self.rotate_view,
        }

    def get_urls(self) -> list[URLPattern]:
        """Return the URLs of the page's buttons and the usual ones."""
        prefix = f"eventsinks_{self.opts.model_name}"
        own = [
            path(
                f"<path:object_id>/{name}/",
                self.admin_site.admin_view(view),
                name=f"{prefix}_{name.replace('-', '_')}",
            )
            for name, view in self.buttons().items()
        ]
        return own + super().get_urls()

    def pause_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Pause it."""
        return self.button(request, object_id, make_pause(request), "Paused")

    def resume_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Resume it, with its backlog."""
        return self.button(request, object_id, make_resume(request), "Resumed")

    def pressed(self, request: HttpRequest, object_id: str) -> Any | HttpResponse:
        """Return the destination whose button was pressed, or the answer to a user who may not press it."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        found: Any = get_object_or_404(self.get_queryset(request), pk=object_id)
        if not self.has_change_permission(request, found):
            raise PermissionDenied
        return found

    def button(self, request: HttpRequest, object_id: str, action: Move, word: str) -> HttpResponse:
        """Answer a press of a button."""
        found = self.pressed(request, object_id)
        if isinstance(found, HttpResponse):
            return found
        self.move(request, [found], action, word)
        return self.back_to(found)

    def tried(self, request: HttpRequest, found: Any, tried: TryOut, alert: str = "") -> HttpResponse:
        """Show the whole result of a test, and note the test in the history."""
        self.log_change(request, found, f"Tested: {tried.outcome}.")
        address = f"admin:eventsinks_{self.opts.model_name}"
        context = {
            **self.admin_site.each_context(request),
            "title": f"Test of {found.name}",
            "opts": self.opts,
            "sink": found,
            "type_label": found.kind.label,
            "alert": alert,
            "back": reverse(f"{address}_change", args=[found.pk]),
            "again": reverse(f"{address}_test", args=[found.pk]),
            **show_trial(tried, str(self.opts.verbose_name)),
        }
        return TemplateResponse(request, "admin/eventsinks/tried.html", context)

    def limited(self, request: HttpRequest, destination: Destination, reached: LimitReached) -> HttpResponse:
        """Show which limit of the tenant is reached, and go to its page."""
        self.message_user(request, f"Nothing was done: {reached}.", messages.ERROR)
        return self.back_to(destination)

    def back_to(self, destination: Destination) -> HttpResponse:
        """Go to its page."""
        return redirect(f"admin:eventsinks_{self.opts.model_name}_change", destination.pk)

    def move(self, request: HttpRequest, chosen: Iterable[Any], action: Move, word: str) -> None:
        """Do one action with each, and note it in the history of each."""
        moved = 0
        for destination in chosen:
            action(destination)
            self.log_change(request, destination, f"{word}.")
            moved += 1
        what = f"1 {self.opts.verbose_name}" if moved == 1 else f"{moved} {self.opts.verbose_name_plural}"
        self.message_user(request, f"{word} {what}.", messages.SUCCESS)

    @admin.action(description="Pause", permissions=["change"])
    def pause_chosen(self, request: HttpRequest, chosen: QuerySet[Any]) -> None:
        """Pause the chosen ones."""
        self.move(request, chosen, make_pause(request), "Paused")

    @admin.action(description="Resume, with all that is waiting", permissions=["change"])
    def resume_chosen(self, request: HttpRequest, chosen: QuerySet[Any]) -> None:
        """Resume the chosen ones."""
        self.move(request, chosen, make_resume(request), "Resumed")


def make_pause(request: HttpRequest) -> Move:
    """Return the action that pauses, in the name of the user."""
    return lambda found: configure.pause(found, "by an operator", get_initiator(request))


def make_resume(request: HttpRequest) -> Move:
    """Return the action that ends a pause, in the name of the user."""
    return lambda found: configure.resume(found, get_initiator(request))
