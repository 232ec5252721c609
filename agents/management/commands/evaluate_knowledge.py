"""How well are questions answered after a change of articles, or of the search?"""

from __future__ import annotations

import argparse
import uuid
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from agents.evaluation import BadQuestions, Outcome, evaluate, latency, read_questions, report
from knowledge.article_files import Draft, Unreadable, find_markdown
from knowledge.article_store import save_article
from knowledge.management.commands.import_articles import find_tenant
from knowledge.models import Article
from knowledge.parser_process import read_file
from tenants.models import Tenant

#: What the name of a file holds whose questions nothing may be chosen by.
HELD_BACK = "held_back"


class Command(BaseCommand):
    help = "Ask a file of questions (columns question, article, kind) and print how well they are answered."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("file", type=Path, metavar="FILE")
        whose = parser.add_mutually_exclusive_group(required=True)
        whose.add_argument("--articles", type=Path, metavar="FOLDER", help="ask the Markdown files of a folder")
        whose.add_argument("--tenant", type=uuid.UUID, metavar="ID", help="ask the articles of a tenant")
        parser.add_argument("--misses", action="store_true", help="print the questions that went wrong as well")

    def handle(self, *args: Any, **options: Any) -> None:
        file, folder = options["file"], options["articles"]
        if options["misses"] and HELD_BACK in file.name:
            raise CommandError(f"The single questions of {file.name} are not to be looked at.")
        if not file.is_file():
            raise CommandError(f"There is no file {file}.")
        try:
            outcomes = _of_folder(folder, file) if folder else _outcomes(find_tenant(options["tenant"]), file)
        except (Unreadable, BadQuestions) as error:
            raise CommandError(str(error)) from error
        if not outcomes:
            raise CommandError(f"There is no question in {file}.")
        for line in [*report(outcomes), "", latency(outcomes)]:
            self.stdout.write(line)
        for outcome in outcomes if options["misses"] else ():
            if problem := _problem(outcome):
                self.stdout.write(f"{problem}: {outcome.question.text}")


def _outcomes(tenant: Tenant, file: Path) -> list[Outcome]:
    titles = Article.objects.for_tenant(tenant.id).values_list("title", flat=True)
    return evaluate(tenant, read_questions(file, titles))


def _of_folder(folder: Path, file: Path) -> list[Outcome]:
    drafts = _read(folder)
    # Nothing of it stays: what was made for it is gone again.
    with transaction.atomic():
        outcomes = _outcomes(_filled(drafts), file)
        transaction.set_rollback(True)
    return outcomes


def _read(folder: Path) -> list[tuple[str, Draft]]:
    """The articles of a folder, and where in it they stand."""
    names = [str(path.relative_to(folder)) for path in find_markdown(folder)]
    return [(name, draft) for name in names for draft in read_file(name, (folder / name).read_bytes())]


def _filled(drafts: list[tuple[str, Draft]]) -> Tenant:
    """A tenant that has these articles."""
    tenant = Tenant.objects.create(name="evaluation")
    for name, draft in drafts:
        # Equal scores are told apart by the id, and each run is to print the same.
        own_id = uuid.uuid5(uuid.NAMESPACE_URL, name)
        save_article(Article(**{**draft.fields, "id": own_id, "tenant": tenant}))
    return tenant


def _problem(outcome: Outcome) -> str:
    if outcome.wrongly:
        return "wrongly answered"
    if outcome.question.titles and not outcome.place:
        return "not found"
    return "" if outcome.answered or not outcome.question.titles else "not answered"
