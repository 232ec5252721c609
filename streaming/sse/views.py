"""How does a reply reach the customer API, as Server-Sent Events?"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from functools import wraps
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.views.decorators.csrf import csrf_exempt

from chats.chats import parse_id
from chats.customer import conversation_history
from chats.following import find_open_reply
from chats.idempotency import read_key
from chats.models import Reply
from chats.posting import Draft, Posted, post_message, read_draft
from core.db.executor import check_room, in_thread
from core.error_responses import error_of, error_response, method_not_allowed
from core.errors import IDEMPOTENCY_CONFLICT, UNSUPPORTED_MEDIA_TYPE, ApiError, invalid
from core.payload import read_object
from streaming import wire
from streaming.engine import Engine, engine
from streaming.sse.reply_following import Finished, follow_reply
from tenants.middleware import caller
from tenants.models import ApiKey

View = Callable[[HttpRequest, ApiKey, str], Awaitable[HttpResponseBase]]

#: Seconds between two writes: the seeds' client parses each read by itself, so events must not run together.
_APART = 0.002


def _for_customers(*methods: str) -> Callable[[View], Any]:
    """A view that nobody enters without a customer key, or by another method; what it raises is answered."""

    def frame(view: View) -> Any:
        @csrf_exempt
        @wraps(view)
        async def run(request: HttpRequest, conversation_id: str) -> HttpResponseBase:
            try:
                key = caller(request)
                if request.method not in methods:
                    return method_not_allowed(request, methods)
                return await view(request, key, conversation_id)
            except Exception as exception:
                return error_response(request, error_of(exception))

        return run

    return frame


@_for_customers("GET", "POST", "HEAD")
async def conversation_messages(request: HttpRequest, key: ApiKey, conversation_id: str) -> HttpResponseBase:
    """POST a message and stream its reply, or GET the history."""
    if request.method == "POST":
        return await _post(request, key, conversation_id)
    return await in_thread(conversation_history, key, conversation_id)


@_for_customers("GET")
async def conversation_stream(request: HttpRequest, key: ApiKey, conversation_id: str) -> HttpResponseBase:
    """The reply in flight, from its beginning or after the event that Last-Event-ID names; 204 where none is."""
    asked = _read_stream_id(request.GET.get("stream"))
    after = _read_event_id(request.headers.get("Last-Event-ID"))
    reply = await in_thread(
        find_open_reply,
        tenant_id=key.tenant_id,
        conversation_id=conversation_id,
        reply_id=asked[0] if asked else None,
    )
    if reply is None:
        return HttpResponse(status=204)
    # What its reader has of an older try is of no use: the new one is told from its beginning.
    restarted = asked is not None and asked[1] != reply.epoch
    return _stream(_events(engine(), reply, after=0 if restarted else after, restarted=restarted), reply)


def _read_stream_id(text: str | None) -> tuple[uuid.UUID, int] | None:
    """The reply and the epoch that an X-Stream-Id names."""
    if text is None:
        return None
    reply_id, _, epoch = text.partition(":")
    parsed = parse_id(reply_id)
    number = _read_number(epoch)
    if parsed is None or number is None:
        raise invalid(stream="must be an X-Stream-Id")
    return parsed, number


def _read_event_id(text: str | None) -> int:
    if text is None:
        return 0
    number = _read_number(text)
    if number is None:
        raise invalid(**{"Last-Event-ID": "must be the id of an event, an integer"})
    return number


def _read_number(text: str) -> int | None:
    # Python refuses to read an integer of thousands of digits; no number here has more than ten.
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 10 else None


async def _post(request: HttpRequest, key: ApiKey, conversation_id: str) -> StreamingHttpResponse:
    if request.content_type != "application/json":
        raise ApiError(UNSUPPORTED_MEDIA_TYPE)
    # A repeat of the same key follows the reply in flight, or is told the stored one.
    draft = read_draft(read_object(request.body).get("message"), None, read_key(request.headers), name="message")
    own = engine()
    check_room()
    posted = await in_thread(_save, key, conversation_id, draft, own)
    response = _stream(_events(own, posted.reply), posted.reply)
    response["X-Message-Id"] = str(posted.message.id)
    return response


def _stream(events: AsyncGenerator[bytes, None], reply: Reply | None) -> StreamingHttpResponse:
    headers = {"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"}
    if reply is not None:
        headers["X-Stream-Id"] = f"{reply.id}:{reply.epoch}"
    return StreamingHttpResponse(_paced(events), content_type="text/event-stream", headers=headers)


def _save(key: ApiKey, conversation_id: str, draft: Draft, own: Engine) -> Posted:
    posted = post_message(
        tenant=key.tenant,
        chat_id=conversation_id,
        user=None,
        draft=draft,
        process_id=own.claims_for,
        conversations_only=True,
        conflict=IDEMPOTENCY_CONFLICT,
    )
    if not posted.repeated:
        own.run_soon(posted.reply)
    return posted


async def _events(
    own: Engine, reply: Reply | None, *, after: int = 0, restarted: bool = False
) -> AsyncGenerator[bytes, None]:
    """The events of a reply after one of them; where no reply is owed, that a person answers.

    Event n is piece n - 1 of the try, then how it finished; `restarted` begins with the news of another try.
    """
    number = after + 1
    finished = Finished(escalated=True)
    if restarted:
        yield wire.sse_event(0, {"type": "restart"})
    if reply is not None:
        try:
            async with aclosing(follow_reply(own.hub, reply, first=after)) as reading:
                async for item in reading:
                    if isinstance(item, str):
                        yield wire.sse_delta(number, item)
                        number += 1
                    elif isinstance(item, Finished):
                        finished = item
                    else:
                        yield wire.SSE_PING
        except Exception as exception:
            # Whatever it is, a stream ends as every stream does.
            finished = Finished(error_of(exception).message)
    if finished.problem is not None:
        yield wire.sse_error(number, finished.problem)
        number += 1
    if finished.escalated:
        yield wire.sse_escalated(number)
        number += 1
    yield wire.sse_done(number)


async def _paced(events: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    """The same events, each a write of its own."""
    written = 0.0
    async with aclosing(events) as waiting:
        async for event in waiting:
            # A timer may fire a little early; a second look costs less than two events in one read.
            while (early := written + _APART - time.monotonic()) > 0:  # noqa: ASYNC110
                await asyncio.sleep(early)
            yield event
            written = time.monotonic()
