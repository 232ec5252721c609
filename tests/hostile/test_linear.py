"""No text costs more than its length: four times as much of it takes four times as long.

The one test that looks at a clock. It looks at the processor's time of this thread, which other processes do not use,
at growing lengths, so that what is quadratic is seen while it is short. Between two lengths quadratic is a factor of
16, and linear one of 4: the bound is between them, and holds for the best of several tries.
"""

from __future__ import annotations

import gc
import re
import time
import unicodedata
from collections.abc import Callable
from functools import partial

import pytest

from knowledge import analyzer
from tests.hostile.readers import FILES, MESSAGE, READERS, Reader
from tests.hostile.shapes import SHAPES, Shape

#: No database decides it (tests/__main__.py).
pytestmark = pytest.mark.once

#: How much longer each text is than the one before, and how many times as long it may take.
LONGER, ROOM = 4, 8
#: Lengths that are tried, the longest one and shorter ones.
LENGTHS = 4
#: What takes less than this, in seconds, is taken for this: what is judged by a bounded part costs nothing at first.
LEAST = 0.01
#: What takes so long for its longest text is too slow, however it grows.
MOST = 2.0
#: So often it is tried again before it is called slow.
TRIES = 4


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_time_grows_as_the_text_does(reader: Reader) -> None:
    reader.read("Where is my lamp?")
    slow = {name: told for name in reader.shapes or SHAPES if (told := what_is_slow(reader, SHAPES[name]))}
    assert slow == {}


@pytest.mark.parametrize("reader", FILES, ids=lambda reader: reader.name)
def test_time_grows_as_the_file_does(reader: Reader) -> None:
    test_time_grows_as_the_text_does(reader)


@pytest.mark.parametrize(
    ("read", "shape"),
    [
        (partial(unicodedata.normalize, "NFKC"), "Tibetan marks"),
        (re.compile(r"^#\s+(.+?)\s*#*\s*$", re.MULTILINE).search, "spaces in a heading"),
        (re.compile(r"\s*\S+\s*").findall, "spaces"),
    ],
    ids=["normalising marks", "a heading", "words"],
)
def test_what_grows_faster_is_seen(read: Callable[[str], object], shape: str) -> None:
    assert what_is_slow(Reader("", read, MESSAGE // 2), SHAPES[shape])


def what_is_slow(reader: Reader, shape: Shape) -> str | None:
    """How a text of this shape takes longer than it should; None where it does not."""
    before, text_before = 0.0, ""
    for power in range(LENGTHS - 1, -1, -1):
        text = shape(reader.most // LONGER**power)
        now = seconds(reader, text)
        for _ in range(TRIES):
            if not text_before or now <= ROOM * max(before, LEAST):
                break
            before, now = min(before, seconds(reader, text_before)), min(now, seconds(reader, text))
        else:
            return f"{len(text_before)} characters take {before:.4f} s, {len(text)} take {now:.4f} s"
        if now > MOST:
            return f"{len(text)} characters take {now:.4f} s"
        before, text_before = now, text
    return None


def seconds(reader: Reader, text: str) -> float:
    """The processor's time that reading the text takes."""
    analyzer._remembered.cache_clear()
    gc.disable()
    try:
        begin = time.thread_time()
        reader.read(text)
        return time.thread_time() - begin
    finally:
        gc.enable()
