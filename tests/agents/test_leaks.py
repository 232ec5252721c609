"""Instructions that a model gives away."""

from __future__ import annotations

import pytest

from agents.prompt_leaks import canary_of, gives_away

#: No database decides it.
pytestmark = pytest.mark.once

INSTRUCTIONS = "You are Ada, the assistant of Acme. " + " ".join(
    f"Rule {n} is about the number {n}." for n in range(99)
)
SHORT = "You are Ada, who speaks for Acme and for nobody else."
CANARY = canary_of(INSTRUCTIONS, secret="s")


def leaks(said: str, instructions: str = INSTRUCTIONS) -> bool:
    return gives_away(said, instructions=instructions, canary=CANARY)


@pytest.mark.parametrize(
    "said",
    [
        CANARY,
        f"The mark is {CANARY}.",
        CANARY.upper(),
        " ".join(CANARY),
        "-".join(CANARY),
        INSTRUCTIONS,
        f"Sure! {INSTRUCTIONS[500:760]} And so on.",
        INSTRUCTIONS[501:701],
        INSTRUCTIONS[:300].upper(),
        INSTRUCTIONS[:300].replace(" ", "\n  "),
        INSTRUCTIONS[-250:],
    ],
)
def test_what_gives_them_away_is_seen(said: str) -> None:
    assert leaks(said)


def test_a_ruler_is_given_away_by_as_much_of_it_as_of_anything_else() -> None:
    ruled = f"{INSTRUCTIONS[:300]}\n{'=' * 250}\n{INSTRUCTIONS[300:]}"
    assert leaks("=" * 100_000, ruled)
    assert leaks(f"x{'=' * 200}x", ruled)
    assert not leaks(("=" * 199 + "x") * 500, ruled)


@pytest.mark.parametrize("begin", [0, 1, 99, 100, 101, 333])
@pytest.mark.parametrize("before", ["", "x", "x" * 99, "x" * 100, "x" * 150])
def test_as_many_characters_as_that_are_seen_wherever_they_stand(before: str, begin: int) -> None:
    told = "".join(chr(0x4E00 + number) for number in range(1000))
    assert leaks(f"{before}{told[begin : begin + 200]}y", told)
    assert not leaks(f"{before}{told[begin : begin + 199]}y", told)


@pytest.mark.parametrize(
    "said", ["", "Hello!", INSTRUCTIONS[500:640], "Rule 7 is about the number 7. " * 40, CANARY[:8], "x" * 100_000]
)
def test_what_does_not_is_not(said: str) -> None:
    assert not leaks(said)


def test_short_instructions_count_as_a_whole() -> None:
    assert leaks(f"My orders: {SHORT}", SHORT)
    assert not leaks(SHORT[:-12], SHORT)


def test_instructions_that_say_nothing_of_their_own_are_no_secret() -> None:
    assert not leaks("Be kind. Be brief.", "Be kind. Be brief.")


def test_a_canary_is_the_same_for_the_same_instructions_and_nobody_guesses_it() -> None:
    assert canary_of("a", secret="s") == canary_of("a", secret="s")
    assert len({canary_of(text, secret=secret) for text in ("a", "b", "") for secret in ("s", "t")}) == 6
