import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakeven.economics.answer_rule import (
    best_answers,
    expected_payoffs,
    fit_rejection,
    shift_base_rates,
    shift_probability,
    threshold,
)


def test_elkans_threshold():
    """Elkan 2001: false positive 1, false negative 5, right 0: positive when p >= 1/6 (swapped 5/6)."""
    assert threshold([[0, -1], [-5, 0]]) == pytest.approx(1 / 6)
    assert threshold([[0, -5], [-1, 0]]) == pytest.approx(5 / 6)


def test_prior_shift():
    """p .3 at base rate .2 becomes .08276 at .05."""
    assert shift_probability(0.3, 0.2, 0.05) == pytest.approx(0.08276, abs=5e-6)


@pytest.mark.parametrize(("payoff", "expected"), [([[0, 1], [-5, 0]], 0.0), ([[0, -1], [5, 0]], 1.0)])
def test_where_one_answer_is_always_as_good_the_threshold_is_an_end(payoff, expected):
    assert threshold(payoff) == expected


@given(st.floats(0.01, 0.99), st.floats(-9, 9), st.floats(-9, 9), st.floats(-9, 9), st.floats(-9, 9))
def test_the_threshold_agrees_with_the_argmax(p, a, b, c, d):
    payoff = [[a, b], [c, d]]
    limit = threshold(payoff)
    gains = expected_payoffs([1 - p, p], payoff)
    if abs(gains[1] - gains[0]) > 1e-9 and a > b and d > c:
        assert (best_answers([1 - p, p], payoff) == 1) == (p >= limit)


def test_argmax_is_found_by_a_search_too():
    rng = np.random.default_rng(0)
    probabilities, payoff = rng.dirichlet(np.ones(4), 200), rng.normal(size=(4, 4))
    searched = [max(range(4), key=lambda i, p=p: sum(p[j] * payoff[j, i] for j in range(4))) for p in probabilities]
    assert best_answers(probabilities, payoff).tolist() == searched


@given(st.lists(st.floats(0.01, 1), min_size=3, max_size=3))
def test_shifting_to_the_same_rates_changes_nothing(rates):
    rates = np.array(rates) / np.sum(rates)
    assert np.allclose(shift_base_rates([0.2, 0.5, 0.3], rates, rates), [0.2, 0.5, 0.3])


def test_a_class_without_training_rows_cannot_be_shifted():
    with pytest.raises(ValueError, match="no training rows"):
        shift_base_rates([0.5, 0.5], [1.0, 0.0], [0.5, 0.5])


def test_an_input_that_only_speaks_for_classes_the_market_lacks_is_unknown():
    assert shift_base_rates([1.0, 0.0], [0.5, 0.5], [0.0, 1.0]).tolist() == [0.0, 1.0]


def test_a_reject_level_hands_over_what_a_human_does_better():
    expected = [0.9, 0.1, 0.5, 0.8]
    realised = [1.0, -2.0, -1.0, 1.0]
    found = fit_rejection(expected, realised, reviewed=1.0, review_cost=0.2)
    assert found.share == 0.5
    assert 0.5 < found.level < 0.8
    assert found.value == pytest.approx((1 + 1 + 0.8 + 0.8) / 4)
    assert found.value_without == pytest.approx(-0.25)


def test_reject_nobody_or_everybody():
    assert fit_rejection([1, 2], [1.0, 1.0], reviewed=0.0, review_cost=1.0).level == -np.inf
    everybody = fit_rejection([1, 2], [-1.0, -1.0], reviewed=0.5, review_cost=0.1)
    assert everybody.level == np.inf and everybody.share == 1.0


def test_a_level_cannot_part_cases_that_scored_alike():
    found = fit_rejection([0.5, 0.5], [-1.0, 1.0], reviewed=0.0, review_cost=0.0)
    assert found.share in (0.0, 1.0)
