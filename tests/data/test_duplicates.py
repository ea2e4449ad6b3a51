"""Near-duplicates: the stated rule, exactly, against brute force."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakeven.data import duplicates
from breakeven.data.duplicates import near, normal


def grams(text: str) -> set[str]:
    return {text[start : start + 5] for start in range(max(len(text) - 4, 1))} if text else set()


def brute_force(texts: list[str], threshold: float = 0.8) -> set[int]:
    sets = [grams(text) for text in texts]
    sizes = [len(grams) for grams in sets]
    pairs = [
        (later, earlier)
        for later in range(len(sets))
        if sets[later]
        for earlier in range(later)
        if sizes[later] >= threshold * sizes[earlier] - 1e-9 and sizes[earlier] >= threshold * sizes[later] - 1e-9
    ]
    return {a for a, b in pairs if len(sets[a] & sets[b]) >= threshold * len(sets[a] | sets[b]) - 1e-9}


def found(texts: list[str]) -> set[int]:
    return set(np.flatnonzero(near(texts).parent >= 0).tolist())


def family(seed: int, size: int) -> list[str]:
    """Texts over few words, and copies of them with up to three characters changed."""
    chance = random.Random(seed)
    words = ["good", "service", "never", "again", "书", "质量", "bought", "a", "phone", "case"]
    texts = [" ".join(chance.choices(words, k=chance.randint(1, 30))) for _ in range(size)]
    for text in list(texts):
        letters = list(text)
        for _ in range(chance.randint(0, 3)):
            letters[chance.randrange(len(letters))] = chance.choice("xyz ")
        texts.append(normal("".join(letters)))
    chance.shuffle(texts)
    return texts


@pytest.mark.parametrize("seed", range(4))
def test_it_finds_what_brute_force_finds(seed: int) -> None:
    texts = family(seed, 150)
    expected = brute_force(texts)
    assert len(expected) > 20
    assert found(texts) == expected


@given(st.lists(st.text("ab c", max_size=12), max_size=25))
def test_it_agrees_with_brute_force_on_short_texts_of_few_letters(texts: list[str]) -> None:
    assert found(texts) == brute_force(texts)


def test_texts_shorter_than_a_gram_are_alike_only_when_equal() -> None:
    assert found(["ab", "abc", "ab", "", ""]) == {2}


def test_many_blocks_give_the_same_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = family(9, 200)
    whole = found(texts)
    monkeypatch.setattr(duplicates, "_BLOCK", 500)
    assert found(texts) == whole == brute_force(texts)


def test_a_mass_of_one_template_costs_no_more_than_its_size() -> None:
    texts = [f"your order number {row} has been shipped today and will arrive soon at your door" for row in range(2000)]
    result = near(texts)
    assert (result.parent >= 0).sum() > 1900
    assert result.skipped == 0


def test_roots_lead_to_the_first_of_a_chain() -> None:
    chain = duplicates.Near(np.array([-1, 0, 1, -1, 3]), 0)
    assert chain.roots().tolist() == [0, 0, 0, 3, 3]


def test_appended_texts_change_nothing_before_them() -> None:
    texts = family(3, 120)
    assert {row for row in found(texts) if row < 150} == found(texts[:150])


def test_the_form_of_comparison_ignores_case_width_and_white_space() -> None:
    assert normal("  Ｇood\tＳhop \n") == normal("good shop") == "good shop"
