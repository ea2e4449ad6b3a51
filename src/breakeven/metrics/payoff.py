"""What an outcome is worth: numbers, columns, or a number times a column, checked against the outcomes that exist.

A payoff may price single outcomes (`true_spam_pred_ham`) and sums of them (`correct`, `wrong`). The single price wins
over the sum's, so that every outcome is counted once.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from breakeven.errors import ConfigError, Place

ALTERNATIVE = "alternative"
_PRODUCT = re.compile(r"^\s*(?:(?P<number>[-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?)\s*\*\s*)?(?P<column>[^\W\d]\w*)\s*$")

FloatArray = np.ndarray[Any, np.dtype[np.floating[Any]]]


@dataclass(frozen=True)
class Term:
    """The price of one outcome: an amount (a number, or a distribution or quoted value as declared), times a column."""

    amount: Any
    column: str | None = None


def term(declared: Any, outcome: str) -> Term:
    """A declared price: 0.02, '-1.0 * amount', 'amount', or a mapping (distribution, quoted) with an optional `times`."""
    if isinstance(declared, bool) or declared is None:
        raise _unreadable(outcome, declared)
    if isinstance(declared, (int, float)):
        return Term(float(declared))
    if isinstance(declared, Mapping):
        rest = {key: value for key, value in declared.items() if key != "times"}
        return Term(rest, declared.get("times"))
    found = _PRODUCT.match(str(declared))
    if found is None:
        raise _unreadable(outcome, declared)
    try:
        return Term(float(found["number"] or 1.0), found["column"])
    except ValueError:
        raise _unreadable(outcome, declared) from None


def priced(payoff: Mapping[str, Any], names: Sequence[str], sums: Mapping[str, Sequence[str]]) -> dict[str, Term]:
    """Outcome -> its one price. `sums` names outcomes that are sums of others; a sum's price goes to its unpriced parts.

    Raises ConfigError for a key that names no outcome, with the nearest name.
    """
    check(payoff, names)
    prices = {name: term(value, name) for name, value in payoff.items() if name not in sums and name != ALTERNATIVE}
    for total, parts in sums.items():
        if total in payoff:
            for part in parts:
                prices.setdefault(part, term(payoff[total], total))
    return prices


def check(payoff: Mapping[str, Any], names: Sequence[str]) -> None:
    """Raises ConfigError for the first key that is neither an outcome nor the alternative."""
    for key in payoff:
        if key != ALTERNATIVE and key not in names:
            short = [name for name in names if not name.startswith("true_")] or list(names[:6])
            nearest = difflib.get_close_matches(str(key), [*names, ALTERNATIVE], 1, 0.3)
            raise ConfigError("payoff-unknown-outcome", at=Place(field=f"evaluate.payoff.{key}"), outcome=key,
                              allowed=short[:8], nearest=nearest[0] if nearest else short[0])


def columns(prices: Mapping[str, Term]) -> list[str]:
    """The columns that prices multiply."""
    return sorted({price.column for price in prices.values() if price.column})


def amounts(prices: Mapping[str, Term], outcome_names: Sequence[str], numbers: Mapping[str, FloatArray],
            values: Mapping[str, Sequence[float]], n: int) -> FloatArray:
    """Prices [n, k] of every outcome for every case; `numbers` holds each priced outcome's amount as a scalar array."""
    table = np.zeros((n, len(outcome_names)))
    for place, name in enumerate(outcome_names):
        if name in prices:
            column = prices[name].column
            if column is not None and column not in values:
                raise ConfigError("payoff-unknown-column", at=Place(field=f"evaluate.payoff.{name}"), column=column,
                                  allowed=sorted(values))
            table[:, place] = numbers[name] * (1.0 if column is None else np.asarray(values[column], dtype=float))
    return table


def _unreadable(outcome: str, declared: Any) -> ConfigError:
    return ConfigError("payoff-unreadable", at=Place(field=f"evaluate.payoff.{outcome}"), outcome=outcome, found=declared)
