"""How much do processes hold, in memory and in temporary files, and how much do those that they started?"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

_PAGE = os.sysconf("SC_PAGE_SIZE")


def resident(pid: int) -> int:
    """Bytes of memory (RSS); 0 where the process has ended."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    except (OSError, IndexError):
        return 0


def temporary_files(pids: Iterable[int], folder: str) -> int:
    """Bytes of the files in the folder that the processes have open: they are mostly without a name already."""
    sizes: dict[tuple[int, int], int] = {}
    for pid in pids:
        numbers = f"/proc/{pid}/fd"
        try:
            names = os.listdir(numbers)
        except OSError:
            continue
        for name in names:
            try:
                if os.readlink(f"{numbers}/{name}").startswith(folder):
                    told = os.stat(f"{numbers}/{name}")
                    sizes[told.st_dev, told.st_ino] = told.st_size
            except OSError:
                continue
    return sum(sizes.values())


def children_of(pids: Iterable[int]) -> set[int]:
    """All that these processes started, and those that they started, as far as they live."""
    found: set[int] = set()
    unseen = list(pids)
    while unseen:
        pid = unseen.pop()
        try:
            # Whichever thread started them.
            threads = os.listdir(f"/proc/{pid}/task")
        except OSError:
            continue
        for thread in threads:
            try:
                told = Path(f"/proc/{pid}/task/{thread}/children").read_text()
            except OSError:
                continue
            new = {int(child) for child in told.split()} - found
            found |= new
            unseen += new
    return found
