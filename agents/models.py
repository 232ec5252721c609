"""Which rows hold what a tenant knows?"""

from __future__ import annotations

import uuid

from django.db import models
from django.utils import timezone

from tenants.models import TenantOwned


class Article(TenantOwned):
    """Something the tenant wants its users to know. Saved by `agents.knowledge.save_article`, which indexes it."""

    class State(models.TextChoices):
        DRAFT = "draft", "draft: no answer quotes it"
        PUBLISHED = "published", "published"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    title = models.CharField(max_length=200, help_text="Counts more than the body when an answer is looked for.")
    body = models.TextField(help_text="Markdown. Paragraphs that stand for themselves make the best answers.")
    category = models.CharField(max_length=100, blank=True)
    state = models.CharField(max_length=10, choices=State, default=State.PUBLISHED)
    language = models.CharField(max_length=35, default="en", help_text="A language tag, for example en or de-AT.")
    source_url = models.URLField("source", max_length=2000, blank=True, help_text="Where the original is.")
    #: How many terms are indexed, those of the title counted as often as they weigh.
    length = models.PositiveIntegerField("terms", default=0, editable=False)
    #: What the terms were made by (agents.terms.INDEXED_BY).
    indexed_by = models.CharField(max_length=16, default="", editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ("title", "id")
        indexes = (
            # Serves the sums that every search begins with from the index alone.
            models.Index(fields=("tenant", "state", "language", "length"), name="article_lengths"),
            models.Index(fields=("indexed_by",), name="article_by_index"),
            models.Index(fields=("title", "id"), name="article_by_title"),
            models.Index(fields=("tenant", "title", "id"), name="article_of_tenant"),
        )

    def __str__(self) -> str:
        return self.title


class Posting(TenantOwned):
    """How often an article uses a term: the rows in which search looks."""

    article = models.ForeignKey(Article, on_delete=models.CASCADE, related_name="postings")
    term = models.CharField(max_length=64)
    frequency = models.PositiveIntegerField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=("tenant", "term", "article"), name="posting_of_term"),)

    def __str__(self) -> str:
        return f"{self.term} × {self.frequency}"
