"""The signing secret on a destination's page: users with the permission can see it once, or rotate it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import reverse

from eventsinks.actions.secrets.rotate_secret import reveal_secret, rotate_secret
from eventsinks.admin.parts.base import get_initiator
from eventsinks.lib.secrets.crypto import CannotOpen
from eventsinks.models import Destination

if TYPE_CHECKING:
    from eventsinks.admin.parts.base import ModelAdmin

    Page = ModelAdmin[Any]
else:
    Page = object

REVEAL = "eventsinks.reveal_signing_secret"  # the permission to read a signing secret
OVERLAP = 86_400  # seconds for which the old secret still signs beside the new one


class Signed(Page):
    """The part of a destination's page for its signing secret. It stands before ModelAdmin."""

    def back_to(self, destination: Destination) -> HttpResponse:
        """Go to the page of the destination."""
        raise NotImplementedError

    def signature(self, request: HttpRequest, found: Destination) -> dict[str, Any]:
        """Return what the page shows about the signing secret."""
        address = f"admin:eventsinks_{self.opts.model_name}"
        return {
            "may_reveal": request.user.has_perm(REVEAL) and bool(found.sealed_signing_secret),
            "signs": found.kind.signs,
            "reveal": reverse(f"{address}_signing_secret", args=[found.pk]),
            "rotate": reverse(f"{address}_rotate_secret", args=[found.pk]),
        }

    def secret_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Show the signing secret once, if the user may see it, and note that in the history."""
        found = self.signing(request, object_id)
        if isinstance(found, HttpResponse):
            return found
        try:
            secret = reveal_secret(found, get_initiator(request))
        except CannotOpen as error:
            self.message_user(request, f"The signing secret can't be opened: {error}", messages.ERROR)
            return self.back_to(found)
        self.log_change(request, found, "Signing secret shown.")
        return self.secret_page(request, found, secret)

    def rotate_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Make a new signing secret and show it once. The old one also signs for one more day."""
        found = self.signing(request, object_id)
        if isinstance(found, HttpResponse):
            return found
        if not self.has_change_permission(request, found):
            raise PermissionDenied
        secret = rotate_secret(found, OVERLAP, get_initiator(request))
        if secret is None:
            self.message_user(request, "Nothing was done: it was changed at the same time.", messages.ERROR)
            return self.back_to(found)
        self.log_change(request, found, "Signing secret rotated.")
        return self.secret_page(request, found, secret)

    def signing(self, request: HttpRequest, object_id: str) -> Any | HttpResponse:
        """Return the destination whose signing secret is wanted, or the answer to a user who may not see it."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if not (request.user.has_perm(REVEAL) and self.has_view_permission(request)):
            raise PermissionDenied
        return get_object_or_404(self.get_queryset(request), pk=object_id)

    def secret_page(self, request: HttpRequest, found: Any, secret: str) -> HttpResponse:
        """Show a signing secret, on a page that is not cached."""
        context = {
            **self.admin_site.each_context(request),
            "title": "Signing secret",
            "opts": self.opts,
            "sink": found,
            "noun": self.opts.verbose_name,
            "back": reverse(f"admin:eventsinks_{self.opts.model_name}_change", args=[found.pk]),
            "secret": secret,
        }
        page = TemplateResponse(request, "admin/eventsinks/signing_secret.html", context)
        page["Cache-Control"] = "no-store"
        return page
