"""What does an agent get to know of a chat?"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.conf import settings

from agents import budget
from agents.builtin.dialogue_state import search_question
from agents.catalog import ModelCredentials
from agents.contract import Limits, Policy, Request, Turn
from chats.models import Message, Reply
from chats.staff_presence import is_somebody_there
from core.db.statements import Param, Select
from knowledge import embeddings, retrieval

#: Messages of a chat that are looked at, newest first.
LATEST = 60

_REPLY = Select(
    lambda: (
        Reply.objects.for_tenant(Param("tenant_id")).filter(id=Param("reply_id")).select_related("question", "tenant")
    )
)
_LATEST: Select[Any] = Select(
    lambda: (
        Message.objects.for_tenant(Param("tenant_id"))
        .filter(chat_id=Param("chat_id"))
        .order_by("-sequence")
        .values_list("id", "sequence", "role", "content", "metadata", "reply_to_id")[:LATEST]
    )
)


class EarlierMessage(NamedTuple):
    """What counts of a message that was said before."""

    id: uuid.UUID
    sequence: int
    role: str
    content: str
    metadata: dict[str, Any]
    reply_to_id: uuid.UUID | None


@dataclass(frozen=True, slots=True)
class AgentContext:
    """A question as its agent gets it, and what its tenant's policy says."""

    tenant_id: uuid.UUID
    model: str
    #: What the tenant brings of its own: an address, a key.
    own: ModelCredentials
    request: Request
    reply_max_characters: int
    #: What is still to be searched for, because its vector is asked for first; "" where that is done.
    search: str = ""


def build_context(*, tenant_id: uuid.UUID, reply_id: uuid.UUID) -> AgentContext | None:
    """What the reply answers; None where it is gone."""
    reply = _REPLY.first(tenant_id=tenant_id, reply_id=reply_id)
    return None if reply is None else _context_of(reply)


def build_context_of(reply: Reply) -> AgentContext | None:
    """As `build_context`, but what the reply's object has of its question and tenant is not read again."""
    if Reply.question.is_cached(reply) and Reply.tenant.is_cached(reply):
        return _context_of(reply)
    return build_context(tenant_id=reply.tenant_id, reply_id=reply.id)


def _context_of(reply: Reply) -> AgentContext:
    tenant = reply.tenant
    tenant_id = tenant.id
    latest = read_latest(reply.question)
    history = _turns(reply.question, latest)
    question = reply.question.content
    search = search_question(question, history)
    return AgentContext(
        tenant_id=tenant_id,
        model=tenant.model or settings.AGENT_MODEL,
        own=ModelCredentials(base_url=tenant.model_base_url, api_key=tenant.model_api_key),
        request=Request(
            question=question,
            instructions=tenant.instructions,
            history=budget.newest(history, tenant.history_max_tokens),
            passages=() if embeddings.is_on() else tuple(retrieval.search(tenant_id=tenant_id, question=search)),
            limits=Limits(history_tokens=tenant.history_max_tokens, output_tokens=tenant.reply_max_tokens),
            policy=Policy(
                answer_threshold=tenant.answer_threshold,
                escalation_keywords=tuple(tenant.escalation_keywords),
                escalation_after=tenant.escalation_after,
                away_message=tenant.away_message if tenant.away_message and not is_somebody_there() else "",
            ),
            unanswered=count_unanswered(latest),
        ),
        reply_max_characters=tenant.reply_max_characters,
        search=search if embeddings.is_on() else "",
    )


def read_latest(question: Message) -> list[EarlierMessage]:
    """The latest messages of the question's chat, oldest first."""
    rows = _LATEST.all(tenant_id=question.tenant_id, chat_id=question.chat_id)
    return [EarlierMessage(*row) for row in reversed(rows)]


def count_unanswered(latest: list[EarlierMessage]) -> int:
    """How many of the latest replies held no answer or failed, back to one that did neither.

    A person's reply ends the count, and so does one that handed the chat to a person: that is settled.
    """
    count = 0
    for message in reversed(latest):
        if message.role != Message.Role.ASSISTANT:
            continue
        metadata = message.metadata
        if metadata.get("escalated") or not (metadata.get("failed") or metadata.get("answered") is False):
            break
        count += 1
    return count


def _turns(question: Message, latest: list[EarlierMessage]) -> tuple[Turn, ...]:
    """What was asked before the question, each with its answer. Empty replies are left out.

    A message sent while a reply streams is numbered before that reply, so sequence alone would not
    put an answer after its question.
    """
    answers = {message.reply_to_id: message for message in latest if message.reply_to_id}
    turns = []
    for message in latest:
        if message.sequence >= question.sequence or message.reply_to_id:
            continue
        turns.append(Turn("user" if message.role == Message.Role.USER else "assistant", message.content))
        if (answer := answers.get(message.id)) and answer.content:
            turns.append(Turn("assistant", answer.content))
    return tuple(turns)
