"""Champion and challenger on the same rows: what passes, what is refused, and which rows may be asked at all."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakeven.measuring.worth import Bench, Plan
from breakeven.refresh.comparison import Terms, compared, judged, refusals
from breakeven.refresh.line import why_none
from breakeven.refresh.rows import Parts, parts_of
from breakeven.task import Cases
from breakeven.tasks.text_classification import TextClassification

LABELS = ("good", "bad")
COUNT = 200
TRUTH = [LABELS[number % 2] for number in range(COUNT)]
PARTS = Parts(list(range(COUNT)), list(range(100)), list(range(100, COUNT)), [])


def bench(rates: dict[str, float] | None = None, wrong: Any = -0.02) -> Bench:
    cases = Cases([str(n) for n in range(COUNT)], [f"text {n}" for n in range(COUNT)], TRUTH)
    task = TextClassification()
    plan = Plan({"correct": 0.02, "wrong": wrong}, rates, None, 300, 0)
    return Bench(task, cases, task.facts(cases), plan, {})


def answers(errors: dict[range, float], seed: int = 0) -> list[str]:
    """The truth with a share of errors in some places."""
    draw, found = random.Random(seed), list(TRUTH)
    for places, share in errors.items():
        for place in places:
            if draw.random() < share:
                found[place] = LABELS[1 - LABELS.index(found[place])]
    return found


def codes(champion: list[str], challenger: list[str], parts: Parts = PARTS, sure: float = 0.9) -> list[str]:
    return [one["code"] for one in refusals(judged(bench(), parts, champion, challenger), Terms(sure))]


def test_what_learnt_the_fresh_rows_and_kept_the_old_ones_passes() -> None:
    assert codes(answers({range(100): 0.5}), answers({range(100): 0.05}, 1)) == []


def test_equal_answers_are_not_worse_and_no_draw_says_otherwise() -> None:
    same = answers({range(COUNT): 0.2})
    found = compared(bench(), same, same, range(COUNT))
    assert (found["difference"]["value"], found["not_worse"], found["worse"]) == (0.0, 1.0, 0.0)
    assert codes(same, same) == []


def test_what_is_worth_less_is_refused() -> None:
    assert "refresh-worse" in codes(answers({range(COUNT): 0.05}), answers({range(COUNT): 0.3}, 1))


def test_what_fits_poisoned_fresh_rows_and_lost_the_old_ones_is_refused() -> None:
    champion, challenger = answers({range(100): 0.9}), answers({range(100, COUNT): 0.3})
    assert codes(champion, challenger) == ["refresh-forgets"]


def test_with_few_fresh_rows_nothing_is_said() -> None:
    few = Parts(list(range(91, COUNT)), list(range(91, 100)), list(range(100, COUNT)), [])
    assert codes(answers({range(COUNT): 0.5}), answers({}), few) == ["refresh-few"]


def test_a_doubted_price_is_drawn_once_for_both() -> None:
    doubt = bench(wrong={"low": -0.2, "mode": -0.02, "high": -0.001})
    same = answers({range(COUNT): 0.2})
    assert compared(doubt, same, same, range(COUNT))["not_worse"] == 1.0


def test_market_rates_count_unless_a_part_lacks_a_class() -> None:
    champion, challenger = answers({}), answers({range(COUNT): 0.4})
    market = bench({"good": 0.9, "bad": 0.1})
    assert compared(market, champion, challenger, range(COUNT))["n"] == COUNT
    goods = [place for place in range(COUNT) if TRUTH[place] == "good"]
    assert compared(market, champion, challenger, goods)["champion"]["value"] == pytest.approx(0.02)


@given(st.lists(st.sampled_from(["train", "validation", "test", None]), max_size=40))
def test_no_row_that_the_champion_was_trained_or_chosen_on_is_asked(sides: list[str | None]) -> None:
    ids = [str(number) for number in range(len(sides))]
    parts = parts_of(ids, {name: side for name, side in zip(ids, sides, strict=True) if side is not None})
    assert sorted([*parts.fair, *parts.seen]) == list(range(len(sides)))
    assert all(sides[place] in (None, "test") for place in parts.fair)
    assert sorted([*parts.fresh, *parts.established]) == parts.fair


def test_a_refusal_by_the_verdict_says_what_it_says_of_each_candidate() -> None:
    busy = {"words": {"why_not": "no rate was found that 'words' holds"}, "big": {"why_not": None}}
    said = why_none({"sentence": {"text": "none pays"}, "candidates": busy})
    assert said == "none pays; words: no rate was found that 'words' holds"
    assert why_none({}) == "-"
