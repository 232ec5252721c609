"""Does what the clients saw fit what is stored? A pure function, in Jepsen's words.

`check(lines, stored)` takes the history (tests/campaign/history.py says what its lines hold) and what the database
holds of the tenants in the end (`Database.dump`), and answers the figures and every violation:

* **lost**: acknowledged and not stored; stored and not told to a connection that waited to the end, or not in time to
  one that stayed open; a message whose reply never ended.
* **duplicated**: one client_message_id stored twice, or acknowledged under two ids; a message told twice, a reply that
  stands, ends or is charged twice.
* **unexpected**: content that nobody sent, a reply that its question does not ask for, anything of another tenant.
* **order**: sequences are 1 to N without gaps, the same for everybody; each sender's messages in the order sent.
* **stream**: tokens joined by offset are what is stored; each reply that began on a connection ends there, once; none
  is woven into another.
* **money**: the ledger's sum is the balance; never below zero; nothing reserved that is not owed; no more accepted than
  the balance covers; the model asked as often as a reply was begun.

An operation of which nobody knew how it ended, and which did happen, is **recovered**: that is allowed. A reply on
which two owners fell silent within 60 seconds is **abandoned**, which is neither lost nor whole: `silenced` says of
which questions that is so, and no other reply may end like that.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

from tests.campaign.connections import check_connections
from tests.campaign.history import Line
from tests.support.model_server import read_script, tokens_of

Stored = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Violation:
    kind: str
    text: str


@dataclass
class Verdict:
    acknowledged: int = 0
    recovered: int = 0
    #: Replies that stand once, with the text their question asked for; and how many were owed.
    whole: int = 0
    owed: int = 0
    #: Replies that ended as failed because two of their owners fell silent one soon after the other.
    abandoned: int = 0
    violations: list[Violation] = field(default_factory=list)

    def count(self, kind: str) -> int:
        return sum(violation.kind == kind for violation in self.violations)

    def add(self, kind: str, text: str) -> None:
        self.violations.append(Violation(kind, text))


def scripted(content: str) -> str:
    """What the scripted model answers (tests/support/model_server.py)."""
    return "".join(tokens_of(read_script(content), "test", [{"content": content}]))


def check(
    lines: Iterable[Line],
    stored: Stored,
    *,
    answer: Callable[[str], str] = scripted,
    calls: dict[str, int] | None = None,
    silenced: Collection[str] = (),
) -> Verdict:
    """The verdict. `answer` says what a message is answered with, `calls` how often the model was asked each.

    `silenced`: the messages on whose replies two owners fell silent within 60 seconds.
    """
    return _Check(list(lines), stored, answer, calls, silenced).verdict


class _Check:
    def __init__(
        self,
        lines: list[Line],
        stored: Stored,
        answer: Callable[[str], str],
        calls: dict[str, int] | None,
        silenced: Collection[str],
    ) -> None:
        self.verdict = Verdict()
        self.add = self.verdict.add
        self.answer = answer
        self.calls = calls
        self.silenced = silenced
        self.stored = stored
        self.messages = {message["id"]: message for tenant in stored for message in tenant["messages"]}
        self.tenant_of = {chat: tenant["id"] for tenant in stored for chat in tenant["chats"]}
        self.tenant_of |= {message["id"]: tenant["id"] for tenant in stored for message in tenant["messages"]}
        self.deleted = {line["id"] for line in lines if line["op"] == "delete"}
        self.posts: dict[tuple[str, str, str], list[Line]] = defaultdict(list)
        users = {
            (line["client"], line["id"]): (line["chat"], line["user"])
            for line in lines
            if line["op"] == "post" and line["phase"] == "invoke"
        }
        for line in lines:
            if line["op"] == "post":
                chat, user = users[line["client"], line["id"]]
                self.posts[chat, user, line["id"]].append(line)
        self.check_posts()
        self.check_promptness(lines)
        self.check_stored()
        for tenant in stored:
            self.check_replies(tenant)
            self.check_money(tenant)
        self.check_tenants(lines)
        self.check_senders()
        chats = {chat: row["last_sequence"] for tenant in stored for chat, row in tenant["chats"].items()}
        check_connections(lines, self.messages, chats, self.add)

    # --- Messages ---

    def check_posts(self) -> None:
        rows = defaultdict(list)
        for message in self.messages.values():
            if message["client_message_id"] is not None:
                rows[message["chat_id"], message["user"], message["client_message_id"]].append(message["id"])
        for place, ids in rows.items():
            if len(ids) > 1:
                self.add("duplicated", f"{place[2]} is stored {len(ids)} times")
        for place, lines in self.posts.items():
            if place[0] in self.deleted:
                continue
            told = {line["message_id"] for line in lines if line["phase"] == "ok"}
            if len(told) > 1:
                self.add("duplicated", f"{place[2]} was acknowledged under {len(told)} ids")
            self.verdict.acknowledged += bool(told)
            for message_id in told - self.messages.keys():
                self.add("lost", f"{place[2]} was acknowledged as {message_id}, which is not stored")
            self.verdict.recovered += not told and bool(rows.get(place))

    def check_promptness(self, lines: list[Line]) -> None:
        for line in lines:
            if line["op"] == "await" and line["phase"] == "fail":
                self.add("lost", f"{line['client']} stayed open and was not told of {line['id']} in time")

    def check_stored(self) -> None:
        sent = {(chat, line["content"]) for (chat, *_), lines in self.posts.items() for line in lines[:1]}
        chats: dict[str, list[int]] = defaultdict(list)
        for message in self.messages.values():
            chats[message["chat_id"]].append(message["sequence"])
            if message["role"] == "user" and (message["chat_id"], message["content"]) not in sent:
                self.add("unexpected", f"{message['content']!r:.80} was never sent")
        for tenant in self.stored:
            for chat, row in tenant["chats"].items():
                sequences = sorted(chats[chat])
                if sequences != list(range(1, row["last_sequence"] + 1)):
                    self.add("order", f"chat {chat} has the sequences {sequences}, not 1 to {row['last_sequence']}")

    def check_senders(self) -> None:
        """Of each client whose messages all were accepted at once: in the order sent."""
        senders: dict[tuple[str, str], list[int]] = defaultdict(list)
        for (chat, _, _), lines in self.posts.items():
            known = {line["message_id"] for line in lines if line["phase"] == "ok"} & self.messages.keys()
            plain = [line["phase"] for line in lines] == ["invoke", "ok"] and len(known) == 1
            senders[lines[0]["client"], chat].append(self.messages[known.pop()]["sequence"] if plain else 0)
        for (client, chat), sequences in senders.items():
            if 0 not in sequences and sequences != sorted(sequences):
                self.add("order", f"{client} sent to {chat} in another order than is stored: {sequences}")

    # --- Replies ---

    def check_replies(self, tenant: dict[str, Any]) -> None:
        answers = Counter(message["reply_to_id"] for message in tenant["messages"] if message["role"] == "assistant")
        for question, count in answers.items():
            if count > 1:
                self.add("duplicated", f"{question} was answered {count} times")
        for reply in tenant["replies"]:
            if reply["state"] == "dropped":
                continue
            self.verdict.owed += 1
            question, message = self.messages.get(reply["question"]), self.messages.get(reply["id"])
            if message is None or question is None:
                self.add("lost", f"the reply {reply['id']} never ended: {reply['state']}")
                continue
            if message["metadata"].get("finish_reason") == "abandoned":
                self.check_abandoned(reply, question, message)
            elif reply["state"] != "done":
                self.add("stream", f"the reply {reply['id']} ended as {reply['state']}")
            elif question["content"] in self.silenced:
                self.add("stream", f"the reply {reply['id']} was begun again after two owners fell silent")
            elif message["content"] != self.answer(question["content"]):
                self.add("unexpected", f"the reply {reply['id']} says {message['content']!r:.80}")
            else:
                self.verdict.whole += 1
            if self.calls is not None:
                asked = self.calls.get(question["content"], 0)
                if not 1 <= asked <= reply["epoch"]:
                    self.add("money", f"the model was asked {asked} times in {reply['epoch']} tries of {reply['id']}")

    def check_abandoned(self, reply: dict[str, Any], question: dict[str, Any], message: dict[str, Any]) -> None:
        """It says the beginning of what was asked for, is marked as failed, and two owners did fall silent."""
        self.verdict.abandoned += 1
        if question["content"] not in self.silenced:
            self.add("lost", f"the reply {reply['id']} was abandoned, but no two owners fell silent on it")
        if reply["state"] != "failed" or message["metadata"].get("failed") is not True:
            self.add("stream", f"the reply {reply['id']} was abandoned and ended as {reply['state']}")
        if not self.answer(question["content"]).startswith(message["content"]):
            self.add("unexpected", f"the reply {reply['id']} says {message['content']!r:.80}")

    def check_money(self, tenant: dict[str, Any]) -> None:
        charged = Counter(reply for reason, _, reply in tenant["ledger"] if reason == "reply")
        for reply, count in charged.items():
            if count > 1:
                self.add("duplicated", f"the reply {reply} was charged {count} times")
        if tenant["balance"] is None:
            return
        total = sum(amount for _, amount, _ in tenant["ledger"])
        granted = sum(amount for reason, amount, _ in tenant["ledger"] if reason == "grant")
        unfinished = sum(reply["state"] in ("queued", "running") for reply in tenant["replies"])
        if total != tenant["balance"]:
            self.add("money", f"the ledger's sum is {total}, the balance {tenant['balance']}")
        if tenant["balance"] < 0:
            self.add("money", f"the balance is {tenant['balance']}")
        if tenant["reserved"] != unfinished:
            self.add("money", f"{tenant['reserved']} credits are reserved for {unfinished} replies")
        if len(tenant["replies"]) > granted:
            self.add("money", f"{len(tenant['replies'])} messages were accepted on {granted} credits")

    # --- Tenants ---

    def check_tenants(self, lines: list[Line]) -> None:
        owner = {
            (line["client"], line["id"]): line["tenant"]
            for line in lines
            if line["op"] == "connect" and line["phase"] == "invoke"
        }
        for line in lines:
            if line["phase"] != "ok":
                continue
            if line["op"] == "see":
                event, tenant = line["event"], owner[line["client"], line["id"]]
                shown = [event[name] for name in ("chat_id", "message_id") if name in event]
            elif line["op"] == "read":
                tenant, shown = line["tenant"], [*line["chats"], *line["messages"]]
            else:
                continue
            foreign = {thing for thing in shown if self.tenant_of.get(thing, tenant) != tenant}
            if foreign:
                self.add("unexpected", f"{line['client']} was shown another tenant's {sorted(foreign)}")
