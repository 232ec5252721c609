"""What does a server process cost?"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def cpu_seconds(pid: int) -> float:
    """User and system time a process has used: all of its threads, and its children."""
    used = 0
    family = {pid}
    # Children have higher numbers than their parents, unless the numbers have begun again.
    for other, fields in sorted(_processes()):
        if other in family or int(fields[1]) in family:
            family.add(other)
            # utime, stime, and those of children that have ended: proc(5).
            used += sum(map(int, fields[11:15]))
    return used / _TICKS


def _processes() -> Iterator[tuple[int, list[str]]]:
    """Every process of this machine, with what its stat says after its name."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            with suppress(FileNotFoundError, ProcessLookupError):
                yield int(folder.name), (folder / "stat").read_text().rpartition(")")[2].split()


def resident_bytes(pid: int) -> int:
    """Memory a process holds."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
