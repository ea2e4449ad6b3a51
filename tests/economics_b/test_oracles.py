"""Other people's programs as oracles, where installed (the extra `oracles`): numpy-financial, pyxirr, SALib, lifelines,
lifetimes."""

from datetime import date
from pathlib import Path

import numpy as np
import pytest

from breakeven.economics import doubt, finance, fitting, normal


def test_numpy_financial_agrees_on_npv_irr_and_mirr():
    oracle = pytest.importorskip("numpy_financial")
    flows = [-40000.0, 5000.0, 8000.0, 12000.0, 30000.0]
    assert finance.npv(0.08, flows) == pytest.approx(float(oracle.npv(0.08, flows)))
    assert finance.irr(flows)[-1] == pytest.approx(float(oracle.irr(flows)))
    assert finance.mirr([-100, 50, -60, 70], finance=0.1, reinvest=0.12) == pytest.approx(
        float(oracle.mirr([-100, 50, -60, 70], 0.1, 0.12))
    )


def test_pyxirr_agrees_on_dated_flows():
    oracle = pytest.importorskip("pyxirr")
    days = [date(1992, 1, 1), date(1992, 3, 1), date(1992, 10, 30), date(1993, 2, 15), date(1993, 4, 1)]
    flows = [-10000.0, 2750.0, 4250.0, 3250.0, 2750.0]
    assert finance.xirr(list(zip(days, flows, strict=True)))[-1] == pytest.approx(oracle.xirr(days, flows))


def test_salib_agrees_on_sobol_indices_within_both_errors():
    pytest.importorskip("SALib")
    from SALib.analyze import sobol as analyse
    from SALib.sample import sobol as sample

    def ishigami(x):
        return np.sin(x[0]) + 7 * np.sin(x[1]) ** 2 + 0.1 * x[2] ** 4 * np.sin(x[0])

    problem = {"num_vars": 3, "names": ["a", "b", "c"], "bounds": [[-np.pi, np.pi]] * 3}
    points = sample.sample(problem, 4096, calc_second_order=False, seed=1)
    theirs = analyse.analyze(problem, ishigami(points.T), calc_second_order=False, seed=1)
    groups = {"a": [0], "b": [1], "c": [2]}
    ours = {
        index.name: index
        for index in doubt.sobol_indices(
            lambda z, _: ishigami((2 * normal.cdf(z) - 1) * np.pi), groups, 3, runs=4096, seed=1
        )
    }
    for place, name in enumerate("abc"):
        assert ours[name].first == pytest.approx(theirs["S1"][place], abs=0.03)
        assert ours[name].total == pytest.approx(theirs["ST"][place], abs=0.03)


def test_lifelines_agrees_on_constant_churn():
    oracle = pytest.importorskip("lifelines")
    generator = np.random.default_rng(4)
    stays = generator.geometric(0.08, 4000)
    gone = stays <= 12
    stays = np.minimum(stays, 12)
    ours = fitting.fit_constant_churn(stays, gone)
    theirs = oracle.ExponentialFitter().fit(stays, gone)
    # A hazard in continuous time by the same censored likelihood: ended over time at risk.
    assert ours.rate == pytest.approx(1.0 / float(theirs.lambda_), rel=1e-6)
    survivors = oracle.KaplanMeierFitter().fit(stays, gone).survival_function_at_times([6]).iloc[0]
    assert float(ours.survival(6)) == pytest.approx(float(survivors), abs=0.02)


def test_lifetimes_agrees_on_repeat_purchases_and_what_is_spent():
    """BG/NBD and gamma-gamma on CDNOW, the data of Fader, Hardie and Lee (2005), which the package carries."""
    oracle, pandas = pytest.importorskip("lifetimes"), pytest.importorskip("pandas")
    data = Path(oracle.__file__).parent / "datasets"  # its own reader needs an old setuptools
    rows = pandas.read_csv(data / "cdnow_customers_summary.csv", index_col=0)
    theirs = oracle.BetaGeoFitter().fit(rows["frequency"], rows["recency"], rows["T"])
    ours = fitting.fit_repeat(rows["frequency"], rows["recency"], rows["T"])
    assert (ours.r, ours.alpha, ours.a, ours.b) == pytest.approx(tuple(theirs.params_), rel=0.01)
    seen = (rows["frequency"], rows["recency"], rows["T"])
    assert ours.alive(*seen) == pytest.approx(theirs.conditional_probability_alive(*seen), abs=0.005)
    for x, last, age in rows[["frequency", "recency", "T"]].to_numpy()[:200]:
        expected = theirs.conditional_expected_number_of_purchases_up_to_time(39, x, last, age)
        assert ours.expected(39, x, last, age) == pytest.approx(float(expected), rel=0.01)
    spent = pandas.read_csv(data / "cdnow_customers_summary_with_transactions.csv", index_col=0)
    spent.columns = ["frequency", "recency", "T", "monetary_value"]
    spent = spent[spent["frequency"] > 0]
    money = oracle.GammaGammaFitter().fit(spent["frequency"], spent["monetary_value"])
    mine = fitting.fit_spending(spent["frequency"], spent["monetary_value"])
    assert (mine.p, mine.q, mine.v) == pytest.approx(tuple(money.params_), rel=0.02)
    mean = money.conditional_expected_average_profit(spent["frequency"], spent["monetary_value"])
    assert mine.expected(spent["frequency"], spent["monetary_value"]) == pytest.approx(mean.to_numpy(), rel=0.005)
