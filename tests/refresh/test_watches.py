"""Bounds that may be looked at as often as one likes: false alarms are rare, harm is seen, of rates and of latency."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakeven.refresh.watches import Tally, above, bounds, percentile, slower, worse
from breakeven.serving.latency import BUCKETS, SIZES, Latencies, begins, bucket, read, size_class


@given(st.integers(0, 400), st.integers(0, 400), st.floats(0.001, 0.5))
def test_bounds_hold_the_rate_found_and_a_smaller_alarm_widens_them(bad: int, good: int, alarm: float) -> None:
    tally = Tally(bad, bad + good)
    low, high = bounds(tally, alarm)
    wider = bounds(tally, alarm / 4)
    rate = bad / tally.all if tally.all else 0.5
    assert 0 <= wider[0] <= low <= rate <= high <= wider[1] <= 1


def test_bounds_narrow_and_know_nothing_of_nothing() -> None:
    assert bounds(Tally(), 0.05) == (0.0, 1.0)
    few, many = bounds(Tally(2, 20), 0.05), bounds(Tally(200, 2000), 0.05)
    assert many[1] - many[0] < (few[1] - few[0]) / 4


@pytest.mark.slow
@pytest.mark.parametrize("rate", [0.05, 0.3])
def test_looking_after_every_answer_raises_few_false_alarms(rate: float) -> None:
    draw, runs, alarms = random.Random(4), 150, 0
    for _ in range(runs):
        bad = [0, 0]
        for count in range(1, 201):
            bad = [found + (draw.random() < rate) for found in bad]
            if worse(Tally(bad[0], count), Tally(bad[1], count), 0.05).fired:
                alarms += 1
                break
    assert alarms <= 0.05 * runs


def test_a_rate_is_judged_against_the_champion_or_against_a_limit() -> None:
    much, little = Tally(60, 100), Tally(10, 100)
    assert worse(much, little, 0.01).fired
    assert not worse(little, much, 0.01).fired and not worse(much, much, 0.01).fired
    assert above(much, 0.3, 0.01).fired and not above(much, 0.6, 0.01).fired and not above(little, 0.3, 0.01).fired


@given(st.floats(0, 1000), st.floats(0, 1000))
def test_buckets_are_in_the_order_of_time(one: float, other: float) -> None:
    first, last = sorted((one, other))
    assert 0 <= bucket(first) <= bucket(last) <= BUCKETS
    assert begins(bucket(first)) <= first * (1 + 1e-9)
    assert bucket(last) == BUCKETS or last < begins(bucket(last) + 1) * (1 + 1e-9)


@given(st.lists(st.text(max_size=300), max_size=5))
def test_requests_of_one_class_differ_in_size_by_less_than_four(inputs: list[str]) -> None:
    size, place = sum(map(len, inputs)), size_class(inputs)
    assert 0 <= place < SIZES
    assert place == 0 or 4 ** (place + 1) <= size
    assert place == SIZES - 1 or size < 4 ** (place + 2)


def counts(draw: random.Random, number: int, factor: float = 1.0) -> dict[str, dict[str, int]]:
    """Answers whose 95th percentile is 52 ms, times a factor."""
    made = Latencies()
    for _ in range(number):
        made.count(2, factor * draw.lognormvariate(math.log(0.01), 1.0))
    return made.as_json()


def test_the_percentile_lies_between_its_bounds() -> None:
    draw, outside = random.Random(1), 0
    for _ in range(60):
        low, high = percentile(read(counts(draw, 800))[2], 0.05)
        outside += not low <= 0.01 * math.exp(1.645) <= high
        assert 0 < low < high < math.inf
    assert outside <= 3
    assert percentile(read(counts(draw, 10))[2], 0.001)[1] == math.inf, (
        "ten answers say nothing of the slowest five in 100"
    )


@pytest.mark.slow
def test_as_slow_as_the_champion_is_not_slower_however_often_it_is_looked_at() -> None:
    alarms = 0
    for seed in range(8):
        draw, sides = random.Random(seed), (Latencies(), Latencies())
        for number in range(600):
            for side in sides:
                side.count(2, draw.lognormvariate(math.log(0.01), 1.0))
            if number % 40 == 0:
                alarms += slower(sides[0].as_json(), sides[1].as_json(), 1.0, 0.05).fired
    assert alarms == 0


def test_twice_as_slow_is_seen_and_a_little_slower_is_let_be() -> None:
    draw = random.Random(2)
    champion, twice, little = counts(draw, 3000), counts(draw, 1500, 2.5), counts(draw, 1500, 1.2)
    found = slower(twice, champion, 1.5, 0.0125)
    assert found.fired and found.figures["canary"]["low_ms"] > 1.5 * found.figures["champion"]["high_ms"]
    shared = 0.0125 / (2 * SIZES)  # by both sides and all sizes that could be looked at
    assert found.figures["canary"]["low_ms"] == 1000 * percentile(read(twice)[2], shared)[0]
    assert found.figures["champion"]["high_ms"] == 1000 * percentile(read(champion)[2], shared)[1]
    assert not slower(little, champion, 1.5, 0.0125).fired
    assert not slower(champion, twice, 1.5, 0.0125).fired


def test_only_requests_of_one_size_are_compared() -> None:
    long, short = Latencies(), Latencies()
    for _ in range(500):
        long.count(5, 0.5)
        short.count(1, 0.005)
    assert slower(long.as_json(), short.as_json(), 1.5, 0.0125).figures == {}
    assert slower({}, {}, 1.5, 0.0125).figures == {}
