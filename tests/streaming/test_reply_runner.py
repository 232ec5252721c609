"""The owner of a reply stores an end for it, whatever happens."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from chats.models import Reply
from chats.replies.ending import Ended, Outcome
from streaming import reply_runner
from streaming.reply_runner import ReplyRunner
from streaming.reply_text import ReplyText


class Leased:
    """A lease that never runs out."""

    lapses = 1

    def holds(self) -> bool:
        return True


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> list[Outcome]:
    """The ends the runner tries to store; the database refuses the first one for what it says."""
    tried: list[Outcome] = []

    def end_reply(*, outcome: Outcome, **_: Any) -> Ended:
        tried.append(outcome)
        if len(tried) == 1:
            raise ValueError("A string literal cannot contain NUL (0x00) characters.")
        return Ended(is_owned=True, status="active")

    monkeypatch.setattr(reply_runner, "end_reply", end_reply)
    return tried


async def test_a_reply_that_can_not_be_stored_ends_as_failed_with_nothing_said(
    ends: list[Outcome], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    reply = Reply(tenant_id=uuid.uuid4(), chat_id=uuid.uuid4(), state=Reply.State.RUNNING)
    live = ReplyText(reply.id, reply.chat_id, 1)
    owner = ReplyRunner(
        reply=reply,
        process_id=uuid.uuid4(),
        lease=Leased(),  # type: ignore[arg-type]
        live=live,
        said=lambda live: None,
        claims_for=lambda: None,
    )
    spoken = Outcome(Reply.State.DONE, "a\0b", {"model": "m", "tokens_used": 3}, cost=3)

    async def speak() -> Outcome:
        return spoken

    monkeypatch.setattr(owner, "_find_outcome", speak)
    assert await owner.run() is None
    refused, stored = ends
    assert refused is spoken
    assert (stored.state, stored.content, stored.cost) == (Reply.State.FAILED, "", 0)
    assert stored.metadata == {"model": "m", "tokens_used": 0, "failed": True}
    assert live.closed
    assert "can not be stored" in caplog.text
