import pytest

from breakeven.errors import ConfigError
from breakeven.metrics.payoff import column, member, priced, shares, term, unpriced

NAMES = ("true_a_pred_a", "true_a_pred_b", "true_b_pred_a", "true_b_pred_b", "refused", "correct", "wrong")
SUMS = {"correct": ("true_a_pred_a", "true_b_pred_b"), "wrong": ("true_a_pred_b", "true_b_pred_a")}


@pytest.mark.parametrize(
    ("declared", "mean", "column"),
    [
        (0.02, 0.02, None),
        (-1, -1.0, None),
        ("-1.0 * amount", -1.0, "amount"),
        ("amount", 1.0, "amount"),
        ("2e-3*price_eur", 0.002, "price_eur"),
        ("0.5 * 金额", 0.5, "金额"),
        ({"low": 1, "mode": 2, "high": 3}, 2.0, None),
        ({"value": 2, "source": "contract", "as_of": "2026-01-01", "times": "amount"}, 2.0, "amount"),
    ],
)
def test_the_forms_of_a_price(declared: object, mean: float, column: str | None) -> None:
    found = term(declared, "correct")
    assert (found.amount.mean, found.column) == (pytest.approx(mean), column)


def test_a_quoted_price_keeps_its_origin() -> None:
    found = term({"value": 2, "source": "contract", "as_of": "2026-01-01"}, "correct").amount
    assert (found.origin, found.source, found.as_of) == ("quoted", "contract", "2026-01-01")


@pytest.mark.parametrize("declared", [None, True, "a * b", "1 +", "-1.0.0 * amount", "", "3 * 4", [1], {"mean": 1}])
def test_anything_else_is_refused(declared: object) -> None:
    with pytest.raises(ConfigError, match=r"evaluate\.payoff\.wrong.*(expected|a number)"):
        term(declared, "wrong")


def test_a_single_price_wins_over_the_sum_so_that_nothing_counts_twice() -> None:
    found = priced({"wrong": -0.1, "true_a_pred_b": -5, "alternative": 1}, NAMES, SUMS)
    assert found == {"true_a_pred_b": term(-5, ""), "true_b_pred_a": term(-0.1, "")}


def test_shares_cover_every_priced_outcome_once() -> None:
    payoff = {"correct": 1, "wrong": -0.1, "true_a_pred_b": "-1 * amount", "alternative": 0}
    found = {share.key: share.outcomes for share in shares(payoff, NAMES, SUMS)}
    assert found == {"correct": SUMS["correct"], "wrong": ("true_b_pred_a",), "true_a_pred_b": ("true_a_pred_b",)}
    assert unpriced({"correct": 1, "true_a_pred_b": 2}, NAMES, SUMS) == ["true_b_pred_a"]


def test_columns_are_looked_up_and_missing_ones_named() -> None:
    correct, error = shares({"correct": 1, "true_b_pred_a": "-1 * amount"}, NAMES, SUMS)
    assert column(error, {"amount": [10.0, 20.0]}, 2).tolist() == [10.0, 20.0]
    assert column(correct, {}, 2).tolist() == [1.0, 1.0]
    assert member(correct, NAMES).tolist() == [1, 0, 0, 1, 0, 0, 0]  # a_a and b_b, and not the sum itself
    with pytest.raises(ConfigError, match="no numeric column 'amount'"):
        column(error, {"price": [1.0, 2.0]}, 2)
