"""The checker finds each kind of violation in a history written by hand, and none in a clean one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.campaign.checker import Stored, Verdict, check
from tests.campaign.history import Line

#: No database decides it.
pytestmark = pytest.mark.once

ACME, GLOBEX = "acme", "globex"
CHAT, FOREIGN = "chat", "foreign"


def line(client: str, op: str, phase: str, id: object = None, **saw: Any) -> Line:
    return {"at": 0.0, "client": client, "op": op, "id": id, "phase": phase, **saw}


def message(id: str, sequence: int, role: str, content: str, **more: Any) -> dict[str, Any]:
    row = {"id": id, "chat_id": CHAT, "sequence": sequence, "role": role, "content": content, "user": "alice"}
    return {**row, "client_message_id": None, "reply_to_id": None, "metadata": {}, **more}


def story() -> tuple[list[Line], Stored]:
    """Alice asks twice and is answered, and Bob hears it; one credit each; Globex has a chat of its own."""
    lines = [
        line("alice", "connect", "invoke", 1, tenant=ACME, chat=CHAT, after=None),
        line("bob", "connect", "invoke", 1, tenant=ACME, chat=CHAT, after=None),
    ]
    for number in (1, 2):
        lines += [
            line("alice", "post", "invoke", f"c{number}", tenant=ACME, chat=CHAT, user="alice", content=f"q{number}"),
            line("alice", "post", "ok", f"c{number}", message_id=f"m{number}"),
        ]
        for client in ("alice", "bob"):
            sequence = 2 * number - 1
            received = {"message_id": f"m{number}", "sequence": sequence, "content": f"q{number}"}
            reply = {"message_id": f"r{number}", "chat_id": CHAT}
            answer = f"answer to q{number}"
            lines += [
                see(client, "message_received", chat_id=CHAT, client_message_id=f"c{number}", **received),
                see(client, "message_stream_started", **reply),
                see(client, "message_stream_token", token=answer[:6], offset=0, **reply),
                see(client, "message_stream_token", token=answer[6:], offset=6, **reply),
                see(client, "message_stream_ended", content=answer, sequence=sequence + 1, **reply),
            ]
    lines += [line(client, "finish", "ok", 1) for client in ("alice", "bob")]
    return lines, [
        {
            "id": ACME,
            "balance": 8,
            "reserved": 0,
            "ledger": [["grant", 10, "None"], ["reply", -1, "r1"], ["reply", -1, "r2"]],
            "chats": {CHAT: {"last_sequence": 4, "status": "active"}},
            "messages": [
                message("m1", 1, "user", "q1", client_message_id="c1"),
                message("r1", 2, "assistant", "answer to q1", reply_to_id="m1"),
                message("m2", 3, "user", "q2", client_message_id="c2"),
                message("r2", 4, "assistant", "answer to q2", reply_to_id="m2"),
            ],
            "replies": [
                {"id": f"r{number}", "question": f"m{number}", "state": "done", "tries": 1, "epoch": 1}
                for number in (1, 2)
            ],
        },
        {
            "id": GLOBEX,
            "balance": None,
            "reserved": 0,
            "ledger": [],
            "chats": {FOREIGN: {"last_sequence": 0, "status": "active"}},
            "messages": [],
            "replies": [],
        },
    ]


def see(client: str, event_type: str, **fields: Any) -> Line:
    return line(client, "see", "ok", 1, event={"event_type": event_type, **fields})


def judge(lines: list[Line], stored: Stored, **options: Any) -> Verdict:
    return check(lines, stored, answer=lambda content: f"answer to {content}", **options)


def kinds(lines: list[Line], stored: Stored, **options: Any) -> set[str]:
    return {violation.kind for violation in judge(lines, stored, **options).violations}


def events(lines: list[Line], client: str, event_type: str) -> list[dict[str, Any]]:
    seen = [one["event"] for one in lines if one["op"] == "see" and one["client"] == client]
    return [event for event in seen if event["event_type"] == event_type]


def test_a_clean_history_passes() -> None:
    verdict = judge(*story(), calls={"q1": 1, "q2": 1})
    assert verdict.violations == []
    assert (verdict.acknowledged, verdict.recovered, verdict.whole, verdict.owed) == (2, 0, 2, 2)


def test_a_post_of_unknown_end_that_is_stored_is_recovered() -> None:
    lines, stored = story()
    [told] = [one for one in lines if one["op"] == "post" and one["phase"] == "ok" and one["id"] == "c2"]
    del told["message_id"]
    told["phase"] = "info"
    verdict = judge(lines, stored)
    assert (verdict.violations, verdict.acknowledged, verdict.recovered) == ([], 1, 1)


def test_a_repeat_is_acknowledged_again() -> None:
    lines, stored = story()
    again = [dict(one) for one in lines if one["op"] == "post" and one["id"] == "c1"]
    [received, _] = events(lines, "alice", "message_received")
    lines[-2:-2] = [again[0], see("alice", **received), again[1]]
    assert judge(lines, stored).violations == []


def test_a_repeat_to_who_does_not_resume_says_nothing_of_where_the_chat_stands() -> None:
    lines, stored = story()
    lines += [
        line("alice", "connect", "invoke", 2, tenant=ACME, chat=CHAT, after=None),
        line("alice", "post", "invoke", "c1", tenant=ACME, chat=CHAT, user="alice", content="q1"),
        line("alice", "see", "ok", 2, event=events(lines, "alice", "message_received")[0]),
        line("alice", "post", "ok", "c1", message_id="m1"),
        line("alice", "finish", "ok", 2),
    ]
    assert judge(lines, stored).violations == []


def test_a_client_that_comes_back_is_told_the_rest() -> None:
    lines, stored = story()
    rest = [one for one in lines if one["op"] == "see" and one["client"] == "bob"][5:]
    lines = [one for one in lines if one not in rest and one != line("bob", "finish", "ok", 1)]
    lines += [
        line("bob", "close", "ok", 1, code=1006, by="server"),
        line("bob", "connect", "invoke", 2, tenant=ACME, chat=CHAT, after=2),
        *({**one, "id": 2} for one in rest),
        line("bob", "finish", "ok", 2),
    ]
    assert judge(lines, stored).violations == []


def test_a_reply_that_begins_again_is_told_from_its_beginning() -> None:
    lines, stored = story()
    place = next(n for n, one in enumerate(lines) if one["op"] == "see" and one["event"].get("offset") == 6)
    first = [dict(one) for one in lines[place - 2 : place]]
    lines[place:place] = first
    stored[0]["replies"][0] |= {"tries": 2, "epoch": 2}
    assert judge(lines, stored, calls={"q1": 2, "q2": 1}).violations == []


# --- lost ---


def test_acknowledged_and_not_stored_is_lost() -> None:
    lines, stored = story()
    stored[0]["messages"] = stored[0]["messages"][:2]
    stored[0]["replies"] = stored[0]["replies"][:1]
    stored[0]["chats"][CHAT]["last_sequence"] = 2
    assert "lost" in kinds(lines, stored)


def test_stored_and_not_told_to_who_waited_is_lost() -> None:
    lines, stored = story()
    last = [one for one in lines if one["op"] == "see" and one["client"] == "bob"][-5:]
    assert kinds([one for one in lines if one not in last], stored) == {"lost"}


def test_who_stayed_open_and_was_not_told_in_time_lost_it() -> None:
    lines, stored = story()
    assert kinds([*lines, line("bob", "await", "fail", "m2")], stored) == {"lost"}


def test_a_reply_that_never_ended_is_lost() -> None:
    lines, stored = story()
    lines = [
        one for one in lines if one["op"] != "finish" and (one["op"] != "see" or one["event"]["message_id"] != "r2")
    ]
    stored[0]["messages"].pop()
    stored[0]["chats"][CHAT]["last_sequence"] = 3
    stored[0]["replies"][1]["state"] = "running"
    stored[0]["ledger"].pop()
    stored[0] |= {"balance": 9, "reserved": 1}
    assert kinds(lines, stored) == {"lost"}


# --- duplicated ---


def test_one_client_message_id_stored_twice_is_duplicated() -> None:
    lines, stored = story()
    stored[0]["messages"][2] |= {"client_message_id": "c1", "content": "q1"}
    assert "duplicated" in kinds(lines, stored)


def test_one_client_message_id_acknowledged_under_two_ids_is_duplicated() -> None:
    lines, stored = story()
    lines.append(line("alice", "post", "ok", "c1", message_id="m2"))
    assert "duplicated" in kinds(lines, stored)


@pytest.mark.parametrize("event_type", ["message_received", "message_stream_ended"])
def test_a_message_told_twice_is_duplicated(event_type: str) -> None:
    lines, stored = story()
    lines.append(see("bob", **events(lines, "bob", event_type)[0]))
    assert kinds(lines, stored) == {"duplicated"}


def test_a_question_answered_twice_is_duplicated() -> None:
    lines, stored = story()
    stored[0]["messages"].append(message("r3", 5, "assistant", "answer to q1", reply_to_id="m1"))
    assert "duplicated" in kinds(lines, stored)


def test_a_reply_charged_twice_is_duplicated() -> None:
    lines, stored = story()
    stored[0]["ledger"].append(["reply", -1, "r1"])
    stored[0]["balance"] = 7
    assert kinds(lines, stored) == {"duplicated"}


# --- unexpected ---


def test_content_that_nobody_sent_is_unexpected() -> None:
    lines, stored = story()
    stored[0]["messages"].append(message("m3", 5, "user", "Never sent"))
    stored[0]["chats"][CHAT]["last_sequence"] = 5
    assert kinds([one for one in lines if one["op"] != "finish"], stored) == {"unexpected"}


def test_a_reply_to_something_else_is_unexpected() -> None:
    lines, stored = story()
    stored[0]["messages"][1]["content"] = "answer to q2"
    assert "unexpected" in kinds(lines, stored)


def test_another_tenants_chat_on_a_socket_is_unexpected() -> None:
    lines, stored = story()
    lines += [
        line("mallory", "connect", "invoke", 1, tenant=GLOBEX, chat=CHAT, after=None),
        line("mallory", "see", "ok", 1, event={"event_type": "connection_established", "chat_id": CHAT}),
    ]
    assert kinds(lines, stored) == {"unexpected"}


@pytest.mark.parametrize("shown", [{"chats": [CHAT], "messages": []}, {"chats": [], "messages": ["m1"]}])
def test_another_tenants_row_in_an_answer_is_unexpected(shown: dict[str, list[str]]) -> None:
    lines, stored = story()
    assert kinds([*lines, line("mallory", "read", "ok", tenant=GLOBEX, **shown)], stored) == {"unexpected"}


# --- order ---


def test_a_gap_in_what_is_stored_breaks_the_order() -> None:
    lines, stored = story()
    stored[0]["messages"][3]["sequence"] = 5
    assert "order" in kinds(lines, stored)


def test_a_gap_in_what_a_connection_was_told_breaks_the_order() -> None:
    lines, stored = story()
    [one] = [
        one
        for one in lines
        if one["op"] == "see"
        and one["client"] == "bob"
        and one["event"] in [events(lines, "bob", "message_received")[1]]
    ]
    lines.remove(one)
    assert "order" in kinds(lines, stored)


def test_another_number_than_is_stored_breaks_the_order() -> None:
    lines, stored = story()
    stored[0]["messages"][0]["sequence"], stored[0]["messages"][2]["sequence"] = 3, 1
    assert "order" in kinds(lines, stored)


def test_a_sender_stored_in_another_order_than_sent_breaks_the_order() -> None:
    lines, stored = story()
    posts = [one for one in lines if one["op"] == "post"]
    lines = posts[2:] + posts[:2] + [one for one in lines if one["op"] != "post"]
    assert "order" in kinds(lines, stored)


# --- stream ---


def test_tokens_that_leave_a_gap_break_the_stream() -> None:
    lines, stored = story()
    events(lines, "bob", "message_stream_token")[1]["offset"] = 7
    assert kinds(lines, stored) == {"stream"}


def test_tokens_that_say_something_else_break_the_stream() -> None:
    lines, stored = story()
    events(lines, "bob", "message_stream_token")[1]["token"] = "?"
    assert kinds(lines, stored) == {"stream"}


def test_a_reply_that_begins_and_does_not_end_breaks_the_stream() -> None:
    lines, stored = story()
    end = events(lines, "bob", "message_stream_ended")[1]
    lines = [one for one in lines if one["op"] != "see" or one["event"] is not end]
    assert "stream" in kinds(lines, stored)


def test_a_reply_woven_into_another_breaks_the_stream() -> None:
    lines, stored = story()
    place = next(n for n, one in enumerate(lines) if one["op"] == "see" and one["event"].get("offset") == 6)
    lines.insert(place, see("alice", "message_stream_started", message_id="r2", chat_id=CHAT))
    assert "stream" in kinds(lines, stored)


def test_a_reply_that_failed_breaks_the_stream() -> None:
    lines, stored = story()
    stored[0]["replies"][1]["state"] = "failed"
    assert kinds(lines, stored) == {"stream"}


def abandoned() -> tuple[list[Line], Stored]:
    """The story, but two owners fell silent on the reply to q2, which said half of what it was to say."""
    lines, stored = story()
    stored[0]["replies"][1] |= {"state": "failed", "tries": 2, "epoch": 2}
    stored[0]["messages"][3] |= {"content": "answer", "metadata": {"failed": True, "finish_reason": "abandoned"}}
    for client in ("alice", "bob"):
        for event in events(lines, client, "message_stream_token"):
            if event["message_id"] == "r2":
                event["token"] = "answer" if event["offset"] == 0 else ""
        for event in events(lines, client, "message_stream_ended"):
            if event["message_id"] == "r2":
                event["content"] = "answer"
    return lines, stored


def test_a_reply_on_which_two_owners_fell_silent_is_abandoned() -> None:
    verdict = judge(*abandoned(), silenced={"q2"})
    assert verdict.violations == []
    assert (verdict.whole, verdict.abandoned, verdict.owed) == (1, 1, 2)


def test_a_reply_abandoned_for_nothing_is_lost() -> None:
    assert kinds(*abandoned()) == {"lost"}


def test_a_reply_that_should_be_abandoned_and_is_whole_breaks_the_stream() -> None:
    assert kinds(*story(), silenced={"q2"}) == {"stream"}


def test_an_abandoned_reply_that_is_not_marked_as_failed_breaks_the_stream() -> None:
    lines, stored = abandoned()
    stored[0]["messages"][3]["metadata"] = {"finish_reason": "abandoned"}
    assert kinds(lines, stored, silenced={"q2"}) == {"stream"}


def test_an_abandoned_reply_that_says_something_else_is_unexpected() -> None:
    lines, stored = abandoned()
    stored[0]["messages"][3]["content"] = "elsewhere"
    assert "unexpected" in kinds(lines, stored, silenced={"q2"})


RESPONSE = [(1, {"type": "delta", "text": "answer "}), (2, {"type": "delta", "text": "to q1"}), (3, "[DONE]")]


@pytest.mark.parametrize(
    ("told", "found"),
    [
        (RESPONSE, set()),
        ([RESPONSE[0], RESPONSE[2]], {"stream"}),
        ([(1, {"type": "delta", "text": "answer"}), (2, "[DONE]")], {"stream"}),
        ([(1, {"type": "delta", "text": "ans"}), (2, {"type": "error", "message": ""}), (3, "[DONE]")], set()),
    ],
)
def test_a_response_is_the_reply_or_breaks_the_stream(told: list[tuple[int, Any]], found: set[str]) -> None:
    lines, stored = story()
    who = {"tenant": ACME, "chat": CHAT, "stream": "r1:1"}
    lines += [line("carol", "sse", "ok", "response", number=number, data=data, **who) for number, data in told]
    assert kinds(lines, stored) == found


# --- money ---


def change(**account: Any) -> Callable[[dict[str, Any]], None]:
    return lambda tenant: tenant.update(account)


@pytest.mark.parametrize(
    "wrong",
    [
        change(balance=9),
        change(reserved=1),
        change(ledger=[["grant", 1, "None"], ["reply", -1, "r1"], ["reply", -1, "r2"]], balance=-1),
        change(ledger=[["grant", 1, "None"], ["reply", -1, "r1"]], balance=0),
    ],
    ids=["another sum than the balance", "reserved for nothing", "below zero", "accepted more than was granted"],
)
def test_wrong_accounts_are_money(wrong: Callable[[dict[str, Any]], None]) -> None:
    lines, stored = story()
    wrong(stored[0])
    assert kinds(lines, stored) == {"money"}


@pytest.mark.parametrize("calls", [{"q1": 2, "q2": 1}, {"q1": 1}])
def test_a_model_asked_more_or_less_often_than_a_reply_was_begun_is_money(calls: dict[str, int]) -> None:
    assert kinds(*story(), calls=calls) == {"money"}
