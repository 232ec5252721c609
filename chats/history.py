"""What does an agent get to know of a chat?"""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from django.conf import settings

from agents import budget, knowledge
from agents.builtin import search_question
from agents.catalog import Own
from agents.contract import Limits, Policy, Request, Turn
from chats.models import Message, Reply

#: Messages of a chat that are looked at, newest first.
LATEST = 60


@dataclass(frozen=True, slots=True)
class Prepared:
    """A question as its agent gets it, and what its tenant's policy says."""

    tenant_id: uuid.UUID
    model: str
    #: What the tenant brings of its own: an address, a key.
    own: Own
    request: Request
    reply_max_characters: int


def prepare(*, tenant_id: uuid.UUID, reply_id: uuid.UUID) -> Prepared | None:
    """What the reply answers; None where it is gone."""
    replies = Reply.objects.for_tenant(tenant_id).select_related("question", "tenant")
    reply = replies.filter(id=reply_id).first()
    if reply is None:
        return None
    tenant = reply.tenant
    history = _turns(reply.question)
    question = reply.question.content
    return Prepared(
        tenant_id=tenant_id,
        model=tenant.model or settings.AGENT_MODEL,
        own=Own(base_url=tenant.model_base_url, api_key=tenant.model_api_key),
        request=Request(
            question=question,
            instructions=tenant.instructions,
            history=budget.newest(history, tenant.history_max_tokens),
            passages=tuple(knowledge.search(tenant_id=tenant_id, question=search_question(question, history))),
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
    return tuple(turns)
