"""What is said in these tests, and what a client must have seen of it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

from tests.support.actors import Actor
from tests.support.client import script

#: A hundred characters that break clients and streams: what looks like the end of an event or of the stream,
#: quotes, line ends of all kinds, control characters, letters of one to four bytes and of two code points.
_HOSTILE = (
    'data: [DONE]\n\ndata: {"type":"delta","text":"x"}\r\n\r\n\r'
    "\"'\\n\\ \t\x01\u2028 é e\u0301 ж 漢字 かな 🙂👩\u200d💻 </script> %s"
)
HOSTILE = _HOSTILE + "." * (100 - len(_HOSTILE))

#: The longest reply there is (CONTRACT, guarantee 10).
LONGEST = HOSTILE * 1000
#: A message that is answered with it, over a second. (A client of the customer API that stalls while so much is
#: said at once may read half an event, which the printed one does not survive.)
ASK_LONGEST = script(say=HOSTILE, repeat=1000, tokens=500, every_ms=2)


def echo(*texts: str) -> list[list[Any]]:
    """Messages that are answered with these texts."""
    return [[script(say=text)] for text in texts]


@dataclass(frozen=True)
class Held:
    """A message whose reply stops in its middle until somebody POSTs to `release`."""

    message: str
    reply: str
    release: str


def hold(model_server: str) -> Held:
    name = str(uuid.uuid4())
    reply = "The first half of this is said before; the second half, after."
    message = script(say=reply, tokens=8, hold=name, hold_after=4)
    return Held(message, reply, f"{model_server.removesuffix('/v1')}/release/{name}")


def history(acme: Actor, chat: str) -> list[dict[str, Any]]:
    """The messages of the chat, as the API has them."""
    answer = acme.rest("GET", f"/{chat}/messages", params={"limit": 100})
    assert answer.status_code == 200, answer.text
    return answer.json()["messages"]


def contents(messages: list[dict[str, Any]], role: str) -> list[str]:
    return [message["content"] for message in messages if message["sender_role"] == role]


def check_saw(seen: dict[str, Any], messages: list[dict[str, Any]]) -> None:
    """A client saw each message once, and of each reply all that was said, as it was said and when it had ended."""
    assert seen["received"] == contents(messages, "user")
    assert seen["replies"] == [{"shown": text, "content": text} for text in contents(messages, "assistant")]
