"""Who gets what at an exit: preferences by seniority, participation, options, SAFEs, and the choice to convert.

Every claim is a rising function of what one common share gets, so the exit has one answer without trying combinations:
the value a share at which all claims add up to the price. It is found exactly, and the payouts add up to the exit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike

from breakeven.economics.money import Money, Rational, fraction, whole
from breakeven.economics.normal import Floats, floats
from breakeven.errors import Place, UsageError


@dataclass(frozen=True)
class Claim:
    """What one holder has of one class.

    `shares` as converted to common. `preference` is what comes back first (multiple x money), paid by falling
    `seniority`, equals pari passu. `participates`: shares in the rest as well, up to `limit` in all (None: no limit).
    `strike` a share is what an option costs to exercise.
    """

    holder: str
    shares: Rational | str = 0
    preference: Rational | str = 0
    seniority: int = 0
    participates: bool = False
    limit: Rational | str | None = None
    strike: Rational | str = 0

    def __post_init__(self) -> None:
        numbers = [self.shares, self.preference, self.strike]
        if any(fraction(number, field=self.holder) < 0 for number in numbers):
            raise UsageError("claim-negative", at=Place(field=self.holder))
        if self.limit is not None and fraction(self.limit) < fraction(self.preference):
            raise UsageError("claim-limit", at=Place(field=self.holder), limit=str(self.limit))

    def at(self, value: Fraction) -> Fraction:
        """What the claim gets when a common share gets `value` and all preferences are paid."""
        shares, preference = fraction(self.shares), fraction(self.preference)
        if not preference:
            return shares * max(Fraction(0), value - fraction(self.strike))
        converted = shares * value
        if not self.participates:
            return max(preference, converted)
        together = preference + converted
        return together if self.limit is None else max(min(together, fraction(self.limit)), converted)

    def bends(self) -> list[Fraction]:
        """The values of a common share at which the claim changes its slope."""
        shares, preference = fraction(self.shares), fraction(self.preference)
        if not shares:
            return []
        if not preference:
            return [fraction(self.strike)]
        if not self.participates:
            return [preference / shares]
        if self.limit is None:
            return []
        return [(fraction(self.limit) - preference) / shares, fraction(self.limit) / shares]


@dataclass(frozen=True)
class ExitSafe:
    """An unconverted SAFE at an exit: its money back, or as many shares as its cap gives, whichever is more.

    The cap is on the issued shares, options and all that converts (post-money), or without what converts (`post` off).
    Its money ranks with `seniority`.
    """

    holder: str
    amount: Rational | str
    cap: Rational | str
    post: bool = True
    seniority: int = 0


@dataclass(frozen=True)
class Distribution:
    """The payouts, exact and in the order of the claims, then the SAFEs; they add up to the exit."""

    exit_value: Fraction
    payouts: tuple[tuple[str, Fraction], ...]
    per_share: Fraction
    converted: tuple[str, ...]
    capitalization: Fraction

    def of(self, holder: str) -> Fraction:
        """All that a holder gets."""
        return sum((amount for name, amount in self.payouts if name == holder), Fraction(0))

    def in_money(self, currency: str) -> list[tuple[str, Money]]:
        """Payouts in minor units that add up to the exit: each is a step of the rounded running sum."""
        scale = Money.of(1, currency).minor
        rows, paid, done = [], Fraction(0), 0
        for holder, amount in self.payouts:
            paid += amount * scale
            rows.append((holder, Money(whole(paid) - done, currency)))
            done = whole(paid)
        return rows


def distribute(exit_value: Rational | str, claims: Sequence[Claim], safes: Sequence[ExitSafe] = ()) -> Distribution:
    """Shares an exit out. Raises UsageError where nobody has a share of what is left after preferences."""
    value = fraction(exit_value)
    if value < 0 or not any(fraction(claim.shares) and not fraction(claim.preference) for claim in claims):
        raise UsageError("exit-input", found=str(exit_value))
    by_cap = sorted(safes, key=lambda safe: fraction(safe.cap))
    # The lowest cap converts first. A SAFE that converts enlarges what the other caps count, so the largest set in
    # which nobody would rather have the money back is the one that holds.
    count = len(by_cap)
    while True:
        counted = as_claims(claims, by_cap, count)
        if counted is not None:
            extra, capitalization = counted
            payouts, per_share = _share_out(value, [*claims, *extra])
            if all(payouts[len(claims) + number] >= fraction(by_cap[number].amount) for number in range(count)):
                break
        count -= 1
    names = [*(claim.holder for claim in claims), *(safe.holder for safe in by_cap)]
    converted = [claim.holder for claim in claims if _converts(claim, per_share)]
    return Distribution(
        value,
        tuple(zip(names, payouts, strict=True)),
        per_share,
        (*converted, *(safe.holder for safe in by_cap[:count])),
        capitalization,
    )


def _converts(claim: Claim, per_share: Fraction) -> bool:
    preference = fraction(claim.preference)
    return bool(preference) and fraction(claim.shares) * per_share == claim.at(per_share) > preference


def as_claims(claims: Sequence[Claim], safes: Sequence[ExitSafe], count: int) -> tuple[list[Claim], Fraction] | None:
    """The first `count` SAFEs as shares, the others as money, and the capitalization with those shares.

    None where those would own everything: so many cannot all convert.
    """
    base = sum((fraction(claim.shares) for claim in claims), Fraction(0))
    parts = [fraction(safe.amount) / fraction(safe.cap) for safe in safes]
    before = sum((base * part for safe, part in zip(safes[:count], parts, strict=False) if not safe.post), base)
    owned = sum((part for safe, part in zip(safes[:count], parts, strict=False) if safe.post), Fraction(0))
    if owned >= 1:
        return None
    whole_company = before / (1 - owned)
    extra = [
        Claim(safe.holder, part * (whole_company if safe.post else base))
        if number < count
        else Claim(safe.holder, preference=fraction(safe.amount), seniority=safe.seniority)
        for number, (safe, part) in enumerate(zip(safes, parts, strict=True))
    ]
    return extra, whole_company


def _share_out(value: Fraction, claims: Sequence[Claim]) -> tuple[list[Fraction], Fraction]:
    first = sum((fraction(claim.preference) for claim in claims), Fraction(0))
    if value <= first:
        return by_seniority(value, claims), Fraction(0)
    per_share = value_per_share(value, claims)
    return [claim.at(per_share) for claim in claims], per_share


def by_seniority(value: Fraction, claims: Sequence[Claim]) -> list[Fraction]:
    """Preferences as far as the money goes: the most senior first, equals in proportion."""
    paid = [Fraction(0)] * len(claims)
    for rank in sorted({claim.seniority for claim in claims}, reverse=True):
        wanted = {n: fraction(claim.preference) for n, claim in enumerate(claims) if claim.seniority == rank}
        total = sum(wanted.values(), Fraction(0))
        part = min(Fraction(1), value / total) if total else Fraction(0)
        for number, amount in wanted.items():
            paid[number] = amount * part
        value -= total * part
    return paid


def value_per_share(value: Fraction, claims: Sequence[Claim]) -> Fraction:
    """What one common share gets: where all claims, rising piece by piece, add up to the value."""
    bends = sorted({Fraction(0), *(bend for claim in claims for bend in claim.bends())})
    low, paid = bends[0], _sum_at(claims, bends[0])
    for high in bends[1:]:
        reached = _sum_at(claims, high)
        if reached >= value:
            return low + (value - paid) * (high - low) / (reached - paid)
        low, paid = high, reached
    slope = _sum_at(claims, low + 1) - paid
    return low + (value - paid) / slope


def _sum_at(claims: Sequence[Claim], per_share: Fraction) -> Fraction:
    return sum((claim.at(per_share) for claim in claims), Fraction(0))


def indifference(claim: Claim, claims: Sequence[Claim]) -> Fraction | None:
    """The exit at which a preferred holder gets as much by converting as by keeping his preference; None: never."""
    keeps = claim.limit if claim.participates else claim.preference
    if keeps is None or not fraction(keeps) or not fraction(claim.shares):
        return None
    return _sum_at(claims, fraction(keeps) / fraction(claim.shares))


@dataclass(frozen=True)
class PayoutCurve:
    """What one holder gets as a function of the exit: straight lines between points, the last one going on."""

    exits: tuple[float, ...]
    payouts: tuple[float, ...]

    def at(self, values: ArrayLike) -> Floats:
        """The payout at each exit value, in float64 for simulations."""
        exits, payouts = floats(self.exits), floats(self.payouts)
        slope = (payouts[-1] - payouts[-2]) / (exits[-1] - exits[-2])
        beyond = np.maximum(floats(values) - exits[-1], 0.0)
        return floats(np.interp(floats(values), exits, payouts) + slope * beyond)


def payout_curve(claims: Sequence[Claim], holder: str) -> PayoutCurve:
    """The payouts of a holder at every exit where somebody's choice or rank changes. For tables without open SAFEs."""
    ranks = sorted({claim.seniority for claim in claims}, reverse=True)
    owed = [sum((fraction(c.preference) for c in claims if c.seniority >= rank), Fraction(0)) for rank in ranks]
    bends = sorted({Fraction(0), *(bend for claim in claims for bend in claim.bends())})
    exits = sorted({Fraction(0), *owed, *(_sum_at(claims, bend) for bend in bends), _sum_at(claims, bends[-1] + 1)})
    paid = [distribute(value, claims).of(holder) for value in exits]
    return PayoutCurve(tuple(map(float, exits)), tuple(map(float, paid)))
