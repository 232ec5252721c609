"""Why an agent gives a chat to a person, and what brings each about: for tests of what holds afterwards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from agents.builtin.phrases import SAY


@dataclass(frozen=True)
class Cause:
    """What a user says, of which the last message calls a person."""

    messages: tuple[str, ...]
    #: The tenant's policy.
    policy: dict[str, Any]
    #: How the reason begins that staff read.
    reason: str
    #: What the reply that hands over ends with; None where it failed, without a word.
    says: str | None = SAY["hand_over"]


BUILTIN = {"model": "builtin"}


def by_tool(script: Callable[..., str], model: str) -> Cause:
    """The model itself calls a person."""
    calls = [[["escalate_to_human", {"reason": "Wants a refund."}]]]
    message = script(say="A person will help.", calls=calls)
    return Cause((message,), {"model": model}, "Wants a refund.", says="A person will help.")


#: Each cause, as `script` tells a scripted model what to do.
CAUSES: dict[str, Callable[[Callable[..., str]], Cause]] = {
    "asking": lambda script: Cause(("I want to talk to a person, please.",), BUILTIN, "The user asked for a person."),
    "frustration": lambda script: Cause(("WTF", "You are useless"), BUILTIN, "The user has lost patience"),
    "anger": lambda script: Cause(("Fuck you",), BUILTIN, "The user is angry."),
    "asking the same": lambda script: Cause(("Zebras?", "zebras", "ZEBRAS?"), BUILTIN, "The user asked the same"),
    "no answer": lambda script: Cause(
        ("Zebras?", "Lions?", "Tigers?"), {**BUILTIN, "escalation_after": 3}, "3 replies in a row"
    ),
    "a model that fails": lambda script: Cause(
        (script(fail="http-500"), script(fail="http-500")),
        {"model": "openai:test", "escalation_after": 2},
        "2 replies in a row",
        says=None,
    ),
    "a model's tool, over chat completions": lambda script: by_tool(script, "openai:test"),
    "a model's tool, over Anthropic's Messages": lambda script: by_tool(script, "anthropic:test"),
    "a keyword": lambda script: Cause(
        (script(say="Never mind your LAWYER."),),
        {"model": "openai:test", "escalation_keywords": ["refund now", "lawyer"]},
        "The user said “lawyer”.",
    ),
}
