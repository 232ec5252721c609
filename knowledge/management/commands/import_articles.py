"""How does an operator give a tenant articles that are written elsewhere?"""

from __future__ import annotations

import argparse
import uuid
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from knowledge.article_files import Draft, Unreadable, find_markdown, shown
from knowledge.importing import BadDrafts, NotImported, import_articles
from knowledge.parser_process import read_file
from knowledge.web_pages import read_page
from tenants.models import Tenant


class Command(BaseCommand):
    help = "Make what a folder of Markdown, a Markdown file, a CSV or a web page says articles of a tenant."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("tenant", type=uuid.UUID, metavar="TENANT_ID")
        parser.add_argument("source", help="a folder, a .md or .csv file, or an address that begins with https://")
        parser.add_argument("--skip-bad", action="store_true", help="import the rest where some articles are wrong")

    def handle(self, *args: Any, **options: Any) -> None:
        tenant = find_tenant(options["tenant"])
        skip_bad = options["skip_bad"]
        try:
            drafts, problems = _read(options["source"])
            imported = import_articles(tenant=tenant, drafts=drafts, problems=problems, skip_bad=skip_bad)
        except Unreadable as error:
            raise CommandError(f"Nothing was imported.\n{error}") from error
        except BadDrafts as error:
            raise CommandError(f"Nothing was imported. What is wrong:\n{error}") from error
        except NotImported as error:
            raise CommandError(str(error)) from error
        for problem in imported.problems:
            self.stderr.write(problem)
        self.stdout.write(f"{tenant.name}: {imported}.")


def find_tenant(tenant_id: uuid.UUID) -> Tenant:
    """The tenant of that id. Raises CommandError."""
    if (tenant := Tenant.objects.filter(id=tenant_id).first()) is None:
        raise CommandError(f"There is no tenant {tenant_id}. Its id is in the admin, on the tenant's page.")
    return tenant


def _read(source: str) -> tuple[list[Draft], list[str]]:
    """The articles, and what is wrong with the files of a folder that are none. Raises Unreadable."""
    if source.startswith(("https://", "http://")):
        return [read_page(source)], []
    path = Path(source)
    if path.is_dir():
        return read_folder(path)
    if not path.is_file():
        raise Unreadable(f"There is no file and no folder {shown(source)}.")
    return read_file(path.name, path.read_bytes()), []


def read_folder(folder: Path) -> tuple[list[Draft], list[str]]:
    """The articles of the Markdown files in a folder and those beneath, in the order of their names, and what is wrong
    with those that can not be read. Raises Unreadable where there is none.
    """
    drafts: list[Draft] = []
    problems: list[str] = []
    for path in find_markdown(folder):
        name = str(path.relative_to(folder))
        try:
            drafts += read_file(name, path.read_bytes())
        except Unreadable as error:
            problems.append(str(error))
    return drafts, problems
