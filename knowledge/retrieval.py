"""What does a tenant know about a question?

What is searched is remembered (knowledge/inverted_index.py), what is quoted is read: a passage is as its article is
now.
"""

from __future__ import annotations

import heapq
import uuid
from collections.abc import Iterable

from core.db.executor import in_thread_until_answered
from knowledge import embeddings, inverted_index, query, ranking, vectors
from knowledge.analyzer import term_set
from knowledge.embeddings import Vector
from knowledge.excerpts import Passage, excerpt
from knowledge.inverted_index import InvertedIndex
from knowledge.languages import primary
from knowledge.models import Article
from knowledge.ranking import Concept

#: Longest passage, in characters: a long paragraph; three of them are no burden to a model.
PASSAGE_CHARACTERS = 800


def search(*, tenant_id: uuid.UUID, question: str, limit: int = 3, vector: Vector | None = None) -> list[Passage]:
    """The best passage of each of the `limit` articles that fit the question best, the best first.

    Only published articles of the tenant count, as they are at this moment. A passage has at most
    PASSAGE_CHARACTERS; its score is its article's BM25 as a share (0 to 1) of what an article would
    get that speaks of nothing but the whole question, among the articles in its language.

    With the question's `vector` the order is that of words and of meaning, fused by reciprocal rank; the
    score is the share or the cosine, whichever is more.
    """
    state, synonyms = inverted_index.read_revision(tenant_id)
    tenant_index = inverted_index.tenant_index(tenant_id)
    scores: dict[uuid.UUID, float] = {}
    wanted: dict[str, list[Concept]] = {}
    with tenant_index.lock:
        if tenant_index.state != state:
            tenant_index.renew(tenant_id)
        for language, index in tenant_index.indexes.items():
            wanted[language] = _meant(query.concepts(question, language, synonyms), index)
            for number, score in ranking.rank(wanted[language], index).items():
                scores[tenant_index.articles[number]] = score
    if vector is None:
        best = heapq.nsmallest(limit, scores, key=lambda article_id: (-scores[article_id], article_id))
    else:
        cosines = vectors.nearest(tenant_id, tenant_index, vector)
        best = ranking.fuse(scores, cosines)[:limit]
        scores = {article_id: max(scores.get(article_id, 0.0), cosines.get(article_id, 0.0)) for article_id in best}
    articles = inverted_index.published(tenant_id).order_by().in_bulk(best) if best else {}
    return [
        Passage(
            article_id=str(article.id),
            title=article.title,
            text=_passage(article, wanted.get(primary(article.language), ())),
            score=min(1.0, scores[article.id]),
            url=article.source_url,
            language=article.language,
        )
        # One that was deleted since it was scored is not among them.
        for article in (articles[article_id] for article_id in best if article_id in articles)
    ]


async def find(*, tenant_id: uuid.UUID, question: str) -> list[Passage]:
    """As `search`, with the question's vector where somebody makes any, however long the database is away."""
    vector = await embeddings.of_question(question)
    return await in_thread_until_answered(search, tenant_id=tenant_id, question=question, vector=vector)


def _meant(wanted: list[Concept], index: InvertedIndex) -> list[Concept]:
    """What is wanted, where no article uses a word with that which most of them use of those a slip away from it."""
    meant = []
    for concept in wanted:
        if concept.word and not any(index.uses(term) for term in concept.terms):
            known = [term for term in query.slips(concept.word, index.language) if index.uses(term)]
            if known:
                best = min(known, key=lambda term: (-len(index.uses(term)), term))
                concept = query.concept(best, index.language)
        meant.append(concept)
    return list(dict.fromkeys(meant))


def _passage(article: Article, wanted: Iterable[Concept]) -> str:
    """The part of the article that has what its title does not say: the rest is what all of it is about."""
    title = term_set(article.title, article.language)
    weights: dict[str, float] = {}
    for concept in wanted:
        # What is only related to the title is no reason for a part of the article.
        left_out = title | (set(concept.related) if title & concept.terms.keys() else set())
        weights |= {term: weight for term, weight in concept.terms.items() if term not in left_out}
    return excerpt(article.body, weights, longest=PASSAGE_CHARACTERS, language=article.language)
