"""How does a reply reach the customer API, as Server-Sent Events?"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

from django.http import HttpRequest, HttpResponseBase, StreamingHttpResponse
from django.views.decorators.csrf import csrf_exempt

from chats.customer import conversation_history
from chats.posting import Draft, Posted, post_message, read_draft
from lexicon.answers import error_of, error_response
from lexicon.database import in_thread
from lexicon.errors import METHOD_NOT_ALLOWED, UNSUPPORTED_MEDIA_TYPE, ApiError
from lexicon.payload import read_object
from streaming import wire
from streaming.engine import Engine, engine
from streaming.reading import Finished, read_aloud
from tenants.middleware import caller
from tenants.models import ApiKey

#: Seconds between two writes: the seeds' client parses each read by itself, so events must not run together.
_APART = 0.002


@csrf_exempt
async def conversation_messages(request: HttpRequest, conversation_id: str) -> HttpResponseBase:
    """POST a message and stream its reply, or GET the history."""
    try:
        if request.method == "POST":
            return await _post(request, conversation_id)
        if request.method in ("GET", "HEAD"):
            return await in_thread(conversation_history, caller(request), conversation_id)
        caller(request)
        raise ApiError(METHOD_NOT_ALLOWED, f"The method {request.method} is not allowed here")
    except Exception as exception:
        response = error_response(request, error_of(exception))
        if response.status_code == 405:
            response["Allow"] = "GET, POST, HEAD"
        return response


async def _post(request: HttpRequest, conversation_id: str) -> StreamingHttpResponse:
    key = caller(request)
    if request.content_type != "application/json":
        raise ApiError(UNSUPPORTED_MEDIA_TYPE)
    draft = read_draft(read_object(request.body).get("message"), None, None, name="message")
    own = engine()
    posted = await in_thread(_save, key, conversation_id, draft, own)
    own.run(posted.reply)
    headers = {
        "Cache-Control": "no-cache, no-transform",
        "X-Accel-Buffering": "no",
        "X-Message-Id": str(posted.message.id),
    }
    if posted.reply is not None:
        headers["X-Stream-Id"] = f"{posted.reply.id}:{posted.reply.epoch}"
    return StreamingHttpResponse(_paced(_events(own, posted)), content_type="text/event-stream", headers=headers)


def _save(key: ApiKey, conversation_id: str, draft: Draft, own: Engine) -> Posted:
    return post_message(
        tenant=key.tenant,
        chat_id=conversation_id,
        user=None,
        draft=draft,
        process_id=own.claims_for,
        conversations_only=True,
    )


async def _events(own: Engine, posted: Posted) -> AsyncGenerator[bytes, None]:
    """The events of a POST: those of its own reply, numbered from 1."""
    number = 1
    finished = Finished(escalated=True)
    if posted.reply is not None:
        async with aclosing(read_aloud(own.hub, posted.reply)) as reading:
            async for item in reading:
                if isinstance(item, str):
                    yield wire.sse_delta(number, item)
                    number += 1
                elif isinstance(item, Finished):
                    finished = item
                else:
                    yield wire.SSE_PING
    if finished.escalated:
        yield wire.sse_escalated(number)
        number += 1
    if finished.problem is not None:
        yield wire.sse_error(number, finished.problem)
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
