"""Which agent does a model's name stand for?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from django.conf import settings

from agents.builtin.agent import BuiltinAgent
from agents.contract import Agent, AgentFailure
from agents.providers.anthropic import AnthropicAgent
from agents.providers.deadline import Timeouts
from agents.providers.openai_compatible import OpenAICompatibleAgent
from agents.providers.remote import RemoteAgent
from agents.rounds import Rounds
from agents.toolbox import Search
from core import client_sessions, outbound
from core.db.fields import Unreadable


@dataclass(frozen=True, slots=True)
class ModelCredentials:
    """What a tenant brings of its own; its key is in no representation."""

    base_url: str = ""
    api_key: str = field(default="", repr=False)

    def __bool__(self) -> bool:
        return bool(self.base_url or self.api_key)


NO_CREDENTIALS = ModelCredentials()


class UnknownModel(ValueError):
    """No backend answers to this name. The message says which there are."""

    def __init__(self, model: str) -> None:
        super().__init__(f"There is no model {model!r}. Use one of: {', '.join(_BACKENDS)}.")


def _builtin(name: str, own: ModelCredentials) -> Agent:
    return BuiltinAgent(words_per_second=settings.BUILTIN_WORDS_PER_SECOND)


def _openai(name: str, own: ModelCredentials) -> Agent:
    return _remote(OpenAICompatibleAgent, name, own, settings.OPENAI_BASE_URL, settings.OPENAI_API_KEY)


def _anthropic(name: str, own: ModelCredentials) -> Agent:
    return _remote(AnthropicAgent, name, own, settings.ANTHROPIC_BASE_URL, settings.ANTHROPIC_API_KEY)


#: Each backend, by how its models are written.
_BACKENDS: dict[str, Callable[[str, ModelCredentials], Agent]] = {
    "builtin": _builtin,
    "openai:<model>": _openai,
    "anthropic:<model>": _anthropic,
}


def check_model(model: str) -> None:
    """Raises UnknownModel where `agent_for` would. Empty is fine: it stands for AGENT_MODEL."""
    if model:
        _written(model)


def check_address(base_url: str) -> None:
    """Raises ValueError where no agent may ask at this address for a tenant. Empty is fine: it names none."""
    if not base_url:
        return
    try:
        url = outbound.check_url(base_url)
    except outbound.Forbidden as why:
        raise ValueError(f"{base_url} {why}.") from None
    if url.query_string or url.fragment:
        raise ValueError(f"{base_url} must end with its path, without ? and #.")


def check_key(api_key: str) -> None:
    """Raises ValueError where no header can carry this key."""
    if not (api_key.isascii() and api_key.isprintable()) or " " in api_key:
        raise ValueError("A key has letters, digits and signs only, without spaces and line breaks.")


def agent_for(model: str, own: ModelCredentials = NO_CREDENTIALS) -> Agent:
    """The agent that answers as `model`: "builtin", "openai:<model>" or "anthropic:<model>".

    Making one costs nothing worth keeping it, so that no tenant's key is kept either.

    Raises UnknownModel, and AgentFailure where the tenant's key can not be read.
    """
    return _BACKENDS[_written(model)](model.partition(":")[2], own)


def rounds_for(model: str, own: ModelCredentials, *, search: Search) -> Rounds:
    """One reply of that agent, with its tools, and with the installation's stand-in where it is the installation's.

    What a tenant's own model was to read goes to nobody else. Raises as `agent_for`.
    """
    fallback = settings.AGENT_FALLBACK_MODEL
    return Rounds(
        agent_for(model, own),
        fallback=agent_for(fallback) if fallback and fallback != model and not own else None,
        search=search,
        has_tools=settings.MODEL_TOOLS,
        seconds=settings.MODEL_TOTAL_SECONDS,
        secret=settings.SECRET_KEY,
    )


async def close_all() -> None:
    """Close every connection to a model; the process ends."""
    await client_sessions.close()


def _remote(backend: type[RemoteAgent], name: str, own: ModelCredentials, base_url: str, api_key: str) -> Agent:
    """A model of the installation's, or a tenant's own: the installation's key never goes to a tenant's address."""
    if isinstance(own.api_key, Unreadable):
        raise AgentFailure(f"the key of this tenant's model {Unreadable.PROBLEM}", reason="status")
    return backend(
        name=name,
        base_url=own.base_url or base_url,
        api_key=own.api_key if own else api_key,
        timeouts=Timeouts(
            connect=settings.MODEL_CONNECT_SECONDS,
            first_token=settings.MODEL_FIRST_TOKEN_SECONDS,
            gap=settings.MODEL_GAP_SECONDS,
            total=settings.MODEL_TOTAL_SECONDS,
        ),
        retries=settings.MODEL_RETRIES,
        is_checked=bool(own.base_url),
    )


def _written(model: str) -> str:
    """How the table writes such a model."""
    backend, _, name = model.partition(":")
    written = f"{backend}:<model>" if name.strip() else model
    if written not in _BACKENDS:
        raise UnknownModel(model)
    return written
