"""The README's line for a model of yours is run as it is written: only the model's address is this test's."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tenants.models import Tenant
from tests.readme.demo import CUSTOMER_KEY, TENANT_KEY, Demo, block
from tests.rest.wire import posted
from tests.support.actors import Actor
from tests.websocket.conftest import Model, model

__all__ = ["model"]

#: No database decides it (tests/__main__.py).
pytestmark = pytest.mark.once

*GIVEN, MAKE, TARGET = block("bash", "AGENT_MODEL=").split()
ENVIRONMENT = dict(each.split("=", 1) for each in GIVEN)

TOKENS = [*(f"token{number} " for number in range(1, 20)), "token20"]
#: The model says a token, and makes the next one only once it is let go on.
SLOWLY = {"say": "".join(TOKENS), "hold": True, "hold_each": True}


@pytest.fixture(scope="module")
def shop(model_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Actor]:
    """The demo tenant, whose model is the installation's."""
    demo = Demo(tmp_path_factory.mktemp("demo"), **{**ENVIRONMENT, "OPENAI_BASE_URL": model_server})
    try:
        demo.start()
        yield Actor(Tenant(name="Demo shop"), demo.found(TENANT_KEY), demo.found(CUSTOMER_KEY), base=demo.http)
    finally:
        demo.close()


def test_the_line_is_make_run_with_a_model_and_its_address() -> None:
    assert (MAKE, TARGET) == ("make", "run")
    assert ENVIRONMENT.keys() == {"AGENT_MODEL", "OPENAI_BASE_URL"}


async def test_a_socket_hears_each_token_before_the_model_makes_the_next(shop: Actor, model: Model) -> None:
    async with await shop.join(shop.new_chat()) as socket:
        await socket.send({"content": model.script(**SLOWLY)})
        for number, token in enumerate(TOKENS, start=1):
            assert (await socket.until("message_stream_token"))["token"] == token
            model.release(number)
        await socket.until("message_stream_ended", content="".join(TOKENS))


async def test_a_stream_hears_each_token_before_the_model_makes_the_next(shop: Actor, model: Model) -> None:
    async with posted(shop, shop.new_conversation(), model.script(**SLOWLY)) as stream:
        events = stream.events()
        for number, token in enumerate(TOKENS, start=1):
            assert await anext(events) == {"type": "delta", "text": token}
            model.release(number)
        assert await anext(events) == "[DONE]"


async def test_the_model_reads_its_instructions_then_what_was_said_in_order(shop: Actor, model: Model) -> None:
    questions = [model.script(say=answer) for answer in ("One.", "Two.", "Three.")]
    async with await shop.join(shop.new_chat()) as socket:
        for question in questions:
            await socket.say(question)
    system, *turns = model.calls()[-1]["messages"]
    assert system["role"] == "system"
    assert [(said["role"], said["content"]) for said in turns] == [
        ("user", questions[0]),
        ("assistant", "One."),
        ("user", questions[1]),
        ("assistant", "Two."),
        ("user", questions[2]),
    ]


async def test_a_reply_names_the_model_and_tells_what_it_took(shop: Actor, model: Model) -> None:
    async with await shop.join(shop.new_chat()) as socket:
        told = (await socket.say(model.script(say="Hello", usage=[70, 30])))["metadata"]
    assert told["model"] == ENVIRONMENT["AGENT_MODEL"]
    assert (told["input_tokens"], told["output_tokens"]) == (70, 30)
    assert 0 <= told["first_token_ms"] <= told["total_ms"]
