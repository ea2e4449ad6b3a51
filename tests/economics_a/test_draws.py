import numpy as np
import pytest

from breakeven.economics import draws
from breakeven.economics.draws import Estimate
from breakeven.economics.drivers import Driver
from breakeven.quantity import Quantity


def test_a_copula_gives_the_declared_correlation_of_the_normals():
    factor = draws.copula_factor(["a", "b"], {("a", "b"): 0.7})
    z = draws.normals(["a", "b"], 1, 50_000, factor=factor)
    assert np.corrcoef(z)[0, 1] == pytest.approx(0.7, abs=0.01)


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ({("a", "x"): 0.5}, "not of 'x'"),
        ({("a", "b"): 1.5}, "between -1 and 1"),
        ({("a", "a"): 0.5}, "not 0.5 of a, a"),
        ({("a", "b"): 0.95, ("b", "c"): 0.95, ("a", "c"): -0.95}, "contradict each other"),
    ],
)
def test_correlations_that_cannot_be(pairs, message):
    with pytest.raises(ValueError, match=message):
        draws.copula_factor(["a", "b", "c"], pairs)


def test_adding_a_driver_leaves_the_others_draws_alone():
    assert np.array_equal(draws.normals(["a", "b"], 3, 10)[0], draws.normals(["a"], 3, 10)[0])


def test_primitive_polynomials_are_those_of_the_tables():
    """Degrees 1 to 5: x+1; x2+x+1; x3+x+1, x3+x2+1; x4+x+1, x4+x3+1; six of degree 5."""
    assert draws.primitive_polynomials(12) == [1, 3, 7, 11, 13, 19, 25, 37, 41, 47, 55, 59]


def test_sobol_points_fill_every_dimension_evenly():
    points = draws.sobol(12, 256, draws.stream(0, "test"))
    assert points.min() > 0.0 and points.max() < 1.0
    for row in points:
        assert sorted((row * 256).astype(int)) == list(range(256))


def test_quasi_random_means_are_far_nearer_than_pseudo_random_ones():
    def error(points):
        return abs(float(np.prod(1.0 + (points - 0.5), axis=0).mean()) - 1.0)

    quasi = np.mean([error(draws.sobol(6, 1024, draws.stream(seed, "q"))) for seed in range(8)])
    pseudo = np.mean([error(draws.stream(seed, "p").random((6, 1024))) for seed in range(8)])
    assert quasi < pseudo / 5.0


def test_quasi_random_normals_are_16_rounds_up_to_a_power_of_two():
    assert draws.quasi_normals(3, 0, 10_000).shape == (3, 16 * 1024)
    factor = draws.copula_factor(["a", "b"], {("a", "b"): -0.5})
    assert np.corrcoef(draws.quasi_normals(2, 0, 4096, factor=factor))[0, 1] == pytest.approx(-0.5, abs=0.02)


def test_estimates_carry_the_weakest_origin_and_their_inputs():
    measured = Estimate.of(Quantity(2.0, "x", "measured", 1.8, 2.2), 0, "speed", 4000)
    assumed = Estimate.of(Driver.parse({"low": 1, "high": 3}), 0, "price", 4000)
    both = draws.combine({"speed": measured, "price": assumed}, 4.0, measured.draws * assumed.draws)
    quantity = both.quantity("y", factor=10.0)
    assert (quantity.origin, quantity.value, quantity.unit) == ("assumed", 40.0, "y")
    assert quantity.low < 40.0 < quantity.high
    assert both.inputs == {"speed": "measured", "price": "assumed"}
    certain = Estimate.of(3.0, 0, "one", 5)
    assert certain.quantity("z").low is None


def test_an_estimate_without_inputs_is_its_own_input():
    made = draws.combine({"value": Estimate(1.0, np.ones(3), "measured")}, 1.0, np.ones(3))
    assert made.inputs == {"value": "measured"}


def test_the_base_case_fixes_a_driver_at_its_mean():
    driver = Driver.parse({"low": 1, "high": 3})
    assert draws.certain(driver).mean == 2.0 and draws.certain(driver).certain
    assert draws.certain(Driver.of(1.0)).mean == 1.0
