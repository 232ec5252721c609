"""In which ways does a model fail, and what of its reply was said by then? For tests of what each face tells of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

#: What the process of the fixture `impatient` opens its models with.
KEY = "sk-canary-of-the-key"
SAY = "one two three four"
#: How much of that is said by a model that fails in the middle.
HALF = "one two "


@dataclass(frozen=True)
class Failure:
    """One way of failing."""

    #: What the scripted model does.
    directives: dict[str, Any]
    #: What the log says of why.
    logged: str
    #: What of the reply was said.
    said: str = ""

    def message(self, script: Callable[..., str]) -> str:
        """The message that brings it about."""
        return script(**{"say": SAY, **self.directives})


#: As a process that is impatient meets them.
FAILURES = {
    "wrong key": Failure({"fail": "http-401"}, "status 401"),
    "no such model": Failure({"fail": "http-404"}, "status 404"),
    "too many requests": Failure({"fail": "http-429"}, "status 429"),
    "too many requests until later": Failure({"fail": "http-429", "retry_after": "3600"}, "status 429"),
    "a fault of the server": Failure({"fail": "http-500"}, "status 500"),
    "overload": Failure({"fail": "http-529"}, "status 529"),
    "a redirect": Failure({"fail": "redirect"}, "status 307"),
    "a page": Failure({"fail": "html"}, "text/html"),
    "an error with status 200": Failure({"fail": "json-error"}, "application/json"),
    "silence instead of an answer": Failure({"fail": "stall-headers"}, "silent for 1.5 s"),
    "silence before the first token": Failure({"fail": "stall-first"}, "silent for 1.5 s"),
    "silence in the middle": Failure({"fail": "stall-middle", "after": 2}, "silent for 1 s", said=HALF),
    "a cut in the middle": Failure({"fail": "cut", "after": 2}, "connection", said=HALF),
    "an end in the middle": Failure({"fail": "close", "after": 2}, "closed the connection", said=HALF),
    "no JSON": Failure({"fail": "not-json", "after": 2}, "not JSON", said=HALF),
    "JSON of something else": Failure({"fail": "not-completion", "after": 2}, "no part of a reply", said=HALF),
    "an error in the stream": Failure({"fail": "error-object", "after": 2}, "reported an error", said=HALF),
    "nothing at all": Failure({"fail": "empty"}, "without a word"),
    "no end": Failure({"finish": None, "done": False}, "closed the connection", said=SAY),
    "a trickle": Failure({"raw": list("data: {") * 100, "every_ms": 100}, "silent for 1.5 s"),
}
