"""Which agent does a model's name stand for?"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from django.conf import settings

from agents import connections
from agents.builtin import BuiltinAgent
from agents.contract import Agent
from agents.openai_compatible import OpenAICompatibleAgent


class UnknownModel(ValueError):
    """No backend answers to this name. The message says which there are."""

    def __init__(self, model: str) -> None:
        super().__init__(f"There is no model {model!r}. Use one of: {', '.join(_BACKENDS)}.")


def _builtin(name: str) -> Agent:
    return BuiltinAgent(words_per_second=settings.BUILTIN_WORDS_PER_SECOND)


def _openai(name: str) -> Agent:
    return OpenAICompatibleAgent(
        name=name,
        base_url=settings.OPENAI_BASE_URL,
        api_key=settings.OPENAI_API_KEY,
        timeouts=connections.Timeouts(
            connect=settings.MODEL_CONNECT_SECONDS,
            first_token=settings.MODEL_FIRST_TOKEN_SECONDS,
            gap=settings.MODEL_GAP_SECONDS,
            total=settings.MODEL_TOTAL_SECONDS,
        ),
    )


#: Each backend, by how its models are written.
_BACKENDS: dict[str, Callable[[str], Agent]] = {
    "builtin": _builtin,
    "openai:<model>": _openai,
}


def check_model(model: str) -> None:
    """Raises UnknownModel where `agent_for` would. Empty is fine: it stands for AGENT_MODEL."""
    if model:
        _written(model)


@cache
def agent_for(model: str) -> Agent:
    """The agent that answers as `model`: "builtin" or "openai:<model>".

    Raises UnknownModel.
    """
    return _BACKENDS[_written(model)](model.partition(":")[2])


async def close_all() -> None:
    """Close every connection to a model; the process ends."""
    await connections.close()


def _written(model: str) -> str:
    """How the table writes such a model."""
    backend, _, name = model.partition(":")
    written = f"{backend}:<model>" if name.strip() else model
    if written not in _BACKENDS:
        raise UnknownModel(model)
    return written
