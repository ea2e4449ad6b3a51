"""What an outcome is worth: numbers, columns, or a number times a column, checked against the outcomes that exist.

A payoff may price single outcomes (`true_spam_pred_ham`) and sums of them (`correct`, `wrong`). The single price wins
over the sum's, so that every outcome is counted once.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from breakeven.economics.drivers import Driver
from breakeven.errors import ConfigError, Place

ALTERNATIVE = "alternative"
FORMS = "a number, a column, a number times a column ('-1.0 * amount'), or a distribution"
_PRODUCT = re.compile(
    r"^\s*(?:(?P<number>[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)\s*\*\s*)?(?P<column>[^\W\d]\w*)\s*$"
)

FloatArray = np.ndarray[Any, np.dtype[np.floating[Any]]]


@dataclass(frozen=True)
class Term:
    """The price of one outcome: an amount (a number or a distribution, with its origin), times a column or not."""

    amount: Driver
    column: str | None = None


def term(declared: Any, outcome: str) -> Term:
    """A declared price: 0.02, '-1.0 * amount', 'amount', or a mapping (distribution, quoted; `times` a column)."""
    try:
        return read_term(declared)
    except ValueError as error:
        raise ConfigError(
            "payoff-unreadable",
            at=Place(field=f"evaluate.payoff.{outcome}"),
            outcome=outcome,
            found=declared,
            reason=str(error),
        ) from None


def read_term(declared: Any) -> Term:
    """The same, with a ValueError in plain words: for settings, which know the place themselves."""
    if isinstance(declared, str):
        found = _PRODUCT.match(declared)
        if found is None:
            raise ValueError(f"{FORMS}; found {declared!r}")
        return Term(Driver.parse(float(found["number"] or 1.0)), found["column"])
    if isinstance(declared, Mapping):
        rest = {key: value for key, value in declared.items() if key != "times"}
        return Term(Driver.parse(rest), declared.get("times"))
    if declared is None or isinstance(declared, (bool, list)):
        raise ValueError(f"{FORMS}; found {declared!r}")
    return Term(Driver.parse(declared))


def priced(payoff: Mapping[str, Any], names: Sequence[str], sums: Mapping[str, Sequence[str]]) -> dict[str, Term]:
    """Outcome -> its one price. `sums`: outcomes that are sums of others; a sum's price goes to its unpriced parts.

    Raises ConfigError for a key that names no outcome, with the nearest name.
    """
    check(payoff, names)
    prices = {name: term(value, name) for name, value in payoff.items() if name not in sums and name != ALTERNATIVE}
    for total, parts in sums.items():
        if total in payoff:
            for part in parts:
                prices.setdefault(part, term(payoff[total], total))
    return prices


def check(payoff: Iterable[str], names: Sequence[str]) -> None:
    """Raises ConfigError for the first key that is neither an outcome nor the alternative."""
    for key in payoff:
        if key != ALTERNATIVE and key not in names:
            short = [name for name in names if not name.startswith("true_")] or list(names[:6])
            nearest = difflib.get_close_matches(str(key), [*names, ALTERNATIVE], 1, 0.3)
            raise ConfigError(
                "payoff-unknown-outcome",
                at=Place(field=f"evaluate.payoff.{key}"),
                outcome=key,
                allowed=short[:8],
                nearest=nearest[0] if nearest else short[0],
            )


@dataclass(frozen=True)
class Share:
    """One declared price and the outcomes it is paid for."""

    key: str
    term: Term
    outcomes: tuple[str, ...]


def shares(payoff: Mapping[str, Any], names: Sequence[str], sums: Mapping[str, Sequence[str]]) -> list[Share]:
    """Declared keys with the outcomes that each pays for; together they count every outcome once."""
    prices = priced(payoff, names, sums)
    found = []
    for key, declared in payoff.items():
        if key != ALTERNATIVE:
            parts = [part for part in sums.get(key, (key,)) if part in prices and (part == key or part not in payoff)]
            found.append(Share(key, term(declared, key), tuple(parts)))
    return found


def member(share: Share, names: Sequence[str]) -> FloatArray:
    """[k]: 1 for every outcome that the share pays for, else 0."""
    return np.array([name in share.outcomes for name in names], dtype=float)


def column(share: Share, values: Mapping[str, Sequence[float]], n: int) -> FloatArray:
    """[n]: what the share's amount is multiplied by in every case; ConfigError where it is not there."""
    name = share.term.column
    if name is None:
        return np.ones(n)
    if name not in values:
        at = Place(field=f"evaluate.payoff.{share.key}")
        raise ConfigError("payoff-unknown-column", at=at, column=name, allowed=sorted(values) or ["none"])
    return np.asarray(values[name], dtype=float)


def unpriced(payoff: Mapping[str, Any], names: Sequence[str], sums: Mapping[str, Sequence[str]]) -> list[str]:
    """Outcomes that no price covers and that therefore count as nothing."""
    prices = priced(payoff, names, sums)
    return [name for name in names if name not in prices and name not in (*sums, "refused", "unseen")]
