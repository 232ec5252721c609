"""How is an article stored, changed, restored and deleted?

What it said before is kept, and its stamp changes: from that moment on it is quoted as it is now.
"""

from __future__ import annotations

from collections.abc import Sequence

from django.contrib.auth.models import User
from django.db import transaction

from knowledge.models import TEXT_FIELDS, Article, ArticleVersion, new_stamp


@transaction.atomic
def save_article(article: Article, *, by: User | None = None) -> bool:
    """Store a new or changed article: from now on it is quoted as it is now. What it said before is kept.

    `by` is who of the staff changed it. Whether there was anything to store.
    """
    # Its lock keeps two savings of one article apart.
    own = Article.objects.for_tenant(article.tenant_id).select_for_update(no_key=True)
    if former := own.filter(id=article.id).first():
        return change_article(article, said=text_of(former), by=by)
    article.stamp = new_stamp()
    article.save()
    return True


def text_of(article: Article) -> dict[str, str]:
    """What the article says: its TEXT_FIELDS."""
    return {name: getattr(article, name) for name in TEXT_FIELDS}


def change_article(article: Article, *, said: dict[str, str], by: User | None = None) -> bool:
    """As `save_article`, of an article whose row the caller has locked and read: `said` is what that says."""
    if text_of(article) == said:
        return False
    # In this order SQLite reads the article's last one; for the largest number, all versions of the tenant.
    kept = ArticleVersion.objects.for_tenant(article.tenant_id).filter(article=article).order_by("-number")
    number = (kept.values_list("number", flat=True).first() or 0) + 1
    ArticleVersion.objects.create(tenant_id=article.tenant_id, article=article, number=number, replaced_by=by, **said)
    article.stamp = new_stamp()
    article.save()
    return True


def create_articles(articles: Sequence[Article]) -> None:
    """Store new articles, as `save_article` does, in one statement."""
    for article in articles:
        article.stamp = new_stamp()
    Article.objects.bulk_create(articles)


@transaction.atomic
def restore_version(version: ArticleVersion, *, by: User | None = None) -> Article:
    """The article says again what it said then; what it said until now is kept as well."""
    article = version.article
    for name in TEXT_FIELDS:
        setattr(article, name, getattr(version, name))
    save_article(article, by=by)
    return article


def do_delete_article(article: Article) -> None:
    """The article is gone with all that belongs to it; nothing quotes it any more."""
    article.delete()
