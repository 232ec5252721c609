"""How does an operator back the database up?"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from lexicon.backup import BackupError, back_up


class Command(BaseCommand):
    help = "Copy the database to a file, while the service runs: a SQLite file, or a dump that pg_restore reads."
    # Nothing that is configured wrongly may stand between an operator and a backup.
    requires_system_checks = []

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("file", type=Path, help="a new file; only its owner can read it")

    def handle(self, *args: Any, **options: Any) -> None:
        target = options["file"].resolve()
        try:
            length = back_up(database=settings.DATABASES["default"], target=target)
        except BackupError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{target}: {length / 1e6:.1f} MB. docs/operations.md says how to restore it.")
