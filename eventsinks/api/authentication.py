"""API keys: which tenant a request comes from, and whether its key allows the request."""

from __future__ import annotations

from typing import Any, cast

from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed, NotAuthenticated, PermissionDenied
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from eventsinks.api import wrong_keys
from eventsinks.api.about import note_about
from eventsinks.api.limits import TooManyWrongKeys
from eventsinks.intake.audit import Initiator
from eventsinks.models import ApiKey, Tenant
from eventsinks.models.tenant import OPERATOR

SCHEMES = ("bearer", "token")  # Scanner's and NetBird's; either is good everywhere


class ApiKeyAuthentication(BaseAuthentication):
    """`Authorization: Bearer KEY` or `Token KEY`. `request.auth` is the ApiKey."""

    def authenticate(self, request: Request) -> tuple[ApiKey, ApiKey] | None:
        """Return the key, None if the request has none.

        Raises AuthenticationFailed for an unknown key, and TooManyWrongKeys after too many of them.
        """
        scheme, _, text = request.headers.get("Authorization", "").strip().partition(" ")
        text = text.strip()
        if scheme.lower() not in SCHEMES or not text:
            return None
        key = None if wrong_keys.is_known(text) else find_usable_key(text)
        if key is None:
            if wait := wrong_keys.note_wrong_key(text, request.META.get("REMOTE_ADDR", "")):
                raise TooManyWrongKeys(wait)
            raise AuthenticationFailed("token invalid")
        note_about(request, tenant=key.tenant_id, key=key.id)
        return key, key

    def authenticate_header(self, request: Request) -> str:
        """Return the value of WWW-Authenticate for a 401."""
        return 'Bearer realm="eventsinks"'


def find_usable_key(text: str) -> ApiKey | None:
    """Return the usable key with this text, and its tenant. Return None if there is no such key."""
    return ApiKey.objects.usable().of_text(text).select_related("tenant").first()


class HasScope(BasePermission):
    """Requires the scope `<view.scope>:read` for reading methods, and `<view.scope>:write` for the others.

    A view with the scope `operator` accepts only operators' keys. Every other view accepts only tenants' keys.
    """

    def has_permission(self, request: Request, view: Any) -> bool:
        """Raise NotAuthenticated if there is no key, and PermissionDenied if the key lacks the scope."""
        if not isinstance(request.auth, ApiKey):
            raise NotAuthenticated("no valid authentication provided")
        needed = get_scope(view, request)
        if not request.auth.allows(needed):
            raise PermissionDenied(f"this API key lacks the scope {needed}")
        return True


def get_scope(view: Any, request: Request) -> str:
    """Return the scope that this request needs."""
    if view.scope == OPERATOR:
        return OPERATOR
    reads = request.method in SAFE_METHODS and getattr(view, "action", "") not in getattr(view, "needs_write", ())
    return f"{view.scope}:{'read' if reads else 'write'}"


def get_tenant(request: Request) -> Tenant:
    """Return the tenant of the key. Every query starts here."""
    return cast(Tenant, cast(ApiKey, request.auth).tenant)


def get_initiator(request: Request) -> Initiator:
    """Return the caller for the audit: the id and the name of the key, and the address. The text stays secret."""
    key = cast(ApiKey, request.auth)
    return Initiator(str(key.id), key.name, address=request.META.get("REMOTE_ADDR", ""))


def has_scope(request: Request, scope: str) -> bool:
    """Whether the key allows `scope`, which its view does not require."""
    return cast(ApiKey, request.auth).allows(scope)
