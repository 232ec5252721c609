"""How does a text that others wrote become comparable, for no more than its length costs?

What is searched, compared or judged is folded first, and nowhere else is a text normalised: a message, an article or a
model's reply may be made to be slow. Two bounds keep that from happening:

* Of a run of combining marks the first MOST_MARKS stand. Normalising sorts each run by insertion in one call that
  nothing can interrupt: 32,000 marks took 4 to 40 seconds. So many is what Unicode Standard Annex #15, section 13
  (Stream-Safe Text Format), has for any text of a real language.
* Of the text, and of what normalising makes of it, a bounded part counts; and of U+FDFA, which becomes 18 characters
  where all others become eight at most, as many as a text about the Prophet has.
"""

from __future__ import annotations

import unicodedata

#: So much of a text counts, in characters: the longest article that is imported (knowledge/importing.py).
MOST_CHARACTERS = 200_000
#: So many marks on one character.
MOST_MARKS = 30
#: The character that grows most, and how many times; of a short text so many of it count, and of others a share.
_GROWS_MOST, _GROWTH, _AT_LEAST = "\ufdfa", 18, 50

#: What is sorted, or becomes what is sorted. No character beyond these planes is.
_NON_STARTERS = frozenset(
    character
    for character in map(chr, range(0x300, 0x20000))
    if unicodedata.combining(unicodedata.normalize("NFKD", character)[0])
)


def fold(text: str, most: int = MOST_CHARACTERS) -> str:
    """The text in Unicode's NFKC and case folded: two that read alike are equal.

    Of `text`, and of its NFKC, the first `most` characters count, and MOST_MARKS of each run of marks.
    """
    text = text[:most]
    if text.isascii():
        return text.casefold()
    if _GROWS_MOST in text:
        *kept, rest = text.split(_GROWS_MOST, _AT_LEAST + len(text) // _GROWTH)
        text = _GROWS_MOST.join([*kept, rest.replace(_GROWS_MOST, " ")])
    return unicodedata.normalize("NFKC", _stream_safe(text))[:most].casefold()


def _stream_safe(text: str) -> str:
    """The text without what is too much of each run of marks."""
    kept: list[str] = []
    begin, place = 0, MOST_MARKS
    while place < len(text):
        if text[place] not in _NON_STARTERS:
            # A run that is too long lies on one of these places, so most of the text is never looked at.
            place += MOST_MARKS + 1
            continue
        first, end = place, place + 1
        while first > begin and text[first - 1] in _NON_STARTERS:
            first -= 1
        while end < len(text) and text[end] in _NON_STARTERS:
            end += 1
        if end - first > MOST_MARKS:
            kept.append(text[begin : first + MOST_MARKS])
            begin = end
        place = end + MOST_MARKS + 1
    return "".join([*kept, text[begin:]])
