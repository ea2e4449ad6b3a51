"""Open SAFEs at an exit, and everybody's payout as a curve over all exit values at once, for simulations.

A SAFE gets its money back or the worth of its shares, whichever is more. With a cap the shares are its part of the
capitalization. Without one the standard form (Y Combinator, post-money SAFE, discount only, v1.1: section 1(b) and
"Liquidity Price") divides the money by the price of a common share times (1 - discount): the shares are worth
amount / (1 - discount) whatever that price is. The money ranks with preferred shares, what is on top of it with common.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike

from breakeven.economics.money import fraction
from breakeven.economics.normal import Floats, floats
from breakeven.economics.securities import Safe
from breakeven.economics.waterfall import Claim, ExitSafe, PayoutCurve, as_claims, by_seniority
from breakeven.errors import UsageError

_BEHIND = -1_000_000  # after every preference, before the common shares


def open_safes(safes: Sequence[Safe]) -> tuple[list[Claim], list[ExitSafe]]:
    """(claims of those without a cap, those with one). An MFN SAFE takes the best terms of any later one."""
    claims, capped = [], []
    for safe in safes:
        terms = [safe, *(other for other in safes if safe.mfn and not other.mfn and _later(other, safe))]
        caps = [each for each in terms if each.cap is not None]
        holder = safe.holder or safe.id
        if caps:
            best = min(caps, key=lambda each: fraction(each.cap or 0))
            capped.append(ExitSafe(holder, safe.amount, best.cap or 0, best.money == "post"))
            continue
        amount = fraction(safe.amount)
        worth = amount / (1 - max(fraction(each.discount) for each in terms))
        claims.append(Claim(holder, preference=amount))
        if worth > amount:
            claims.append(Claim(holder, preference=worth - amount, seniority=_BEHIND))
    return claims, capped


def _later(one: Safe, other: Safe) -> bool:
    return one.issued is not None and other.issued is not None and one.issued > other.issued


@dataclass(frozen=True)
class ExitCurves:
    """Who gets what at any exit value. `sets`: for so many capped SAFEs converting, most first, each claim's curve and
    which of them must not fall below what; the first set in which nobody would rather have the money back holds."""

    holders: tuple[str, ...]
    sets: tuple[tuple[tuple[PayoutCurve, ...], tuple[tuple[int, float], ...]], ...]

    def at(self, values: ArrayLike, holders: Sequence[str]) -> Floats:
        """What these holders get together, [n], at exit values [n]."""
        exits = floats(values)
        paid, open_ = np.zeros_like(exits), np.ones(exits.shape, dtype=bool)
        wanted = [place for place, name in enumerate(self.holders) if name in holders]
        for curves, floors in self.sets:
            holds = open_.copy()
            for place, floor in floors:
                holds &= curves[place].at(exits) >= floor * (1.0 - 1e-12)
            if holds.any():
                together = sum((curves[place].at(exits[holds]) for place in wanted), np.zeros(int(holds.sum())))
                paid[holds] = together
                open_ &= ~holds
        return paid


def exit_curves(claims: Sequence[Claim], safes: Sequence[ExitSafe] = ()) -> ExitCurves:
    """The curves of a table. Raises UsageError where nobody has a share of what is left after preferences."""
    if not any(fraction(claim.shares) and not fraction(claim.preference) for claim in claims):
        raise UsageError("exit-input", found="any")
    by_cap = sorted(safes, key=lambda safe: fraction(safe.cap))
    sets = []
    for count in range(len(by_cap), -1, -1):
        counted = as_claims(claims, by_cap, count)
        if counted is not None:
            floors = tuple((len(claims) + place, float(fraction(by_cap[place].amount))) for place in range(count))
            sets.append((_curves([*claims, *counted[0]]), floors))
    names = (*(claim.holder for claim in claims), *(safe.holder for safe in by_cap))
    return ExitCurves(names, tuple(sets))


def _curves(claims: Sequence[Claim]) -> tuple[PayoutCurve, ...]:
    """Each claim's curve: straight between the exits where a rank is paid or somebody's choice changes."""
    rows: list[tuple[Fraction, list[Fraction]]] = [(Fraction(0), [Fraction(0)] * len(claims))]
    for rank in sorted({claim.seniority for claim in claims}, reverse=True):
        owed = sum((fraction(claim.preference) for claim in claims if claim.seniority >= rank), Fraction(0))
        if owed > rows[-1][0]:
            rows.append((owed, by_seniority(owed, claims)))
    bends = sorted({Fraction(0), *(bend for claim in claims for bend in claim.bends())})
    for value in (*bends, bends[-1] + 1):
        paid = [claim.at(value) for claim in claims]
        total = sum(paid, Fraction(0))
        if total > rows[-1][0]:
            rows.append((total, paid))
    exits = tuple(float(total) for total, _ in rows)
    return tuple(PayoutCurve(exits, tuple(float(paid[n]) for _, paid in rows)) for n in range(len(claims)))
