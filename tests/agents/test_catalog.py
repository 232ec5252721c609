"""Models by their names."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pytest_django import Settings

from agents.builtin import BuiltinAgent
from agents.catalog import UnknownModel, agent_for, check_model, close_all
from agents.connections import session
from agents.openai_compatible import OpenAICompatibleAgent

UNKNOWN = [
    "gpt-4o",
    "openai",
    "openai:",
    "openai: ",
    "builtin:x",
    "Builtin",
    "anthropic:claude",
    ":x",
    " builtin",
    "x:y:z",
]


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    agent_for.cache_clear()
    yield
    agent_for.cache_clear()


def test_builtin_is_the_built_in_agent() -> None:
    agent = agent_for("builtin")
    assert isinstance(agent, BuiltinAgent)
    assert agent.model == "builtin"


@pytest.mark.parametrize("model", ["openai:gpt-4o", "openai:meta-llama/llama-3:free"])
def test_openai_is_the_compatible_agent_of_that_model(model: str) -> None:
    agent = agent_for(model)
    assert isinstance(agent, OpenAICompatibleAgent)
    assert agent.model == model


def test_a_model_has_one_agent() -> None:
    assert agent_for("openai:a") is agent_for("openai:a")
    assert agent_for("openai:a") is not agent_for("openai:b")


@pytest.mark.parametrize("model", UNKNOWN)
def test_an_unknown_model_is_refused_and_told_which_there_are(model: str) -> None:
    for ask in (agent_for, check_model):
        with pytest.raises(UnknownModel, match=r"builtin, openai:<model>"):
            ask(model)


@pytest.mark.parametrize("model", ["", "builtin", "openai:gpt-4o"])
def test_a_model_of_a_tenant_may_be_known_or_empty(model: str) -> None:
    check_model(model)


def test_an_agent_without_a_name_is_none() -> None:
    with pytest.raises(UnknownModel):
        agent_for("")


def test_the_key_is_in_no_representation(settings: Settings) -> None:
    settings.OPENAI_API_KEY = "sk-canary"
    assert "canary" not in repr(agent_for("openai:x"))


async def test_the_session_is_made_once_and_closed_with_all() -> None:
    first = session()
    assert session() is first
    await close_all()
    assert first.closed
    assert session() is not first
    await close_all()
