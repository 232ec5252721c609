"""What does the demo shop know?"""

from __future__ import annotations

from pathlib import Path

from django.db import transaction

from knowledge.article_files import find_markdown, read_file
from knowledge.article_store import save_article
from knowledge.models import Article
from tenants.models import Tenant

_FOLDER = Path(__file__).with_name("demo_articles")


@transaction.atomic
def save_demo_articles(tenant: Tenant) -> int:
    """Give the tenant the demo articles whose titles it does not have yet; how many those were."""
    known = set(Article.objects.for_tenant(tenant.id).values_list("title", flat=True))
    missing = [article for article in demo_articles() if article.title not in known]
    for article in missing:
        article.tenant = tenant
        save_article(article)
    return len(missing)


def demo_articles() -> list[Article]:
    """The articles in the folder, not stored and nobody's yet."""
    drafts = (draft for path in find_markdown(_FOLDER) for draft in read_file(path.name, path.read_bytes()))
    return [Article(**draft.fields) for draft in drafts]
