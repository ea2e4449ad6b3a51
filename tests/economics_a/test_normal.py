"""The distributions against SciPy, which is only a test's oracle."""

from types import ModuleType

import numpy as np
import pytest

from breakeven.economics import normal

Z = np.linspace(-7.5, 7.5, 601)


@pytest.fixture(scope="module")
def stats() -> ModuleType:
    from scipy import stats

    return stats


def test_the_normal_distribution_is_exact_to_1e_12(stats):
    assert np.max(np.abs(normal.cdf(Z) - stats.norm.cdf(Z))) < 1e-12
    assert np.allclose(normal.pdf(Z), stats.norm.pdf(Z), rtol=1e-12)


def test_its_inverse_comes_back(stats):
    u = np.array([1e-9, 1e-4, 0.025, 0.5, 0.9, 0.999])
    assert np.allclose(normal.ppf(u), stats.norm.ppf(u), atol=1e-8)
    assert np.all(np.isfinite(normal.ppf(np.array([0.0, 1.0]))))


@pytest.mark.parametrize(("a", "b"), [(2.0, 3.0), (1.0, 5.0), (0.5, 0.5), (6.8, 163.0), (1.0, 1.0), (30.0, 2.0)])
def test_beta_variates_stand_at_the_probability_of_their_normal(stats, a, b):
    z = np.linspace(-4.0, 4.0, 201)
    assert np.allclose(normal.beta_from_normal(z, a, b), stats.beta.ppf(stats.norm.cdf(z), a, b), atol=1e-7)


@pytest.mark.parametrize(("a", "b"), [(2.0, 3.0), (0.3, 8.0), (163.0, 6.8)])
def test_the_incomplete_beta_function(stats, a, b):
    x = np.linspace(0.0, 1.0, 101)
    assert np.allclose(normal.beta_cdf(x, a, b), stats.beta.cdf(x, a, b), atol=1e-12)


def test_beta_variates_rise_with_their_normal():
    assert np.all(np.diff(normal.beta_from_normal(np.linspace(-9, 9, 5001), 0.5, 40.0)) >= 0.0)
