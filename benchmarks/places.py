"""Where is what the benchmarks start? Imported in Lexicon's environment and in the peers'."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
#: The Python of the environment that holds what Lexicon is measured against (`make bench` makes it).
PEERS_PYTHON = ROOT / ".venv-bench" / "bin" / "python"
