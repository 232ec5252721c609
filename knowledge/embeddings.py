"""What do texts mean, as vectors of a model behind an OpenAI-compatible API?

`POST /embeddings` of EMBEDDING_BASE_URL. Neither the key nor any text gets into a log or an error.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from array import array
from collections.abc import Sequence

import aiohttp
import orjson
from django.conf import settings

from core import client_sessions

logger = logging.getLogger(__name__)

#: Texts that are sent at once, and seconds that their vectors may take.
BATCH = 64
BATCH_SECONDS = 30.0
#: Seconds that the vector of a question may take: after that it is searched for by words alone.
QUESTION_SECONDS = 2.0
#: Seconds between two lines of the log that say that questions get no vector.
TELL_SECONDS = 60.0
#: Longest question that is sent, in characters.
QUESTION_CHARACTERS = 2000

#: Of length 1, so that the product of two is their cosine.
Vector = array  # of 32-bit floats

_told_at = float("-inf")


class NoVectors(Exception):
    """The model gave none. The message names a class of failure, never an address or a text."""


def is_on() -> bool:
    """Whether this installation has a model of embeddings."""
    return bool(settings.EMBEDDING_MODEL)


async def of_question(text: str) -> Vector | None:
    """The vector of a question; None where nobody makes any, or not in time, which is logged once a minute."""
    global _told_at
    if not is_on():
        return None
    try:
        [vector] = await embed([text[:QUESTION_CHARACTERS]], seconds=QUESTION_SECONDS)
    except NoVectors as error:
        if time.monotonic() - _told_at >= TELL_SECONDS:
            _told_at = time.monotonic()
            logger.warning("questions are searched for by words alone: %s", error)
        return None
    return vector


async def embed(texts: Sequence[str], *, seconds: float = BATCH_SECONDS) -> list[Vector]:
    """The vector of each text. Raises NoVectors."""
    headers = {"Content-Type": "application/json"}
    if settings.EMBEDDING_API_KEY:
        headers["Authorization"] = f"Bearer {settings.EMBEDDING_API_KEY}"
    body = {"model": settings.EMBEDDING_MODEL.removeprefix("openai:"), "input": list(texts)}
    url = settings.EMBEDDING_BASE_URL.rstrip("/") + "/embeddings"
    try:
        async with (
            asyncio.timeout(seconds),
            client_sessions.session().post(
                url, data=orjson.dumps(body), headers=headers, allow_redirects=False
            ) as answer,
        ):
            if answer.status != 200:
                raise NoVectors(f"the model of embeddings answered with status {answer.status}")
            content = await answer.read()
    except TimeoutError:
        raise NoVectors(f"the model of embeddings took longer than {seconds:g} s") from None
    except (aiohttp.ClientError, OSError) as error:
        raise NoVectors(f"no connection to the model of embeddings: {type(error).__name__}") from None
    return _vectors(content, len(texts))


def _vectors(content: bytes, expected: int) -> list[Vector]:
    try:
        data = sorted(orjson.loads(content)["data"], key=lambda each: each["index"])
        vectors = [_unit(array("f", each["embedding"])) for each in data]
    except (ValueError, KeyError, TypeError, OverflowError):
        raise NoVectors("the model of embeddings answered something else than vectors") from None
    if len(vectors) != expected or len({len(vector) for vector in vectors}) != 1:
        raise NoVectors("the model of embeddings answered other vectors than were asked for")
    return vectors


def _unit(vector: Vector) -> Vector:
    length = math.sqrt(sum(value * value for value in vector))
    if not length or not math.isfinite(length):
        raise ValueError
    return array("f", [value / length for value in vector])
