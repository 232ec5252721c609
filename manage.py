#!/usr/bin/env python
"""Django's command line, with Lexicon's version. On a machine where `make run` made a secret, it is found here."""

import os
import sys

from core import dev_secrets
from lexicon import VERSION


def main() -> None:
    if sys.argv[1:] in (["--version"], ["version"]):
        print(VERSION)
        return
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lexicon.settings")
    dev_secrets.provide_secret(create=sys.argv[1:2] == ["demo"])
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
