"""How does the admin show tables of any size without reading the whole of one?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.views.main import ChangeList
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.functional import cached_property
from django.utils.text import capfirst


class BoundedPaginator(Paginator):
    """Counts no further than people page; to find more than that, people search."""

    #: Most rows that are counted and can be paged to.
    MOST = 1000

    @cached_property
    def _found(self) -> int:
        return self.object_list.order_by()[: self.MOST + 1].count()  # type: ignore[attr-defined]

    @cached_property
    def count(self) -> int:
        """How many rows can be paged to."""
        return min(self._found, self.MOST)

    @property
    def has_more(self) -> bool:
        """Whether rows follow that can not be paged to."""
        return self._found > self.MOST


class PagedChangeList(ChangeList):
    """A list whose query always has a bound."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        if not self.multi_page:
            self.result_list = self.result_list[: self.list_per_page]
        if not self.query:
            # Then the search box does not say "130 results (Show all)" of what nobody searched for.
            self.full_result_count = self.result_count


class PagedAdmin(admin.ModelAdmin):
    """A list that reads one page. Where an index serves a column both ways, name it in `sortable_by`."""

    paginator = BoundedPaginator
    list_per_page = 50
    list_max_show_all = 0
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    sortable_by: ClassVar[tuple[str, ...]] = ()
    # With the counter goes its link "Select all": an action works on the rows of one page.
    actions_selection_counter = False

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return PagedChangeList

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        title = {"title": capfirst(self.opts.verbose_name_plural)}
        return super().changelist_view(request, {**title, **(extra_context or {})})

    def response_action(
        self, request: HttpRequest, queryset: QuerySet[Any], *args: Any, **kwargs: Any
    ) -> HttpResponse | None:
        selected = request.POST.getlist(ACTION_CHECKBOX_NAME)
        return super().response_action(request, queryset.filter(pk__in=selected), *args, **kwargs)


class ReadOnlyAdmin(PagedAdmin):
    """Rows that staff may look at and nothing else."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class TypedFilter(admin.SimpleListFilter):
    """A filter whose value is typed: listing the values a column has would read the whole table."""

    template = "admin/typed_filter.html"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("", "")]

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        others = {name: value for name, value in changelist.params.items() if name != self.parameter_name}
        yield {"others": others, "value": self.value() or ""}
