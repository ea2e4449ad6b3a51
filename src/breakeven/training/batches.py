"""Batches of texts of like length, filled to a number of tokens: little padding, even work a step.

The order of an epoch follows from the seed and the epoch's number alone, so a resumed run finds it again.
"""

from __future__ import annotations

from collections.abc import Sequence

WINDOW = 64  # batches that are sorted together: enough for like lengths, few enough to stay random


def epoch(lengths: Sequence[int], budget: int, *, seed: int, number: int) -> list[list[int]]:
    """Every index once, in shuffled batches of about `budget` tokens; texts of a batch are of like length."""
    import random

    draw = random.Random(f"{seed}/{number}")
    order = list(range(len(lengths)))
    draw.shuffle(order)
    batches: list[list[int]] = []
    for window in _cut(order, lengths, budget * WINDOW):
        window.sort(key=lambda index: lengths[index])
        batches += _cut(window, lengths, budget)
    draw.shuffle(batches)
    return batches


def sorted_batches(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Every index once, the shortest texts first, in batches of at most `budget` tokens (or one text)."""
    return _cut(sorted(range(len(lengths)), key=lambda index: lengths[index]), lengths, budget)


def _cut(order: Sequence[int], lengths: Sequence[int], budget: int) -> list[list[int]]:
    parts: list[list[int]] = []
    room = 0
    for index in order:
        if not parts or lengths[index] > room:
            parts.append([])
            room = budget
        parts[-1].append(index)
        room -= lengths[index]
    return parts
