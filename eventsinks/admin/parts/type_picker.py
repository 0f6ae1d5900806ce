"""The type picker: the first step to a new destination asks for its tenant and its type."""

from __future__ import annotations

import uuid
from typing import Any

from django import forms
from django.contrib.admin import AdminSite
from django.contrib.admin.widgets import AutocompleteSelect
from django.http import HttpRequest
from unfold.widgets import UnfoldAdminRadioSelectWidget

from eventsinks.destinations import DESTINATION_TYPES
from eventsinks.models import Destination, Tenant


def read_picked(request: HttpRequest, face: str) -> tuple[Tenant, str] | None:
    """Return the tenant and the type's key in the URL, None if either is missing."""
    type = request.GET.get("type", "")
    kind = DESTINATION_TYPES.get(type)
    if kind is None or kind.face != face:
        return None
    tenant = find_picked_tenant(request)
    return (tenant, type) if tenant else None


def find_picked_tenant(request: HttpRequest) -> Tenant | None:
    """Return the tenant in the URL, if there is one."""
    tenant_id = request.GET.get("tenant", "")
    return Tenant.objects.filter(id=tenant_id).first() if is_uuid(tenant_id) else None


def is_uuid(text: str) -> bool:
    """Whether `text` may be a tenant's id."""
    try:
        return bool(uuid.UUID(text))
    except ValueError:
        return False


def make_picker(request: HttpRequest, site: AdminSite, face: str = "") -> forms.Form:
    """Return the form that asks for tenant and type, or only for the tenant if no face is passed.

    The form is sent by GET, so the choice is part of the URL.
    """
    tenants = AutocompleteSelect(Destination._meta.get_field("tenant"), site)
    fields: dict[str, Any] = {"tenant": forms.ModelChoiceField(Tenant.objects.all(), widget=tenants)}
    if face:
        kinds = [(key, kind.label) for key, kind in DESTINATION_TYPES.items() if kind.face == face]
        fields["type"] = forms.ChoiceField(choices=kinds, widget=UnfoldAdminRadioSelectWidget())
    form = type("Picker", (forms.Form,), fields)
    given = {name: value for name, value in request.GET.items() if name != "tenant" or is_uuid(str(value))}
    asked = "type" in request.GET if face else "tenant" in request.GET
    picked_form: forms.Form = form(given if asked else None, initial=given)
    return picked_form
