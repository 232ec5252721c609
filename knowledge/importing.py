"""How do articles that are written elsewhere become a tenant's?

One that is there already, by its id, its source or its title, is changed; nothing is there twice. Everything is looked
at before anything is written. Then it is written in short transactions, for on SQLite every message waits for them; an
import that breaks off is there in part, and done again it is there once.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import InterfaceError, OperationalError, transaction

from core.payload import text_problem
from knowledge.article_files import Draft
from knowledge.article_store import change_article, create_articles, text_of
from knowledge.import_leases import Busy, Lease, LeaseLost, lease
from knowledge.models import TEXT_FIELDS, Article
from tenants.models import Tenant

logger = logging.getLogger(__name__)

#: Longest body, in characters.
MOST_CHARACTERS = 200_000
#: How long a transaction goes on taking articles, in seconds: what it has taken by then, it stores. On SQLite whatever
#: else writes waits for it.
BATCH_SECONDS = 0.05
#: New articles that are stored between two looks at the clock, and how many characters their bodies have together at
#: most, unless one has more by itself.
_GROUP = 10
_GROUP_CHARACTERS = 50_000
#: Drafts that are looked at between two renewals of the lease.
_LOOKED_AT = 1_000
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

    @property
    def stored(self) -> int:
        """How many of them are articles now."""
        return self.new + self.changed + self.same

    def add(self, other: Imported) -> None:
        """Count what became of others, too."""
        self.new += other.new
        self.changed += other.changed
        self.same += other.same
        self.problems += other.problems

    def __str__(self) -> str:
        told = f"{self.new} new, {self.changed} changed, {self.same} the same as before"
        return f"{told}, {len(self.problems)} left out" if self.problems else told


class NotImported(Exception):
    """The import did not happen, or not to its end. The message says why, and what to do."""


class BadDrafts(NotImported):
    """Nothing was imported. `problems` says of each draft that is wrong what is."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = list(problems)


def import_articles(
    *,
    tenant: Tenant,
    drafts: Iterable[Draft],
    by: User | None = None,
    problems: Iterable[str] = (),
    skip_bad: bool = False,
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = time.sleep,
) -> Imported:
    """Make the drafts articles of the tenant. `by` is who of the staff does; `problems` are those of files that could
    not be read.

    Raises BadDrafts, and has changed nothing then; with `skip_bad` it leaves out what is wrong.
    Raises NotImported where another import of the tenant goes on, or the database does not answer any more: then the
    first drafts may be articles, and the message says how many.
    """
    drafts = list(drafts)
    imported = Imported(problems=list(problems))
    try:
        with lease(tenant.id) as held:
            plan = _plan(tenant, drafts, held, imported.problems)
            if imported.problems and not skip_bad:
                raise BadDrafts(imported.problems)
            same = _find_same(tenant, plan, held)
            imported.same = len(same)
            changes = [planned for planned in plan if planned.article_id not in same]
            for batch in _write(tenant, changes, by, held, clock, pause):
                imported.add(batch)
    except Busy:
        raise NotImported(
            "Nothing was imported: another import for this tenant is running. Try again when it has ended."
        ) from None
    except LeaseLost:
        raise _broken_off(imported, drafts, "it lost its turn to another import, or the tenant was deleted") from None
    except (OperationalError, InterfaceError) as error:
        logger.error("an import broke off", exc_info=True)
        raise _broken_off(imported, drafts, "the database stopped answering") from error
    return imported


def _broken_off(imported: Imported, drafts: Sequence[Draft], why: str) -> NotImported:
    return NotImported(
        f"{imported.stored:,} of {len(drafts):,} articles were imported before {why}. "
        "Import again: none of them will be there twice."
    )


# --- Before anything is written ---


@dataclass(frozen=True, slots=True)
class _Planned:
    """What is to become of a draft: a new article of this id, or other fields of the one that has it."""

    draft: Draft
    article_id: uuid.UUID
    is_new: bool


def _plan(tenant: Tenant, drafts: Sequence[Draft], held: Lease, problems: list[str]) -> list[_Planned]:
    """What is to become of each draft. What is wrong with those that are left out is added to `problems`."""
    known = _Known(tenant)
    plan = []
    for number, draft in enumerate(drafts):
        if number % _LOOKED_AT == 0:
            held.renew()
        try:
            found = known.find(draft)
            _check(draft, is_new=found is None)
            plan.append(_Planned(draft, known.take(found, draft), is_new=found is None))
        except ValidationError as error:
            problems += [f"{draft.place}: {problem}" for problem in _told(error)]
    return plan


#: Fields that name an article, the first that a draft has before the others.
_NAMES = ("source_url", "title")


class _Known:
    """The tenant's articles, by what a draft may name, as they will be when the drafts before it are stored.

    They are read once, without their bodies. Whatever is alike in all of them, a draft is matched in the same time.
    """

    def __init__(self, tenant: Tenant) -> None:
        #: Of each article what it is named.
        self._named: dict[uuid.UUID, dict[str, str]] = {}
        #: By field and name, the articles; a dictionary where a set would know no order.
        self._all: dict[tuple[str, str], dict[uuid.UUID, None]] = defaultdict(dict)
        #: The same of those that no draft was about.
        self._free: dict[tuple[str, str], dict[uuid.UUID, None]] = defaultdict(dict)
        #: The articles that a draft was about, and where it stands.
        self._taken: dict[uuid.UUID, str] = {}
        rows = Article.objects.for_tenant(tenant.id).order_by("id").values_list("id", *_NAMES)
        for article_id, *values in rows.iterator():
            self._named[article_id] = dict(zip(_NAMES, values, strict=True))
            for name in self._named[article_id].items():
                self._all[name][article_id] = None
                self._free[name][article_id] = None

    def find(self, draft: Draft) -> uuid.UUID | None:
        """The article that the draft is about; None where there is none. Raises ValidationError."""
        found = self._find(draft.fields)
        if found in self._taken:
            raise ValidationError(f"This is the same article as {self._taken[found]}.")
        return found

    def take(self, found: uuid.UUID | None, draft: Draft) -> uuid.UUID:
        """From now on the article, a new one where none was found, is what the draft says; its id."""
        article_id = found or uuid.uuid4()
        self._taken[article_id] = draft.place
        named = self._named.pop(article_id, {})
        for name in named.items():
            del self._all[name][article_id]
            del self._free[name][article_id]
        for name in (named | {name: draft.fields[name] for name in _NAMES if name in draft.fields}).items():
            self._all[name][article_id] = None
        return article_id

    def _find(self, fields: dict[str, str]) -> uuid.UUID | None:
        own = _uuid(fields.get("id", ""))
        if own in self._named or own in self._taken:
            return own
        # Two that an export named by ids are two, also where nobody knows the ids.
        articles = self._free if own else self._all
        for name in _NAMES:
            value = fields.get(name, "")
            if not value or text_problem(value, longest=2000):
                continue
            found = list(islice(articles.get((name, value), ()), 2))
            if len(found) == 2:
                raise ValidationError(f"Several articles have this {name}. Give the id of the one that is meant.")
            if found:
                return found[0]
        return None


def _check(draft: Draft, *, is_new: bool) -> None:
    """Raises ValidationError where the article could not be stored as the draft has it."""
    article = Article()
    _fill(article, draft)
    named = draft.fields.keys() - {"id"}
    if (is_new or "body" in named) and (problem := text_problem(article.body, longest=MOST_CHARACTERS)) is not None:
        raise ValidationError({"body": problem})
    for name in named - {"body"}:
        if problem := text_problem(draft.fields[name], longest=2000, blank=True):
            raise ValidationError({name: problem})
    # Of an article that is there, what the file does not name is as it was.
    article.clean_fields(exclude={"tenant", "id"} | (set() if is_new else set(TEXT_FIELDS) - named))


def _fill(article: Article, draft: Draft) -> None:
    for name, value in draft.fields.items():
        if name != "id":
            setattr(article, name, value or _DEFAULTS.get(name, ""))


def _find_same(tenant: Tenant, plan: Sequence[_Planned], held: Lease) -> set[uuid.UUID]:
    """The articles that say already what their drafts say: nothing of them has to wait for its turn to be written."""
    drafts = {planned.article_id: planned.draft for planned in plan if not planned.is_new}
    same: set[uuid.UUID] = set()
    if not drafts:
        return same
    for number, article in enumerate(Article.objects.for_tenant(tenant.id).order_by("id").iterator(chunk_size=100)):
        if number % _LOOKED_AT == 0:
            held.renew()
        if article.id in drafts:
            said = text_of(article)
            _fill(article, drafts[article.id])
            if text_of(article) == said:
                same.add(article.id)
    return same


def _told(error: ValidationError) -> list[str]:
    if hasattr(error, "error_dict"):
        return [f"{name} {text[:1].lower()}{text[1:]}" for name, texts in error.message_dict.items() for text in texts]
    return list(error.messages)


def _uuid(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text) if text else None
    except ValueError:
        raise ValidationError({"id": "must be one of an article, or empty"}) from None


# --- Writing ---


def _write(
    tenant: Tenant,
    plan: Sequence[_Planned],
    by: User | None,
    held: Lease,
    clock: Callable[[], float],
    pause: Callable[[float], None],
) -> Iterator[Imported]:
    """Store what is planned, a transaction after the other; what became of the drafts of each, when it is committed."""
    groups = _groups(plan)
    group = next(groups, None)
    while group is not None:
        batch = Imported()
        with transaction.atomic():
            # From here on, others wait.
            began = clock()
            held.renew()
            while group is not None and clock() < began + BATCH_SECONDS:
                batch.add(_store(tenant, group, by))
                group = next(groups, None)
        yield batch
        if group is not None:
            # Threads of this process had their turn when the transaction ended. Other processes look for theirs from
            # time to time (core/db/sqlite3/base.py), and must find the file free often enough.
            pause((clock() - began) / 2)


def _groups(plan: Sequence[_Planned]) -> Iterator[list[_Planned]]:
    """Those that are stored between two looks at the clock: a few new ones, of long ones fewer; one that is there."""
    group: list[_Planned] = []
    characters = 0
    for planned in plan:
        own = len(planned.draft.fields.get("body", ""))
        full = len(group) == _GROUP or characters + own > _GROUP_CHARACTERS or not planned.is_new
        if group and (full or not group[-1].is_new):
            yield group
            group, characters = [], 0
        group.append(planned)
        characters += own
    if group:
        yield group


def _store(tenant: Tenant, group: Sequence[_Planned], by: User | None) -> Imported:
    stored = Imported()
    new = []
    own = Article.objects.for_tenant(tenant.id).select_for_update(no_key=True)
    for planned in group:
        if planned.is_new:
            new.append(Article(id=planned.article_id, tenant=tenant))
            _fill(new[-1], planned.draft)
            continue
        # One by one: for several ids, SQLite reads all articles of the tenant.
        if (article := own.filter(id=planned.article_id).first()) is None:
            stored.problems.append(f"{planned.draft.place}: the article was deleted meanwhile. Import it again.")
            continue
        said = text_of(article)
        _fill(article, planned.draft)
        if change_article(article, said=said, by=by):
            stored.changed += 1
        else:
            stored.same += 1
    create_articles(new)
    stored.new = len(new)
    return stored
