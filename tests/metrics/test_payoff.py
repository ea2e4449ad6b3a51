import numpy as np
import pytest

from breakeven.errors import ConfigError
from breakeven.metrics.payoff import Term, amounts, columns, priced, term

NAMES = ("true_a_pred_a", "true_a_pred_b", "true_b_pred_a", "true_b_pred_b", "refused", "correct", "wrong")
SUMS = {"correct": ("true_a_pred_a", "true_b_pred_b"), "wrong": ("true_a_pred_b", "true_b_pred_a")}


@pytest.mark.parametrize(("declared", "expected"), [
    (0.02, Term(0.02)), (-1, Term(-1.0)), ("-1.0 * amount", Term(-1.0, "amount")), ("amount", Term(1.0, "amount")),
    ("2e-3*price_eur", Term(0.002, "price_eur")), ("0.5 * 金额", Term(0.5, "金额")),
    ({"low": 1, "mode": 2, "high": 3}, Term({"low": 1, "mode": 2, "high": 3})),
    ({"value": 2, "source": "contract", "as_of": "2026-01-01", "times": "amount"},
     Term({"value": 2, "source": "contract", "as_of": "2026-01-01"}, "amount")),
])
def test_the_forms_of_a_price(declared: object, expected: Term) -> None:
    assert term(declared, "correct") == expected


@pytest.mark.parametrize("declared", [None, True, "a * b", "1 +", "-1.0.0 * amount", "", "3 * 4"])
def test_anything_else_is_refused(declared: object) -> None:
    with pytest.raises(ConfigError, match=r"evaluate\.payoff\.wrong.*number times a column"):
        term(declared, "wrong")


def test_a_single_price_wins_over_the_sum_so_that_nothing_counts_twice() -> None:
    found = priced({"wrong": -0.1, "true_a_pred_b": -5, "alternative": 1}, NAMES, SUMS)
    assert found == {"true_a_pred_b": Term(-5.0), "true_b_pred_a": Term(-0.1)}


def test_columns_are_looked_up_and_missing_ones_named() -> None:
    prices = priced({"correct": 1, "true_b_pred_a": "-1 * amount"}, NAMES, SUMS)
    assert columns(prices) == ["amount"]
    numbers = {name: np.asarray(price.amount) for name, price in prices.items()}
    table = amounts(prices, NAMES, numbers, {"amount": [10.0, 20.0]}, 2)
    assert table[:, NAMES.index("true_b_pred_a")].tolist() == [-10.0, -20.0]
    assert table[:, NAMES.index("correct")].tolist() == [0.0, 0.0]
    with pytest.raises(ConfigError, match="no numeric column 'amount'"):
        amounts(prices, NAMES, numbers, {"price": [1.0, 2.0]}, 2)
