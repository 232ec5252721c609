"""How do staff keep what a tenant knows?"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any, cast

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet, URLField
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.html import format_html_join
from django.utils.safestring import mark_safe

from knowledge import article_store
from knowledge.article_files import write_csv
from knowledge.models import Article
from staff.article_import import SHOWN_PROBLEMS, ExportForm, ImportForm
from staff.forms import tenant_field
from staff.paging import PagedAdmin, TypedFilter

#: Earlier versions of an article that its page lists.
SHOWN_VERSIONS = 50


class ArticleForm(forms.ModelForm):
    """An article; a new one names its tenant."""

    tenant = tenant_field(Article)


class LanguageFilter(TypedFilter):
    """Articles in one language."""

    title = "language"
    parameter_name = "language"

    def queryset(self, request: HttpRequest, queryset: QuerySet[Article]) -> QuerySet[Article]:
        return queryset.filter(language=self.value()) if self.value() else queryset


@admin.register(Article)
class ArticleAdmin(PagedAdmin):
    """Articles, what they said before, and the ways in and out of them."""

    form = ArticleForm
    # Django knows the tenant as a column nobody edits; the form has a field of its own for it.
    exclude = ("tenant",)
    list_display = ("title", "tenant", "category", "state", "language", "updated_at")
    list_select_related = ("tenant",)
    list_filter = ("state", LanguageFilter)
    search_fields = ("title",)
    search_help_text = "Words of the title."
    # "example.com" means https, as it will by itself from Django 6 on.
    formfield_overrides = {URLField: {"assume_scheme": "https"}}
    fields = ("tenant", "title", "body", "category", "language", "state", "source_url")
    change_list_template = "admin/agents/article/list.html"
    actions = ("export_selected",)

    def get_readonly_fields(self, request: HttpRequest, obj: Article | None = None) -> Any:
        return ("tenant", "created_at", "updated_at", "earlier_versions") if obj else ()

    def get_fields(self, request: HttpRequest, obj: Article | None = None) -> Any:
        return (*self.fields, "created_at", "updated_at", "earlier_versions") if obj else self.fields

    def save_model(self, request: HttpRequest, obj: Article, form: Any, change: bool) -> None:
        if not change:
            obj.tenant = form.cleaned_data["tenant"]
        article_store.save_article(obj, by=cast(User, request.user))

    def delete_model(self, request: HttpRequest, obj: Article) -> None:
        article_store.do_delete_article(obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Article]) -> None:
        for article in queryset:
            article_store.do_delete_article(article)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        # Django would list every version.
        titles = [str(article) for article in objs]
        return titles, {"articles": len(titles)}, set(), []

    # --- What they said before ---

    @admin.display(description="earlier versions")
    def earlier_versions(self, article: Article) -> str:
        """Links to the latest of them."""
        versions = article.versions.for_tenant(article.tenant_id).select_related("replaced_by")[:SHOWN_VERSIONS]
        told = [
            (
                reverse("admin:agents_article_version", args=(article.id, version.number)),
                version,
                version.title,
                f"{version.replaced_at:%Y-%m-%d %H:%M} UTC",
                f" by {version.replaced_by}" if version.replaced_by else "",
            )
            for version in versions
        ]
        return (
            format_html_join(mark_safe("<br>"), '<a href="{}">{}</a>: {}, replaced {}{}', told)
            or "none: it was never changed"
        )

    def version_view(self, request: HttpRequest, article_id: uuid.UUID, number: int) -> HttpResponse:
        """What an article said before; a button to have it say so again."""
        article = self.get_object(request, str(article_id))
        if article is None or not self.has_view_permission(request, article):
            raise Http404 if article is None else PermissionDenied
        versions = article.versions.for_tenant(article.tenant_id).select_related("replaced_by", "article")
        if (version := versions.filter(number=number).first()) is None:
            raise Http404
        may_restore = self.has_change_permission(request, article)
        if request.method == "POST":
            if not may_restore:
                raise PermissionDenied
            article_store.restore_version(version, by=cast(User, request.user))
            self.log_change(request, article, f"Restored version {number}.")
            messages.success(request, f"“{version.title}” says again what it said in version {number}.")
            return redirect("admin:agents_article_change", article.id)
        shown = {"original": article, "version": version, "may_restore": may_restore}
        return self._page(request, "version", title=f"{article}: version {number}", **shown)

    def _page(self, request: HttpRequest, name: str, **context: Any) -> HttpResponse:
        every = self.admin_site.each_context(request) | {"opts": self.opts}
        return TemplateResponse(request, f"admin/agents/article/{name}.html", every | context)

    # --- Import and export ---

    def get_urls(self) -> list[Any]:
        wrap = self.admin_site.admin_view
        return [
            path("import/", wrap(self.import_view), name="agents_article_import"),
            path("export/", wrap(self.export_view), name="agents_article_export"),
            path("<uuid:article_id>/versions/<int:number>/", wrap(self.version_view), name="agents_article_version"),
            *super().get_urls(),
        ]

    def import_view(self, request: HttpRequest) -> HttpResponse:
        """A page that takes a file, or an address."""
        # What is imported may change what is there.
        if not (self.has_add_permission(request) and self.has_change_permission(request)):
            raise PermissionDenied
        form = ImportForm(request.POST or None, request.FILES or None)
        if request.method == "POST" and form.is_valid() and (imported := form.carry_out(request.user)):
            messages.success(request, f"{form.cleaned_data['tenant']}: {imported}.")
            for problem in imported.problems[:SHOWN_PROBLEMS]:
                messages.warning(request, problem)
            return redirect("admin:agents_article_changelist")
        page = self._page(request, "import", title="Import articles", form=form, media=self.media + form.media)
        if request.method == "POST":
            page.status_code = 400
        return page

    def export_view(self, request: HttpRequest) -> HttpResponse:
        """A page that asks whose articles are wanted, and the CSV of them."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        form = ExportForm(request.GET if "tenant" in request.GET else None)
        if form.is_valid():
            articles = Article.objects.for_tenant(form.cleaned_data["tenant"].id)
            return _csv(articles.iterator(chunk_size=100))
        return self._page(request, "export", title="Export articles", form=form, media=self.media + form.media)

    @admin.action(description="Export the selected articles as CSV", permissions=["view"])
    def export_selected(self, request: HttpRequest, queryset: QuerySet[Article]) -> HttpResponse:
        return _csv(queryset)


def _csv(articles: Iterable[Article]) -> HttpResponse:
    headers = {"Content-Disposition": 'attachment; filename="articles.csv"'}
    return HttpResponse("".join(write_csv(articles)), content_type="text/csv; charset=utf-8", headers=headers)
