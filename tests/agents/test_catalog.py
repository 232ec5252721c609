"""Models by their names, and whose address and key they are asked with."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing

import pytest
from pytest_django import Settings

from agents.builtin.agent import BuiltinAgent
from agents.catalog import (
    ModelCredentials,
    UnknownModel,
    agent_for,
    check_address,
    check_key,
    check_model,
    close_all,
    rounds_for,
)
from agents.contract import AgentFailure, Event, Request, Text
from agents.providers.anthropic import AnthropicAgent
from agents.providers.openai_compatible import OpenAICompatibleAgent
from agents.rounds import Rounds
from core.client_sessions import session
from core.db.fields import Unreadable
from knowledge.excerpts import Passage
from tests.support.client import script
from tests.support.model_server import ModelServer

UNKNOWN = [
    "gpt-4o",
    "openai",
    "openai:",
    "openai: ",
    "builtin:x",
    "Builtin",
    "anthropic",
    "anthropic:",
    "claude:x",
    ":x",
    " builtin",
    "x:y:z",
]
BOTH = ["openai:m", "anthropic:m"]


async def nothing(query: str) -> Sequence[Passage]:
    return ()


def test_builtin_is_the_built_in_agent() -> None:
    agent = agent_for("builtin")
    assert isinstance(agent, BuiltinAgent)
    assert agent.model == "builtin"


@pytest.mark.parametrize("model", ["openai:gpt-4o", "openai:meta-llama/llama-3:free"])
def test_openai_is_the_compatible_agent_of_that_model(model: str) -> None:
    agent = agent_for(model)
    assert isinstance(agent, OpenAICompatibleAgent)
    assert agent.model == model


def test_anthropic_is_the_agent_of_that_model() -> None:
    agent = agent_for("anthropic:claude-x")
    assert isinstance(agent, AnthropicAgent)
    assert agent.model == "anthropic:claude-x"


@pytest.mark.parametrize("model", UNKNOWN)
def test_an_unknown_model_is_refused_and_told_which_there_are(model: str) -> None:
    for ask in (agent_for, check_model):
        with pytest.raises(UnknownModel, match=r"builtin, openai:<model>, anthropic:<model>"):
            ask(model)


@pytest.mark.parametrize("model", ["", "builtin", "openai:gpt-4o", "anthropic:claude-x"])
def test_a_model_of_a_tenant_may_be_known_or_empty(model: str) -> None:
    check_model(model)


def test_an_agent_without_a_name_is_none() -> None:
    with pytest.raises(UnknownModel):
        agent_for("")


@pytest.mark.parametrize("model", BOTH)
def test_a_key_is_in_no_representation(settings: Settings, model: str) -> None:
    settings.OPENAI_API_KEY = settings.ANTHROPIC_API_KEY = "sk-canary"
    own = ModelCredentials(api_key="sk-canary")
    assert "canary" not in repr([agent_for(model), agent_for(model, own), own, rounds_for(model, own, search=nothing)])


async def test_the_sessions_are_made_once_and_closed_with_all() -> None:
    first, checked = session(), session(checked=True)
    assert first is not checked
    assert (session(), session(checked=True)) == (first, checked)
    await close_all()
    assert first.closed
    assert checked.closed
    assert session() is not first
    await close_all()


# --- Whose address and key ---


@pytest.fixture
def installed(settings: Settings, model: ModelServer) -> ModelServer:
    """The model of the installation, at an address that only its operator may name."""
    settings.OUTBOUND_ALLOW = []
    settings.OPENAI_BASE_URL, settings.ANTHROPIC_BASE_URL = model.base_url, model.anthropic_url
    settings.OPENAI_API_KEY = settings.ANTHROPIC_API_KEY = "sk-of-the-installation"
    return model


async def hear(rounds: Rounds, question: str = "Hello") -> str:
    events: list[Event] = []
    async with aclosing(rounds.reply(Request(question))) as reply:
        events += [event async for event in reply]
    return "".join(event.text for event in events if isinstance(event, Text))


async def ask(name: str, own: ModelCredentials) -> str:
    return await hear(rounds_for(name, own, search=nothing))


def url_of(server: ModelServer, name: str) -> str:
    return server.base_url if name.startswith("openai") else server.anthropic_url


def keys(server: ModelServer) -> list[str | None]:
    """The keys that the model was sent."""
    return [
        call["api_key"] or (call["authorization"] or "").removeprefix("Bearer ") for call in server.report()["calls"]
    ]


@pytest.mark.parametrize("name", BOTH)
async def test_without_anything_of_its_own_a_tenant_uses_the_installations(installed: ModelServer, name: str) -> None:
    assert await ask(name, ModelCredentials()) == "You said: Hello"
    assert keys(installed) == ["sk-of-the-installation"]


@pytest.mark.parametrize("name", BOTH)
async def test_a_tenants_own_key_takes_the_place_of_the_installations(installed: ModelServer, name: str) -> None:
    await ask(name, ModelCredentials(api_key="sk-of-acme"))
    assert keys(installed) == ["sk-of-acme"]


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize("key", ["", "sk-of-acme"])
async def test_the_installations_key_never_goes_to_a_tenants_address(
    installed: ModelServer, settings: Settings, name: str, key: str
) -> None:
    settings.OUTBOUND_ALLOW = ["127.0.0.0/8"]
    async with ModelServer() as own:
        await ask(name, ModelCredentials(base_url=url_of(own, name), api_key=key))
        assert keys(own) == [key]
        await close_all()
    assert installed.report()["count"] == 0


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_tenants_address_that_is_not_public_is_not_connected_to(
    installed: ModelServer, name: str, host: str
) -> None:
    own = ModelCredentials(base_url=url_of(installed, name).replace("127.0.0.1", host), api_key="sk-of-acme")
    with pytest.raises(AgentFailure, match=r"^its address ") as failure:
        await ask(name, own)
    assert installed.report()["count"] == 0
    assert "sk-" not in str(failure.value)
    assert failure.value.__cause__ is None


async def test_a_name_that_leads_to_this_machine_is_not_connected_to(installed: ModelServer) -> None:
    """Whatever the name looks like: where it leads is looked at for the very connection."""
    own = ModelCredentials(base_url="https://localhost:8443/v1", api_key="sk-of-acme")
    with pytest.raises(AgentFailure, match=r"leads to an address that is not on the public internet"):
        await ask("openai:m", own)


async def test_a_tenants_model_that_redirects_is_not_followed(installed: ModelServer, settings: Settings) -> None:
    settings.OUTBOUND_ALLOW = ["127.0.0.0/8"]
    rounds = rounds_for("openai:m", ModelCredentials(base_url=installed.base_url), search=nothing)
    with pytest.raises(AgentFailure, match="status 307"):
        await hear(rounds, script(fail="redirect"))
    assert installed.report()["count"] == 1


@pytest.mark.parametrize("name", BOTH)
async def test_a_key_that_can_not_be_read_is_a_failure_and_not_the_installations(
    installed: ModelServer, name: str
) -> None:
    with pytest.raises(AgentFailure, match="SECRET_KEY_FALLBACKS") as failure:
        await ask(name, ModelCredentials(api_key=Unreadable("gAAAAA-canary")))
    assert "canary" not in str(failure.value)
    assert installed.report()["count"] == 0


# --- A stand-in ---


async def test_a_stand_in_answers_where_the_installations_model_fails(
    installed: ModelServer, settings: Settings
) -> None:
    settings.AGENT_FALLBACK_MODEL = "anthropic:other"
    settings.OPENAI_BASE_URL = "http://127.0.0.1:1/v1"
    settings.MODEL_RETRIES = 0
    rounds = rounds_for("openai:m", ModelCredentials(), search=nothing)
    assert await hear(rounds) == "You said: Hello"
    assert rounds.model == "anthropic:other"


async def test_what_a_tenants_own_model_was_to_read_goes_to_nobody_else(
    installed: ModelServer, settings: Settings
) -> None:
    settings.AGENT_FALLBACK_MODEL = "anthropic:other"
    settings.MODEL_RETRIES = 0
    for own in (ModelCredentials(base_url="http://127.0.0.1:1/v1"), ModelCredentials(api_key="sk-of-acme")):
        rounds = rounds_for("openai:m", own, search=nothing)
        with pytest.raises(AgentFailure):
            await hear(rounds, script(fail="http-401"))
    assert all(call["path"] != "/v1/messages" for call in installed.report()["calls"])


# --- What a form may take ---


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("http://models.example.com/v1", "https"),
        ("https://127.0.0.1/v1", "public"),
        ("https://169.254.169.254/latest", "public"),
        ("https://models.example.com:11434/v1", "port"),
        ("https://user:word@models.example.com/v1", "password"),
        ("models.example.com", "https"),
        ("https://models.example.com/v1?api-version=1", r"without \?"),
        ("https://models.example.com/v1#x", r"without \?"),
    ],
)
def test_an_address_that_a_tenant_may_not_name_is_refused(settings: Settings, address: str, why: str) -> None:
    settings.OUTBOUND_ALLOW = []
    with pytest.raises(ValueError, match=why):
        check_address(address)


@pytest.mark.parametrize("address", ["", "https://models.example.com/v1", "https://models.example.com:8443/v1/"])
def test_an_address_on_the_internet_is_taken(address: str) -> None:
    check_address(address)


@pytest.mark.parametrize("key", ["sk canary", "sk-canary\n", "ключ", "sk-\0"])
def test_a_key_that_no_header_carries_is_refused_without_saying_it(key: str) -> None:
    with pytest.raises(ValueError, match="key") as error:
        check_key(key)
    assert "canary" not in str(error.value)
