import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakeven.economics import carbon, ruin


def test_cramer_lundberg():
    """Exponential claims of mean 5, loading .3, u = 0..10 -> .76923, .73453, .70140, ... , .48486."""
    found = [ruin.cramer_lundberg(u, loading=0.3, mean_claim=5.0) for u in range(11)]
    assert [round(found[i], 5) for i in (0, 1, 2, 10)] == [0.76923, 0.73453, 0.70140, 0.48486]
    assert ruin.cramer_lundberg(9.0, loading=0.0, mean_claim=5.0) == 1.0


def test_gamblers_ruin():
    """p .49 from 10 to 50 -> .92303."""
    assert ruin.gamblers_ruin(0.49, 10, 50) == pytest.approx(0.92303, abs=5e-6)
    assert ruin.gamblers_ruin(0.5, 10, 50) == pytest.approx(0.8)
    assert ruin.gamblers_ruin(0.4, 5000, 9000) == pytest.approx(1.0)


@given(st.floats(0.3, 0.7), st.integers(1, 9))
def test_gamblers_ruin_satisfies_its_recursion(p, start):
    here = ruin.gamblers_ruin(p, start, 10)
    ahead = p * ruin.gamblers_ruin(p, start + 1, 10) + (1 - p) * ruin.gamblers_ruin(p, start - 1, 10)
    assert here == pytest.approx(ahead, abs=1e-9)


def test_brownian_ruin():
    """Cash 1.2M, drift .02M a month, sigma .25M, 60 months: .33958 continuous, .29298 with the barrier moved by .5826
    sigma; month ends exactly .29348."""
    assert ruin.brownian(1.2, drift=0.02, sigma=0.25, time=60) == pytest.approx(0.33958, abs=5e-6)
    assert ruin.brownian(1.2, drift=0.02, sigma=0.25, time=60, seen_every=1) == pytest.approx(0.29298, abs=5e-6)


def test_brownian_ruin_against_random_walks():
    steps = 0.02 + 0.25 * np.random.default_rng(0).standard_normal((60, 20_000))
    found = np.mean((1.2 + np.cumsum(steps, axis=0)).min(axis=0) < 0)
    assert found == pytest.approx(0.29348, abs=0.012)


def test_energy_and_carbon():
    """.0113420689 + .1037351593 + .0380395325 = .1531167607 kWh; 54.25187 g at 354.317 g/kWh; kWh = kW x h x PUE."""
    total = 0.0113420689 + 0.1037351593 + 0.0380395325
    assert total == pytest.approx(0.1531167607)
    assert carbon.carbon_g(total, 354.317) == pytest.approx(54.25187, abs=5e-6)
    assert carbon.energy_kwh(200.0, 3.0, pue=1.2) == pytest.approx(0.72)
    assert carbon.energy_per_answer_kwh(36.0, 100.0) == pytest.approx(0.001)


def test_software_carbon_intensity():
    """SCI = (E x I + M) / R."""
    embodied = carbon.embodied_g(1_000_000.0, hours_used=10.0, hours_lived=35_040.0, share=0.5)
    assert embodied == pytest.approx(142.694, abs=1e-3)
    assert carbon.sci(2.0, 400.0, embodied, 1000.0) == pytest.approx((800.0 + embodied) / 1000.0)


def test_the_footprint_of_a_year():
    made = carbon.footprint(
        answers_per_year=1e6,
        cpu_seconds=0.36,
        watts_busy=20.0,
        watts_idle=10.0,
        machines=2.0,
        grams_per_kwh=400.0,
        training_hours=5.0,
        trainings_per_year=2.0,
        embodied_g_per_machine_year=1000.0,
    )
    assert made.answers_kwh == pytest.approx(2.0)
    assert made.machines_kwh == pytest.approx(2 * 87.6 + 1.0)
    assert made.training_kwh == pytest.approx(0.2)
    assert made.carbon_g == pytest.approx((176.2 + 0.2) * 400 + 2000)
    assert made.grams_per_1000 == pytest.approx(made.carbon_g / 1000)
