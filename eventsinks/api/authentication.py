"""API keys at the door: who asks, and whether the key allows it."""

from __future__ import annotations

from typing import Any, cast

from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed, NotAuthenticated, PermissionDenied
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from eventsinks.api import wrong_keys
from eventsinks.api.limits import TooManyWrongKeys
from eventsinks.intake.audit import Initiator
from eventsinks.models import ApiKey, Tenant
from eventsinks.models.tenant import OPERATOR

SCHEMES = ("bearer", "token")  # Scanner's and NetBird's; either is good everywhere


class ApiKeyAuthentication(BaseAuthentication):
    """`Authorization: Bearer KEY` or `Token KEY`. `request.auth` is the ApiKey."""

    def authenticate(self, request: Request) -> tuple[ApiKey, ApiKey] | None:
        """Return the key, None where none is given.

        Raises AuthenticationFailed for one that opens nothing, TooManyWrongKeys where there were too many.
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
        return key, key

    def authenticate_header(self, request: Request) -> str:
        """Return what WWW-Authenticate says on a 401."""
        return 'Bearer realm="eventsinks"'


def find_usable_key(text: str) -> ApiKey | None:
    """Return the key whose text this is, with its tenant, if it opens anything."""
    return ApiKey.objects.usable().of_text(text).select_related("tenant").first()


class HasScope(BasePermission):
    """The key carries `<view.scope>:read` for reading methods, `<view.scope>:write` for the others.

    A view whose scope is `operator` takes operators' keys only; every other takes tenants' keys only.
    """

    def has_permission(self, request: Request, view: Any) -> bool:
        """Raise NotAuthenticated without a key, PermissionDenied where it lacks the scope."""
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
    """Return the tenant of the key: where every query starts."""
    return cast(Tenant, cast(ApiKey, request.auth).tenant)


def get_initiator(request: Request) -> Initiator:
    """Return who asks and from where, for the audit: the key, not its text."""
    key = cast(ApiKey, request.auth)
    return Initiator(str(key.id), key.name, address=request.META.get("REMOTE_ADDR", ""))


def has_scope(request: Request, scope: str) -> bool:
    """Whether the key allows `scope` beside what its view needs."""
    return cast(ApiKey, request.auth).allows(scope)
