"""Market size, diffusion, demand curves and price research: published figures and truth recovered."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakeven.economics.demand import (
    ConstantElasticity,
    LogitDemand,
    StepDemand,
    arc_elasticity,
    best_logit_price,
    best_price,
    falling,
    point_elasticity,
)
from breakeven.economics.market import Bass, fit_bass, market_size, s_curve
from breakeven.economics.research import conjoint, gabor_granger, van_westendorp
from breakeven.errors import DataError, UsageError


def test_bass_by_least_squares() -> None:
    """Published Bass example: sales .517, 1.169, 1.604, 2.044, 2.286 on 1, Y and Y squared, recursion from 0."""
    fit = fit_bass([0.517, 1.169, 1.604, 2.044, 2.286])
    assert (fit.p, fit.q, fit.m) == (
        pytest.approx(0.0626032, abs=5e-8),
        pytest.approx(0.7376636, abs=5e-8),
        pytest.approx(10.50368, abs=5e-6),
    )


def test_the_two_bass_curves_peak_apart() -> None:
    """Published Bass example: p .0045, q .35: continuous peak at 12.28, discrete peak in period 15."""
    bass = Bass(0.0045, 0.35, 1000.0)
    assert bass.peak_time == pytest.approx(12.28, abs=0.005)
    assert bass.peak_period() == 15
    assert bass.sales(300).sum() == pytest.approx(1000.0)
    assert float(bass.adopted(1e4)) == pytest.approx(1000.0)
    assert (Bass(0.5, 0.1, 1).peak_time, Bass(0.5, 0.0, 1).peak_time) == (0.0, 0.0)


def test_market_size() -> None:
    size = market_size(2_000_000, 500, serviceable=0.2, obtainable=0.05)
    assert (size.tam, size.sam, size.som) == (1e9, 2e8, pytest.approx(1e7))


def test_s_curve() -> None:
    curve = s_curve(1.0, 1000.0, 0.5, 60)
    assert curve[1] == pytest.approx(1.5, rel=1e-3)
    assert curve[-1] == pytest.approx(1000.0)


def test_gabor_granger_best_price() -> None:
    """Published Gabor-Granger example: the published optimum 7.50 is a grid point; the true one is 7.351."""
    demand = LogitDemand(8.3, 0.97, ceiling=0.33)
    best = best_price(demand, unit_cost=3, people=10_000, fixed=5_000)
    assert best.price == pytest.approx(7.351, abs=5e-4)
    assert best.profit == pytest.approx(5_956.25, abs=0.006)
    assert (7.5 - 3) * 10_000 * float(demand.share(7.5)) - 5_000 == pytest.approx(5_928.79, abs=0.006)
    step = 1e-6
    slope = (np.log(demand.share(7.0 + step)) - np.log(demand.share(7.0))) / (np.log(7.0 + step) - np.log(7.0))
    assert float(demand.elasticity(7.0)) == pytest.approx(float(slope), rel=1e-4)


def test_gabor_granger_recovers_the_curve() -> None:
    generator = np.random.default_rng(1)
    prices = generator.choice([5.0, 6, 7, 8, 9, 10, 11], 4000)
    bought = generator.random(4000) < LogitDemand(8.3, 0.97, 0.33).share(prices)
    demand, fit = gabor_granger(prices, bought.astype(int), ceiling=0.33)
    low, high = fit.interval("slope", 0.999)
    assert low < 0.97 < high
    assert best_price(demand, unit_cost=3).price == pytest.approx(7.351, abs=0.3)
    assert fit.n == 4000
    everybody, certain = gabor_granger(prices, generator.random(4000) < LogitDemand(8.3, 0.97).share(prices))
    share = everybody.share(prices)
    columns = np.stack([np.ones(4000), -prices], axis=1)
    information = columns.T @ ((share * (1 - share))[:, None] * columns)
    assert certain.covariance == pytest.approx(np.linalg.inv(information), rel=1e-3)
    assert everybody.ceiling == 1.0


def test_other_demand_curves_have_a_best_price_too() -> None:
    elastic = ConstantElasticity(-3.0, price_at=10.0, share_at=0.2)
    assert best_price(elastic, unit_cost=8.0).price == pytest.approx(12.0, rel=1e-6)
    assert float(elastic.share(0.0)) == 1.0
    steps = StepDemand((1.0, 2.0, 3.0), (0.9, 0.8, 0.1))
    assert best_price(steps, unit_cost=0.0).price == pytest.approx(2.0, abs=1e-6)
    assert best_price(steps, unit_cost=0.0, low=2.5, high=2.75).price == 2.5
    endless = ConstantElasticity(-0.1, price_at=1.0, share_at=0.5)
    assert best_price(endless, unit_cost=0.0).price > 1e10


@given(st.floats(-2, 12), st.floats(0.05, 5), st.floats(0, 5))
def test_no_price_nearby_earns_more(intercept: float, slope: float, cost: float) -> None:
    demand = LogitDemand(intercept, slope)
    best = best_price(demand, unit_cost=cost)
    grid = np.linspace(cost, cost + 60 / slope, 3001)
    assert ((grid - cost) * demand.share(grid)).max() <= best.profit * (1 + 1e-9) + 1e-12


def test_shares_are_made_to_fall() -> None:
    curve = falling([3, 1, 2, 4], [0.5, 0.9, 0.4, 0.1], [1, 1, 3, 1])
    assert curve.prices == (1, 2, 3, 4)
    assert curve.shares == pytest.approx((0.9, 0.425, 0.425, 0.1))
    assert curve.share([0.5, 2.5, 3.5, 9]) == pytest.approx([0.9, 0.425, 0.2625, 0.0])
    assert falling([1, 2], [1.0, 0.0]).shares == (1.0, 0.0)


def test_elasticities() -> None:
    assert point_elasticity([1, 2, 4], [8, 4, 2]) == pytest.approx(-1.0)
    assert arc_elasticity((10, 100), (12, 80)) == pytest.approx((-20 / 180) / (2 / 22))


def test_van_westendorp_by_hand() -> None:
    """Two respondents; every curve is a step, every crossing can be read off."""
    found = van_westendorp([1, 3], [2, 5], [4, 7], [6, 9])
    assert (found.respondents, found.dropped) == (2, 0)
    assert found.optimal == pytest.approx(4.5, abs=1.5)
    assert found.indifference == pytest.approx(4.5, abs=0.51)
    assert found.range_original != found.range_common


def test_van_westendorp_has_two_ranges() -> None:
    answers = np.sort(np.random.default_rng(4).uniform(0, 100, (4, 3000)), axis=0)
    found = van_westendorp(*answers)  # type: ignore[arg-type]
    (low, high), (inner_low, inner_high) = found.range_original, found.range_common
    assert low is not None
    assert high is not None
    assert inner_low is not None
    assert inner_high is not None
    assert found.optimal is not None
    assert found.indifference is not None
    assert low < inner_low < found.optimal < inner_high < high
    # Of four uniform prices in order the curves are known: each crossing at the price where the two are equal.
    x = np.linspace(0, 1, 100_001)
    cheapest, cheap = (1 - x) ** 4, (1 - x) ** 4 + 4 * x * (1 - x) ** 3
    expensive, dearest = x**4 + 4 * x**3 * (1 - x), x**4
    for point, (one, other) in (
        (low, (cheapest, 1 - cheap)),
        (high, (1 - expensive, dearest)),
        (inner_low, (cheapest, expensive)),
        (inner_high, (cheap, dearest)),
        (found.optimal, (cheapest, dearest)),
        (found.indifference, (cheap, expensive)),
    ):
        assert point == pytest.approx(100 * x[np.argmin(np.abs(one - other))], abs=2.0)


def test_answers_out_of_order_are_dropped_and_curves_may_not_cross() -> None:
    found = van_westendorp([1, 9], [2, 1], [3, 1], [4, 1])
    assert (found.respondents, found.dropped) == (1, 1)
    apart = van_westendorp([5.0], [5.0], [5.0], [5.0])
    assert (apart.optimal, apart.range_original) == (5.0, (None, None))


def choices(count: int = 800) -> list[dict[str, Any]]:
    generator = np.random.default_rng(1)
    worth = {"small": -0.5, "big": 0.5, "none": 0.0}
    rows = []
    for question in range(count):
        shown = [{"size": size, "price": float(generator.choice([1, 2, 3, 4])) * (size != "none")} for size in worth]
        utility = [worth[str(each["size"])] - 0.6 * float(each["price"]) + generator.gumbel() for each in shown]
        best = int(np.argmax(utility))
        rows += [{**each, "question": question, "chosen": int(place == best)} for place, each in enumerate(shown)]
    return rows


def test_conjoint_recovers_worth_in_money() -> None:
    found = conjoint(choices(), attributes=["size"], price="price")
    assert found.price_slope == pytest.approx(0.6, abs=0.1)
    assert found.worth("size", "big", "small") == pytest.approx(1 / 0.6, abs=0.4)
    assert sum(found.worths["size"].values()) == pytest.approx(0.0)
    assert sum(found.importance.values()) == pytest.approx(1.0)
    spans = (found.worths["size"]["big"] - found.worths["size"]["small"], 4 * found.price_slope)
    assert found.importance["size"] == pytest.approx(spans[0] / sum(spans))
    assert 1 / 3 < found.hit_rate < 1
    low, high = found.fit.interval("price")
    assert low < -0.6 < high
    demand = found.demand({"size": "big"}, [{"size": "none", "price": 0}])
    two, three = (np.exp(found.utility({"size": "big", "price": price})) for price in (2, 3))
    nothing = np.exp(found.utility({"size": "none", "price": 0}))
    assert demand.share([2, 3]) == pytest.approx([two / (two + nothing), three / (three + nothing)])
    assert best_price(demand, unit_cost=0.5).price > 1


def test_conjoint_without_a_price_tells_no_money() -> None:
    found = conjoint([{**row, "chosen": "yes" if row["chosen"] else "no"} for row in choices(60)], attributes=["size"])
    assert found.utility({"size": "big"}) == found.worths["size"]["big"]
    with pytest.raises(DataError, match="has no price"):
        found.worth("size", "big", "small")


def test_conjoint_of_perfectly_separated_answers_stays_finite() -> None:
    rows = [{"question": q, "kind": kind, "chosen": int(kind == "a")} for q in range(9) for kind in "ab"]
    found = conjoint(rows, attributes=["kind"])
    assert np.isfinite(found.worths["kind"]["a"])
    assert found.hit_rate == 1.0
    twins = [{"question": q, "one": k, "two": k, "chosen": int((q + (k == "a")) % 2)} for q in range(8) for k in "ab"]
    assert not conjoint(twins, attributes=["one", "two"]).fit.identified


def test_conjoint_on_price_alone() -> None:
    rows = [{"question": q, "price": p, "chosen": int((p == 1) == (q % 4 > 0))} for q in range(40) for p in (1, 2)]
    found = conjoint(rows, attributes=[], price="price")
    assert found.importance == {"price": 1.0}
    assert found.price_slope == pytest.approx(np.log(3), rel=1e-4)


@pytest.mark.parametrize(
    ("work", "said"),
    [
        (lambda: fit_bass([1, 2, 3]), "at least 4"),
        (lambda: fit_bass([1, 2, 4, 8, 16]), "Bass curve"),
        (lambda: fit_bass([1, 2, -3, 4]), "0 or more"),
        (lambda: gabor_granger([1, 1], [0, 1]), "two prices or more"),
        (lambda: gabor_granger([1, 2], [0, 2]), "1 or 0"),
        (lambda: gabor_granger([1, 2], [0]), "1 or 0"),
        (lambda: gabor_granger([1, 2], [0, 1], ceiling=0), "a ceiling of 0"),
        (lambda: van_westendorp([1], [2], [3], []), "one row a respondent"),
        (lambda: van_westendorp([], [], [], []), "empty"),
        (lambda: van_westendorp([-1], [2], [3], [4]), "finite prices"),
        (lambda: van_westendorp([4], [3], [2], [1]), "mixed up"),
        (lambda: falling([1], [2]), "between 0 and 1"),
        (lambda: falling([], []), "between 0 and 1"),
        (lambda: point_elasticity([1, 1], [1, 2]), "different prices"),
        (lambda: arc_elasticity((1, 1), (1, 2)), "prices"),
        (lambda: arc_elasticity((0, 1), (2, 2)), "above 0"),
        (lambda: conjoint([], attributes=["a"]), "empty"),
        (lambda: conjoint([{}], attributes=[]), "empty"),
        (lambda: conjoint([{"a": 1}], attributes=["a"]), "one level only: a"),
        (lambda: conjoint([{"a": k, "question": 1, "chosen": 1} for k in "xy"], attributes=["a"]), "2 chosen of 2"),
        (lambda: conjoint(choices(9), attributes=["size"], price="price").demand({"size": "big"}, []), "one other"),
    ],
)
def test_answers_that_tell_nothing(work: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        work()


@pytest.mark.parametrize(
    ("work", "said"),
    [
        (lambda: market_size(1, 1, serviceable=2, obtainable=0), "between 0 and 1"),
        (lambda: market_size(float("nan"), 1, serviceable=0, obtainable=0), "0 or more"),
        (lambda: market_size(-1, 1, serviceable=0, obtainable=0), "0 or more"),
        (lambda: s_curve(2, 1, 0.1, 3), "below the ceiling"),
        (lambda: s_curve(1, 2, -1, 3), "growth above -1"),
        (lambda: best_price(LogitDemand(1, 1), unit_cost=1, low=3, high=2), "no price lies between 3 and 2"),
        (lambda: best_price(LogitDemand(1, 1), unit_cost=1, people=0), "somebody to buy"),
    ],
)
def test_markets_that_cannot_be(work: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        work()


@given(st.floats(-5.0, 20.0), st.floats(0.01, 50.0), st.floats(0.0, 10.0))
def test_the_exact_best_price_on_a_logit_curve_is_that_of_the_search(
    intercept: float, slope: float, cost: float
) -> None:
    demand = LogitDemand(intercept, slope)
    exact = float(best_logit_price(intercept, slope, cost))
    earned = (exact - cost) * float(demand.share(exact))
    found = best_price(demand, unit_cost=cost)
    assert exact > cost
    assert earned == pytest.approx(max(earned, found.profit), rel=1e-6, abs=1e-12)


def test_the_exact_best_price_takes_arrays() -> None:
    prices = best_logit_price([8.3, 6.0], [0.97, 0.1], [3.0, 0.0])
    assert prices[0] == pytest.approx(7.351, abs=5e-4)
    assert len(prices) == 2
