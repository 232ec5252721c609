"""A server that may open few files: `python -m tests.hostile.limited 200` is `ulimit -n 200` and then the server."""

from __future__ import annotations

import resource
import sys

if __name__ == "__main__":
    most = int(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    from lexicon import serve

    sys.exit(serve.main([]))
