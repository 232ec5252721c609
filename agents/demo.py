"""What does the demo shop know?"""

from __future__ import annotations

from pathlib import Path

from django.db import transaction

from agents.knowledge import save_article
from agents.models import Article
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
    """The articles in the folder, not stored and nobody's yet. Each file begins with its title and category."""
    return [_read(path.read_text(encoding="utf-8")) for path in sorted(_FOLDER.glob("*.md"))]


def _read(text: str) -> Article:
    _, head, body = text.split("---\n", 2)
    fields = dict(line.split(": ", 1) for line in head.splitlines())
    return Article(title=fields["title"], category=fields["category"], body=body.strip())
