"""Which rows hold what a tenant knows?"""

from __future__ import annotations

import random
import uuid

from django.conf import settings
from django.core.validators import RegexValidator
from django.db import models
from django.utils import timezone

from tenants.models import TenantOwned

#: A sum of eight million of them is still a 64-bit integer, and two of them are hardly ever equal.
STAMP_BITS = 40


def new_stamp() -> int:
    """A stamp that no article has."""
    return random.getrandbits(STAMP_BITS)


class Text(TenantOwned):
    """What an article says."""

    class State(models.TextChoices):
        DRAFT = "draft", "draft: no answer quotes it"
        PUBLISHED = "published", "published"

    title = models.CharField(max_length=200, help_text="Counts more than the body when an answer is looked for.")
    body = models.TextField(help_text="Markdown. Paragraphs that stand for themselves make the best answers.")
    category = models.CharField(max_length=100, blank=True)
    state = models.CharField(max_length=10, choices=State, default=State.PUBLISHED)
    language = models.CharField(
        max_length=35,
        default="en",
        validators=[
            RegexValidator(r"^[A-Za-z]{2,8}([-_][A-Za-z0-9]{1,8})*$", "Give a language tag, like en or de-AT.")
        ],
        help_text="A language tag, for example en or de-AT.",
    )
    source_url = models.URLField("source", max_length=2000, blank=True, help_text="Where the original is.")

    class Meta:
        abstract = True


#: The fields of a text.
TEXT_FIELDS = ("title", "body", "category", "language", "state", "source_url")


class Article(Text):
    """Something the tenant wants its users to know. Saved by `knowledge.article_store.save_article`."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    #: Another one with every saving, so that a sum of them tells of changes (knowledge/inverted_index.py).
    stamp = models.BigIntegerField(default=0, db_default=0, editable=False)
    #: What its vectors were made of and by whom (knowledge/vectors.py); they are used where this is its stamp.
    embedded_stamp = models.BigIntegerField(null=True, editable=False)
    embedded_by = models.CharField(max_length=200, blank=True, default="", db_default="", editable=False)
    #: Until then some process is at it, or waits after a failure.
    embed_after = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ("title", "id")
        indexes = (
            # Serves what every search begins with from the index alone.
            models.Index(fields=("tenant", "state", "stamp"), name="article_stamps"),
            models.Index(fields=("title", "id"), name="article_by_title"),
            models.Index(fields=("tenant", "title", "id"), name="article_of_tenant"),
        )

    def __str__(self) -> str:
        return self.title


class ArticleVersion(Text):
    """What an article said before somebody changed it."""

    article = models.ForeignKey(Article, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    replaced_at = models.DateTimeField(default=timezone.now)
    #: Who of the staff wrote what stands instead; none where a command or an import did, or who is gone.
    replaced_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")

    class Meta:
        ordering = ("-number",)
        constraints = (models.UniqueConstraint(fields=("article", "number"), name="article_version_number"),)

    def __str__(self) -> str:
        return f"version {self.number}"


class PassageVector(TenantOwned):
    """What a part of an article means, as a model of embeddings sees it."""

    article = models.ForeignKey(Article, on_delete=models.CASCADE, related_name="vectors")
    position = models.PositiveIntegerField()
    #: Of length 1: 32-bit floats, the lowest byte first.
    vector = models.BinaryField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=("article", "position"), name="passage_vector_position"),)

    def __str__(self) -> str:
        return f"passage {self.position}"


class ImportLease(TenantOwned):
    """That an import of the tenant's articles runs. It holds until then, and the process that runs it renews it."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    expires_at = models.DateTimeField(editable=False)

    class Meta:
        constraints = (models.UniqueConstraint(fields=("tenant",), name="one_import_of_a_tenant"),)

    def __str__(self) -> str:
        return f"until {self.expires_at:%H:%M:%S}"
