"""A chat in the admin: found, read, answered, handed on, closed, deleted."""

from __future__ import annotations

import html
import re
from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from chats import staff_replies
from chats.models import Chat, Message, Reply, StaffPresence
from chats.posting import post_message, read_draft
from staff import chat_page
from tests.staff.conftest import NewChat, answers_in, client_of, page_of, staff
from tests.support.actors import Actor

LIST = "/admin/chats/chat/"


def text(page: str) -> str:
    """What a reader sees of a page, white space aside."""
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", page)))


def ask(chat: Chat, question: str = "Are you there?", *, running: bool = False) -> Reply:
    """A message of the user's whose reply is owed: it waits, or is being written by a process."""
    posted = post_message(
        tenant=chat.tenant, chat_id=chat.id, user=chat.user, draft=read_draft(question, None, None), process_id=None
    )
    assert posted.reply is not None
    if running:
        Reply.objects.for_tenant(chat.tenant_id).filter(id=posted.reply.id).update(state=Reply.State.RUNNING, tries=1)
    return posted.reply


def end(reply: Reply) -> None:
    Reply.objects.for_tenant(reply.tenant_id).filter(id=reply.id).update(state=Reply.State.STOPPED)


# --- Finding ---


def test_the_first_page_lists_who_waits_the_longest_waiting_first(sam: Client, new_chat: NewChat) -> None:
    new_chat("since an hour", status="escalated", minutes_ago=60)
    new_chat("since yesterday", status="escalated", minutes_ago=1440)
    new_chat("answered by the agent", minutes_ago=2000)
    page = sam.get("/admin/").content.decode()
    assert 0 < page.index("since yesterday") < page.index("since an hour")
    assert "answered by the agent" not in page


def test_who_got_a_persons_answer_does_not_wait(sam: Client, new_chat: NewChat) -> None:
    answered = new_chat("has an answer", status="escalated")
    new_chat("has none", status="escalated")
    staff_replies.post_person_reply(
        tenant_id=answered.tenant_id, chat_id=answered.id, content="Here.", author_name="Sam"
    )
    for page in (sam.get("/admin/"), sam.get(LIST, {"status": "waiting"})):
        assert "has none" in page.content.decode()
        assert "has an answer" not in page.content.decode()


def test_staff_who_may_not_see_chats_are_not_told_who_waits(new_chat: NewChat) -> None:
    new_chat("a private matter", status="escalated")
    page = client_of(staff("kim", "view_article")).get("/admin/")
    assert page.status_code == 200
    assert "a private matter" not in page.content.decode()


def test_the_list_filters_by_status(sam: Client, new_chat: NewChat) -> None:
    for status in ("active", "escalated", "closed"):
        new_chat(f"it is {status}", status=status)
    page = sam.get(LIST, {"status": "closed"}).content.decode()
    assert re.findall(r"it is (\w+)", page) == ["closed"]


def rate(chat: Chat, rating: str) -> None:
    Message.objects.for_tenant(chat.tenant_id).filter(chat=chat, role="assistant").update(rating=rating)


def test_the_list_filters_by_who_was_not_content(sam: Client, new_chat: NewChat) -> None:
    for rating in ("up", "down"):
        rate(new_chat(f"it is rated {rating}", "an answer"), rating)
    new_chat("it is rated not", "an answer")
    page = sam.get(LIST, {"rated": "down"}).content.decode()
    assert re.findall(r"it is rated (\w+)", page) == ["down"]


def test_a_transcript_shows_what_a_user_thinks_of_a_reply(sam: Client, new_chat: NewChat) -> None:
    chat = new_chat("a question", "an answer")
    assert "rated" not in text(sam.get(page_of(chat)).content.decode())
    rate(chat, "down")
    assert "the agent rated down" in text(sam.get(page_of(chat)).content.decode())


def test_the_list_shows_what_changed_last_first(sam: Client, new_chat: NewChat) -> None:
    new_chat("long ago", minutes_ago=9)
    new_chat("just now", minutes_ago=5)
    page = sam.get(LIST).content.decode()
    assert 0 < page.index("just now") < page.index("long ago")


@pytest.mark.parametrize("by", ["chat", "user"])
def test_a_chat_is_found_by_its_id_and_by_its_user(sam: Client, new_chat: NewChat, by: str) -> None:
    chat = new_chat("the one", user_id="alice smith")
    new_chat("another", user_id="bob")
    page = sam.get(LIST, {"q": str(chat.id) if by == "chat" else "alice smith"}).content.decode()
    assert "the one" in page
    assert "another" not in page


def test_a_chat_that_is_being_deleted_is_not_there(sam: Client, new_chat: NewChat) -> None:
    chat = new_chat("going, going")
    Chat.objects.for_tenant(chat.tenant_id).update(deleted_at=chat.created_at)
    assert "going, going" not in sam.get(LIST).content.decode()
    assert sam.get(page_of(chat)).status_code == 302


# --- Reading ---


def test_the_transcript_says_who_said_what_in_order(sam: Client, new_chat: NewChat) -> None:
    chat = new_chat("Where is my parcel?", "On its way.", status="escalated")
    staff_replies.post_person_reply(
        tenant_id=chat.tenant_id, chat_id=chat.id, content="It is here.", author_name="Sam Field"
    )
    seen = text(sam.get(page_of(chat)).content.decode())
    assert re.search(
        r"alice .* Where is my parcel\? .*the agent .* On its way\. .*Sam Field a person .* It is here\.", seen
    )


def test_what_is_said_is_text_and_never_html(sam: Client, new_chat: NewChat) -> None:
    evil = "</div><script>alert(1)</script><img src=x onerror=alert(2)>"
    chat = new_chat(evil, evil, user_id="<b>alice</b>")
    Chat.objects.for_tenant(chat.tenant_id).filter(id=chat.id).update(metadata={"note": evil}, title=evil)
    for path in (page_of(chat), LIST, "/admin/chats/message/", f"{LIST}{chat.id}/history/", f"{LIST}?status=active"):
        page = sam.get(path).content.decode()
        assert "alert(1)" in page
        assert "<script>alert" not in page
        assert "<img src=x" not in page
        assert "<b>alice" not in page


def test_line_breaks_are_kept(sam: Client, new_chat: NewChat) -> None:
    page = sam.get(page_of(new_chat("first line\nsecond line"))).content.decode()
    assert '<div class="said">first line\nsecond line</div>' in page


@pytest.mark.parametrize(
    ("metadata", "mark"),
    [
        ({"failed": True}, "failed"),
        ({"stopped": True}, "stopped"),
        ({"finish_reason": "length"}, "longest length"),
        ({"finish_reason": "content_filter"}, "model's filter"),
        ({"finish_reason": "abandoned"}, "abandoned"),
        ({"flagged": "instructions"}, "gives the instructions away"),
        ({"answered": False}, "did not know"),
        ({"escalated": True}, "called a person"),
    ],
)
def test_a_reply_that_staff_should_look_at_is_marked(sam: Client, new_chat: NewChat, metadata: dict, mark: str) -> None:
    chat = new_chat("Hello?", "Good")
    Message.objects.for_tenant(chat.tenant_id).filter(chat=chat, sequence=2).update(metadata=metadata)
    assert re.search(f"the agent [^.]*{mark}", text(sam.get(page_of(chat)).content.decode()))


def test_the_transcript_is_paged_from_its_end(sam: Client, new_chat: NewChat) -> None:
    chat = new_chat(*(f"<{n}>" for n in range(1, 121)))

    def shown(query: str) -> list[int]:
        page = sam.get(page_of(chat) + query).content.decode()
        return [int(n) for n in re.findall(r'class="said">&lt;(\d+)&gt;', page)]

    assert shown("") == list(range(71, 121))
    older = re.search(r'href="(\?before=\d+)">Older', sam.get(page_of(chat)).content.decode())
    assert older is not None
    assert shown(older[1]) == list(range(21, 71))
    assert shown("?before=21") == list(range(1, 21))
    assert "Older" not in sam.get(page_of(chat) + "?before=21").content.decode()
    assert 'href="?before=71">Newer' in sam.get(page_of(chat) + "?before=21").content.decode()


@pytest.mark.parametrize("before", ["x", "-1", "0", "9" * 30, "²"])
def test_a_page_that_is_not_there_shows_the_latest(sam: Client, new_chat: NewChat, before: str) -> None:
    chat = new_chat("Hello?", "Good morning.")
    assert "Good morning." in sam.get(page_of(chat), {"before": before}).content.decode()


def test_it_says_that_the_agent_is_writing(sam: Client, new_chat: NewChat) -> None:
    chat = new_chat()
    ask(chat, running=True)
    ask(chat)
    seen = text(sam.get(page_of(chat)).content.decode())
    assert "The agent is writing a reply." in seen
    assert "1 message waits for the agent." in seen


def test_staff_read_why_a_chat_waits_for_a_person(sam: Client, new_chat: NewChat) -> None:
    chat = new_chat("Hello?", status="escalated")
    Chat.objects.for_tenant(chat.tenant_id).update(escalation_reason="The user said “<lawyer>”.")
    for path in ("/admin/", LIST, page_of(chat)):
        assert "The user said “<lawyer>”." in text(sam.get(path).content.decode())


# --- Who is there ---


def test_who_uses_the_admin_and_may_answer_is_there(sam: Client, olga: Client, vera: Client) -> None:
    assert "Nobody is there to answer." in text(vera.get("/admin/").content.decode())
    sam.get(LIST)
    assert "There to answer: Sam Field ." in text(vera.get("/admin/").content.decode()).replace("Field.", "Field .")
    olga.get("/admin/")
    assert "olga, Sam Field" in text(vera.get("/admin/").content.decode())


def test_who_may_only_look_does_not_count_as_there(vera: Client) -> None:
    vera.get(LIST)
    assert not StaffPresence.objects.exists()


def test_who_is_there_is_written_once_a_minute(sam: Client, new_chat: NewChat) -> None:
    sam.get(LIST)
    with CaptureQueriesContext(connection) as captured:
        sam.get(LIST)
    written = [query["sql"] for query in captured.captured_queries if not query["sql"].startswith("SELECT")]
    assert not any("staffpresence" in statement for statement in written)
    StaffPresence.objects.update(seen_at=timezone.now() - timedelta(minutes=2))
    sam.get(LIST)
    assert StaffPresence.objects.get().seen_at > timezone.now() - timedelta(minutes=1)


def test_pages_for_everybody_and_the_api_note_nobody(sam: Client) -> None:
    for path in ("/", "/healthz", "/api/docs/", "/api/v1/chats/"):
        sam.get(path)
    assert not StaffPresence.objects.exists()


# --- Answering ---


def test_an_answer_is_a_persons_reply_and_takes_the_chat_over(sam: Client, new_chat: NewChat) -> None:
    chat = new_chat("Hello?")
    response = sam.post(page_of(chat), {"do": "answer", "text": "This is Sam.\r\nHow can I help?"}, follow=True)
    assert "Your answer was sent." in response.content.decode()
    [answer] = answers_in(chat)
    assert answer.content == "This is Sam.\nHow can I help?"
    assert answer.metadata == {"author": "human", "author_name": "Sam Field"}
    chat.refresh_from_db()
    assert (chat.status, chat.last_sequence) == ("escalated", 2)


def test_staff_without_a_name_answer_under_their_username(olga: Client, new_chat: NewChat) -> None:
    chat = new_chat("Hello?")
    olga.post(page_of(chat), {"do": "answer", "text": "Hi."})
    assert answers_in(chat)[0].metadata["author_name"] == "olga"


def test_an_answer_drops_what_waits_for_the_agent(sam: Client, new_chat: NewChat) -> None:
    chat = new_chat()
    waiting = ask(chat)
    sam.post(page_of(chat), {"do": "answer", "text": "I am a person."})
    waiting.refresh_from_db()
    assert waiting.state == Reply.State.DROPPED


def test_an_answer_waits_until_the_agent_has_stopped(
    sam: Client, new_chat: NewChat, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat = new_chat()
    running = ask(chat, running=True)

    def its_owner_stops(seconds: float) -> None:
        running.refresh_from_db()
        assert running.stop_requested
        end(running)

    monkeypatch.setattr(chat_page.time, "sleep", its_owner_stops)
    assert sam.post(page_of(chat), {"do": "answer", "text": "Now me."}).status_code == 302
    assert [answer.content for answer in answers_in(chat)] == ["Now me."]


def test_an_answer_that_waited_in_vain_is_not_lost(
    sam: Client, new_chat: NewChat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chat_page, "PATIENCE_SECONDS", 0.2)
    chat = new_chat()
    ask(chat, running=True)
    page = sam.post(page_of(chat), {"do": "answer", "text": "My <long> answer"}).content.decode()
    assert "Your answer was not sent: the agent has not stopped writing yet." in page
    assert "My &lt;long&gt; answer</textarea>" in page
    assert answers_in(chat) == []


@pytest.mark.parametrize(
    ("typed", "problem"),
    [("", "must not be empty"), (" \r\n ", "must not be empty"), ("x" * 21, "at most 20 characters")],
)
def test_a_blank_or_too_long_answer_is_refused_and_kept(
    sam: Client, new_chat: NewChat, acme: Actor, typed: str, problem: str
) -> None:
    acme.tenant.reply_max_characters = 20
    acme.tenant.save()
    chat = new_chat("Hello?")
    page = sam.post(page_of(chat), {"do": "answer", "text": typed}).content.decode()
    assert problem in page
    assert f'rows="5">{typed}</textarea>'.replace("\r\n", "\n") in page
    assert answers_in(chat) == []
    chat.refresh_from_db()
    assert chat.status == "active"


def test_the_longest_answer_fits_in_any_script(sam: Client, new_chat: NewChat) -> None:
    chat = new_chat("Hello?")
    longest = "🙂" * 100_000
    assert sam.post(page_of(chat), {"do": "answer", "text": longest}).status_code == 302
    assert answers_in(chat)[0].content == longest


# --- Handing on ---


@pytest.mark.parametrize(
    ("before", "button", "label"),
    [
        ("active", "escalated", "Take over"),
        ("escalated", "active", "Hand back to the agent"),
        ("active", "closed", "Close"),
        ("closed", "active", "Hand back to the agent"),
    ],
)
def test_a_button_changes_the_status(sam: Client, new_chat: NewChat, before: str, button: str, label: str) -> None:
    chat = new_chat("Hello?", status=before)
    assert f'value="{button}">{label}</button>' in sam.get(page_of(chat)).content.decode()
    assert sam.post(page_of(chat), {"do": button, "text": ""}).status_code == 302
    chat.refresh_from_db()
    assert chat.status == button
    assert f'value="{button}"' not in sam.get(page_of(chat)).content.decode()


def test_a_button_keeps_what_was_typed(sam: Client, new_chat: NewChat) -> None:
    chat = new_chat("Hello?")
    page = sam.post(page_of(chat), {"do": "escalated", "text": "I was about to"}).content.decode()
    assert "I was about to</textarea>" in page
    chat.refresh_from_db()
    assert chat.status == "escalated"


def test_who_may_only_look_has_no_buttons_and_changes_nothing(vera: Client, new_chat: NewChat) -> None:
    chat = new_chat("Hello?")
    assert "<textarea" not in vera.get(page_of(chat)).content.decode()
    for posted in ({"do": "closed"}, {"do": "answer", "text": "Hi."}):
        assert vera.post(page_of(chat), posted).status_code == 403
    assert vera.post(f"{LIST}{chat.id}/delete/", {"post": "yes"}).status_code == 403
    chat.refresh_from_db()
    assert (chat.status, chat.last_sequence) == ("active", 1)


def test_a_forged_form_changes_nothing(sam: Client, new_chat: NewChat) -> None:
    chat = new_chat("Hello?")
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = sam.cookies
    assert strict.get(page_of(chat)).status_code == 200
    assert strict.post(page_of(chat), {"do": "closed"}).status_code == 403
    chat.refresh_from_db()
    assert chat.status == "active"


def test_a_chat_is_not_made_in_the_admin(olga: Client) -> None:
    assert olga.get(LIST + "add/").status_code == 403


@pytest.mark.parametrize("chat_id", ["7177d2a7-93e6-4dd6-b146-4a405efa1250", "no-id", "%00"])
def test_a_chat_that_does_not_exist_leads_back_to_the_first_page(sam: Client, chat_id: str) -> None:
    assert sam.get(f"{LIST}{chat_id}/change/").status_code == 302


def test_deleting_removes_the_chat_and_its_messages_only(olga: Client, new_chat: NewChat) -> None:
    chat, other = new_chat("Delete me", "Yes."), new_chat("Keep me")
    assert "2 messages" in olga.get(f"{LIST}{chat.id}/delete/").content.decode()
    assert olga.post(f"{LIST}{chat.id}/delete/", {"post": "yes"}).status_code == 302
    assert list(Chat.objects.all_tenants()) == [other]
    assert list(Message.objects.all_tenants().values_list("content", flat=True)) == ["Keep me"]


def test_deleting_stops_a_running_reply_first(olga: Client, new_chat: NewChat) -> None:
    chat = new_chat()
    running = ask(chat, running=True)
    olga.post(f"{LIST}{chat.id}/delete/", {"post": "yes"})
    chat.refresh_from_db()
    running.refresh_from_db()
    assert chat.deleted_at is not None
    assert running.stop_requested


def test_the_history_says_who_did_what_without_a_word_of_the_chat(olga: Client, new_chat: NewChat) -> None:
    chat = new_chat("canary-question")
    olga.post(page_of(chat), {"do": "answer", "text": "canary-answer"})
    olga.post(page_of(chat), {"do": "closed"})
    deleted = olga.post(f"{LIST}{chat.id}/delete/", {"post": "yes"}, follow=True).content.decode()
    entries = LogEntry.objects.filter(object_id=str(chat.id), user__username="olga")
    assert set(entries.values_list("change_message", flat=True)) == {"Answered: message 2.", "Status: closed.", ""}
    assert "was deleted successfully" in deleted
    assert "canary" not in deleted + repr(list(LogEntry.objects.values()))


def test_messages_cannot_be_written(olga: Client, new_chat: NewChat) -> None:
    chat = new_chat("What was said")
    message = Message.objects.for_tenant(chat.tenant_id).get()
    for path in ("add/", f"{message.id}/change/", f"{message.id}/delete/"):
        response = olga.post(f"/admin/chats/message/{path}", {"content": "Something else", "post": "yes"})
        assert response.status_code == 403
    message.refresh_from_db()
    assert message.content == "What was said"


@pytest.mark.parametrize("by", ["message", "chat"])
def test_a_message_is_found_by_its_id_and_by_its_chats(sam: Client, new_chat: NewChat, by: str) -> None:
    chat = new_chat("the one")
    new_chat("another")
    wanted = chat.id if by == "chat" else Message.objects.for_tenant(chat.tenant_id).get(chat=chat).id
    page = sam.get("/admin/chats/message/", {"q": str(wanted)}).content.decode()
    assert "the one" in page
    assert "another" not in page


def test_strangers_are_asked_to_log_in(new_chat: NewChat) -> None:
    chat = new_chat("Hello?")
    response = Client().get(page_of(chat))
    assert response.status_code == 302
    assert response["Location"].startswith("/admin/login/")
