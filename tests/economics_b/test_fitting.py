"""Fitted curves: published fits, truth recovered from simulated customers, doubt, and what cannot be fitted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from breakeven.economics.fitting import (
    Repeat,
    ShiftedBetaGeometric,
    Spending,
    beta_quantile,
    fit_churn_curve,
    fit_constant_churn,
    fit_growth,
    fit_repeat,
    fit_spending,
    fit_survivors,
    fit_usage,
    student_quantile,
)
from breakeven.economics.likelihood import log_beta, log_gamma, maximise
from breakeven.errors import DataError, UsageError

HIGH_END = [1000, 869, 743, 653, 593, 551, 517, 491]


def test_high_end_segment() -> None:
    """Fader and Hardie, How to project customer retention: High End, seven years; S(12) .378 against an actual .394."""
    curve = fit_survivors(HIGH_END)
    assert (curve.alpha, curve.beta) == (pytest.approx(0.668, abs=5e-4), pytest.approx(3.806, abs=2e-3))
    assert float(curve.survival(12)) == pytest.approx(0.378, abs=5e-4)
    assert curve.fit is not None
    assert curve.fit.identified
    low, high = curve.fit.interval("alpha")
    assert low < 0.668 < high


def test_regular_segment() -> None:
    """Fader and Hardie, How to project customer retention: Regular, seven years: alpha .704, beta 1.182."""
    curve = fit_survivors([1000, 631, 468, 382, 326, 289, 262, 241])
    assert (curve.alpha, curve.beta) == (pytest.approx(0.704, abs=5e-4), pytest.approx(1.182, abs=5e-4))


def test_constant_churn_of_the_first_year_misleads() -> None:
    """Fader and Hardie: constant churn fitted on year one gives .185 after twelve years, not .378."""
    first_year = fit_constant_churn([1] * 1000, [True] * 131 + [False] * 869)
    assert float(first_year.survival(12)) == pytest.approx(0.185, abs=5e-4)
    curve = fit_survivors(HIGH_END)
    assert curve.lifetime(horizon=50) > 1.5 / first_year.rate
    assert curve.lifetime(discount=0.1) < curve.lifetime()


def test_churn_falls_with_age() -> None:
    curve = ShiftedBetaGeometric(0.668, 3.806)
    churn = curve.churn(np.arange(1, 8))
    assert (np.diff(churn) < 0).all()
    assert 1 - churn == pytest.approx(curve.survival(np.arange(1, 8)) / curve.survival(np.arange(7)))


def test_durations_and_counts_are_the_same_history() -> None:
    durations = np.repeat(np.arange(1, 8), -np.diff(HIGH_END))
    durations, ended = np.append(durations, [7] * 491), np.append(np.ones(len(durations), bool), np.zeros(491, bool))
    by_customer = fit_churn_curve(durations, ended)
    assert (by_customer.alpha, by_customer.beta) == pytest.approx((0.668, 3.806), abs=2e-3)


def test_who_is_still_there_is_censored() -> None:
    generator = np.random.default_rng(5)
    churn = generator.beta(1.2, 8.0, size=6000)
    life = generator.geometric(churn)
    seen = generator.integers(1, 25, size=6000)
    curve = fit_churn_curve(np.minimum(life, seen), life <= seen)
    assert curve.fit is not None
    assert curve.fit.identified
    for name, truth in (("alpha", 1.2), ("beta", 8.0)):
        low, high = curve.fit.interval(name, 0.999)
        assert low < truth < high
    drawn = curve.fit.draws(4000, generator)
    assert np.quantile(drawn["alpha"], [0.025, 0.975]) == pytest.approx(curve.fit.interval("alpha"), rel=0.03)
    quantity = curve.fit.quantity("beta", "1", source="ledger")
    assert (quantity.origin, quantity.n, quantity.source, quantity.low) == (
        "measured",
        6000,
        "ledger",
        curve.fit.interval("beta")[0],
    )


def test_customers_who_are_all_alike_leave_the_curve_open() -> None:
    curve = fit_survivors([2.0**-age * 4096 for age in range(9)])
    assert curve.fit is not None
    assert not curve.fit.identified
    assert curve.fit.interval("alpha") == (0.0, np.inf)
    assert curve.fit.quantity("alpha", "1").low is None
    assert np.ptp(curve.fit.draws(9, np.random.default_rng(0))["alpha"]) < 1e-6 * curve.alpha
    assert float(curve.survival(3)) == pytest.approx(0.125, rel=1e-3)


def test_constant_churn_and_its_interval() -> None:
    churn = fit_constant_churn([10, 10, 20], [True, False, True])
    assert (churn.ended, churn.at_risk, churn.rate) == (2, 40, 0.05)
    quantity = churn.quantity()
    assert quantity.low is not None
    assert quantity.high is not None
    assert quantity.low == pytest.approx(beta_quantile(0.025, 2.5, 38.5))
    drawn = churn.draws(20_000, np.random.default_rng(1))
    assert np.quantile(drawn, [0.025, 0.975]) == pytest.approx((quantity.low, quantity.high), rel=0.05)


def test_repeat_purchases_of_one_customer() -> None:
    """Fader, Hardie and Lee, BG/NBD on the CDNOW sample: x=2, t_x=30.43, T=38.86 gives 1.226 in 39 weeks."""
    cdnow = Repeat(0.243, 4.414, 0.793, 2.426)
    assert cdnow.expected(39, 2, 30.43, 38.86) == pytest.approx(1.226, abs=5e-4)
    assert cdnow.alive([0, 2], [0, 30.43], [38.86, 38.86])[0] == 1.0
    near = [Repeat(0.243, 4.414, a, 2.426).expected(39, 2, 30.43, 38.86) for a in (1.0, 1.001)]
    assert near[0] == pytest.approx(near[1], rel=1e-2)
    with pytest.raises(UsageError, match="too far"):
        cdnow.expected(1e9, 2, 30.43, 38.86)


def test_repeat_purchases_are_recovered() -> None:
    generator = np.random.default_rng(0)
    rate, leave, age = generator.gamma(0.5, 0.25, 3000), generator.beta(0.8, 2.4, 3000), generator.uniform(20, 40, 3000)
    history = []
    for each, chance, end in zip(rate, leave, age, strict=True):
        now, count, last = generator.exponential(1 / each), 0, 0.0
        while now <= end:
            count, last = count + 1, now
            now = now + generator.exponential(1 / each) if generator.random() > chance else np.inf
        history.append((count, last))
    model = fit_repeat([count for count, _ in history], [last for _, last in history], age)
    assert model.fit is not None
    assert model.fit.identified
    for name, truth in (("r", 0.5), ("alpha", 4.0), ("a", 0.8), ("b", 2.4)):
        low, high = model.fit.interval(name, 0.999)
        assert low < truth < high


def test_spending_is_recovered_and_drawn_towards_the_mean() -> None:
    generator = np.random.default_rng(3)
    rate, count = generator.gamma(4.0, 1 / 15.0, 3000), generator.integers(0, 8, 3000)
    mean = np.array([generator.gamma(6.0, 1 / each, max(n, 1)).mean() for each, n in zip(rate, count, strict=True)])
    model = fit_spending(count, mean)
    assert model.fit is not None
    assert model.fit.identified
    for name, truth in (("p", 6.0), ("q", 4.0), ("v", 15.0)):
        low, high = model.fit.interval(name, 0.9999)
        assert low < truth < high
    everyone = model.p * model.v / (model.q - 1)
    one, many = (float(model.expected(n, 100.0)) for n in (1, 50))
    assert everyone < one < many < 100.0
    assert float(Spending(6, 4, 15).expected(0, 0)) == 30.0


def test_usage_is_lognormal_with_idle_customers_apart() -> None:
    generator = np.random.default_rng(2)
    used = np.append(generator.lognormal(np.log(20_000), 1.08, 5000), np.zeros(500))
    usage = fit_usage(used)
    assert usage.idle == pytest.approx(500 / 5500)
    assert usage.median == pytest.approx(20_000, rel=0.05)
    assert usage.p90 == pytest.approx(80_000, rel=0.06)
    sd, count = usage.sd_log.value, 5000
    for quantity, error in ((usage.mean_log, sd / count**0.5), (usage.sd_log, sd / (2 * count) ** 0.5)):
        assert (quantity.low, quantity.high) == pytest.approx(
            (quantity.value - 1.96 * error, quantity.value + 1.96 * error), rel=1e-3
        )


def test_growth_with_a_student_interval() -> None:
    exact = fit_growth([100 * 1.1**month for month in range(6)])
    assert (exact.value, exact.low) == (pytest.approx(0.1), pytest.approx(0.1))
    assert fit_growth([1, 2, 4]).value == pytest.approx(1.0)
    noisy = fit_growth([100, 112, 119, 135])
    slope, reach = np.log1p(noisy.value), 4.3027 * 0.0086025  # Student's t of 2 degrees x the slope's standard error
    assert (noisy.low, noisy.high) == pytest.approx(np.expm1([slope - reach, slope + reach]), abs=1e-5)
    assert [student_quantile(0.975, n) for n in (1, 10)] == pytest.approx([12.7062, 2.2281], abs=1e-4)


def test_gamma_and_beta_agree_with_the_library() -> None:
    import math

    x = np.array([0.01, 0.5, 1.0, 3.7, 41.0, 1e5])
    assert log_gamma(x) == pytest.approx([math.lgamma(each) for each in x], rel=1e-12, abs=1e-12)
    assert float(log_beta(2.0, 3.0)) == pytest.approx(math.log(1 / 12))


def test_a_likelihood_may_end_far_from_its_start() -> None:
    fit = maximise(lambda theta: -float((theta[0] - 9.0) ** 4), (0.0,), names=("x",), n=1, positive=False)
    assert fit["x"] == pytest.approx(9.0, abs=0.05)
    top = maximise(lambda theta: -float((theta[0] - 1.0) ** 2), (1.0,), names=("x",), n=1, positive=False)
    assert top.interval("x") == pytest.approx((1 - 1.96 / np.sqrt(2), 1 + 1.96 / np.sqrt(2)), abs=1e-3)
    uphill = maximise(lambda theta: float(theta[0]), (0.0,), names=("x",), n=1)
    assert not uphill.identified
    open_ = maximise(lambda theta: float(theta[0]), (0.0,), names=("x",), n=1, positive=False)
    assert open_.interval("x") == (-np.inf, np.inf)
    ragged = maximise(lambda theta: -abs(float(theta[0])), (0.0,), names=("x",), n=1, positive=False)
    assert ragged["x"] == 0.0


@pytest.mark.parametrize(
    ("work", "said"),
    [
        (lambda: fit_churn_curve([1, 2], [True]), "one duration and one mark"),
        (lambda: fit_churn_curve([], []), "one duration"),
        (lambda: fit_churn_curve([1.5], [True]), "whole periods"),
        (lambda: fit_churn_curve([0], [True]), "whole periods"),
        (lambda: fit_churn_curve([-1], [False]), "whole periods"),
        (lambda: fit_churn_curve([5, 5], [False, False]), "too few"),
        (lambda: fit_churn_curve([1], [True]), "too few"),
        (lambda: fit_constant_churn([0], [False]), "too few"),
        (lambda: fit_survivors([5, 5, 5]), "never rising"),
        (lambda: fit_survivors([5, 6, 5]), "never rising"),
        (lambda: fit_survivors([5, 4]), "at least 3 counts"),
        (lambda: fit_survivors([5, 4, -1]), "at least 3"),
        (lambda: fit_usage([1, float("nan")]), "finite numbers"),
        (lambda: fit_usage([0, 1]), "too few"),
        (lambda: fit_usage([]), "finite numbers"),
        (lambda: fit_usage([-1]), "0 or more"),
        (lambda: fit_growth([1, 2]), "at least 3 values"),
        (lambda: fit_growth([1, 2, 0]), "above 0"),
        (lambda: fit_repeat([1], [2], [1]), "recency at most age"),
        (lambda: fit_repeat([0], [0], [1]), "came again"),
        (lambda: fit_spending([0], [1]), "some above 0"),
        (lambda: fit_spending([1, 1], [1]), "mean of each"),
        (lambda: maximise(lambda theta: float("nan"), (0.0,), names=("x",), n=3), "no value at the start"),
    ],
)
def test_what_cannot_be_fitted(work: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        work()
