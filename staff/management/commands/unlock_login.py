"""How does an operator who is locked out of the admin get in again?"""

from __future__ import annotations

import argparse
from typing import Any

from django.core.management.base import BaseCommand

from staff.login import do_unlock


class Command(BaseCommand):
    help = "Forget failed logins to the admin: of one user, or all of them (so that networks are unlocked, too)."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("username", nargs="?", help="as it is typed at the login; without it, everybody's")

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(f"{do_unlock(name=options['username'])} failed logins forgotten.")
