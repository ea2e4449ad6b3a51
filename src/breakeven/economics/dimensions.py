"""Units of declared and computed numbers, so that a price per request times months is an error and not a number.

A unit is text: `USD/answer`, `USD per 1000 answers`, `answers/second`, `%`. Money is any currency of three capitals.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from breakeven.quantity import Quantity, weakest

MONEY = "money"
_SAME = {"h": "hour", "hr": "hour", "s": "second", "sec": "second", "mo": "month", "yr": "year", "request": "answer",
         "people": "person", "share": "", "ratio": "", "x": "", "probability": ""}  # fmt: skip


@dataclass(frozen=True)
class Unit:
    """Powers of base units, and what one of it is in them (`USD/1000 answers` is 0.001 USD per answer)."""

    powers: tuple[tuple[str, int], ...]
    factor: float = 1.0

    @classmethod
    def parse(cls, text: str) -> Unit:
        """Reads a unit; ValueError where it is not one."""
        powers: dict[str, int] = {}
        factor = 1.0
        for place, part in enumerate(re.split(r"/|\bper\b", text.strip())):
            for word in re.split(r"[\s*·]+", part.strip()):
                sign = 1 if place == 0 else -1
                factor *= _number(word) ** sign
                base = _base(word)
                if base:
                    powers[base] = powers.get(base, 0) + sign
        return cls(tuple(sorted((name, power) for name, power in powers.items() if power)), factor)

    def times(self, other: Unit) -> Unit:
        """The unit of a product."""
        powers = dict(self.powers)
        for name, power in other.powers:
            powers[name] = powers.get(name, 0) + power
        return Unit(tuple(sorted((n, p) for n, p in powers.items() if p)), self.factor * other.factor)

    def currencies(self) -> set[str]:
        """The currencies in it."""
        return {name for name, _ in self.powers if re.fullmatch("[A-Z]{3}", name)}

    def of_money(self) -> Unit:
        """The same with every currency called money, to compare kinds."""
        powers = tuple(
            sorted((MONEY if re.fullmatch("[A-Z]{3}", name) else name, power) for name, power in self.powers)
        )
        return replace(self, powers=powers)


def _number(word: str) -> float:
    if word == "%":
        return 0.01
    digits = word.replace(",", "").replace("_", "")
    return float(digits) if re.fullmatch(r"\d+(\.\d+)?", digits) else 1.0


def _base(word: str) -> str:
    if not word or word == "%" or re.fullmatch(r"[\d.,_]+", word):
        return ""
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", word):
        raise ValueError(f"a unit such as USD/answer or answers/second, not '{word}'")
    single = word if len(word) < 3 or re.fullmatch("[A-Z]{3}", word) else re.sub(r"(?<=[^s])s$", "", word)
    return _SAME.get(single, single)


def check(unit: str, expected: str, *, currency: str) -> None:
    """Raises ValueError, which says what is expected, unless `unit` is `expected`, its `money` being `currency`."""
    found, wanted = Unit.parse(unit), Unit.parse(expected)
    shown = expected.replace(MONEY, currency)
    if found.of_money().powers != wanted.powers or found.factor != wanted.factor:
        raise ValueError(f"{shown}, not {unit}")
    if found.currencies() - {currency}:
        raise ValueError(f"{shown}, not {unit}: one plan has one currency")


def product(one: Quantity, other: Quantity, *, unit: str) -> Quantity:
    """one x other in `unit`; ValueError where their units do not give it. The interval is that of `one`, scaled."""
    made, wanted = Unit.parse(one.unit).times(Unit.parse(other.unit)), Unit.parse(unit)
    if made.powers != wanted.powers:
        raise ValueError(f"units that multiply to {unit}, not {one.unit} times {other.unit}")
    scaled = one.scaled(other.value * made.factor / wanted.factor, unit)
    return replace(scaled, origin=weakest([one.origin, other.origin]))


def total(parts: Mapping[str, Quantity] | Sequence[Quantity]) -> Quantity:
    """The sum of quantities of one unit; ValueError where units differ. No interval: parts may depend on each other."""
    found = list(parts.values()) if isinstance(parts, Mapping) else list(parts)
    units = {part.unit for part in found}
    if len(units) != 1:
        raise ValueError(f"quantities of one unit, not {', '.join(sorted(units)) or 'none'}")
    return Quantity(sum(part.value for part in found), units.pop(), weakest(part.origin for part in found))


# What each number of the business section is measured in, by the last word of its dotted name.
FIELDS = {
    "per_answer": "money/answer", "review_per_answer": "money/answer", "liability_per_answer": "money/answer",
    "per_customer": "money/customer/month", "per_new_customer": "money/customer", "per_invoice": "money/invoice",
    "per_month": "money/month", "salary_per_month": "money/month", "spend_per_month": "money/month",
    "other_per_month": "money/month", "cost_per_month": "money/month", "machine_per_hour": "money/hour",
    "capacity_per_second": "answers/second", "cac": "money/customer", "cash": "money", "amount": "money",
    "per_run": "money", "losses": "money", "liquidation_value": "money", "answers_each": "answers/customer/month",
    "new_per_month": "customers/month", "churn_per_month": "1/month", "churn_per_year": "1/year",
    "collection_days": "days", "saturation_per_month": "customers/month", "closes_per_month": "customers/month",
}  # fmt: skip
