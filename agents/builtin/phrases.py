"""Which phrases does the built-in agent know in a language, and what does it say in it?

All of it is data: `phrases.toml` in the language's folder, whose head says how it is written.
`agents.builtin.intents` reads what is known, `agents.builtin.agent` says the rest.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Phrases:
    """What `phrases.toml` of one language holds."""

    #: Groups of phrases that phrases name, `{someone}`.
    lists: Mapping[str, list[str]]
    #: Groups of phrases by what they mean.
    known: Mapping[str, list[str]]
    #: What the agent says, by when.
    say: Mapping[str, str]


def read(language: str) -> Phrases:
    """The phrases of a language, by the name of its folder in `agents/builtin/words/`.

    Raises FileNotFoundError, or TypeError where a part is missing or is none of these.
    """
    path = Path(__file__).with_name("words") / language / "phrases.toml"
    return Phrases(**tomllib.loads(path.read_text(encoding="utf-8")))


ENGLISH = read("en")
SAY = ENGLISH.say
