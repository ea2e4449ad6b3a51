"""Priced rounds: the price, what converts at it, the pool and the new shares, solved exactly, rounded once.

Each convertible takes the best of several ways to count its shares, so the whole is one piecewise-linear equation. It
is solved by taking the ways that are best at the last solution until they stay the same, in rationals: the first
fixed point from below, the highest price. Rounding comes last and in one direction, so it has no second answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from fractions import Fraction
from typing import Literal, NamedTuple

from breakeven.economics.money import Rational, RoundingMode, fraction, to_places, whole
from breakeven.economics.securities import Convertible, Converting, Way, converting
from breakeven.errors import UsageError

_FITS = 10**15  # the new money of rights on top is exact to one part in this, or exactly


@dataclass(frozen=True)
class Capitalization:
    """Shares before a round. `pool` is what is neither granted nor promised."""

    issued: int
    options: int = 0
    promised: int = 0
    pool: int = 0

    def __post_init__(self) -> None:
        if min(self.issued, self.options, self.promised, self.pool) < 0 or not self.total:
            raise UsageError("shares-none", found=self.total)

    @property
    def total(self) -> int:
        """Everything, fully diluted, without convertibles."""
        return self.issued + self.options + self.promised + self.pool


@dataclass(frozen=True)
class ShareRounding:
    """How a round's document rounds: prices to places (none: exact), conversions and new shares to whole shares."""

    price_places: int | None = None
    price: RoundingMode = "half_up"
    conversions: RoundingMode = "down"
    new: RoundingMode = "down"


@dataclass(frozen=True)
class Round:
    """New money on a pre-money valuation.

    The pool grows by `pool_increase` shares, or until it is `pool_target` of all shares after the round. Conversions
    are part of the pre-money capitalization unless `conversions_in_pre_money` is off. Pro-rata rights are served
    `inside` the new money, `on_top` of it, or not at all.
    """

    pre_money: Rational | str
    new_money: Rational | str
    pool_increase: int | None = None
    pool_target: Rational | str | None = None
    conversions_in_pre_money: bool = True
    pro_rata: Literal["inside", "on_top", "none"] = "none"
    on: date | None = None
    rounding: ShareRounding = field(default_factory=ShareRounding)

    def __post_init__(self) -> None:
        if fraction(self.pre_money) <= 0 or fraction(self.new_money) < 0:
            raise UsageError("round-money", pre_money=str(self.pre_money), new_money=str(self.new_money))
        if self.pool_increase is not None and self.pool_target is not None:
            raise UsageError("pool-both")
        if self.pool_target is not None and not 0 <= fraction(self.pool_target) < 1:
            raise UsageError("pool-target", found=str(self.pool_target))


class Conversion(NamedTuple):
    """What one convertible became: whole shares at a price, and the unrounded number."""

    id: str
    holder: str
    shares: int
    exact: Fraction
    price: Fraction
    because: str


class ProRata(NamedTuple):
    """What a holder with a pro-rata right may buy, and what that costs."""

    id: str
    holder: str
    shares: int
    cost: Fraction


@dataclass(frozen=True)
class RoundResult:
    """A priced round. Fractions are exact; `price` is rounded as the document rounds; shares are whole and add up."""

    before: Capitalization
    price: Fraction
    price_exact: Fraction
    conversions: tuple[Conversion, ...]
    pool_increase: int
    new_shares: int
    new_shares_exact: Fraction
    pro_rata: tuple[ProRata, ...]
    total_exact: Fraction

    @property
    def capitalization(self) -> int:
        """Shares with all conversions, before the pool increase and the new money."""
        return self.before.total + sum(conversion.shares for conversion in self.conversions)

    @property
    def total(self) -> int:
        """All shares after the round."""
        return self.capitalization + self.pool_increase + self.new_shares

    @property
    def effective_pre_money(self) -> Fraction:
        """What the shares before the round are worth at its price, without conversions and the new pool."""
        return self.price_exact * self.before.total

    def share(self, shares: int) -> Fraction:
        """A number of shares as part of all after the round."""
        return Fraction(shares, self.total)


class _Point(NamedTuple):
    """Shares a unit of money buys (1 / price), the capitalization with conversions, and the pool increase."""

    per_money: Fraction
    capitalization: Fraction
    pool: Fraction


def price_round(before: Capitalization, convertibles: Sequence[Convertible], terms: Round) -> RoundResult:
    """Prices a round. Raises UsageError where no price exists, as where conversions alone take more than everything."""
    items = converting(convertibles, pre_money=fraction(terms.pre_money), on=terms.on)
    system = _System(before, items, terms)
    point, ways = system.solve()
    return _rounded(system, point, ways)


class _System:
    """The round as a piecewise-linear equation in a `_Point`."""

    def __init__(self, before: Capitalization, items: Sequence[Converting], terms: Round) -> None:
        self.before, self.items, self.terms = before, items, terms
        self.base = Fraction(before.total)
        self.money = fraction(terms.new_money)

    def shares(self, item: Converting, way: Way, point: _Point) -> Fraction:
        """An item's shares counted one way at a point."""
        if way.by == "price":
            return item.amount / way.factor * point.per_money
        return way.factor * (point.capitalization if way.by == "post" else self.base + point.pool)

    def solve(self) -> tuple[_Point, list[Way]]:
        """The point and the way each item converts there; rights on top of the new money enlarge it until it fits."""
        point, ways = self._fixed()
        while self.terms.pro_rata == "on_top":
            pairs = zip(self.items, ways, strict=True)
            rights = sum((self.right(item, way, point) for item, way in pairs), Fraction(0))
            money = fraction(self.terms.new_money) / (1 - rights)
            if abs(money - self.money) <= money / _FITS:
                break
            # Rights of capped SAFEs are constant and fit at once, exactly; others close in and must not grow digits.
            self.money = money if money.denominator < _FITS else money.limit_denominator(_FITS)
            point, ways = self._fixed()
        return point, ways

    def right(self, item: Converting, way: Way, point: _Point) -> Fraction:
        """The part of the new shares that an item with a pro-rata right may buy: its part of the capitalization."""
        return self.shares(item, way, point) / point.capitalization if item.pro_rata else Fraction(0)

    def _fixed(self) -> tuple[_Point, list[Way]]:
        """The first fixed point from below: the ways that are best at the last solution, until they stay the same."""
        point = _Point(Fraction(0), self.base, Fraction(self.terms.pool_increase or 0))
        ways = [item.ways[0] for item in self.items]
        grows = False
        while True:
            better = [self._best(item, way, point) for item, way in zip(self.items, ways, strict=True)]
            target = grows or self._wanted_pool(better, point) > 0
            if better == ways and target == grows and point.per_money:
                return point, ways
            ways, grows = better, target
            point = self._linear(ways, grows)

    def _best(self, item: Converting, current: Way, point: _Point) -> Way:
        best = max(item.ways, key=lambda way: self.shares(item, way, point))
        return best if self.shares(item, best, point) > self.shares(item, current, point) else current

    def _wanted_pool(self, ways: Sequence[Way], point: _Point) -> Fraction:
        """How many shares the pool lacks for its target at a point, were the pool not increased."""
        if self.terms.pool_target is None:
            return Fraction(0)
        pairs = zip(self.items, ways, strict=True)
        converted = sum((self.shares(item, way, point) for item, way in pairs), Fraction(0))
        everything = self.base + point.pool + converted + self.money * point.per_money
        return fraction(self.terms.pool_target) * everything - self.before.pool

    def _linear(self, ways: Sequence[Way], grows: bool) -> _Point:
        """The point where every item converts one given way: three linear equations."""
        valued = fraction(self.terms.pre_money)
        # Rows: (per_money, capitalization, pool, right side), "left side = right side".
        price = [valued, Fraction(0), Fraction(-1), self.base]
        capital = [Fraction(0), Fraction(1), Fraction(0), self.base]
        target = fraction(self.terms.pool_target or 0)
        pool = [Fraction(0), Fraction(0), Fraction(1), Fraction(self.terms.pool_increase or 0)]
        if grows:
            pool = [-target * self.money, Fraction(0), 1 - target, target * self.base - self.before.pool]
        for item, way in zip(self.items, ways, strict=True):
            column = ("price", "post", "pre").index(way.by)
            amount = item.amount / way.factor if way.by == "price" else way.factor
            rows = [(capital, Fraction(1)), (pool, target if grows else Fraction(0))]
            if self.terms.conversions_in_pre_money and item.method != "pre_money":
                rows.append((price, Fraction(1)))
            if item.method == "dollars_invested":
                price[0] += item.amount
            for row, weight in rows:
                row[column] -= weight * amount
                row[3] += weight * amount * self.base if way.by == "pre" else 0
        solution = _solve([price, capital, pool])
        if solution is None or solution[0] <= 0 or solution[1] < self.base:
            raise UsageError("round-no-price", pre_money=str(self.terms.pre_money))
        return _Point(*solution)


def _solve(rows: list[list[Fraction]]) -> list[Fraction] | None:
    """The solution of a square linear system in rationals (last column: right side), None where there is not one."""
    rows = [list(row) for row in rows]
    size = len(rows)
    for column in range(size):
        pivot = next((row for row in range(column, size) if rows[row][column]), None)
        if pivot is None:
            return None
        rows[column], rows[pivot] = rows[pivot], rows[column]
        rows[column] = [value / rows[column][column] for value in rows[column]]
        for row in range(size):
            if row != column:
                scale = rows[row][column]
                rows[row] = [value - scale * base for value, base in zip(rows[row], rows[column], strict=True)]
    return [row[size] for row in rows]


def _rounded(system: _System, point: _Point, ways: Sequence[Way]) -> RoundResult:
    terms, rounding = system.terms, system.terms.rounding
    exact_price = 1 / point.per_money
    price = to_places(exact_price, rounding.price_places, rounding.price)
    if price <= 0:
        raise UsageError("price-rounds-to-zero", places=rounding.price_places)
    conversions = _converted(system, point, ways, exact_price)
    new_shares, new_exact = whole(system.money / price, rounding.new), system.money * point.per_money
    bought = []
    for item, way in zip(system.items, ways, strict=True):
        if item.pro_rata and terms.pro_rata != "none":
            shares = whole(system.right(item, way, point) * new_shares, rounding.new)
            bought.append(ProRata(item.id, item.holder, shares, shares * price))
    total = point.capitalization + point.pool + new_exact
    return RoundResult(
        system.before, price, exact_price, conversions, whole(point.pool), new_shares, new_exact, tuple(bought), total
    )


def _converted(system: _System, point: _Point, ways: Sequence[Way], price: Fraction) -> tuple[Conversion, ...]:
    """Whole shares: first those with a price of their own, then post-money SAFEs as parts of what results."""
    rounding = system.terms.rounding
    pairs = list(zip(system.items, ways, strict=True))
    prices = {item.id: item.amount / system.shares(item, way, point) for item, way in pairs}
    shown = {name: to_places(value, rounding.price_places, rounding.price) for name, value in prices.items()}
    shares = {
        item.id: whole(item.amount / shown[item.id], rounding.conversions) for item, way in pairs if way.by != "post"
    }
    owned = sum((way.factor for _, way in pairs if way.by == "post"), Fraction(0))
    capitalization = (system.base + sum(shares.values())) / (1 - owned)
    for item, way in pairs:
        if way.by == "post":
            shares[item.id] = whole(way.factor * capitalization, rounding.conversions)
    return tuple(
        Conversion(item.id, item.holder, shares[item.id], system.shares(item, way, point), shown[item.id], way.because)
        for item, way in pairs
    )


def pro_rata_dilution(
    held: Rational | str, *, new: Rational | str, pool: Rational | str = 0
) -> tuple[Fraction, Fraction]:
    """What holders of `held` buy on top when new money takes `new` of the whole, and the dilution of all others."""
    part = fraction(held) * fraction(new) / (1 - fraction(held))
    return part, part + fraction(new) + fraction(pool)
