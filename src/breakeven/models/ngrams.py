"""Words and character n-grams of a text, the same code at fit and at every request.

Characters are taken inside words padded with a space, as the field does (`char_wb`); a Chinese sentence has no spaces,
so it is one long word and gives its characters, pairs and triples.
"""

from __future__ import annotations

import re

_WORD = re.compile(r"\w+")


def words(text: str, low: int, high: int) -> list[str]:
    """Runs of `low` to `high` words of the lower-cased text, joined by one space."""
    found = _WORD.findall(text.lower())
    grams = list(found) if low == 1 else []
    for size in range(max(low, 2), high + 1):
        grams += [" ".join(found[start : start + size]) for start in range(len(found) - size + 1)]
    return grams


def characters(text: str, low: int, high: int) -> list[str]:
    """Character n-grams of each space-padded word of the lower-cased text; a word shorter than `n` counts once."""
    grams: list[str] = []
    for part in text.lower().split():
        word = f" {part} "
        length = len(word)
        for size in range(low, high + 1):
            if length <= size:
                grams.append(word)
                break
            grams += [word[start : start + size] for start in range(length - size + 1)]
    return grams


class Analyzer:
    """The n-grams of one kind, as a callable that scikit-learn's vectoriser takes."""

    def __init__(self, kind: str, low: int, high: int) -> None:
        self._split = {"words": words, "characters": characters}[kind]
        self._low, self._high = low, high

    def __call__(self, text: str) -> list[str]:
        """All n-grams of `text`, repeats included."""
        return self._split(text, self._low, self._high)
