"""What does the Dockerfile say, and what does .dockerignore let into the image?"""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.support.servers import ROOT


@dataclass(frozen=True)
class Step:
    """One instruction: `Step("RUN", "python -m …")`."""

    name: str
    text: str

    @property
    def words(self) -> list[str]:
        """Its exec form; raises ValueError where it has none."""
        return json.loads(self.text[self.text.index("[") :])


def stages() -> list[list[Step]]:
    """The instructions of each stage, FROM first."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", " ", text).splitlines()
    steps = [Step(*line.split(maxsplit=1)) for line in lines if line.strip()]
    begins = [number for number, step in enumerate(steps) if step.name == "FROM"]
    return [steps[begin:end] for begin, end in zip(begins, [*begins[1:], None], strict=True)]


def environment(stage: list[Step]) -> dict[str, str]:
    """What the ENV instructions of a stage set."""
    return dict(word.split("=", 1) for step in stage if step.name == "ENV" for word in step.text.split())


def let_in(path: str) -> bool:
    """Whether .dockerignore lets the file into the image: the last pattern for it, or for a folder of it, decides."""
    allowed = True
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.strip()
        if not pattern or pattern.startswith("#"):
            continue
        regex = re.escape(pattern.removeprefix("!")).replace(r"\*\*/", "(?:.*/)?").replace(r"\*", "[^/]*")
        if re.match(f"{regex}(?:/|$)", path):
            allowed = pattern.startswith("!")
    return allowed


def _holds_something(folder: str) -> bool:
    """Whether the folder, or one in it, is let in: docker looks into one that is left out where a `!` names a part."""
    named = (line.strip() for line in (ROOT / ".dockerignore").read_text().splitlines())
    return let_in(folder) or any(pattern.startswith(f"!{folder}/") for pattern in named)


def copy_context(target: Path) -> None:
    """What `COPY . .` copies."""
    for folder, folders, files in os.walk(ROOT):
        here = Path(folder).relative_to(ROOT)
        folders[:] = [name for name in folders if _holds_something(str(here / name))]
        for name in files:
            if let_in(str(here / name)):
                (target / here).mkdir(parents=True, exist_ok=True)
                shutil.copy(Path(folder, name), target / here / name)
