"""A replica whose WebSockets are pinged every second: `python -m lexicon.serve`, but for that.

What nginx does in an hour of silence is then seen in seconds.
"""

from __future__ import annotations

import runpy
from typing import Any

import uvicorn


class Config(uvicorn.Config):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{**options, "ws_ping_interval": 1.0})


if __name__ == "__main__":
    uvicorn.Config = Config  # type: ignore[misc]
    runpy.run_module("lexicon.serve", run_name="__main__")
