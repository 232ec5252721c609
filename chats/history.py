"""What does an agent get to know of a chat?"""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from django.conf import settings

from agents import knowledge
from agents.builtin import search_question
from agents.contract import Limits, Policy, Request, Turn
from agents.embeddings import Vector
from chats.models import Message, Reply

#: Messages of a chat that are looked at, newest first, and most characters of them that an agent gets.
LATEST = 60
MOST_CHARACTERS = 100_000


@dataclass(frozen=True, slots=True)
class Prepared:
    """A question as its agent gets it, and what its tenant's policy says."""

    model: str
    request: Request
    reply_max_characters: int


def read_search(*, tenant_id: uuid.UUID, reply_id: uuid.UUID) -> str:
    """What is searched for to answer; "" where the reply is gone."""
    reply = Reply.objects.for_tenant(tenant_id).select_related("question").filter(id=reply_id).first()
    return search_question(reply.question.content, _turns(reply.question)) if reply else ""


def prepare(*, tenant_id: uuid.UUID, reply_id: uuid.UUID, vector: Vector | None = None) -> Prepared | None:
    """What the reply answers; None where it is gone. `vector` is that of what is searched for."""
    replies = Reply.objects.for_tenant(tenant_id).select_related("question", "tenant")
    reply = replies.filter(id=reply_id).first()
    if reply is None:
        return None
    tenant = reply.tenant
    history = _turns(reply.question)
    question = reply.question.content
    return Prepared(
        model=tenant.model or settings.AGENT_MODEL,
        request=Request(
            question=question,
            instructions=tenant.instructions,
            history=history,
            passages=tuple(
                knowledge.search(tenant_id=tenant_id, question=search_question(question, history), vector=vector)
            ),
            limits=Limits(history_tokens=tenant.history_max_tokens, output_tokens=tenant.reply_max_tokens),
            policy=Policy(
                answer_threshold=tenant.answer_threshold,
                escalation_keywords=tuple(tenant.escalation_keywords),
                escalation_after=tenant.escalation_after,
            ),
        ),
        reply_max_characters=tenant.reply_max_characters,
    )


def _turns(question: Message) -> tuple[Turn, ...]:
    """What was asked before the question, each with its answer. Empty replies are left out.

    A message sent while a reply streams is numbered before that reply, so sequence alone would not
    put an answer after its question.
    """
    messages = Message.objects.for_tenant(question.tenant_id).filter(chat_id=question.chat_id)
    latest = list(messages.order_by("-sequence")[:LATEST])[::-1]
    answers = {message.reply_to_id: message for message in latest if message.reply_to_id}
    turns = []
    for message in latest:
        if message.sequence >= question.sequence or message.reply_to_id:
            continue
        turns.append(Turn("user" if message.role == Message.Role.USER else "assistant", message.content))
        if (answer := answers.get(message.id)) and answer.content:
            turns.append(Turn("assistant", answer.content))
    return _newest(turns)


def _newest(turns: list[Turn]) -> tuple[Turn, ...]:
    """As many of the last turns as there is room for."""
    room = MOST_CHARACTERS
    first = len(turns)
    while first and room >= len(turns[first - 1].content):
        first -= 1
        room -= len(turns[first].content)
    return tuple(turns[first:])
