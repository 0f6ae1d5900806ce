"""The pages of destinations: what event sinks and integrations share, such as form, buttons and deletion."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar, TypeVar

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from eventsinks.actions import configure
from eventsinks.actions.trying.try_out import TryOut
from eventsinks.admin.parts import marks
from eventsinks.admin.parts.attempts.trial import show_trial
from eventsinks.admin.parts.base import ModelAdmin, get_initiator
from eventsinks.admin.parts.destination_form import DestinationForm
from eventsinks.admin.parts.forms import PREFIX, make_fields
from eventsinks.admin.parts.signing import Signed
from eventsinks.admin.parts.type_picker import make_picker, read_picked
from eventsinks.destinations import destination_type
from eventsinks.limits.quotas import LimitReached
from eventsinks.models import Destination, Tenant
from eventsinks.models.destination import DestinationState

FEWER_BUTTONS = {"show_save_and_add_another": False}  # a new one begins with its tenant and type
Move = Callable[[Any], object]
Fieldsets = list[tuple[str | None, dict[str, Any]]]
DestinationT = TypeVar("DestinationT", bound=Destination)


class DestinationPage(Signed, ModelAdmin[DestinationT]):
    """The page and the list of destinations. A subclass sets the face and the form."""

    face: ClassVar[str]
    readonly_fields: ClassVar[Any] = ("configuration",)
    # For the list.
    list_select_related = ("tenant",)
    list_filter_submit = True
    list_per_page = 25
    list_fullwidth = True
    ordering = ("-id",)
    sortable_by = ("name", "tenant")
    search_fields = ("name", "=uuid")
    search_help_text = "Name or UUID"
    actions = ("pause_chosen", "resume_chosen")

    def form_of(
        self, tenant: Tenant, key: str, obj: DestinationT | None, request: HttpRequest
    ) -> type[DestinationForm]:
        """Return the form for a destination of this tenant and type. None means a new one."""
        raise NotImplementedError

    def standing(self, request: HttpRequest, destination: DestinationT) -> dict[str, Any]:
        """Return the status of a destination, for its page."""
        return {
            "sink": destination,
            "type_label": destination.kind.label,
            "tenant": destination.tenant,
            "tone": marks.name_status(destination)[0],
            "status": marks.make_status_chip(destination),
            "may_change": self.has_change_permission(request, destination),
            "is_active": destination.state in (DestinationState.ACTIVE, DestinationState.RESUMING),
            "subtitle": None,
            **self.signature(request, destination),
            **FEWER_BUTTONS,
        }

    # --- The form

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Ask for tenant and type, then for the other fields."""
        found = read_picked(request, self.face)
        if found is None:
            return self.pick_view(request)
        tenant, key = found
        context = {"tenant": tenant, "type_label": destination_type(key).label, **FEWER_BUTTONS}
        context |= extra_context or {}
        return super().add_view(request, form_url, context)

    def pick_view(self, request: HttpRequest) -> HttpResponse:
        """Show the first step."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = make_picker(request, self.admin_site, self.face)
        context = {
            **self.admin_site.each_context(request),
            "title": f"Add {self.opts.verbose_name}",
            "opts": self.opts,
            "form": form,
            "media": self.media + form.media,
        }
        return TemplateResponse(request, "admin/eventsinks/pick.html", context)

    def get_form(
        self, request: HttpRequest, obj: DestinationT | None = None, change: bool = False, **kwargs: Any
    ) -> type[ModelForm[DestinationT]]:
        """Return the form of its type."""
        kwargs["form"] = self.form_of(*self.asked(request, obj), obj, request)
        return super().get_form(request, obj, change, **kwargs)

    def asked(self, request: HttpRequest, obj: DestinationT | None) -> tuple[Tenant, str]:
        """Return the tenant and the type that a form is for. Raises PermissionDenied."""
        found = (obj.tenant, obj.type) if obj else read_picked(request, self.face)
        if found is None:
            raise PermissionDenied
        return found

    def config_set(self, request: HttpRequest, obj: DestinationT | None) -> tuple[str, dict[str, Any]]:
        """Return the fields of its type, under the type's name."""
        kind = destination_type(self.asked(request, obj)[1])
        return kind.label, {"fields": list(make_fields(kind.Config, {}))}

    @admin.display(description="Configuration")
    def configuration(self, destination: DestinationT) -> SafeString:
        """Show the configuration, with secrets masked, to users who may only read."""
        shown = destination.config
        fields = make_fields(destination.kind.Config, shown)
        rows = [(field.label, shown.get(name.removeprefix(PREFIX), "–")) for name, field in fields.items()]
        return format_html_join("", "<div><b>{}</b>: {}</div>", rows)

    def save_model(self, request: HttpRequest, obj: DestinationT, form: Any, change: bool) -> None:
        """Do nothing, because the form has called `configure`."""

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show one destination."""
        found = self.get_object(request, object_id)
        context = {**self.standing(request, found), **(extra_context or {})} if found else extra_context
        return super().change_view(request, object_id, form_url, context)

    # --- What can be done with it

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

    def pressed(self, request: HttpRequest, object_id: str) -> DestinationT | HttpResponse:
        """Return the destination whose button was pressed, or the answer to a user who may not press it."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        found: DestinationT = get_object_or_404(self.get_queryset(request), pk=object_id)
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

    def tried(self, request: HttpRequest, found: DestinationT, tried: TryOut, alert: str = "") -> HttpResponse:
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

    def move(self, request: HttpRequest, chosen: Iterable[DestinationT], action: Move, word: str) -> None:
        """Do one action with each, and note it in the history of each."""
        moved = 0
        for destination in chosen:
            action(destination)
            self.log_change(request, destination, f"{word}.")
            moved += 1
        what = f"1 {self.opts.verbose_name}" if moved == 1 else f"{moved} {self.opts.verbose_name_plural}"
        self.message_user(request, f"{word} {what}.", messages.SUCCESS)

    @admin.action(description="Pause", permissions=["change"])
    def pause_chosen(self, request: HttpRequest, chosen: QuerySet[DestinationT]) -> None:
        """Pause the chosen ones."""
        self.move(request, chosen, make_pause(request), "Paused")

    @admin.action(description="Resume, with all that is waiting", permissions=["change"])
    def resume_chosen(self, request: HttpRequest, chosen: QuerySet[DestinationT]) -> None:
        """Resume the chosen ones."""
        self.move(request, chosen, make_resume(request), "Resumed")

    def delete_model(self, request: HttpRequest, obj: DestinationT) -> None:
        """Delete one."""
        configure.delete(obj, get_initiator(request))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[DestinationT]) -> None:
        """Delete the chosen ones."""
        for destination in queryset:
            configure.delete(destination, get_initiator(request))

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Return what is deleted: only the destinations.

        Their open deliveries are suppressed, and their history stays.
        """
        named = [f"{found.name} ({found.tenant.name}): what it is still owed is suppressed" for found in objs]
        return named, {str(self.opts.verbose_name_plural): len(named)}, set(), []


def make_pause(request: HttpRequest) -> Move:
    """Return the action that pauses, in the name of the user."""
    return lambda found: configure.pause(found, "by an operator", get_initiator(request))


def make_resume(request: HttpRequest) -> Move:
    """Return the action that ends a pause, in the name of the user."""
    return lambda found: configure.resume(found, get_initiator(request))
