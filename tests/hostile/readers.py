"""Every function that reads what a stranger, a model or the author of an article wrote.

Each stands here once, as `module:function`, with how a text gets to it and the longest text that does. What such a
function calls is read by it. A new function that reads foreign text belongs here; tests/hostile/test_foreign_calls.py
says so where it calls what a text can make slow.
"""

from __future__ import annotations

import asyncio
import io
import json
import logging
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from agents import budget, evaluation, prompt_leaks, prompts, rules, toolbox
from agents.builtin import agent, answer_composer, dialogue_state, intents
from agents.builtin.phrases import SAY
from agents.contract import Policy, Request, ToolCall, Turn
from agents.providers import retry_policy
from agents.providers.anthropic import Message
from agents.providers.event_stream import EventStream, EventTooLong
from agents.providers.openai_compatible import Completion, chat_messages
from agents.providers.stream_accumulator import StreamAccumulator
from chats import fields, posting
from core import outbound, payload
from core.errors import ApiError
from core.observability import logs
from knowledge import analyzer, article_files, excerpts, folding, query, ranking, retrieval, spelling, vectors
from knowledge.excerpts import Passage
from knowledge.inverted_index import InvertedIndex
from knowledge.models import Article
from lexicon.http import access_log
from lexicon_client.sse import SseParser
from lexicon_client.text import Text
from staff.forms import LinesField, SynonymsField
from streaming.reply_text import split_pieces
from tenants import keys
from tests.hostile.shapes import INSTRUCTIONS

#: Longest texts that are tried, in characters: half of a message of the default limit, a third of a reply and of an
#: article. Beyond them nothing begins to grow, and the whole list would take minutes.
MESSAGE, REPLY, ARTICLE = 16_000, 32_000, 64_000
#: Of what is read a byte at a time, of what is one line, and of a body.
STREAM, LINE, BODY = 16_000, 8_000, 64_000
#: A byte at a time all shapes are alike but these.
BYTES = ("one letter", "newlines", "carriage returns", "Thai", "quotes", "events", "an event without an end")


@dataclass(frozen=True, slots=True)
class Reader:
    """A function, and how a text gets to it."""

    #: `module:function`.
    name: str
    read: Callable[[str], object]
    #: Longest text that is tried, in characters.
    most: int
    #: The shapes that tell something; all where none is named.
    shapes: Sequence[str] = ()


# --- The chat around a text ---

#: What a short question finds.
PASSAGE = Passage("1", "Lamps", "A lamp takes a day. It needs a bulb. Return it within a week.", 0.9)
OTHER = Passage("2", "Light bulbs", "A bulb fits a lamp. It lasts for a year.", 0.89)
SYNONYMS = [["sofa", "couch"], ["a b", "a", "a b a"], ["lamp lamp lamp", "lamp lamp", "light of a lamp"], ["x", "y z"]]
KEYWORDS = ("refund", "a b a b c", "not not", "人", "person person person person x")
#: Messages of a chat that are looked at (chats/agent_context.py).
TURNS = 60


def _index() -> InvertedIndex:
    index = InvertedIndex("en")
    for number in range(50):
        index.add(number, f"Lamps {number}", "A lamp needs a bulb. A person answers. Return it, not a sofa.")
    return index


INDEX = _index()


def _talk(*contents: str) -> tuple[Turn, ...]:
    return tuple(Turn("assistant" if number % 2 else "user", content) for number, content in enumerate(contents))


def _pieces(text: str, number: int) -> list[str]:
    """The text in so many pieces."""
    size = max(1, len(text) // number)
    return [text[at : at + size] for at in range(0, len(text), size)]


def _turned(read: Callable[[str, Sequence[Turn]], object]) -> Callable[[str], object]:
    """The text as the question and all that was said before, in as many turns as are looked at."""

    def call(text: str) -> None:
        pieces = _pieces(text, TURNS)
        read(pieces[0], _talk(*pieces[1:]))
        # The same each time, and asked back.
        which = SAY["which"].format(first="Lamps", second=pieces[0][:150])
        read(pieces[0], _talk(*(part for _ in pieces[: TURNS // 2] for part in (pieces[0], which))))

    return call


def _of_turns(read: Callable[[str, Sequence[Turn]], object]) -> Callable[[str], object]:
    """Short turns, as many as there are: each has 100 characters of the text."""
    return lambda text: read("And on Sunday?", _talk(*[text[at : at + 100] for at in range(0, len(text), 100)]))


def _answer(request: Request) -> None:
    async def run() -> None:
        async for _ in agent.BuiltinAgent(words_per_second=0).reply(request):
            pass

    asyncio.run(run())


def _ask_builtin(text: str) -> None:
    policy = Policy(escalation_keywords=KEYWORDS)
    _answer(Request(text, passages=(PASSAGE, OTHER), policy=policy))


def _ask_builtin_after(text: str) -> None:
    passages = (PASSAGE, Passage("3", text[:200], text, 0.9))
    _answer(Request("How do I return a lamp?", history=_talk(text, text, "ok", text), passages=passages))


# --- Searching ---


def _search(text: str) -> None:
    meant = retrieval._meant(query.concepts(text, "en", SYNONYMS), INDEX)
    ranking.rank(meant, INDEX)


def _quote(text: str) -> None:
    answer_composer.quote(Passage("1", text[:200], text, 0.9), "Return a lamp, or not?", own="lamp", said=text)
    answer_composer.quote(PASSAGE, text, own=text, said=text)


def _answers_of_two(text: str) -> None:
    passages = [Passage("1", text[:200], text, 0.9), OTHER, PASSAGE]
    answer_composer.answers_of_two(f"{text[:2000]} How do I return it and can I pay?", passages, 0.1)
    answer_composer.answers_of_two("How do I return it and can I pay?", passages, 0.1)
    answer_composer.tie(passages)


def _excerpt(text: str) -> None:
    wanted = {"lamp": 1.0, "a": 0.5, "b": 0.5, "x": 1.0, "day": 1.0}
    excerpts.excerpt(text, wanted, longest=800)
    excerpts.answering(text, wanted, brief=200, longest=450, leans=intents.leans)


def _excerpt_of_all(text: str) -> None:
    """Every term of the text is wanted."""
    wanted = dict.fromkeys(analyzer.term_set(text), 1.0)
    excerpts.answering(text, wanted, brief=200, longest=len(text), leans=intents.leans)


# --- Models ---


def _feed(wire: type[StreamAccumulator], text: str, *, size: int) -> None:
    """The text as the bytes of an answer, in chunks of so many."""
    answer, content = wire(), text.encode("utf-8", "replace")
    for at in range(0, len(content), size):
        answer.feed(content[at : at + size])
        if answer.failure:
            break
    _ = answer.calls


def _told(wire: type[StreamAccumulator], text: str) -> None:
    """The text as what a model says, a character an event, and as the arguments of a tool."""
    answer = wire()
    answer.ask("long name", text, text)
    for character in text:
        delta: dict[str, Any] = {"content": character}
        call = {"index": 0, "function": {"name": "search_knowledge", "arguments": character}}
        event: dict[str, Any] = {"choices": [{"delta": {**delta, "tool_calls": [call]}}]}
        if wire is Message:
            event = {"type": "content_block_delta", "delta": {"type": "text_delta", "text": character}}
        answer.feed(b"data: " + json.dumps(event).encode() + b"\n\n")
    _ = answer.calls


def _stream(text: str) -> None:
    stream = EventStream()
    for byte in text.encode():
        stream.feed(bytes((byte,)))


def _call(text: str) -> None:
    for arguments in (text, json.dumps({"query": text}), json.dumps({text: text})):
        try:
            toolbox.read_call(ToolCall("1", "search_knowledge", arguments))
        except toolbox.Misused:
            continue


def _prompt(text: str) -> None:
    request = Request(text, instructions=text, history=_talk(text, text), passages=(Passage("1", text, text, 1.0),))
    prompts.system_text(request)
    prompts.told_characters(request)
    chat_messages(request)


# --- Everything else ---


def _redact(text: str) -> None:
    logs.redact(text)
    logs.exception_text(RuntimeError(text))


def _log(text: str) -> None:
    try:
        raise RuntimeError(text)
    except RuntimeError as error:
        record = logging.LogRecord("a", logging.ERROR, "a", 1, "%s", (text,), (type(error), error, error.__traceback__))
    logs.JSONFormatter().format(record)
    logs.TextFormatter().format(record)


def _json(text: str) -> None:
    for raw in (
        text,
        json.dumps({"content": text, "n": [text] * 3}),
        f"[1e300, {text}]",
        f"[18446744073709551616{text}]",
    ):
        try:
            payload.read_json(raw)
        except ApiError:
            continue


def _checked(read: Callable[[str], object], *refusals: type[Exception]) -> Callable[[str], object]:
    """What is refused was read as well."""

    def call(text: str) -> None:
        try:
            read(text)
        except refusals:
            return

    return call


def _client(text: str) -> None:
    """The text as bytes and as what is told, twice, to the Python client."""
    parser = SseParser()
    for byte in text.encode():
        parser.feed(bytes((byte,)))
    told = Text()
    for _ in range(2):
        told.begin()
        for character in text:
            told.add(character)


def _file_of_questions(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "questions.csv")
        path.write_text("question,article,kind\n" + text, encoding="utf-8")
        evaluation.read_questions(path, ["Lamps"])


READERS = [
    # What every analysis begins with.
    Reader("knowledge.folding:fold", folding.fold, ARTICLE),
    Reader("knowledge.analyzer:words", analyzer.words, ARTICLE),
    Reader("knowledge.analyzer:terms", analyzer.terms, ARTICLE),
    Reader("knowledge.analyzer:terms in Thai", partial(analyzer.terms, tag="th"), MESSAGE),
    Reader("knowledge.analyzer:terms in German", partial(analyzer.terms, tag="de"), MESSAGE),
    Reader("knowledge.analyzer:term_set", analyzer.term_set, MESSAGE),
    # Messages.
    Reader(
        "agents.rules:keyword_in",
        lambda text: rules.keyword_in(Request(text, policy=Policy(escalation_keywords=KEYWORDS))),
        MESSAGE,
    ),
    Reader(
        "agents.rules:keyword_in of keywords",
        lambda text: rules.keyword_in(
            Request("a b", policy=Policy(escalation_keywords=tuple(text.split("\n")[:1000])))
        ),
        LINE,
    ),
    Reader("agents.builtin.intents:intent", lambda text: intents.intent(text, _talk("Hello", SAY["offer"])), MESSAGE),
    Reader("agents.builtin.intents:is_follow_up", intents.is_follow_up, MESSAGE),
    Reader("agents.builtin.intents:picked", intents.picked, MESSAGE),
    Reader("agents.builtin.intents:questions_of", intents.questions_of, MESSAGE),
    Reader("agents.builtin.intents:bare", intents.bare, MESSAGE),
    Reader("agents.builtin.intents:leans", intents.leans, ARTICLE),
    Reader("knowledge.query:concepts", lambda text: query.concepts(text, "en", SYNONYMS), 2 * MESSAGE),
    Reader(
        "knowledge.query:concepts of synonyms",
        lambda text: query.concepts(text[:500], "en", [_pieces(text, 50), [text, "a"]]),
        LINE,
    ),
    Reader("knowledge.retrieval:_meant", _search, MESSAGE),
    Reader("knowledge.spelling:neighbours", spelling.neighbours, MESSAGE),
    Reader(
        "chats.posting:read_draft",
        _checked(lambda text: posting.read_draft(text, {"a": text}, text).digest, ApiError),
        BODY,
    ),
    Reader("chats.fields:read_title", _checked(fields.read_title, ApiError), BODY),
    Reader("chats.fields:read_user_id", _checked(lambda text: fields.read_user_id({"user_id": text}), ApiError), BODY),
    # Chats.
    Reader("agents.builtin.dialogue_state:search_question", _turned(dialogue_state.search_question), MESSAGE),
    Reader("agents.builtin.dialogue_state:chosen", _turned(dialogue_state.chosen), MESSAGE),
    Reader("agents.builtin.dialogue_state:answers_before", _turned(dialogue_state.answers_before), MESSAGE),
    Reader(
        "agents.builtin.dialogue_state:search_question of turns", _of_turns(dialogue_state.search_question), MESSAGE
    ),
    Reader("agents.builtin.dialogue_state:answers_before of turns", _of_turns(dialogue_state.answers_before), MESSAGE),
    Reader(
        "agents.builtin.dialogue_state:was_frustrated",
        lambda text: dialogue_state.was_frustrated(_talk(*_pieces(text, TURNS))),
        2 * MESSAGE,
    ),
    Reader(
        "agents.builtin.dialogue_state:since_handed_over",
        lambda text: dialogue_state.since_handed_over(_talk(*_pieces(text, TURNS))),
        2 * MESSAGE,
    ),
    Reader("agents.builtin.agent:BuiltinAgent.reply", _ask_builtin, MESSAGE),
    Reader("agents.builtin.agent:BuiltinAgent.reply after", _ask_builtin_after, MESSAGE),
    Reader("agents.budget:newest", lambda text: budget.newest(_talk(*_pieces(text, TURNS)), 16_000), 2 * MESSAGE),
    # Replies, and what models send.
    Reader("agents.builtin.dialogue_state:asked_back", dialogue_state.asked_back, REPLY),
    Reader("agents.builtin.dialogue_state:titles_quoted", lambda text: dialogue_state.titles_quoted([text]), REPLY),
    Reader(
        "agents.prompt_leaks:gives_away",
        lambda text: prompt_leaks.gives_away(text, instructions=INSTRUCTIONS, canary="a1b2"),
        REPLY,
    ),
    Reader(
        "agents.prompt_leaks:gives_away of long ones",
        lambda text: prompt_leaks.gives_away("=" * 199 + "x" + text, instructions="y" + text, canary="a"),
        MESSAGE,
    ),
    Reader("agents.prompt_leaks:canary_of", lambda text: prompt_leaks.canary_of(text, secret="s"), REPLY),
    Reader(
        "agents.providers.openai_compatible:Completion.feed of bytes",
        lambda text: _feed(Completion, text, size=1),
        STREAM,
        BYTES,
    ),
    Reader(
        "agents.providers.openai_compatible:Completion.feed", lambda text: _feed(Completion, text, size=4096), REPLY
    ),
    Reader("agents.providers.openai_compatible:Completion.read", lambda text: _told(Completion, text), STREAM, BYTES),
    Reader("agents.providers.anthropic:Message.feed", lambda text: _feed(Message, text, size=4096), REPLY),
    Reader("agents.providers.anthropic:Message.read", lambda text: _told(Message, text), STREAM, BYTES),
    Reader("agents.providers.event_stream:EventStream.feed", _checked(_stream, EventTooLong), STREAM, BYTES),
    Reader("agents.toolbox:read_call", _call, REPLY),
    Reader("agents.prompts:system_text", _prompt, REPLY),
    Reader("agents.providers.retry_policy:read_retry_after", retry_policy.read_retry_after, LINE),
    Reader("streaming.reply_text:split_pieces", lambda text: list(split_pieces(text)), 4 * REPLY),
    # Articles, and files with articles.
    Reader(
        "knowledge.inverted_index:InvertedIndex.add", lambda text: InvertedIndex("en").add(1, text[:200], text), ARTICLE
    ),
    Reader("knowledge.excerpts:excerpt", _excerpt, MESSAGE),
    Reader("knowledge.excerpts:answering", _excerpt_of_all, MESSAGE),
    Reader("agents.builtin.answer_composer:quote", _quote, MESSAGE),
    Reader("agents.builtin.answer_composer:answers_of_two", _answers_of_two, LINE),
    Reader("knowledge.vectors:parts", lambda text: vectors.parts(Article(title="A", body=text)), ARTICLE),
    Reader("agents.evaluation:read_questions", _checked(_file_of_questions, evaluation.BadQuestions), REPLY),
    Reader("staff.forms:LinesField.to_python", LinesField().to_python, REPLY),
    Reader("staff.forms:SynonymsField.to_python", SynonymsField().to_python, REPLY),
    # What everybody stands on.
    Reader("core.payload:read_json", _json, BODY),
    Reader("core.payload:text_problem", lambda text: payload.text_problem(text, longest=2 * BODY), BODY),
    Reader(
        "core.payload:check_metadata", _checked(lambda text: payload.check_metadata({text: [text]}), ApiError), BODY
    ),
    Reader("core.observability.logs:redact", _redact, LINE),
    Reader("core.observability.logs:trace", _log, LINE),
    Reader(
        "core.outbound:check_url",
        _checked(lambda text: outbound.check_url(f"https://{text}/"), outbound.Forbidden),
        LINE,
    ),
    Reader("lexicon.http.access_log:_id", access_log._id, LINE),
    Reader("tenants.keys:is_well_formed", keys.is_well_formed, LINE),
    # The clients.
    Reader("lexicon_client.sse:SseParser.feed", _client, STREAM, BYTES),
]

# --- Files with articles ---


def _csv(text: str) -> None:
    cells = text.replace('"', '""')
    for rows in (text, f'title,body\n"{cells}","{cells}"\n', f"title,body\n{text}", f'title,body\n"{text}'):
        _checked(lambda rows: article_files.read_csv(rows, "a.csv"), article_files.Unreadable)(rows)


def _markdown(text: str) -> None:
    for content in (text, f"---\ntitle: {text}\n---\n{text}", f"---\n{text}"):
        _checked(lambda content: article_files.read_markdown(content, "a.md"), article_files.Unreadable)(content)


def _upload(text: str) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a.md", text)
    for name, content in (("a.zip", packed.getvalue()), ("b.zip", text.encode()), ("a.csv", text.encode())):
        _checked(lambda content, name=name: article_files.read_upload(name, content), article_files.Unreadable)(content)


def _export(text: str) -> None:
    list(article_files.write_csv([Article(title=text[:200], body=text)]))
    article_files.write_markdown(Article(title=text[:200], body=text))


FILES = [
    Reader("knowledge.article_files:read_csv", _csv, ARTICLE),
    Reader("knowledge.article_files:read_markdown", _markdown, ARTICLE),
    Reader("knowledge.article_files:read_upload", _upload, ARTICLE),
    Reader("knowledge.article_files:write_csv", _export, ARTICLE),
]
