"""How does an operator leave SQLite behind?"""

from __future__ import annotations

import argparse
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from lexicon.move_to_postgres import MoveError, move


class Command(BaseCommand):
    help = "Copy everything from the SQLite file in use into an empty PostgreSQL database. Stop the service first."
    # Whatever is configured wrongly is wrong on the other side, too.
    requires_system_checks = []

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("url", help="postgres://user:password@host:5432/name, of an empty database")

    def handle(self, *args: Any, **options: Any) -> None:
        total = 0

        def tell(table: str, rows: int) -> None:
            nonlocal total
            total += rows
            self.stdout.write(f"{rows:>12,}  {table}")

        try:
            move(url=options["url"], tell=tell)
        except MoveError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(
            f"{total:,} rows moved, read back and found the same. Set DATABASE_URL to the new address, and start. "
            "The SQLite file is as it was: keep it until you are content."
        )
