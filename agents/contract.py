"""What does an agent get, and what may it answer?

A backend is one file that implements `Agent` and one line in `agents/catalog.py`. Backends know
nothing of Django: what they need is in the request or was given to their constructor.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from knowledge.excerpts import Passage

#: Seconds within which nobody sees one word come after another. An agent whose words come faster gives them together.
PACE = 0.020


@dataclass(frozen=True, slots=True)
class Turn:
    """Something said earlier in the chat."""

    role: Literal["user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Tool:
    """Something a model may ask for while it writes a reply."""

    name: str
    #: What it is for, in words for the model.
    description: str
    #: JSON Schema of its arguments, an object.
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A model asks for a tool. `arguments` is the JSON text as the model wrote it: nobody has checked it."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Exchange:
    """A round of tools within the reply that is being written: what the model said, asked for, and was given."""

    said: str
    calls: tuple[ToolCall, ...]
    #: What each call gave, in the order of the calls.
    results: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a model may be told and may write, in tokens, and how long it may take."""

    #: Of the history, the oldest of which is left out; instructions, passages and question always fit.
    history_tokens: int = 16_000
    #: Of one reply; None for as many as the model writes by itself.
    output_tokens: int | None = None
    #: How long the reply may take from now on; None for as long as its backend allows.
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """When the tenant wants its agent to give up, and what is said then."""

    #: Passages that score less (0 to 1) are no answer.
    answer_threshold: float = 0.3
    #: A user who says one of these words or phrases wants a person.
    escalation_keywords: tuple[str, ...] = ()
    #: So many replies without an answer, one after the other, and a person takes over; 0 for never.
    escalation_after: int = 3
    #: What is said besides, when a person should take over and nobody is there; "" for nothing, and where somebody is.
    away_message: str = ""


@dataclass(frozen=True, slots=True)
class Request:
    """One question, and all an agent may know when it answers.

    `history` holds the earlier turns of this chat, oldest first, each question followed by its reply;
    `unanswered` is how many replies right before this question failed or held no answer.
    """

    question: str
    instructions: str = ""
    history: tuple[Turn, ...] = ()
    passages: tuple[Passage, ...] = ()
    tools: tuple[Tool, ...] = ()
    #: The rounds of tools that this reply has been through, the first first.
    exchanges: tuple[Exchange, ...] = ()
    limits: Limits = Limits()
    policy: Policy = Policy()
    unanswered: int = 0
    #: Stands in the frame of the instructions and nowhere else, so that who says it gives them away; "" for none.
    canary: str = ""


@dataclass(frozen=True, slots=True)
class Text:
    """The next words of the reply; white space counts, nothing is added between two of them."""

    text: str


@dataclass(frozen=True, slots=True)
class Source:
    """An article that the reply is drawn from; `metadata.sources` names it to the user."""

    article_id: str
    title: str
    url: str = ""


@dataclass(frozen=True, slots=True)
class Usage:
    """What the model reports to have read and written so far, in tokens; the last one counts."""

    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class Escalate:
    """A person should take over once this reply has ended. `reason` is for staff, not for the user."""

    reason: str


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """The reply says that the agent does not know; `metadata.answered` is false then."""


@dataclass(frozen=True, slots=True)
class End:
    """Why the model stopped: "stop", "length" or "content_filter". Nothing may follow."""

    finish_reason: str = "stop"


Event = Text | Source | ToolCall | Usage | Escalate | NoAnswer | End


class AgentFailure(Exception):
    """The model failed. The message is for the log: no key, no address with credentials, no text of the chat.

    `reason` is what it counts as: "connection", "timeout", "status", "stream" or "silent".
    """

    def __init__(self, message: str, *, reason: str = "stream") -> None:
        super().__init__(message)
        self.reason = reason


class Agent(Protocol):
    """Somebody who writes replies."""

    #: What `metadata.model` of its replies says.
    model: str
    #: Whether a model writes them: it may ask for tools, and its instructions may leak.
    is_model: bool

    def reply(self, request: Request) -> AsyncGenerator[Event, None]:
        """The events of one reply, as they come. A generator that ends without `End` has ended with "stop".

        Closing the generator stops the work behind it at once.
        Raises AgentFailure (or anything else) where no whole reply can be given.
        """
        ...

    def estimate(self, request: Request, said: str) -> Usage:
        """What a reply is charged for that was stopped, or whose model reports no usage: `said` of it was written."""
        ...
