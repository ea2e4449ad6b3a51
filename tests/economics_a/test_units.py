import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakeven.economics import units
from breakeven.economics.machines import (
    Running,
    advantage_volumes,
    break_even_volumes,
    cost_per_million,
    machines_needed,
    marginal_cost,
)


def test_value_is_the_weighted_mean_of_what_happened():
    outcomes = [[1, 0], [0, 1], [1, 0]]
    assert units.value_draws(outcomes, [0.02, -0.1], [[1, 1, 1], [2, 0, 1]]) == pytest.approx([-0.02, 0.02])


def test_a_payoff_may_depend_on_the_case():
    assert units.value_draws([[1], [1]], [[3.0], [5.0]], [1, 1]) == pytest.approx([4.0])


def test_market_rates_reweigh_the_true_classes():
    """ECONOMICS: value = sum_j base_j sum_i P(predicted i | true j) payoff[j][i]."""
    outcomes = np.eye(4)[[0, 1, 2, 3]]  # right a, wrong a, right b, wrong b
    classes = ["a", "a", "b", "b"]
    value = units.value_draws(outcomes, [1, -1, 2, -4], np.ones(4), classes=classes, base_rates={"a": 0.9, "b": 0.1})
    assert value == pytest.approx([0.9 * 0.0 + 0.1 * -1.0])
    assert units.confusion_value([[1, 1], [1, 1]], [[1, -1], [-4, 2]], [0.9, 0.1]) == pytest.approx(-0.1)


def test_a_resampling_without_a_rare_class_falls_back_on_all_its_cases():
    value = units.value_draws([[1], [1]], [[1.0], [5.0]], [[1, 0]], classes=["a", "b"], base_rates={"a": 0.5, "b": 0.5})
    assert value == pytest.approx([3.0])


@pytest.mark.parametrize(
    ("classes", "rates", "message"),
    [
        (["a"], {"a": 1.0}, "true class of every case"),
        (["a", "b"], {"a": 0.5, "b": 0.4}, "sum to 0.9"),
        (["a", "b"], {"a": 1.5, "b": -0.5}, "and 1 is expected"),
        (["a", "b"], {"a": 0.5, "c": 0.5}, "class 'c' and the test set has no case"),
    ],
)
def test_base_rates_that_cannot_be(classes, rates, message):
    with pytest.raises(ValueError, match=message):
        units.value_draws([[1], [1]], [1.0], [1, 1], classes=classes, base_rates=rates)


def test_a_class_with_rate_zero_may_be_absent():
    rates = {"a": 1.0, "c": 0.0}
    assert units.value_draws([[1]], [2.0], [1], classes=["a"], base_rates=rates) == pytest.approx([2.0])


def test_worth_of_a_point_shrinks_all_errors_in_proportion():
    """ECONOMICS: off-diagonal confusion shrunk in proportion until the metric rises by 0.01."""
    confusion, payoff = [[80, 20], [10, 90]], [[1, -1], [-2, 1]]
    assert units.point_worth(confusion, payoff) == pytest.approx(0.01 * (20 * 2 + 10 * 3) / 30)
    improved = units.improved_confusion(confusion)
    assert units.accuracy(improved) == pytest.approx(0.86)
    gained = units.confusion_value(improved, payoff) - units.confusion_value(confusion, payoff)
    assert gained == pytest.approx(units.point_worth(confusion, payoff))


def test_worth_of_a_point_by_another_metric_and_at_market_rates():
    confusion, payoff = [[80, 20], [10, 90]], [[0, -1], [-5, 0]]

    def recall_of_the_second(counts):
        return counts[1][1] / np.sum(counts[1])

    found = units.point_worth(confusion, payoff, recall_of_the_second, base_rates=[0.9, 0.1])
    # Recall rises by .01 when a tenth of the errors is gone.
    assert found == pytest.approx(0.1 * (0.9 * 0.2 * 1 + 0.1 * 0.1 * 5))


def test_a_perfect_confusion_has_no_point_to_win():
    assert units.point_worth([[5, 0], [0, 5]], [[1, 0], [0, 1]]) == 0.0
    assert units.accuracy(units.improved_confusion([[5, 0], [0, 5]])) == 1.0


def test_where_perfection_is_nearer_than_a_point_its_worth_is_scaled_up():
    confusion, payoff = [[999, 1], [0, 1000]], [[0, -10], [0, 0]]
    assert units.point_worth(confusion, payoff) == pytest.approx(0.01 * 10, rel=1e-6)


def test_floor_and_ceiling():
    assert units.price_floor(2.0, fixed_fee=0.3, answers_per_invoice=3.0, percentage_fees=0.03) == pytest.approx(
        2.1 / 0.97
    )
    assert units.price_floor(2.0) == pytest.approx(2.0)
    assert units.price_ceiling(5.0, surpluses=[1.0, 2.0 - 1.5], switching_cost=0.25) == pytest.approx(3.75)
    assert units.price_ceiling(5.0, surpluses=[-3.0]) == pytest.approx(5.0)


@given(st.floats(0, 10), st.floats(0, 10), st.floats(0, 1), st.floats(0, 3))
def test_a_recommended_price_lies_between_floor_and_ceiling_wherever_there_is_room(floor, ceiling, share, sd):
    drawn = ceiling + sd * np.linspace(-2, 2, 21)
    price = units.recommended_price(floor, ceiling, drawn, share)
    assert price >= floor
    assert price <= max(ceiling, floor)


def test_price_on_a_demand_curve_finds_the_true_optimum():
    """Gabor-Granger with a logit: q(p) = .33 / (1 + e^-(8.3 - .97p)), 10,000 people, unit cost 3, fixed 5,000. The
    published optimum 7.50 is a grid point (5,928.79); the true one is 7.351 (5,956.25)."""
    prices = np.linspace(3.0, 12.0, 90_001)
    demand = 10_000 * 0.33 / (1.0 + np.exp(-(8.3 - 0.97 * prices)))
    price, profit = units.price_on_demand(prices, demand, 3.0)
    assert price == pytest.approx(7.351, abs=5e-4)
    assert profit - 5000 == pytest.approx(5956.25, abs=0.005)
    published = units.price_on_demand([7.5], demand[[45_000]], 3.0)[1] - 5000
    assert published == pytest.approx(5928.79, abs=0.005)


def test_a_cascade_is_not_a_router():
    """Cascade costs small + P(escalate) x large; a router (1 - p) x small + p x large."""
    assert units.cascade_cost(1.0, 10.0, 0.2) == pytest.approx(3.0)
    assert units.router_cost(1.0, 10.0, 0.2) == pytest.approx(2.8)


def test_make_or_buy():
    assert units.make_or_buy(1000.0, 0.001, 0.003) == pytest.approx(500_000.0)
    assert units.make_or_buy(1000.0, 0.003, 0.001) is None
    assert units.make_or_buy(0.0, 0.001, 0.003) == 0.0


def test_best_shares_leave_room_for_none():
    goals = np.array([[1.0, 2.0, 3.0, 9.0], [2.0, 1.0, 4.0, 9.0]])
    able = np.array([[True, True, True, False], [True, True, False, False]])
    shares, none = units.best_shares(goals, able)
    assert shares.tolist() == [0.5, 0.25] and none == 0.25


def test_price_of_a_million_tokens():
    """$ per million tokens = $/h / (tokens/s x 3600 x utilization) x 1e6: $2 at 85 -> 6.54; 4 x $2.21 at 2400, 70%
    -> 1.46."""
    assert cost_per_million(2.0, 85.0) == pytest.approx(6.54, abs=0.005)
    assert cost_per_million(4 * 2.21, 2400.0, utilization=0.7) == pytest.approx(1.46, abs=0.005)
    assert marginal_cost(3.6, 1.0) == pytest.approx(0.001)


def test_machines_are_whole_and_at_least_the_minimum():
    month = 2_628_000.0
    assert machines_needed([0.0, month, month + 1, 2.5 * month], 1.0).tolist() == [1.0, 1.0, 2.0, 3.0]
    assert machines_needed(month, 1.0, 3.0) == 3.0
    assert machines_needed(0.0, 1.0, minimum=0) == 0.0
    assert machines_needed(0.1 * 3 * month, 0.1, 1.0) == 3.0  # a whole load but for rounding


@pytest.mark.parametrize(
    ("margin", "fixed", "machine", "size", "expected"),
    [
        (0.01, 100.0, 70.0, 10_000.0, ((38_000.0, 40_000.0), (45_000.0, 50_000.0), (52_000.0, None))),
        (0.01, 0.0, 70.0, 10_000.0, ((7_000.0, 10_000.0), (14_000.0, 20_000.0), (21_000.0, None))),
        (0.01, 100.0, 0.0, 10_000.0, ((10_000.0, None),)),
        (0.01, 30.0, 70.0, float("inf"), ((10_000.0, None),)),
        (-0.01, 0.0, 70.0, 10_000.0, ()),
        (0.0, 0.0, 0.0, 10_000.0, ((0.0, None),)),
        (0.01, 1.0, 200.0, 10_000.0, ()),
    ],
)
def test_break_even_volumes_have_steps(margin, fixed, machine, size, expected):
    found = break_even_volumes(margin, fixed, machine_per_month=machine, answers_per_machine=size)
    assert [(pytest.approx(low), high) for low, high in found.intervals] == list(expected)
    assert found.first == (expected[0][0] if expected else None)
    assert found.for_good == (expected[-1][0] if expected else None)
    assert found.as_json() == [[low, high] for low, high in found.intervals]


def test_a_machine_that_just_pays_for_itself_breaks_even_at_full_loads_only():
    found = break_even_volumes(0.01, 0.0, machine_per_month=100.0, answers_per_machine=10_000.0)
    assert found.intervals[0] == (10_000.0, 10_000.0)
    assert found.for_good is None


@given(st.floats(1e-4, 1.0), st.floats(0, 5000), st.floats(1, 500), st.floats(100, 1e5), st.floats(0, 1e6))
def test_break_even_volumes_agree_with_the_profit_itself(margin, fixed, machine, size, volume):
    found = break_even_volumes(margin, fixed, machine_per_month=machine, answers_per_machine=size)
    profit = margin * volume - fixed - machine * max(1.0, np.ceil(volume / size * (1 - 1e-12)))
    inside = any(low <= volume and (high is None or volume <= high) for low, high in found.intervals)
    if abs(profit) > 1e-6 * (fixed + machine + margin * volume):
        assert inside == (profit > 0)


def test_from_which_volumes_the_dearer_candidate_is_the_better_choice():
    small, large = Running(0.0, 0.0, 70.0, 1e6), Running(0.0, 0.0, 70.0, 1e5)
    # 50 more for every 100,000 answers, and a machine of 70 more for them: ahead before each step, never for good.
    found = advantage_volumes(0.0005, large, small)
    assert [tuple(map(round, part)) for part in found.intervals[:3]] == [
        (0, 100_000),
        (140_000, 200_000),
        (280_000, 300_000),
    ]
    assert found.for_good is None
    dearer = Running(0.0, 200.0, 70.0, 1e6)
    found = advantage_volumes(0.001, dearer, small)
    assert found.intervals == ((pytest.approx(200_000.0), None),)
    assert advantage_volumes(-0.001, dearer, small).intervals == ()
    assert advantage_volumes(-0.001, small, dearer).intervals == ((0.0, pytest.approx(200_000.0)),)
    remote = Running(0.001, 0.0, 0.0, float("inf"))
    assert advantage_volumes(0.0, remote, Running(0.0, 10.0, 0.0, float("inf"))).intervals == (
        (0.0, pytest.approx(10_000.0)),
    )
