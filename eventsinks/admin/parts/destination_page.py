"""The pages of destinations: what event sinks and integrations share, such as form, buttons and deletion."""

from __future__ import annotations

from typing import Any, ClassVar, TypeVar

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from eventsinks.actions import configure
from eventsinks.actions.status import STOPPED, make_rank
from eventsinks.admin.parts import marks
from eventsinks.admin.parts.base import ModelAdmin, get_initiator
from eventsinks.admin.parts.destination_buttons import DestinationButtons
from eventsinks.admin.parts.destination_form import DestinationForm
from eventsinks.admin.parts.forms import PREFIX, make_fields
from eventsinks.admin.parts.type_picker import make_picker, read_picked
from eventsinks.destinations import destination_type
from eventsinks.models import Destination, Tenant
from eventsinks.models.database.clock import estimate_database_clock
from eventsinks.models.destination import DestinationState

FEWER_BUTTONS = {"show_save_and_add_another": False}  # a new one begins with its tenant and type
Fieldsets = list[tuple[str | None, dict[str, Any]]]
DestinationT = TypeVar("DestinationT", bound=Destination)


class DestinationPage(DestinationButtons, ModelAdmin[DestinationT]):
    """The page and the list of destinations. A subclass sets the face and the form."""

    face: ClassVar[str]
    readonly_fields: ClassVar[Any] = ("configuration",)
    # For the list.
    list_select_related = ("tenant",)
    list_filter_submit = True
    list_per_page = 25
    list_fullwidth = True
    ordering: ClassVar[Any] = (make_rank(), "-id")  # trouble first
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
        kind, shown = destination_type(self.asked(request, obj)[1]), obj.config if obj else {}
        policy = kind.write_policy(shown)
        told = {"description": show_policy(policy)} if policy else {}
        return kind.label, {"fields": list(make_fields(kind.Config, shown)), **told}

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

    # --- Deletion

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


def tell_trouble(destination: Destination) -> str:
    """Return sentences on why a destination is failing or its breaker is open, and what happens next."""
    began = marks.write_distance(destination.trouble_since) if destination.trouble_since else "just now"
    told = f"It began to fail {began}, and the last failure was: {destination.trouble_reason}."
    if destination.breaker not in STOPPED:
        return f"Half of what is sent to it fails, or more. {told} What failed is tried again by itself."
    until, after = destination.held_until, "If that works, all goes out, slowly at first."
    if until and until > estimate_database_clock():
        return f"Nothing is sent to it until {marks.write_clock(until)}. {told} Then a few are tried. {after}"
    return f"Only a few are sent to it, to try whether it works again. {told} {after}"


def show_policy(policy: str) -> SafeString:
    """Return the least IAM policy, folded, to copy."""
    return format_html(
        '<details class="es-details"><summary>The least IAM policy for these keys</summary>'
        '<pre class="es-pre" id="policy">{}</pre>'
        '<button type="button" class="es-button" data-copy="#policy">Copy</button></details>',
        policy,
    )
