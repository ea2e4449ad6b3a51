"""How large a batch may be, and what the queue may promise: learnt from batches, robust against those held up."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakeven.serving.lanes import Lanes
from breakeven.serving.pace import Pace, measured


def worked(pace: Pace, seconds: Callable[[int], float], batches: int = 60, *, waiting: int = 1000) -> Pace:
    """After so many batches, each as large as it may be, of a model that takes `seconds(cases)`."""
    for _ in range(batches):
        cases = min(pace.largest, waiting)
        pace.learn(cases, seconds(cases))
    return pace


def test_a_fast_model_gets_full_batches() -> None:
    pace = worked(Pace(64, 0.25), lambda cases: 0.0001 * cases)
    assert pace.largest == 64 and pace.per_case == pytest.approx(0.0001)


@pytest.mark.parametrize("seconds", [0.005, 0.02, 0.028, 0.1, 0.9])
def test_batches_of_a_slow_model_end_soon(seconds: float) -> None:
    pace = worked(Pace(64, 0.25), lambda cases: seconds * cases)
    assert pace.largest * seconds <= 0.25 or pace.largest == 1
    assert pace.largest * seconds > 0.06 or pace.largest == 64
    assert pace.per_case == pytest.approx(seconds)


def test_a_model_whose_batches_cost_the_same_whatever_they_hold_gets_full_ones() -> None:
    pace = Pace(64, 0.25)
    for _ in range(5):
        pace.learn(1, 1.0)  # it was called one by one, and looked slow
    assert worked(pace, lambda cases: 1.0).largest == 64
    assert worked(Pace(64, 0.25), lambda cases: 1.0).largest == 64


def test_a_model_that_gains_much_from_company_keeps_it() -> None:
    assert worked(Pace(64, 0.25), lambda cases: 0.4 + 0.01 * cases).largest == 64


def test_a_machine_that_slows_down_is_noticed_within_a_few_batches() -> None:
    pace = worked(Pace(64, 0.25), lambda cases: 0.004 * cases)
    worked(pace, lambda cases: 0.012 * cases, batches=12)
    assert pace.per_case > 0.01 and pace.largest * 0.012 <= 0.25
    worked(pace, lambda cases: 0.1 * cases, batches=12)
    assert pace.per_case > 0.08 and pace.largest * 0.1 <= 0.25
    worked(pace, lambda cases: 0.004 * cases, batches=400)
    assert pace.per_case < 0.005 and pace.largest * 0.004 > 0.06


def test_one_that_was_held_up_says_little_of_many() -> None:
    pace = worked(Pace(64, 0.25), lambda cases: 2e-5 * cases)
    for stall in (0.5, 5.0, 100.0):
        pace.learn(1, stall)
    assert pace.per_case < 1e-3 and pace.largest == 64


def test_what_was_measured_before_counts_until_more_is_known() -> None:
    pace = Pace(64, 0.25)
    pace.seed(single=0.034, batched=0.028)
    assert pace.per_case == pytest.approx(0.028, rel=0.25)
    assert worked(pace, lambda cases: 0.005 * cases).per_case == pytest.approx(0.005, rel=0.01)


def test_nothing_known_is_no_pace() -> None:
    pace = Pace(64, 0.25)
    pace.seed(single=0.0, batched=0.0)
    assert (pace.per_case, pace.seconds(64), pace.largest) == (0.0, 0.0, 64)


@given(st.integers(1, 100), st.lists(st.tuples(st.integers(1, 100), st.floats(0, 1e4)), max_size=50))
def test_whatever_is_learnt_a_batch_has_a_case_and_no_more_than_a_full_one(
    full: int, batches: list[tuple[int, float]]
) -> None:
    pace = Pace(full, 0.25)
    for cases, seconds in batches:
        pace.learn(min(cases, full), seconds)
        assert 1 <= pace.largest <= full and pace.per_case >= 0


@pytest.mark.parametrize(("tried", "running", "expected"), [
    ([{"runtime": "a", "ms_single": 8.0, "ms_batched": 4.0, "ms_per_case": 5.7}], "a", (0.008, 0.004)),
    ([{"runtime": "a", "ms_per_case": 5.0}, {"runtime": "b", "ms_per_case": 9.0}], "b", (0.009, 0.009)),
    ([{"runtime": "a", "ms_per_case": None}], "a", (0.0, 0.0)),
    ([], "a", (0.0, 0.0)),
])  # fmt: skip
def test_the_runtime_that_answers_is_the_one_whose_figures_count(
    tried: list[dict[str, Any]], running: str, expected: tuple[float, float]
) -> None:
    package = SimpleNamespace(info={"runtimes": {"chosen": "a", "tried": tried}}, runtime=running)
    found = measured(package)
    assert (found["single"], found["batched"]) == pytest.approx(expected)
    assert measured(object()) == {"single": 0.0, "batched": 0.0}


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 5)), max_size=20), st.integers(1, 7))
def test_lanes_lose_nothing_keep_each_ones_order_and_know_who_goes_first(
    given_: list[tuple[str, int]], most: int
) -> None:
    lanes: Lanes[tuple[str, int]] = Lanes()
    put: dict[str, list[tuple[str, int]]] = {}
    for lane, count in given_:
        items = [(lane, len(put.get(lane, [])) + number) for number in range(count)]
        lanes.put(lane, items)
        put.setdefault(lane, []).extend(items)
    assert len(lanes) == sum(map(len, put.values())) and lanes.lanes == len(put)
    ahead = lanes.ahead("c")
    lanes.put("c", [("c", -1)])
    taken = []
    while found := lanes.take(most):
        taken += found
    assert taken.index(("c", -1)) <= ahead
    assert {lane: [item for item in taken if item[0] == lane and item[1] >= 0] for lane in put} == put
    assert len(lanes) == lanes.lanes == 0
