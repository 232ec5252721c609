"""How does an operator take a tenant's articles along?"""

from __future__ import annotations

import argparse
import re
import uuid
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from knowledge.article_files import write_csv, write_markdown
from knowledge.management.commands.import_articles import find_tenant
from knowledge.models import Article


class Command(BaseCommand):
    help = "Write all articles of a tenant, drafts too, into a new folder of Markdown or a new CSV."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("tenant", type=uuid.UUID, metavar="TENANT_ID")
        parser.add_argument("target", type=Path, help="a folder, or a file whose name ends with .csv")

    def handle(self, *args: Any, **options: Any) -> None:
        tenant, target = find_tenant(options["tenant"]), options["target"]
        articles = list(Article.objects.for_tenant(tenant.id))
        try:
            if target.suffix.lower() == ".csv":
                with target.open("x", encoding="utf-8", newline="") as file:
                    file.writelines(write_csv(articles))
            else:
                target.mkdir(parents=True, exist_ok=True)
                for article in articles:
                    with (target / _name(article)).open("x", encoding="utf-8", newline="") as file:
                        file.write(write_markdown(article))
        except FileExistsError as error:
            raise CommandError(f"{error.filename} is there already. Name a new file or an empty folder.") from error
        self.stdout.write(f"{tenant.name}: {len(articles)} articles are in {target}.")


def _name(article: Article) -> str:
    """A file's name that says the title, and is no other article's."""
    words = re.sub(r"[^a-z0-9]+", "-", article.title.casefold()).strip("-")[:60]
    return f"{words or 'article'}-{article.id.hex[:8]}.md"
