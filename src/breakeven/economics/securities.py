"""Securities that become shares: SAFEs, convertible notes, and preferred shares protected against dilution.

A convertible takes the best of its terms, so it is a list of ways to count its shares; `rounds` solves them together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from fractions import Fraction
from typing import Literal, TypeAlias

from breakeven.economics.money import Rational, fraction
from breakeven.economics.proration import DayCount, simple_interest
from breakeven.errors import Place, UsageError

NoteMethod = Literal["percent_ownership", "pre_money", "dollars_invested"]


@dataclass(frozen=True)
class Way:
    """One way to count a convertible's shares.

    `price`: amount / (round price x factor). `post`: factor x the capitalization with all conversions. `pre`: factor x
    (the capitalization before conversions + the pool increase).
    """

    by: Literal["price", "post", "pre"]
    factor: Fraction
    because: str


@dataclass(frozen=True)
class Safe:
    """A simple agreement for future equity: `cap` on the post- or pre-money capitalization, `discount` as a share.

    `mfn`: takes the terms of any SAFE issued later where they are better. `pro_rata`: may buy its part of the round.
    """

    id: str
    amount: Rational | str
    cap: Rational | str | None = None
    discount: Rational | str = 0
    money: Literal["post", "pre"] = "post"
    mfn: bool = False
    pro_rata: bool = False
    issued: date | None = None
    holder: str = ""

    def __post_init__(self) -> None:
        _check(self.id, self.amount, self.cap, self.discount)
        if self.mfn and self.issued is None:
            raise UsageError("mfn-undated", at=Place(field=self.id))


@dataclass(frozen=True)
class Note:
    """A convertible loan with simple interest. `method` says how the round's price treats it.

    percent_ownership: its shares are part of the pre-money capitalization. pre_money: they are not. dollars_invested:
    they are, and its amount is added to the pre-money valuation.
    """

    id: str
    principal: Rational | str
    issued: date
    maturity: date
    rate: Rational | str = 0
    cap: Rational | str | None = None
    discount: Rational | str = 0
    method: NoteMethod = "percent_ownership"
    day_count: DayCount = "ACT/365"
    pro_rata: bool = False
    holder: str = ""

    def __post_init__(self) -> None:
        _check(self.id, self.principal, self.cap, self.discount)
        if not isinstance(self.maturity, date) or self.maturity <= self.issued:
            raise UsageError("note-maturity", at=Place(field=self.id), found=str(self.maturity))

    def owed(self, on: date) -> Fraction:
        """Principal and interest on a day, exact."""
        interest = simple_interest(self.principal, self.rate, self.issued, on, count=self.day_count)
        return fraction(self.principal) + interest


Convertible: TypeAlias = Safe | Note


def _check(name: str, amount: Rational | str, cap: Rational | str | None, discount: Rational | str) -> None:
    at = Place(field=name)
    if fraction(amount, field=name) <= 0:
        raise UsageError("amount-not-positive", at=at, found=str(amount))
    if cap is not None and fraction(cap, field=name) <= 0:
        raise UsageError("cap-not-positive", at=at, found=str(cap))
    if not 0 <= fraction(discount, field=name) < 1:
        raise UsageError("discount-not-share", at=at, found=str(discount))


@dataclass(frozen=True)
class Converting:
    """A convertible at a round: the amount that converts and the ways it may."""

    id: str
    holder: str
    amount: Fraction
    ways: tuple[Way, ...] = field(repr=False)
    method: NoteMethod = "percent_ownership"
    pro_rata: bool = False


def converting(convertibles: Sequence[Convertible], *, pre_money: Fraction, on: date | None = None) -> list[Converting]:
    """What converts at a priced round of a pre-money valuation, in the order given; interest runs to the day `on`."""
    names = [each.id for each in convertibles]
    if len(set(names)) != len(names):
        raise UsageError("ids-repeat", found=sorted({name for name in names if names.count(name) > 1}))
    safes = [each for each in convertibles if isinstance(each, Safe)]
    return [_of_safe(each, safes) if isinstance(each, Safe) else _of_note(each, pre_money, on) for each in convertibles]


def _of_safe(safe: Safe, others: Sequence[Safe]) -> Converting:
    terms = [safe]
    if safe.mfn:
        terms += [other for other in others if _later(other, safe) and not other.mfn]
    amount = fraction(safe.amount)
    ways = [Way("price", Fraction(1), "round price")]
    for each in terms:
        if fraction(each.discount) > 0:
            ways.append(Way("price", 1 - fraction(each.discount), "discount"))
        if each.cap is not None:
            ways.append(Way(each.money, amount / fraction(each.cap), "cap"))
    return Converting(safe.id, safe.holder or safe.id, amount, tuple(ways), pro_rata=safe.pro_rata)


def _later(one: Safe, other: Safe) -> bool:
    return one.issued is not None and other.issued is not None and one.issued > other.issued


def _of_note(note: Note, pre_money: Fraction, on: date | None) -> Converting:
    amount = fraction(note.principal) if on is None else note.owed(on)
    ways = [Way("price", Fraction(1), "round price")]
    if fraction(note.discount) > 0:
        ways.append(Way("price", 1 - fraction(note.discount), "discount"))
    if note.cap is not None:
        ways.append(Way("price", fraction(note.cap) / pre_money, "cap"))
    return Converting(note.id, note.holder or note.id, amount, tuple(ways), note.method, note.pro_rata)


def conversion_price(
    round_price: Rational | str,
    *,
    cap: Rational | str | None = None,
    discount: Rational | str = 0,
    pre_money: Rational | str | None = None,
) -> Fraction:
    """The lowest of the round price, the discounted one, and the cap's (round price x cap / pre-money)."""
    price = fraction(round_price)
    prices = [price, price * (1 - fraction(discount))]
    if cap is not None and pre_money is not None:
        prices.append(price * fraction(cap) / fraction(pre_money))
    return min(prices)


def anti_dilution(
    price: Rational | str,
    *,
    outstanding: int,
    new_shares: int,
    new_money: Rational | str,
    method: Literal["weighted", "full_ratchet", "none"] = "weighted",
) -> Fraction:
    """The conversion price of preferred shares after a cheaper issue; never above the old one.

    Weighted average: old x (outstanding + new money / old) / (outstanding + new shares); broad-based where
    `outstanding` counts everything, narrow-based where it counts the preferred only.
    """
    old, paid = fraction(price), fraction(new_money)
    if old <= 0 or new_shares <= 0 or outstanding <= 0:
        raise UsageError("anti-dilution-input")
    cheap = paid / new_shares
    if cheap >= old or method == "none":
        return old
    return cheap if method == "full_ratchet" else old * (outstanding + paid / old) / (outstanding + new_shares)
