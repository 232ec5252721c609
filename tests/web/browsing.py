"""How is a browser started that loads nothing but what it is told to?"""

from __future__ import annotations

ARGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)
#: A deadline, not a measure: for machines that do much else.
PATIENCE_MS = 60_000
