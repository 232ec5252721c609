"""What must be true of each connection by itself, and of each response that streams?"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

from tests.campaign.history import Line

Add = Callable[[str, str], None]


def check_connections(lines: list[Line], messages: dict[str, dict[str, Any]], chats: dict[str, int], add: Add) -> None:
    """Hold what each connection and each response was sent against what is stored."""
    connections: dict[tuple[str, int], Connection] = {}
    responses: dict[str, list[Line]] = defaultdict(list)
    posted: dict[str, set[str]] = defaultdict(set)
    for line in lines:
        place = (line["client"], line["id"])
        if line["op"] == "connect" and line["phase"] == "invoke":
            connections[place] = Connection(f"{place[0]}, connection {place[1]}", line, messages, add)
            connections[place].sent_before = frozenset(posted[line["client"]])
        elif line["op"] == "see":
            connections[place].see(line["event"])
        elif line["op"] == "close":
            connections[place].is_open = False
        elif line["op"] == "finish":
            connections[place].finish(chats)
        elif line["op"] == "post" and line["phase"] == "invoke":
            posted[line["client"]].add(line["id"])
            for connection in connections.values():
                if connection.client == line["client"]:
                    connection.sent[line["id"]] += 1
        elif line["op"] == "sse" and line["phase"] == "ok":
            responses[line["id"]].append(line)
    for response in responses.values():
        _check_response(response, messages, add)


class Connection:
    """What one WebSocket was sent, read as its client would."""

    def __init__(self, name: str, opened: Line, messages: dict[str, dict[str, Any]], add: Add) -> None:
        self.client = opened["client"]
        self.chat = opened["chat"]
        self.is_open = True
        #: How often its client sent each message so far: a repeat is acknowledged again.
        self.sent: Counter[str] = Counter()
        #: What its client had sent on earlier ones.
        self.sent_before: frozenset[str] = frozenset()
        self._name = name
        self._after = opened["after"]
        self._messages = messages
        self._add = add
        self._last: int | None = opened["after"]
        self._told: set[int] = set()
        self._again: Counter[str] = Counter()
        self._said: dict[str, str] = {}
        self._speaking: str | None = None
        self._ended: set[str] = set()

    def add(self, kind: str, text: str) -> None:
        self._add(kind, f"{self._name}: {text}")

    def see(self, event: dict[str, Any]) -> None:
        kind = event["event_type"]
        if kind == "message_received":
            self._hear_message(event)
        elif kind.startswith("message_stream_"):
            self._hear_reply(kind, event)

    def finish(self, chats: dict[str, int]) -> None:
        """It waited to the end."""
        for message_id in self._said.keys() - self._ended:
            self.add("stream", f"the reply {message_id} began and did not end")
        last = chats.get(self.chat, 0)
        if self._after is not None or self._told:
            first = (self._after if self._after is not None else min(self._told) - 1) + 1
            if missing := set(range(first, last + 1)) - self._told:
                self.add("lost", f"{sorted(missing)} of {last} were not told")

    def _hear_message(self, event: dict[str, Any]) -> None:
        if "sequence" not in event:
            return
        mine = event.get("client_message_id", "")
        if self._is_repeat(event, mine):
            self._again[mine] += 1
        else:
            self._number(event)
        self._compare(event)

    def _is_repeat(self, event: dict[str, Any], mine: str) -> bool:
        """A repeat is acknowledged to who repeated it, wherever the chat stands by now."""
        if self._last is None:
            return mine in self.sent_before
        return event["sequence"] <= self._last and self._again[mine] < self.sent[mine]

    def _number(self, event: dict[str, Any]) -> None:
        sequence = event["sequence"]
        if sequence in self._told:
            self.add("duplicated", f"message {sequence} was told twice")
        elif self._last is not None and sequence != self._last + 1:
            self.add("order", f"{sequence} was told after {self._last}")
        self._told.add(sequence)
        self._last = max(sequence, self._last or 0)

    def _compare(self, event: dict[str, Any]) -> None:
        stored = self._messages.get(event["message_id"])
        if stored is None:
            return  # Lost, or its chat is deleted: the checker says which.
        if stored["sequence"] != event["sequence"]:
            self.add("order", f"{event['message_id']} was told as {event['sequence']}, stored as {stored['sequence']}")
        if stored["content"] != event["content"]:
            self.add("unexpected", f"{event['message_id']} was told as {event['content']!r:.80}")

    def _hear_reply(self, kind: str, event: dict[str, Any]) -> None:
        reply = event["message_id"]
        if self._speaking not in (None, reply):
            self.add("stream", f"{reply} is woven into {self._speaking}")
        if reply in self._ended:
            self.add("duplicated", f"the reply {reply} goes on after its end: {kind}")
            return
        if kind == "message_stream_started":
            self._speaking, self._said[reply] = reply, ""
            return
        if reply not in self._said:
            self.add("stream", f"the reply {reply} did not begin: {kind}")
            self._said[reply] = ""
        if kind == "message_stream_token":
            if event["offset"] != len(self._said[reply]):
                self.add("stream", f"{reply} goes on at {event['offset']} after {len(self._said[reply])} characters")
            self._said[reply] += event["token"]
            return
        self._speaking = None
        self._ended.add(reply)
        if self._said[reply] != event["content"]:
            self.add("stream", f"the tokens of {reply} are {self._said[reply]!r:.60}, its end {event['content']!r:.60}")
        if reply not in self._messages and self.chat in {row["chat_id"] for row in self._messages.values()}:
            self.add("lost", f"the reply {reply} was told to its end and is not stored")
        self._number(event)
        self._compare(event)


def _check_response(lines: list[Line], messages: dict[str, dict[str, Any]], add: Add) -> None:
    """Events go up by one to `[DONE]`; a whole reply that was read from its first event is the stored one."""
    name = f"response {lines[0]['id']}"
    text, number, problem = "", None, False
    for line in lines:
        data = line["data"]
        if number is not None and line["number"] != number + 1:
            add("stream", f"{name}: event {line['number']} follows {number}")
        number = line["number"]
        if data == "[DONE]":
            continue
        problem = problem or data["type"] == "error"
        text += data.get("text", "") if data["type"] == "delta" else ""
    stored = messages.get(lines[0]["stream"].partition(":")[0])
    whole = lines[-1]["data"] == "[DONE]" and not problem and lines[0]["number"] in (0, 1)
    if whole and stored is not None and text != stored["content"]:
        add("stream", f"{name}: told {text!r:.60}, stored {stored['content']!r:.60}")
