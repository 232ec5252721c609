"""Is the service what its OpenAPI document says, whatever a client makes of that document?

    python -m tests.hostile.schema [--seed N] [--examples N]

schemathesis reads the document and makes requests of it, good and bad: it holds every answer against the document,
leaves keys out, sends methods nobody listed, and asks for what one tenant made as another. All its checks are on;
schema_hooks.py has what it takes for a failure and is none. It runs in an environment of its own (`make` builds
.venv-hostile), against a server of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
PROGRAM = ROOT / ".venv-hostile" / "bin" / "schemathesis"
HOOKS = Path(__file__).with_name("schema_hooks.py")
#: Examples of each operation and phase: with these a run takes two to three minutes on two cores.
EXAMPLES = 100


def run(folder: Path, *, seed: int | None = None, examples: int = EXAMPLES, program: Path = PROGRAM) -> list[str]:
    """What schemathesis finds on a new server and database in `folder`, one text for each; none is good.

    What it said in full is in `folder`, too. Raises FileNotFoundError where schemathesis is not installed.
    """
    if not program.exists():
        raise FileNotFoundError(f"{program} is not there: `make hostile` installs it.")
    with _served(folder) as (base, actors):
        _write_settings(folder, actors, seed if seed is not None else secrets.randbelow(10**6), examples)
        report = folder / "report.json"
        done = subprocess.run(
            [
                *(str(program), "--config-file", str(folder / "schemathesis.toml"), "run", f"{base}/api/schema/"),
                *("--no-color", "--report", "json", "--report-json-path", str(report)),
            ],
            cwd=folder,
            # Loopback is asked directly, whatever proxy the machine has.
            env={**os.environ, "NO_PROXY": "127.0.0.1", "PYTHONPATH": ""},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    (folder / "schemathesis.txt").write_text(done.stdout)
    if not report.exists():
        return [f"schemathesis did not run: {done.stdout[-2000:]}"]
    return _findings(json.loads(report.read_text()), done.returncode)


def _findings(report: dict[str, Any], exit_code: int) -> list[str]:
    """What the report counts as a failure; where it tells of none, why it did not end well or not test everything."""
    found = [f"{failure['code']} {failure['title']}: {failure['operations']}" for failure in report["failures"]]
    counted = report["operations"]
    if not found and (exit_code or not counted["tested"] == counted["total"] > 0 or not report["complete"]):
        found.append(f"schemathesis ended with {exit_code}, having tested {counted['tested']} of {counted['total']}")
    return found


@contextmanager
def _served(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """A server on a new database, and two tenants of it that no limit holds back."""
    os.environ |= {
        "SECRET_KEY": "only-for-tests-" + "x" * 50,
        "DATABASE_URL": f"sqlite:///{folder / 'db.sqlite3'}",
        "REDIS_URL": "",
        "DJANGO_SETTINGS_MODULE": "lexicon.settings",
        "LOG_LEVEL": "WARNING",
    }
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)
    from tests.support.actors import new_actor
    from tests.support.servers import Server

    actors = {name: new_actor(name, model="builtin", message_limit=1_000_000) for name in ("acme", "globex")}
    server = Server(database_url=os.environ["DATABASE_URL"], log=folder / "server.log", STRANGERS_PER_MINUTE="0")
    try:
        yield server.start().http, actors
    finally:
        server.close()


def _write_settings(folder: Path, actors: dict[str, Any], seed: int, examples: int) -> None:
    """schemathesis.toml, and the two identities in the form of Web Fuzzing Commons."""
    identities = [
        {
            "name": name,
            "fixedHeaders": [
                {"name": "X-API-Key", "value": actor.tenant_key},
                {"name": "Authorization", "value": f"Bearer {actor.customer_key}"},
            ],
        }
        for name, actor in actors.items()
    ]
    keys = folder / "keys.json"
    keys.write_text(json.dumps({"schemaVersion": "0.3.0", "auth": identities}))
    lines = [
        f"seed = {seed}",
        "max-failures = 1000",
        "continue-on-failure = true",
        f"hooks = {json.dumps(str(HOOKS))}",
        f"[generation]\nmode = 'all'\nmax-examples = {examples}\ndatabase = 'none'",
        f"[auth.wfc]\npath = {json.dumps(str(keys))}\npeers = {json.dumps(list(actors))}",
    ]
    (folder / "schemathesis.toml").write_text("\n".join(lines) + "\n")


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile.schema", description="The document, and the server.")
    parser.add_argument("--seed", type=int, default=None, help="of what is made by chance")
    parser.add_argument("--examples", type=int, default=EXAMPLES, help="of each operation and phase")
    parser.add_argument("--program", type=Path, default=PROGRAM, help="where schemathesis is")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="lexicon-schema-"))
    findings = run(folder, seed=arguments.seed, examples=arguments.examples, program=arguments.program)
    if not findings:
        shutil.rmtree(folder)
        print("0 findings")
        return 0
    print("\n\n".join(findings))
    print(f"{len(findings)} findings; all that was said is in {folder}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
