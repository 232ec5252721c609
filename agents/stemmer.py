"""What is the stem of an English word?

M. F. Porter, "An algorithm for suffix stripping", Program 14 (1980), as published, so that anyone
can check it. A stem need not be a word ("delivery" gives "deliveri"); it only has to be the same
for the forms of one word.
"""

from __future__ import annotations

from functools import lru_cache

# Suffixes and what replaces them, as the paper lists them.
_STEP_2 = {
    "ational": "ate", "tional": "tion", "enci": "ence", "anci": "ance", "izer": "ize", "abli": "able", "alli": "al",
    "entli": "ent", "eli": "e", "ousli": "ous", "ization": "ize", "ation": "ate", "ator": "ate", "alism": "al",
    "iveness": "ive", "fulness": "ful", "ousness": "ous", "aliti": "al", "iviti": "ive", "biliti": "ble",
}  # fmt: skip
_STEP_3 = {"icate": "ic", "ative": "", "alize": "al", "iciti": "ic", "ical": "ic", "ful": "", "ness": ""}
_STEP_4 = {
    "al": "", "ance": "", "ence": "", "er": "", "ic": "", "able": "", "ible": "", "ant": "", "ement": "", "ment": "",
    "ent": "", "ion": "", "ou": "", "ism": "", "ate": "", "iti": "", "ous": "", "ive": "", "ize": "",
}  # fmt: skip
_LONGEST_SUFFIX = 7


@lru_cache(maxsize=2**15)
def stem(word: str) -> str:
    """The stem of a word in lower case. A word with anything but the letters a to z is its own stem."""
    if len(word) < 3 or not (word.isascii() and word.isalpha()):
        return word
    word = _without_plural(word)
    word = _without_past(word)
    if word.endswith("y") and _has_vowel(word[:-1]):
        word = word[:-1] + "i"
    word = _replace(word, _STEP_2, above=0)
    word = _replace(word, _STEP_3, above=0)
    word = _replace(word, _STEP_4, above=1)
    return _tidy(word)


def _without_plural(word: str) -> str:
    if word.endswith(("sses", "ies")):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith("ss") else word


def _without_past(word: str) -> str:
    """Without -ed or -ing, and with the e or the single consonant the word had before them."""
    if word.endswith("eed"):
        return word[:-1] if _measure(word[:-3]) > 0 else word
    part = word[:-2] if word.endswith("ed") else word[:-3] if word.endswith("ing") else ""
    if not _has_vowel(part):
        return word
    if part.endswith(("at", "bl", "iz")) or (_measure(part) == 1 and _ends_short(part)):
        return part + "e"
    return part[:-1] if _ends_double(part) and part[-1] not in "lsz" else part


def _tidy(word: str) -> str:
    """Without a final e or double l that carries nothing."""
    if word.endswith("e"):
        part = word[:-1]
        if _measure(part) > 1 or (_measure(part) == 1 and not _ends_short(part)):
            word = part
    return word[:-1] if word.endswith("ll") and _measure(word) > 1 else word


def _replace(word: str, table: dict[str, str], *, above: int) -> str:
    """The longest suffix of the table replaced, where what stands before it measures more than `above`."""
    for length in range(_LONGEST_SUFFIX, 1, -1):
        part, suffix = word[:-length], word[-length:]
        if suffix in table:
            fits = _measure(part) > above and (suffix != "ion" or part.endswith(("s", "t")))
            return part + table[suffix] if fits else word
    return word


def _shape(part: str) -> str:
    """A v for each vowel and a c for each consonant; y is a vowel after a consonant."""
    shape = ""
    for letter in part:
        shape += "v" if letter in "aeiou" or (letter == "y" and shape.endswith("c")) else "c"
    return shape


def _measure(part: str) -> int:
    """How often a vowel is followed by a consonant: the paper's m, about the number of syllables."""
    return _shape(part).count("vc")


def _has_vowel(part: str) -> bool:
    return "v" in _shape(part)


def _ends_double(part: str) -> bool:
    return part[-1:] == part[-2:-1] and _shape(part).endswith("c")


def _ends_short(part: str) -> bool:
    """Whether it ends consonant, vowel, consonant, as in "hop": then it has lost an e, or keeps it."""
    return _shape(part).endswith("cvc") and part[-1] not in "wxy"
