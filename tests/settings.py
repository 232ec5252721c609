"""The settings of the tests: the service's own, on a database of this run's own.

TEST_DATABASE_URL names the server to test on; without it, a SQLite file in a temporary folder.
TEST_REDIS_URL names the Redis to test with; without it, none.
"""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

FOLDER = Path(tempfile.mkdtemp(prefix="lexicon-tests-"))
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)

os.environ.setdefault("SECRET_KEY", "only-for-tests-" + "x" * 50)
os.environ["DATABASE_URL"] = os.environ.get("TEST_DATABASE_URL") or f"sqlite:///{FOLDER / 'unused.sqlite3'}"
os.environ["REDIS_URL"] = os.environ.get("TEST_REDIS_URL", "")
os.environ.setdefault("LOG_LEVEL", "WARNING")
# All tests come from one address.
os.environ.setdefault("STRANGERS_PER_MINUTE", "1000000")

from lexicon.settings import *  # noqa: E402, F403
from lexicon.settings import DATABASES  # noqa: E402

_default = DATABASES["default"]
ON_SQLITE = _default["ENGINE"].endswith("sqlite3")
_default["TEST"] = {"NAME": str(FOLDER / "test.sqlite3") if ON_SQLITE else f"test_lexicon_{os.getpid()}"}
if not ON_SQLITE:
    # The tests' own connections are closed one by one, so that the database can be dropped.
    del _default["OPTIONS"]["pool"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# A connection is opened afresh for each unit: a test may point the process at another database.
_default["CONN_MAX_AGE"] = 0
