"""The Slack install page: installs our app for a tenant, at Slack."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.admin import AdminSite
from django.contrib.admin.widgets import AutocompleteSelect
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse

from eventsinks.actions.slack import install
from eventsinks.actions.slack import state as slack_state
from eventsinks.admin.parts.base import get_initiator
from eventsinks.admin.parts.type_picker import is_uuid
from eventsinks.content_security import ADMIN, allow_forms_to_slack
from eventsinks.limits.quotas import LimitReached
from eventsinks.models import SlackWorkspace, Tenant


def show_install_page(request: HttpRequest, site: AdminSite) -> HttpResponse:
    """Ask for the tenant. Then send the browser to Slack's page on which a person allows the app."""
    form = make_install_form(request, site)
    if request.method == "POST" and form.is_valid():
        try:
            return send_to_slack(install.begin_installation(form.cleaned_data["tenant"], get_initiator(request)))
        except (install.NotInstallable, LimitReached) as error:
            messages.error(request, f"Slack can’t be connected: {error}.")
    context = {**site.each_context(request), "title": "Install in Slack", "form": form, "media": form.media}
    response = TemplateResponse(request, "admin/eventsinks/slackworkspace/install.html", context)
    return allow_forms_to_slack(response, ADMIN, settings.SLACK_BASE_URL)


def send_to_slack(state: str) -> HttpResponse:
    """Return a redirect to Slack, with the cookie that this browser sends when it returns.

    Raises NotInstallable.
    """
    response = redirect(install.make_authorize_url(state))
    response.set_cookie(**slack_state.make_cookie(state))
    return response


def make_install_form(request: HttpRequest, site: AdminSite) -> forms.Form:
    """Return the form that asks for the workspace's tenant. The URL may name it."""
    asked = request.POST if request.method == "POST" else request.GET
    given = {"tenant": asked["tenant"]} if is_uuid(asked.get("tenant", "")) else {}
    tenants = AutocompleteSelect(SlackWorkspace._meta.get_field("tenant"), site)
    field = forms.ModelChoiceField(Tenant.objects.all(), widget=tenants)
    fields: dict[str, Any] = {"tenant": field}
    made: forms.Form = type("InstallForm", (forms.Form,), fields)(
        given if request.method == "POST" else None, initial=given
    )
    return made
