"""What must be so before Django's models can be imported by a program that is none of the service's processes?"""

from __future__ import annotations

import os
import random
import secrets
import tempfile
from pathlib import Path


def own_folder(name: str) -> Path:
    """A folder for what the program makes, with Django set up on an empty database in it (`template.sqlite3`)."""
    folder = Path(tempfile.mkdtemp(prefix=f"lexicon-{name}-"))
    # nginx gives its rights up, and reads what is in there.
    folder.chmod(0o755)
    os.environ |= {
        "SECRET_KEY": "only-for-tests-" + "x" * 50,
        "DATABASE_URL": f"sqlite:///{folder / 'template.sqlite3'}",
        "REDIS_URL": "",
        "DJANGO_SETTINGS_MODULE": "lexicon.settings",
        "LOG_LEVEL": "WARNING",
    }
    os.environ.pop("TEST_REDIS_URL", None)
    import django

    django.setup()
    return folder


def seeded(seed: int | None) -> int:
    """The seed of what is chosen by chance from now on: the one that is given, or a new one."""
    seed = seed if seed is not None else secrets.randbelow(10**6)
    random.seed(seed)
    return seed
