"""What does `make run` remember between two runs?

One file beside the database, mode 0600 and ignored by git: the secret it made, the demo tenant's
two keys and the admin's password. Nothing else ever stores a key. Production never reads it.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

BASE_DIR = Path(__file__).resolve().parent.parent


def path() -> Path:
    """Where the file is: beside the SQLite file, or in the project's folder with another database."""
    url = urlsplit(os.environ.get("DATABASE_URL", ""))
    if url.scheme == "sqlite" and url.path.strip("/"):
        database = Path(url.path[1:])  # sqlite:///relative or sqlite:////absolute
        return (BASE_DIR / database).with_name(database.name + ".secrets.json")
    return BASE_DIR / "db.sqlite3.secrets.json"


def load() -> dict[str, str]:
    """What the file holds; empty where there is none."""
    try:
        if stat.S_IMODE(path().stat().st_mode) & 0o077:
            path().chmod(0o600)  # Restored or copied: its owner alone may read it.
        return json.loads(path().read_text())
    except FileNotFoundError:
        return {}


def save(values: dict[str, str]) -> None:
    """Write the file, whole or not at all, readable by its owner only."""
    target = path()
    temporary = target.with_name(target.name + ".new")
    temporary.unlink(missing_ok=True)
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(values, file, indent=2)
    temporary.replace(target)


@contextmanager
def locked() -> Iterator[None]:
    """Nobody else who asks this way changes the file, or what is made to agree with it, meanwhile."""
    folder = os.open(path().parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def provide_secret(*, create: bool) -> None:
    """Put the remembered SECRET_KEY into the environment where none is given; make one with `create`."""
    if os.environ.get("SECRET_KEY"):
        return
    if create:
        with locked():
            values = load()
            if "SECRET_KEY" not in values:
                values["SECRET_KEY"] = secrets.token_urlsafe(50)
                save(values)
    if secret := load().get("SECRET_KEY"):
        os.environ["SECRET_KEY"] = secret
