"""The first step to a new event sink: whose it is, and of which type."""

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


def picked(request: HttpRequest) -> tuple[Tenant, str] | None:
    """Return the tenant and the type's key that the address names; None while either is missing."""
    type, tenant_id = request.GET.get("type", ""), request.GET.get("tenant", "")
    kind = DESTINATION_TYPES.get(type)
    if kind is None or kind.face != "event_sink":
        return None
    tenant = Tenant.objects.filter(id=tenant_id).first() if is_uuid(tenant_id) else None
    return (tenant, type) if tenant else None


def is_uuid(text: str) -> bool:
    """Whether `text` may be a tenant's id."""
    try:
        return bool(uuid.UUID(text))
    except ValueError:
        return False


def picker(request: HttpRequest, site: AdminSite) -> forms.Form:
    """Return the form that asks for both. It is sent by GET: what is picked is part of the address."""
    kinds = [(key, kind) for key, kind in DESTINATION_TYPES.items() if kind.face == "event_sink"]
    tenants = AutocompleteSelect(Destination._meta.get_field("tenant"), site)
    fields: dict[str, Any] = {
        "tenant": forms.ModelChoiceField(Tenant.objects.all(), widget=tenants),
        "type": forms.ChoiceField(
            choices=[(key, kind.label) for key, kind in kinds],
            widget=UnfoldAdminRadioSelectWidget(),
        ),
    }
    form = type("Picker", (forms.Form,), fields)
    given = {name: value for name, value in request.GET.items() if name != "tenant" or is_uuid(str(value))}
    picked_form: forms.Form = form(given if "type" in request.GET else None, initial=given)
    return picked_form
