"""What does this process remember of a tenant's articles?

The terms of each, made anew from its text where it changed. Every search asks the database first whether anything did:
each saving gives an article another stamp, so how many published articles there are and the sum of their stamps tell
of whatever was saved, published, hidden or deleted, as soon as it is committed.
"""

from __future__ import annotations

import uuid
from array import array
from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from threading import Lock

from django.db.models import Count, QuerySet, Subquery, Sum

from core.db.statements import Param, Select
from knowledge.analyzer import terms
from knowledge.languages import primary
from knowledge.models import Article
from tenants.models import Tenant

#: A term in the title counts as often as this many in the body.
TITLE_WEIGHT = 3
#: Articles that a process remembers, of all tenants together. Beyond it those tenants' go first that nobody asked
#: anything for the longest time.
MOST_ARTICLES = 20_000
#: Articles that are read at once.
BATCH = 500


class InvertedIndex:
    """The published articles in one language."""

    def __init__(self, language: str) -> None:
        self.language = language
        self.lengths: dict[int, int] = {}
        self._uses: dict[str, dict[int, int]] = {}
        self._total = 0

    @property
    def average(self) -> int:
        """How many terms an article has, 1 at least."""
        return max(1, self._total // len(self.lengths))

    def uses(self, term: str) -> Mapping[int, int]:
        """How often each article uses the term that uses it."""
        return self._uses.get(term, {})

    def add(self, number: int, title: str, body: str) -> None:
        """An article is there from now on."""
        frequencies = Counter(terms(body, self.language))
        for term in terms(title, self.language):
            frequencies[term] += TITLE_WEIGHT
        self.lengths[number] = frequencies.total()
        self._total += self.lengths[number]
        for term, frequency in frequencies.items():
            self._uses.setdefault(term, {})[number] = frequency

    def remove(self, numbers: set[int]) -> None:
        """These articles are not there any more."""
        for number in numbers & self.lengths.keys():
            self._total -= self.lengths.pop(number)
        for term, uses in list(self._uses.items()):
            if gone := numbers & uses.keys():
                for number in gone:
                    del uses[number]
                if not uses:
                    del self._uses[term]


@dataclass
class TenantIndex:
    """What a process remembers of one tenant. Its readers hold its lock."""

    lock: Lock = field(default_factory=Lock)
    indexes: dict[str, InvertedIndex] = field(default_factory=dict)
    #: The article of each number.
    articles: dict[int, uuid.UUID] = field(default_factory=dict)
    #: Of each article its stamp and number.
    known: dict[uuid.UUID, tuple[int, int]] = field(default_factory=dict)
    #: Of each article the stamp and the model of its vectors, and these (knowledge/vectors.py).
    vectors: dict[uuid.UUID, tuple[tuple[int, str], list[array]]] = field(default_factory=dict)
    #: How many articles, and the sum of their stamps.
    state: tuple[int, int] = (0, 0)
    _next: int = 0

    def renew(self, tenant_id: uuid.UUID) -> None:
        """Read what changed."""
        stamps = dict(published(tenant_id).order_by().values_list("id", "stamp"))
        gone = [article_id for article_id, (stamp, _) in self.known.items() if stamps.get(article_id) != stamp]
        numbers = {self.known.pop(article_id)[1] for article_id in gone}
        for number in numbers:
            del self.articles[number]
        for index in self.indexes.values() if numbers else ():
            index.remove(numbers)
        missing = [article_id for article_id in stamps if article_id not in self.known]
        for start in range(0, len(missing), BATCH):
            self._read(published(tenant_id).order_by().filter(id__in=missing[start : start + BATCH]))
        self.state = len(self.known), sum(stamp for stamp, _ in self.known.values())
        self.indexes = {language: index for language, index in self.indexes.items() if index.lengths}

    def _read(self, articles: QuerySet[Article]) -> None:
        rows: Iterable[tuple[uuid.UUID, int, str, str, str]]
        rows = articles.values_list("id", "stamp", "language", "title", "body")
        for article_id, stamp, tag, title, body in rows:
            number = self._next
            self._next += 1
            self.known[article_id] = stamp, number
            self.articles[number] = article_id
            language = primary(tag)
            self.indexes.setdefault(language, InvertedIndex(language)).add(number, title, body)


_indexes: OrderedDict[uuid.UUID, TenantIndex] = OrderedDict()
_lock = Lock()


def read_revision(tenant_id: uuid.UUID) -> tuple[tuple[int, int], list[list[str]]]:
    """How many articles a tenant has published and the sum of their stamps; and the words that mean the same to it."""
    row = _STATE.first(tenant_id=tenant_id)
    if row is None:
        return (0, 0), []
    number, stamps, meaning_the_same = row
    return (number, int(stamps)), meaning_the_same or []


def tenant_index(tenant_id: uuid.UUID) -> TenantIndex:
    """What is remembered of a tenant, as it was when somebody last looked."""
    with _lock:
        found = _indexes.setdefault(tenant_id, TenantIndex())
        _indexes.move_to_end(tenant_id)
        remembered = sum(len(each.known) for each in _indexes.values())
        while remembered > MOST_ARTICLES and len(_indexes) > 1:
            _, oldest = _indexes.popitem(last=False)
            remembered -= len(oldest.known)
        return found


def published(tenant_id: uuid.UUID | Param) -> QuerySet[Article]:
    """The articles of a tenant that may be quoted."""
    return Article.objects.for_tenant(tenant_id).filter(state=Article.State.PUBLISHED)


def _sums() -> QuerySet[Article, tuple[int, int, list[list[str]]]]:
    synonyms = Subquery(Tenant.objects.order_by().filter(id=Param("tenant_id")).values("synonyms"))
    sums = published(Param("tenant_id")).order_by().values("tenant_id")
    sums = sums.annotate(number=Count("id"), stamps=Sum("stamp"))
    return sums.values_list("number", "stamps", synonyms)


_STATE = Select(_sums)
