"""The base of the admin's pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.paginator import Page, Paginator
from django.db.models import Model
from django.http import HttpRequest
from django.utils.functional import cached_property

from eventsinks.intake.audit import Initiator

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin as ModelAdmin
    from django.contrib.admin import TabularInline as TabularInline

    Pages = Paginator[Any]
else:
    from unfold.admin import ModelAdmin as UnfoldModelAdmin
    from unfold.admin import TabularInline as UnfoldTabularInline

    class ModelAdmin(UnfoldModelAdmin):
        """A page of one model, in unfold's design."""

        def __class_getitem__(cls, row):
            return cls

    class TabularInline(UnfoldTabularInline):
        """A table on another model's page."""

        def __class_getitem__(cls, rows):
            return cls

    Pages = Paginator


LAST_PAGE = 200  # filters find older rows; skipping rows costs more with every page


class Unchanged:
    """A page of rows that nobody changes or deletes by hand. It stands before ModelAdmin."""

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Nobody changes by hand."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Nobody deletes by hand."""
        return False


class ReadOnly(Unchanged):
    """A page on which nobody adds, changes or deletes by hand. It stands before ModelAdmin."""

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Nobody adds by hand."""
        return False


def get_initiator(request: HttpRequest) -> Initiator:
    """Return the signed-in user and the address, as a tenant's audit log names them."""
    user: Any = request.user
    name, address = user.get_full_name() or user.get_username(), request.META.get("REMOTE_ADDR", "")
    return Initiator(f"operator:{user.pk}", name, user.email, address)


class InfinitePaginator(Pages):
    """The pages of a table that is too large to count. One row beyond a page says whether there is a next page.

    With this class name, unfold shows no number of results.
    """

    template_name = "admin/uncounted.html"
    has_more = False

    @cached_property
    def count(self) -> int:
        """An upper bound for the pages, not the real number of rows."""
        return self.per_page * LAST_PAGE

    def page(self, number: int | str) -> Page[Any]:
        """Return one page. Raises InvalidPage beyond LAST_PAGE."""
        number = self.validate_number(number)
        start = (number - 1) * self.per_page
        rows = list(self.object_list[start : start + self.per_page + 1])
        self.has_more = len(rows) > self.per_page and number < LAST_PAGE
        return Page(rows[: self.per_page], number, self)
