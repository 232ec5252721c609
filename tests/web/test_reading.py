"""The page is read on a phone, in the light and in the dark, and used without a mouse."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from tests.support.client import script
from tests.web.conftest import Visitor
from tests.web.test_page import held

#: No database decides it (tests/__main__.py).
pytestmark = pytest.mark.once

#: What is wider than any phone: a word, a block of code, a table, an address.
WIDE = (
    f"{'word' * 60}\n\n```\n{'x' * 200}\n```\n\n| {'a | ' * 8}\n| {'-- | ' * 8}\n| {'loooooong | ' * 8}\n\n"
    f"`{'y' * 120}` https://example.com/{'z' * 150}"
)
#: The texts that are seen, with the contrast of each to what is behind it (WCAG 2.2, 1.4.3).
CONTRASTS = """() => {
  const numbers = (color) => color.match(/[\\d.]+/g).map(Number);
  const light = (color) => color.map((c) => c / 255)
    .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, at) => sum + c * [0.2126, 0.7152, 0.0722][at], 0);
  const behind = (element) => {
    for (; element; element = element.parentElement) {
      const [r, g, b, alpha = 1] = numbers(getComputedStyle(element).backgroundColor);
      if (alpha > 0) return [r, g, b];
    }
    return [255, 255, 255];
  };
  return [...document.querySelectorAll("body *")]
    .filter((it) => it.checkVisibility() && [...it.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim()))
    .map((it) => {
      const both = [numbers(getComputedStyle(it).color).slice(0, 3), behind(it)].map(light).sort((a, b) => b - a);
      return [it.textContent.trim().slice(0, 40), (both[0] + 0.05) / (both[1] + 0.05)];
    });
}"""


async def test_on_a_phone_nothing_is_wider_than_the_screen(visitor: Visitor) -> None:
    await visitor.page.set_viewport_size({"width": 320, "height": 640})
    await visitor.say(script(say=WIDE))
    await expect(visitor.page.locator(".assistant.done table")).to_be_visible()
    widths = await visitor.page.evaluate(
        "[document.documentElement, document.querySelector('#scroll')].map((it) => it.scrollWidth)"
    )
    assert widths == [320, 320]


async def test_every_text_stands_out_in_the_light_and_in_the_dark(visitor: Visitor) -> None:
    await visitor.say("hello")
    await expect(visitor.page.locator(".assistant.done .text")).to_have_text("You said: hello")
    for scheme in ("light", "dark"):
        await visitor.page.emulate_media(color_scheme=scheme)
        contrasts = dict(await visitor.page.evaluate(CONTRASTS))
        assert {"hello", "You said: hello", "Send", "Connected", "Answers can be wrong."} <= set(contrasts)
        assert {text: ratio for text, ratio in contrasts.items() if ratio < 4.5} == {}


async def test_all_of_it_is_done_by_keyboard(visitor: Visitor) -> None:
    keyboard = visitor.page.keyboard
    await visitor.page.focus("#text")
    message, _ = held()
    await keyboard.type(message)
    await keyboard.press("Enter")
    await expect(visitor.page.locator(".assistant.streaming .text")).to_have_text("one two three")
    await keyboard.press("Escape")
    await expect(visitor.page.locator(".assistant.stopped")).to_have_count(1)
    await expect(visitor.page.locator("#text")).to_be_focused()
    await keyboard.press("Shift+Tab")
    await expect(visitor.page.get_by_role("button", name="Not a good answer")).to_be_focused()
    await keyboard.press("Space")
    await expect(visitor.page.locator("[value=down]")).to_have_attribute("aria-pressed", "true")
    for name in ("Your message", "Send", "Ask for a person"):
        await keyboard.press("Tab")
        await expect(visitor.page.get_by_label(name).or_(visitor.page.get_by_role("button", name=name))).to_be_focused()
