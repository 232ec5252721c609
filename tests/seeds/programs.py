"""How does code that a document prints become a program that runs?

The files under `printed/` hold it as it is printed, with the indentation that some documents lost; each
says which section it is from. Only here, and only what each caller names, is anything replaced: usage
lines are cut off, and host, key and ids put in.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent

#: Seconds a driver may take: a deadline for one that waits in vain.
SECONDS = 60


def printed(name: str, replaced: dict[str, str] | None = None, *, usage: str | None = None) -> str:
    """The printed code, cut off before the line `usage`; all of `replaced` stands in it and is replaced."""
    code = (HERE / "printed" / name).read_text(encoding="utf-8")
    if usage is not None:
        code, found, _ = code.partition(f"\n{usage}\n")
        assert found, f"no line {usage!r} in {name}"
        code += "\n"
    for old, new in (replaced or {}).items():
        assert old in code, f"no {old!r} in {name}"
        code = code.replace(old, new)
    return code


def driver(name: str) -> str:
    return (HERE / "drivers" / name).read_text(encoding="utf-8")


def run(*command: str | Path, told: dict[str, Any] | None = None, **env: str) -> str:
    """What the program prints; it must end well. `told` is given to it as JSON."""
    arguments = [*command, json.dumps(told)] if told is not None else [*command]
    try:
        ended = subprocess.run(arguments, env={**os.environ, **env}, capture_output=True, timeout=SECONDS)
    except subprocess.TimeoutExpired as waited:
        raise AssertionError(
            f"the client still waits after {SECONDS} s\n{waited.stdout!r}\n{waited.stderr!r}"
        ) from None
    # Not read as text: that would turn each CRLF into LF.
    said, errors = ended.stdout.decode(), ended.stderr.decode(errors="replace")
    assert ended.returncode == 0, f"the client ended with {ended.returncode}\n{said}\n{errors}"
    return said


@dataclass(frozen=True)
class Programs:
    """Runs programs in a folder of the test's own."""

    folder: Path

    def node(self, program: str, **told: Any) -> Any:
        """What a JavaScript program reports. It may import what is in `modules/`, and `ws` where there is one."""
        path = self.folder / "program.mjs"
        path.write_text(program, encoding="utf-8")
        return json.loads(run("node", path, told=told))

    def python(self, module: str, code: str, **told: Any) -> Any:
        """What the driver of a printed Python module reports."""
        (self.folder / f"{module}.py").write_text(code, encoding="utf-8")
        path = HERE / "drivers" / f"drive_{module}.py"
        return json.loads(run(sys.executable, path, told=told, PYTHONPATH=str(self.folder)))

    def shell(self, command: str, **env: str) -> str:
        """What a shell command prints."""
        return run("sh", "-c", command, **env)
