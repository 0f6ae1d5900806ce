"""Previews: show what a form would do before it is sent. Buttons ask for them, and nothing is saved."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from django.forms import ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import get_object_or_404, render
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from eventsinks.actions.silence import preview_silence as matching
from eventsinks.actions.trying import preview
from eventsinks.admin.parts import marks
from eventsinks.admin.parts.documents import cut_text, indent_json
from eventsinks.admin.parts.filter_field import FilterFields
from eventsinks.admin.parts.template_field import AlertTemplateField
from eventsinks.event_types.alert_template import AlertTemplate
from eventsinks.models import Event, EventSink, Tenant


def make_urls(view: Any) -> list[URLPattern]:
    """Return the URLs of the previews. `view` protects each as the admin does."""
    return [
        path("preview/filter/<uuid:tenant_id>/", view(filter_view), name="eventsinks_preview_filter"),
        path("preview/template/<int:sink_id>/", view(template_view), name="eventsinks_preview_template"),
    ]


def make_button(name: str, key: object, text: str, *, now: bool = False) -> SafeString:
    """Return a button that shows a preview below itself. With `now`, the preview appears at once."""
    return format_html(
        '<button type="button" class="es-button" data-preview="{}"{}>{}</button>'
        '<div class="es-preview" role="status"></div>',
        reverse(f"admin:eventsinks_preview_{name}", args=[key]),
        SafeString(" data-preview-now") if now else "",
        text,
    )


def filter_view(request: HttpRequest, tenant_id: object) -> HttpResponse:
    """Show how many of a tenant's newest alerts a filter matches, and which ones if the user may see events."""
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    may = ("add_silence", "add_eventsink", "change_eventsink")
    if not any(request.user.has_perm(f"eventsinks.{permission}") for permission in may):
        raise PermissionDenied
    tenant = get_object_or_404(Tenant, pk=tenant_id)
    form = FilterFields(request.POST)
    context: dict[str, Any] = {"errors": [text for found in form.errors.values() for text in found]}
    if not context["errors"]:
        seen = context["seen"] = matching(tenant, form.cleaned_data["filter"])
        if request.user.has_perm("eventsinks.view_event"):
            context["examples"] = [show_alert(event) for event in seen.examples[:5]]
    return render(request, "admin/eventsinks/preview_filter.html", context)


def show_alert(event: Event) -> dict[str, Any]:
    """Return an alert as an example."""
    summary = event.summary
    return {
        "link": marks.make_link("event", event.pk, marks.shorten(summary.title, 90)),
        "severity": summary.severity,
        "at": marks.mark_moment(event.received_at),
    }


def template_view(request: HttpRequest, sink_id: int) -> HttpResponse:
    """Show what a sink would get for the tenant's newest alert with the form's template."""
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    if not (
        request.user.has_perm("eventsinks.change_eventsink") and request.user.has_perm("eventsinks.view_event")
    ):
        raise PermissionDenied
    sink = get_object_or_404(EventSink, pk=sink_id)
    try:
        given = AlertTemplateField().clean(request.POST.get("template", ""))
        context = preview_template(sink, given)
    except ValidationError as error:
        context = {"errors": error.messages}
    return render(request, "admin/eventsinks/preview_template.html", context)


def preview_template(sink: EventSink, given: dict[str, Any] | None) -> dict[str, Any]:
    """Return what would be sent. Raises django.forms.ValidationError if that is impossible."""
    template = AlertTemplate.model_validate(given or {})
    alerts = preview.find_last_alerts(sink.tenant, 1)
    if not alerts:
        raise ValidationError("There is no alert yet to try it on.")
    try:
        (made,) = preview.preview_alerts(sink, template, alerts)
    except (KeyError, ValueError):
        raise ValidationError("What this type is sent can’t be shown beforehand: use “Send a test”.") from None
    return {"title": made.title, "body": cut_text(indent_json(made.request.body))}
