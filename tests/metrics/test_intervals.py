import math
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakeven.metrics.intervals import Draws, bca, over_rounds, percentile, reweighted, student, wilson


def test_draws_are_the_same_for_every_candidate() -> None:
    draws = Draws.over(50, draws=100, seed=3)
    first, second = (np.vstack(list(draws.weights())) for _ in range(2))
    assert (first == second).all()
    assert (first.sum(axis=1) == 50).all()


def test_units_are_drawn_whole() -> None:
    draws = Draws.over(4, ["ann", "bob", "ann", "cat"], draws=200)
    weights = np.vstack(list(draws.weights()))
    assert (weights[:, 0] == weights[:, 2]).all()
    assert not (weights[:, 0] == weights[:, 1]).all()


def test_chunks_add_up_and_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = np.vstack(list(Draws.over(30, draws=64).weights()))
    monkeypatch.setattr("breakeven.metrics.intervals.CHUNK", 300)
    parts = list(Draws.over(30, draws=64).weights())
    assert len(parts) == 7 and (np.vstack(parts) == whole).all()


def test_no_cases_give_no_draws() -> None:
    assert Draws.over(0).of(lambda weights: {"x": weights.sum(axis=1)}) == {}


def test_the_spread_of_a_mean_is_the_textbook_one() -> None:
    values = np.random.default_rng(1).normal(size=400)
    drawn = Draws.over(400, draws=4000).of(lambda weights: {"mean": weights @ values / 400})["mean"]
    assert drawn.std() == pytest.approx(values.std() / 20, rel=0.05)
    found = percentile(drawn)
    assert found.high - found.low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.06)


def test_bca_matches_scipy_and_beats_percentile_on_a_skewed_statistic() -> None:
    stats = pytest.importorskip("scipy.stats")
    sample = np.random.default_rng(2).lognormal(size=60)
    draws = Draws.over(60, draws=8000, seed=1)

    def variance(weights: np.ndarray) -> dict[str, np.ndarray]:
        mean = weights @ sample / weights.sum(axis=1)
        return {"var": weights @ sample**2 / weights.sum(axis=1) - mean**2}

    found = bca(draws.of(variance)["var"], float(sample.var()), variance(draws.jackknife())["var"])
    peer = stats.bootstrap(
        (sample,), np.var, n_resamples=8000, method="BCa", vectorized=True, rng=1
    ).confidence_interval
    assert found.low == pytest.approx(peer.low, rel=0.05)
    assert found.high == pytest.approx(peer.high, rel=0.08)
    assert "BCa" in found.method


def test_bca_of_draws_without_spread_is_the_plain_one() -> None:
    found = bca(np.ones(10), 1.0, np.ones(10))
    assert (found.low, found.high) == (1.0, 1.0) and "percentile" in found.method


def test_classes_that_were_not_drawn_leave_the_interval() -> None:
    assert percentile(np.array([math.nan, 1.0, 2.0])).low >= 1.0
    assert math.isnan(percentile(np.array([math.nan])).low)


@pytest.mark.parametrize(
    ("hits", "trials", "low", "high"), [(0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (81, 263, 0.2553, 0.3662)]
)
def test_wilson_by_the_book(hits: int, trials: int, low: float, high: float) -> None:
    """The third row is Newcombe 1998, table I: 81 of 263."""
    found = wilson(hits, trials)
    assert (found.low, found.high) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))


def test_no_trials_say_nothing() -> None:
    assert (wilson(0, 0).low, wilson(0, 0).high) == (0.0, 1.0)


@given(st.integers(1, 500), st.data())
def test_wilson_holds_the_rate(trials: int, data: st.DataObject) -> None:
    hits = data.draw(st.integers(0, trials))
    found = wilson(hits, trials)
    assert 0 <= found.low <= hits / trials <= found.high <= 1


@pytest.mark.parametrize(("freedom", "expected"), [(1, 12.706), (2, 4.303), (3, 3.182), (9, 2.262), (30, 2.042)])
def test_student_by_the_table(freedom: int, expected: float) -> None:
    assert student(freedom) == pytest.approx(expected, abs=1e-3)


def test_three_rounds_give_a_wide_interval_and_one_gives_none() -> None:
    found = over_rounds([10.0, 11.0, 12.0])
    assert (found.low, found.high) == (
        pytest.approx(11 - 4.3027 / math.sqrt(3), abs=1e-3),
        pytest.approx(13.484, abs=1e-3),
    )
    assert math.isnan(over_rounds([1.0]).low)


def test_reweighting_gives_every_class_its_market_share() -> None:
    weights = np.array([[1.0, 2.0, 1.0, 0.0], [0.0, 0.0, 3.0, 1.0]])
    members = {"a": np.array([True, True, False, False]), "b": np.array([False, False, True, True])}
    found = reweighted(weights, members, {"a": 0.1, "b": 0.9})
    assert found[0] == pytest.approx([0.1 / 3, 0.2 / 3, 0.9, 0.0])
    assert found[1] == pytest.approx([0.0, 0.0, 0.675, 0.225])


def test_two_thousand_draws_over_five_thousand_rows_are_quick() -> None:
    started = time.process_time()
    draws = Draws.over(5000, draws=2000)
    draws.of(lambda weights: {"sum": weights.sum(axis=1)})
    assert time.process_time() - started < 3
