"""What is wrong with how this installation's models are configured?"""

from __future__ import annotations

from urllib.parse import urlsplit

from django.conf import settings
from django.core import checks

from agents.catalog import UnknownModel, check_key, check_model
from lexicon.address_checks import is_address
from lexicon.data_checks import Found

_SCHEMES = ("http", "https")
#: Where models are asked, with an example of each.
_ADDRESSES = {
    "OPENAI_BASE_URL": "https://api.openai.com/v1",
    "ANTHROPIC_BASE_URL": "https://api.anthropic.com",
    "EMBEDDING_BASE_URL": "https://api.openai.com/v1",
}
#: Who asks for a key: how its models begin, its host, and the settings of its address and its key.
_PROVIDERS = (
    ("openai:", "api.openai.com", "OPENAI_BASE_URL", "OPENAI_API_KEY"),
    ("anthropic:", "api.anthropic.com", "ANTHROPIC_BASE_URL", "ANTHROPIC_API_KEY"),
)


def models() -> Found:
    """E011, E012, E017, E019 and E020."""
    for setting in ("AGENT_MODEL", "AGENT_FALLBACK_MODEL"):
        model = getattr(settings, setting)
        try:
            check_model(model)
        except UnknownModel as error:
            yield checks.Error(f"{setting} is not right. {error}", hint="builtin needs nothing.", id="lexicon.E011")
        yield from _without_key(setting, model)
    for name, example in _ADDRESSES.items():
        if not is_address(getattr(settings, name), _SCHEMES):
            # Not what was given: there may be a password in it.
            yield checks.Error(
                f"{name} is no address.",
                hint=f"Write it like {example} or http://localhost:11434/v1.",
                id="lexicon.E017",
            )
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "EMBEDDING_API_KEY"):
        try:
            check_key(getattr(settings, name))
        except ValueError as error:
            yield checks.Error(f"{name} is no key. {error}", hint="Copy it again.", id="lexicon.E019")
    if settings.MODEL_RETRIES < 0:
        yield checks.Error(f"MODEL_RETRIES is {settings.MODEL_RETRIES}.", hint="It is 0 or more.", id="lexicon.E020")


def _without_key(setting: str, model: str) -> Found:
    """E012: a model of a provider that asks for a key, which is not there."""
    for prefix, host, address, key in _PROVIDERS:
        url = getattr(settings, address)
        is_there = is_address(url, _SCHEMES) and urlsplit(url).hostname == host
        if model.startswith(prefix) and is_there and not getattr(settings, key):
            yield checks.Error(
                f"{setting} is {model}, but {key} is not set.",
                hint=f"Set it, or point {address} at a server that asks for none.",
                id="lexicon.E012",
            )
