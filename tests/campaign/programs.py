"""What does the campaign need that pip does not bring?"""

from __future__ import annotations

import os
import shutil

NEEDED = ("redis-server", "nginx")


def missing() -> list[str]:
    """Those of the programs that are not here."""
    path = os.environ["PATH"] + ":/usr/sbin"
    return [name for name in NEEDED if not shutil.which(name, path=path)]
