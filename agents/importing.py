"""How do articles that are written elsewhere become a tenant's?

One that is there already, by its id, its source or its title, is changed; nothing is there twice.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import transaction

from agents.article_files import Draft
from agents.knowledge import save_article
from agents.models import Article
from lexicon.payload import text_problem
from tenants.models import Tenant

#: Longest body, in characters.
MOST_CHARACTERS = 200_000
#: Fields of which an empty one means what a new article has.
_DEFAULTS = {"language": "en", "state": str(Article.State.PUBLISHED)}


@dataclass
class Imported:
    """What became of the drafts."""

    new: int = 0
    changed: int = 0
    same: int = 0
    #: What is wrong with those that were left out, each with its place.
    problems: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        told = f"{self.new} new, {self.changed} changed, {self.same} the same as before"
        return f"{told}, {len(self.problems)} left out" if self.problems else told


class BadDrafts(Exception):
    """Nothing was imported. `problems` says of each draft that is wrong what is."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = list(problems)


@transaction.atomic
def import_articles(
    *, tenant: Tenant, drafts: Iterable[Draft], by: User | None = None, skip_bad: bool = False
) -> Imported:
    """Make the drafts articles of the tenant. `by` is who of the staff does.

    Raises BadDrafts, and has changed nothing then; with `skip_bad` it leaves out what is wrong.
    """
    # Two imports at once would each miss what the other brings.
    Tenant.objects.select_for_update(no_key=True).get(id=tenant.id)
    known = _Known(tenant)
    imported = Imported()
    for draft in drafts:
        try:
            article = known.match(draft)
            is_new = article._state.adding
            _fill(article, draft)
            if is_new:
                imported.new += save_article(article, by=by)
            elif save_article(article, by=by):
                imported.changed += 1
            else:
                imported.same += 1
        except ValidationError as error:
            imported.problems += [f"{draft.place}: {problem}" for problem in _told(error)]
    if imported.problems and not skip_bad:
        raise BadDrafts(imported.problems)
    return imported


class _Known:
    """The tenant's articles, by what a draft may name."""

    def __init__(self, tenant: Tenant) -> None:
        self._tenant = tenant
        self._articles = Article.objects.for_tenant(tenant.id)
        self._taken: dict[uuid.UUID, str] = {}

    def match(self, draft: Draft) -> Article:
        """The article that the draft is about; a new one where there is none. Raises ValidationError."""
        article = self._find(draft.fields)
        if article.id in self._taken:
            raise ValidationError(f"This is the same article as {self._taken[article.id]}.")
        self._taken[article.id] = draft.place
        return article

    def _find(self, fields: dict[str, str]) -> Article:
        if (own := _uuid(fields.get("id", ""))) and (article := self._articles.filter(id=own).first()):
            return article
        for name in ("source_url", "title"):
            value = fields.get(name, "")
            if not value or text_problem(value, longest=2000):
                continue
            others = self._articles.filter(**{name: value})
            # Two that an export named by ids are two, also where nobody knows the ids.
            found = list((others.exclude(id__in=self._taken) if fields.get("id") else others)[:2])
            if len(found) == 2:
                raise ValidationError(f"Several articles have this {name}. Give the id of the one that is meant.")
            if found:
                return found[0]
        return Article(tenant=self._tenant)


def _fill(article: Article, draft: Draft) -> None:
    for name, value in draft.fields.items():
        if name != "id":
            setattr(article, name, value or _DEFAULTS.get(name, ""))
    if (problem := text_problem(article.body, longest=MOST_CHARACTERS)) is not None:
        raise ValidationError({"body": problem})
    for name in draft.fields:
        if name not in ("id", "body") and (problem := text_problem(draft.fields[name], longest=2000, blank=True)):
            raise ValidationError({name: problem})
    article.clean_fields(exclude=["tenant", "id"])


def _told(error: ValidationError) -> list[str]:
    if hasattr(error, "error_dict"):
        return [f"{name} {text[:1].lower()}{text[1:]}" for name, texts in error.message_dict.items() for text in texts]
    return list(error.messages)


def _uuid(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text) if text else None
    except ValueError:
        raise ValidationError({"id": "must be one of an article, or empty"}) from None
