"""API keys: issuing, showing once, and revoking. Nobody changes a key."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import AutocompleteSelectFilter
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from eventsinks.actions.tenants import issue_key, revoke_key
from eventsinks.admin.parts import marks
from eventsinks.admin.parts.base import ModelAdmin, Unchanged, get_initiator
from eventsinks.admin.people.admin import is_superuser
from eventsinks.intake.audit import SYSTEM, Initiator
from eventsinks.limits.quotas import LimitReached
from eventsinks.models import SCOPES, ApiKey
from eventsinks.models.database.clock import read_database_clock
from eventsinks.models.tenant import OPERATOR


class IssueForm(forms.ModelForm):  # type: ignore[type-arg]
    """The purpose of a new key. When everything is valid, the key is issued, and `text` is its text."""

    text = ""
    initiator: Initiator = SYSTEM  # who fills in the form
    scopes = forms.MultipleChoiceField(
        choices=[(scope, f"{scope} – {what}") for scope, what in SCOPES.items()],
        initial=[*SCOPES],
        required=False,
        help_text="What the key may do. An operator’s key needs none: it manages tenants and sees no events.",
        widget=UnfoldAdminCheckboxSelectMultipleWidget(),
    )

    class Meta:
        model = ApiKey
        fields = ("tenant", "name", "scopes", "expires_at")

    def clean(self) -> dict[str, Any]:
        """Require a scope if there is a tenant, and an end in the future."""
        cleaned: dict[str, Any] = super().clean() or {}
        if cleaned.get("tenant") and not cleaned.get("scopes") and "scopes" not in self.errors:
            self.add_error("scopes", "A key that may do nothing is of no use: choose at least one scope.")
        expires_at = cleaned.get("expires_at")
        if expires_at and expires_at <= read_database_clock():
            self.add_error("expires_at", "This moment has passed.")
        return cleaned

    def _post_clean(self) -> None:
        """Issue the key if everything else is valid."""
        super()._post_clean()  # type: ignore[misc]
        if self.errors:
            return
        try:
            self.instance = self.issue()
        except LimitReached as reached:
            self.add_error(None, f"{reached}.")

    def issue(self) -> ApiKey:
        """Issue the key. Raises LimitReached."""
        given = self.cleaned_data
        key, self.text = issue_key(
            given["tenant"],
            scopes=given["scopes"] if given["tenant"] else None,
            name=given["name"],
            expires_at=given["expires_at"],
            initiator=self.initiator,
        )
        return key


def make_key_chip(key: ApiKey) -> SafeString:
    """Return the chip that says whether a key can be used."""
    if key.revoked_at:
        return marks.make_chip("quiet", f"Revoked {marks.write_distance(key.revoked_at)}")
    if not key.is_usable:
        return marks.make_chip(
            "warning", f"Expired {marks.write_distance(key.expires_at)}" if key.expires_at else "Expired"
        )
    if key.expires_at:
        return marks.make_chip("good", f"Usable, ends {marks.write_distance(key.expires_at)}")
    return marks.make_chip("good", "Usable")


def show_scopes(key: ApiKey) -> str:
    """Return what a key may do, in one word if it is everything."""
    if OPERATOR in key.scopes:
        return "operator: manages tenants"
    return "everything" if set(key.scopes) >= set(SCOPES) else ", ".join(key.scopes)


class ApiKeyAdmin(Unchanged, ModelAdmin[ApiKey]):
    """API keys. Nobody changes one: revoke it, and issue another. It stays, so that its use can be explained."""

    list_display = ("shown", "name", "tenant", "scopes_shown", "status", "created_at")
    list_select_related = ("tenant",)
    list_filter: ClassVar = [("tenant", AutocompleteSelectFilter)]
    list_filter_submit = True
    search_fields = ("name", "prefix")
    search_help_text = "Name or first characters"
    sortable_by = ("created_at",)
    actions = ("revoke",)
    autocomplete_fields = ("tenant",)
    form = IssueForm
    add_fieldsets: ClassVar = [(None, {"fields": ["tenant", "name", "scopes", "expires_at"]})]
    fieldsets: ClassVar = [
        (None, {"fields": ["shown", "status", "tenant", "name", "scopes_shown", "created_at", "expires_at"]})
    ]
    change_form_template = "admin/eventsinks/apikey/change_form.html"

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        """Whether this user may revoke a tenant's key."""
        return request.user.has_perm("eventsinks.change_apikey")

    def may_revoke(self, request: HttpRequest, key: ApiKey) -> bool:
        """Whether this user may revoke this key. Only a superuser may revoke an operator's key."""
        return self.has_revoke_permission(request) and (key.tenant_id is not None or is_superuser(request))

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Require a tenant. A key without one is an operator's, and only a superuser issues it."""
        field = super().formfield_for_foreignkey(db_field, request, **kwargs)
        if field is not None:
            field.required = not is_superuser(request)
            field.help_text = "" if field.required else "Empty: an operator’s key."
        return field

    def get_form(
        self, request: HttpRequest, obj: ApiKey | None = None, change: bool = False, **kwargs: Any
    ) -> Any:
        """Return the form, as a class for this request that knows who fills it in."""
        form = super().get_form(request, obj, change, **kwargs)
        form.initiator = get_initiator(request)  # type: ignore[attr-defined]
        return form

    @admin.display(description="Key")
    def shown(self, key: ApiKey) -> str:
        """The first characters, which are all that we keep of the text."""
        return f"{key.prefix}…"

    @admin.display(description="Status")
    def status(self, key: ApiKey) -> SafeString:
        """Whether it can be used."""
        return make_key_chip(key)

    @admin.display(description="Scopes")
    def scopes_shown(self, key: ApiKey) -> str:
        """The scopes."""
        return show_scopes(key)

    def save_form(self, request: HttpRequest, form: Any, change: bool) -> ApiKey:
        """Return the key, which the form has issued."""
        key: ApiKey = form.instance
        form.save_m2m = lambda: None
        request.issued_text = form.text  # type: ignore[attr-defined]
        return key

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        """Do nothing, because the key has been issued."""

    def response_add(
        self, request: HttpRequest, obj: ApiKey, post_url_continue: str | None = None
    ) -> HttpResponse:
        """Show the text of the new key only in this answer: no message, cookie or session contains it."""
        context = {
            **self.admin_site.each_context(request),
            "title": "API key issued",
            "opts": self.opts,
            "key": obj,
            "text": request.issued_text,  # type: ignore[attr-defined]
        }
        return TemplateResponse(request, "admin/eventsinks/apikey/issued.html", context)

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Ask for the purpose of a new key. One button issues it."""
        fewer = {"show_save_and_add_another": False, "show_save_and_continue": False}
        return super().add_view(request, form_url, {**fewer, **(extra_context or {})})

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show one key, with the button that revokes it."""
        key = self.get_object(request, object_id)
        may = key is not None and key.revoked_at is None and self.may_revoke(request, key)
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), "may_revoke": may})

    def get_urls(self) -> list[URLPattern]:
        """Return the URL of the page's button and the usual ones."""
        view = self.admin_site.admin_view(self.revoke_view)
        return [path("<path:object_id>/revoke/", view, name="eventsinks_apikey_revoke"), *super().get_urls()]

    def revoke_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Revoke one key at once."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        key = get_object_or_404(ApiKey, pk=object_id)
        if not self.may_revoke(request, key):
            raise PermissionDenied
        self.revoke(request, ApiKey.objects.filter(pk=key.pk))
        return redirect("admin:eventsinks_apikey_change", key.pk)

    @admin.action(description="Revoke", permissions=["revoke"])
    def revoke(self, request: HttpRequest, keys: QuerySet[ApiKey]) -> None:
        """Revoke the chosen keys at once."""
        ended = [key for key in keys if self.may_revoke(request, key) and revoke_key(key, get_initiator(request))]
        for key in ended:
            self.log_change(request, key, "Revoked.")
        what = "1 API key" if len(ended) == 1 else f"{len(ended)} API keys"
        self.message_user(request, f"Revoked {what}.", messages.SUCCESS)
