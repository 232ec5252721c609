"""Does the server speak RFC 6455 as Autobahn's test suite has it? `make autobahn`.

Autobahn's fuzzing client speaks to an application that sends back what it is sent, through the protocol classes that
serve Lexicon. Cases 9, 12 and 13 are left out: they are about speed and compression, which is not offered. The suite
runs on Python 2.7 alone; without one, this says so and ends with exit code 3.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from tests.support.servers import ROOT, free_port

#: The suite's own virtualenv.
FOLDER = ROOT / ".venv-autobahn"
#: The last versions for Python 2.7.
VIRTUALENV, SUITE = "virtualenv==20.15.1", "autobahntestsuite==25.10.1"
MISSING = 3
#: For all of it. It takes about a quarter of a minute.
SECONDS = 600


def main() -> int:
    """Run the suite: 0 where no case failed, 1 where some did, 3 where it can not be run."""
    python = find_python()
    if python is None:
        sys.stderr.write(
            "Autobahn's test suite needs Python 2.7 with pip, and there is none: neither python2.7 on PATH nor one of "
            "pyenv's. `pyenv install 2.7.18` makes one.\n"
        )
        return MISSING
    try:
        wstest = install(python)
    except subprocess.CalledProcessError as error:
        sys.stderr.write(f"Autobahn's test suite could not be installed:\n{error.stdout}{error.stderr}\n")
        return MISSING
    with tempfile.TemporaryDirectory(prefix="lexicon-autobahn-") as folder:
        results = run(wstest, Path(folder))
    return report(results)


def find_python() -> str | None:
    """A Python 2.7 that has pip."""
    on_path = shutil.which("python2.7")
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for candidate in [on_path, *sorted(map(str, versions.glob("2.7*/bin/python2.7")))]:
        # A shim of pyenv's is there for versions that are not chosen, too.
        if candidate and subprocess.run([candidate, "-m", "pip", "--version"], capture_output=True).returncode == 0:
            return candidate
    return None


def install(python: str) -> Path:
    """The suite's program, installed at first use. Raises CalledProcessError."""
    program = FOLDER / "env" / "bin" / "wstest"
    if not program.exists():
        shutil.rmtree(FOLDER, ignore_errors=True)
        boot = FOLDER / "boot"
        quiet: dict[str, Any] = {"check": True, "capture_output": True, "text": True}
        subprocess.run([python, "-m", "pip", "install", "--target", str(boot), VIRTUALENV], **quiet)
        environment = {**os.environ, "PYTHONPATH": str(boot)}
        subprocess.run([python, "-m", "virtualenv", str(FOLDER / "env")], env=environment, **quiet)
        subprocess.run([str(FOLDER / "env" / "bin" / "pip"), "install", SUITE], **quiet)
    return program


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """An application that sends every message back."""
    while True:
        message = await receive()
        if message["type"] == "websocket.connect":
            await send({"type": "websocket.accept"})
        elif message["type"] == "websocket.receive":
            await send({**message, "type": "websocket.send"})
        else:
            return


def serve(port: int) -> Any:
    """Serve the application as lexicon/serve.py serves Lexicon, in a thread: the server."""
    os.environ.setdefault("LOG_LEVEL", "WARNING")
    os.environ.setdefault("SECRET_KEY", "only-for-autobahn-" + "x" * 40)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lexicon.settings")
    import django

    django.setup()
    import uvicorn

    from lexicon.serve import _config

    config = _config()
    config.app, config.port, config.lifespan, config.proxy_headers = echo, port, "off", False  # type: ignore[assignment]
    server = uvicorn.Server(config)
    threading.Thread(target=server.run, daemon=True).start()
    until = time.monotonic() + 60
    while not server.started:
        assert time.monotonic() < until, "the server does not start"
        time.sleep(0.05)
    return server


def run(wstest: Path, folder: Path) -> dict[str, dict[str, str]]:
    """What became of each case."""
    port = free_port()
    server = serve(port)
    specification = {
        "outdir": str(folder / "reports"),
        "servers": [{"agent": "lexicon", "url": f"ws://127.0.0.1:{port}"}],
        "cases": ["*"],
        "exclude-cases": ["9.*", "12.*", "13.*"],
        "exclude-agent-cases": {},
    }
    (folder / "spec.json").write_text(json.dumps(specification))
    command = [str(wstest), "-m", "fuzzingclient", "-s", str(folder / "spec.json")]
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, timeout=SECONDS)
    server.should_exit = True
    return json.loads((folder / "reports" / "index.json").read_text())["lexicon"]


def report(results: dict[str, dict[str, str]]) -> int:
    """Print it; the exit code."""
    counts: dict[str, int] = {}
    failed = []
    for case, result in results.items():
        counts[result["behavior"]] = counts.get(result["behavior"], 0) + 1
        if "FAILED" in (result["behavior"], result["behaviorClose"]) or result["behaviorClose"] == "WRONG CODE":
            failed.append(f"{case}: {result['behavior']}, close {result['behaviorClose']}")
    print(f"{len(results)} cases: " + ", ".join(f"{count} {name}" for name, count in sorted(counts.items())))
    print("\n".join(failed) or "none failed")
    return 1 if failed or not results else 0


if __name__ == "__main__":
    sys.exit(main())
