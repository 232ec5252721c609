"""What does an answer look like, for somebody who reads?

Each is held against its schema by a test.
"""

from __future__ import annotations

from typing import Any

CHAT_ID = "5f0c6c1e-7c1b-4b0e-9a57-3a2c6d1f8e10"
MESSAGE_ID = "0b8f7f0e-9d3a-4c64-8f0e-2f4f5d0a7c21"
REPLY_ID = "c2b7a1de-3f64-4e0b-8a9d-6d1e5b7f9032"
TENANT_ID = "9e107d9d-372b-4b6a-8f3c-1d2e3f4a5b6c"
AT = "2026-01-31T09:30:00.250000Z"
LATER = "2026-01-31T09:30:02.125000Z"
QUESTION = "What are your business hours?"
ANSWER = "We are open from 9 to 5."

CHAT: dict[str, Any] = {
    "id": CHAT_ID,
    "user_id": "alice",
    "tenant_id": TENANT_ID,
    "title": "Order 1042",
    "config": {"metadata": {"plan": "gold"}},
    "created_at": AT,
    "updated_at": AT,
    "last_message_at": None,
    "message_count": 0,
    "status": "active",
}
CHAT_PAGE: dict[str, Any] = {"chats": [CHAT], "total": 1, "offset": 0, "limit": 50, "has_more": False}
_MEDIA = {"media_type": None, "media_url": None}
MESSAGE: dict[str, Any] = {
    "id": MESSAGE_ID,
    "content": QUESTION,
    "sender_role": "user",
    **_MEDIA,
    "created_at": AT,
    "metadata": {},
    "sequence": 1,
    "user_id": "alice",
    "reply_to": None,
}
REPLY: dict[str, Any] = {
    "id": REPLY_ID,
    "content": ANSWER,
    "sender_role": "assistant",
    **_MEDIA,
    "created_at": LATER,
    "metadata": {"model": "builtin", "tokens_used": 13},
    "sequence": 2,
    "user_id": "alice",
    "reply_to": MESSAGE_ID,
}
RATED: dict[str, Any] = {**REPLY, "metadata": {**REPLY["metadata"], "rating": "up"}}
MESSAGE_PAGE: dict[str, Any] = {"messages": [MESSAGE, REPLY], "total": 2, "offset": 0, "limit": 50, "has_more": False}
DELETED = {"success": True, "message": f"Chat {CHAT_ID} was deleted", "deleted_at": AT}
TOKEN = {"token": "WyI5ZTEw…:1vlT2k:Zt3x…", "expires_at": "2026-01-31T10:30:00Z"}
TURNS = [
    {"role": "user", "content": QUESTION, "createdAt": AT},
    {"role": "assistant", "content": ANSWER, "createdAt": LATER},
]
STREAM = (
    'id: 1\ndata: {"type":"delta","text":"We are open "}\n\n'
    'id: 2\ndata: {"type":"delta","text":"from 9 to 5."}\n\n'
    "id: 3\ndata: [DONE]\n\n"
)
