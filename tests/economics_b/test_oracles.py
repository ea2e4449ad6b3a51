"""Other people's programs as oracles, where installed: numpy-financial, pyxirr, SALib, lifelines."""

from datetime import date

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
