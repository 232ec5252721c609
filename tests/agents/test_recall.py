"""What was said before, and what it makes of a message."""

from __future__ import annotations

from agents.builtin.dialogue_state import answers_before, chosen, search_question, since_handed_over, titles_quoted
from agents.builtin.phrases import SAY
from agents.contract import Turn

WHICH = SAY["which"].format(first="Lamps", second="Light bulbs")


def talk(*contents: str) -> tuple[Turn, ...]:
    """Turns of the user and the assistant by turns."""
    return tuple(Turn("assistant" if number % 2 else "user", content) for number, content in enumerate(contents))


def test_a_question_is_searched_for_as_it_is() -> None:
    assert search_question("Do you ship to Norway?", talk("When are you open?", "…")) == "Do you ship to Norway?"


def test_a_follow_up_is_searched_for_with_the_question_before_it() -> None:
    assert search_question("And on Sunday?", talk("When are you open?", "…")) == "When are you open?\nAnd on Sunday?"


def test_a_follow_up_of_a_follow_up_goes_back_to_the_question() -> None:
    history = talk("When are you open?", "…", "And on Sunday?", "…", "Thanks!", "…")
    assert search_question("and Monday?", history) == "When are you open?\nand Monday?"


def test_a_follow_up_of_nothing_is_searched_for_as_it_is() -> None:
    assert search_question("And on Sunday?", ()) == "And on Sunday?"
    assert search_question("And on Sunday?", talk("Hello", "…")) == "And on Sunday?"


def test_whoever_is_frustrated_asks_nothing_anew() -> None:
    assert search_question("This is useless", talk("When are you open?", "…")) == "This is useless"


def test_who_takes_up_an_article_means_the_question_before_and_its_title() -> None:
    assert search_question("the second", talk("Which one lasts?", WHICH)) == "Which one lasts?\nLight bulbs"
    assert search_question("neither", talk("Which one lasts?", WHICH)) == "Which one lasts?"


def test_a_follow_up_of_what_was_taken_up_goes_back_to_both() -> None:
    history = talk("Which one lasts?", WHICH, "the first", "…")
    assert search_question("And at night?", history) == "Which one lasts?\nLamps\nAnd at night?"


def test_another_question_takes_up_nothing() -> None:
    history = talk("Which one lasts?", WHICH)
    for question in ("Where is my parcel?", "How do I return a lamp?", "light", "thanks"):
        assert chosen(question, history) == (("Light bulbs",) if question == "light" else None)


def test_nothing_is_taken_up_that_was_not_offered_right_before() -> None:
    assert chosen("the first", talk("Which one lasts?", WHICH, "Hi", "Hello")) is None
    assert chosen("the first", ()) is None


def test_a_title_may_hold_anything() -> None:
    titles = ("A “quoted” (title) {first}", "Other\nlines? or “not”")
    history = talk("bulb", SAY["which"].format(first=titles[0], second="B"))
    assert chosen("the first", history) == (titles[0],)


def test_the_same_words_in_another_dress_are_the_same_question() -> None:
    history = talk("Where is my parcel?", "a1", "where is MY parcel", "a2", "Where is my lamp?", "a3")
    assert answers_before("Hello, where is my parcel, please?!", history) == ["a1", "a2"]


def test_how_long_is_not_how_much() -> None:
    assert answers_before("How long is shipping?", talk("How much is shipping?", "a1")) == []


def test_marks_alone_are_no_question_that_repeats() -> None:
    assert answers_before("???", talk("???", "a1")) == []


def test_the_titles_of_all_quotations_are_known() -> None:
    said = "Text.\n\nFrom our article “A”.\n\nText.\n\nFrom our article “B (c)”."
    assert titles_quoted([said, "nothing"]) == {"A", "B (c)"}


def test_only_the_agents_own_words_hand_over() -> None:
    assert since_handed_over(talk(SAY["hand_over"], "a1", "q2")) == talk(SAY["hand_over"], "a1", "q2")
    assert since_handed_over(talk("q1", SAY["hand_over"], "q2")) == (Turn("user", "q2"),)
