"""`make bench`: what does it cost? Nothing here passes or fails; it prints (docs/benchmarks.md).

make bench                          # all of it
make bench ARGS="service 100 2"     # a part of it, with its own arguments
"""

from __future__ import annotations

import sys

from benchmarks import deltas, relay, service

PARTS = {"service": service.main, "relay": relay.main, "deltas": deltas.main}


def main(arguments: list[str]) -> None:
    """Print the figures of one part, or of every one."""
    if not arguments:
        for part in PARTS.values():
            part([])
    elif arguments[0] in PARTS:
        PARTS[arguments[0]](arguments[1:])
    else:
        sys.exit(f"There is no part {arguments[0]!r}. Use one of: {', '.join(PARTS)}.")


if __name__ == "__main__":
    main(sys.argv[1:])
