"""The cap table as an event log: who holds what follows from what happened, in order, and shares are conserved.

Events are never changed; a table with one more event is a new table. `state` folds them up to a day. What a round
does is computed by `rounds`, what an exit pays by `waterfall`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from fractions import Fraction
from typing import Any, Literal

from breakeven.economics.cap_events import (
    AddClass,
    Cancel,
    Event,
    Exercise,
    Grant,
    Issue,
    IssueConvertible,
    PricedRound,
    Promise,
    ReservePool,
    Split,
    StockClass,
    Transfer,
)
from breakeven.economics.exits import open_safes
from breakeven.economics.money import Rational, fraction, whole
from breakeven.economics.rounds import Capitalization, RoundResult, price_round
from breakeven.economics.securities import Convertible, Note, Safe, anti_dilution
from breakeven.economics.vesting import Vesting
from breakeven.economics.waterfall import Claim, Distribution, ExitSafe, distribute
from breakeven.errors import Place, UsageError

_NOTES_RANK = 1_000_000  # borrowed money comes before every share


@dataclass(frozen=True)
class Holding:
    """Shares of one class under one certificate; `price` was paid for each, `ratio` common shares come of each."""

    holder: str
    stock_class: str
    shares: int
    price: Fraction
    ratio: Fraction = Fraction(1)
    vesting: Vesting | None = None

    @property
    def as_converted(self) -> Fraction:
        """Common shares that the holding converts into."""
        return self.shares * self.ratio


@dataclass(frozen=True)
class Options:
    """A grant and what became of it."""

    grant: Grant
    granted: int
    strike: Fraction
    exercised: int = 0
    lapsed: int = 0

    @property
    def holder(self) -> str:
        """Who may exercise."""
        return self.grant.holder

    @property
    def shares(self) -> int:
        """Options outstanding."""
        return self.granted - self.exercised - self.lapsed

    def vested(self, on: date) -> int:
        """Options that may be exercised on a day."""
        vesting = self.grant.vesting
        return self.shares if vesting is None else min(self.shares, vesting.vested(self.granted, on) - self.exercised)


@dataclass
class State:
    """What the events up to a day come to."""

    classes: dict[str, StockClass] = field(default_factory=lambda: {"common": StockClass("common")})
    holdings: dict[str, Holding] = field(default_factory=dict)
    grants: dict[str, Options] = field(default_factory=dict)
    promises: dict[str, Promise] = field(default_factory=dict)
    convertibles: dict[str, Convertible] = field(default_factory=dict)
    pool: int = 0
    raised: Fraction = Fraction(0)
    rounds: list[RoundResult] = field(default_factory=list)

    @property
    def capitalization(self) -> Capitalization:
        """Shares as converted, options, promises and the free pool."""
        return Capitalization(
            whole(sum((holding.as_converted for holding in self.holdings.values()), Fraction(0)), "down"),
            sum(grant.shares for grant in self.grants.values()),
            sum(promise.shares for promise in self.promises.values()),
            self.pool,
        )

    def by_holder(self) -> dict[str, Fraction]:
        """Fully diluted shares of everyone, as converted; the free pool stands under `pool`."""
        rows: dict[str, Fraction] = {}
        held = [(holding.holder, holding.as_converted) for holding in self.holdings.values()]
        held += [(grant.holder, Fraction(grant.shares)) for grant in self.grants.values()]
        held += [(promise.holder, Fraction(promise.shares)) for promise in self.promises.values()]
        for holder, shares in held:
            rows[holder] = rows.get(holder, Fraction(0)) + shares
        return {**rows, "pool": Fraction(self.pool)}

    def claims(self, on: date, *, unvested: Literal["lapse", "vest"] = "lapse") -> list[Claim]:
        """Everyone's claim at an exit; notes ask for what is owed, promises and the free pool get nothing."""
        rows = []
        for holding in self.holdings.values():
            kind = self.classes[holding.stock_class]
            paid = holding.shares * holding.price if kind.preferred else Fraction(0)
            cap = None if kind.participation_cap is None else paid * fraction(kind.participation_cap)
            rows.append(
                Claim(
                    holding.holder,
                    holding.as_converted,
                    paid * fraction(kind.multiple),
                    kind.seniority,
                    kind.participates,
                    cap,
                )
            )
        for grant in self.grants.values():
            count = grant.shares if unvested == "vest" else grant.vested(on)
            rows.append(Claim(grant.holder, count, strike=grant.strike))
        rows += [
            Claim(note.holder or note.id, preference=note.owed(on), seniority=_NOTES_RANK)
            for note in self.convertibles.values()
            if isinstance(note, Note)
        ]
        return rows

    def exit_claims(
        self, on: date, *, unvested: Literal["lapse", "vest"] = "lapse"
    ) -> tuple[list[Claim], list[ExitSafe]]:
        """Everyone's claim at an exit, open SAFEs included; those with a cap choose at the exit and stand apart."""
        claims, capped = open_safes([safe for safe in self.convertibles.values() if isinstance(safe, Safe)])
        return [*self.claims(on, unvested=unvested), *claims], capped

    def exit(self, value: Rational | str, on: date, *, unvested: Literal["lapse", "vest"] = "lapse") -> Distribution:
        """Who gets what if the company is sold for `value`."""
        return distribute(value, *self.exit_claims(on, unvested=unvested))


@dataclass(frozen=True)
class CapTable:
    """An append-only log of events."""

    events: tuple[Event, ...] = ()

    def add(self, *events: Event) -> CapTable:
        """The table with more events; raises UsageError where they cannot have happened, or lie before the last."""
        table = CapTable((*self.events, *events))
        table.state()
        return table

    def state(self, on: date | None = None) -> State:
        """The state after all events, or at the end of a day."""
        state = State()
        last: date | None = None
        for event in self.events:
            if last is not None and event.date < last:
                raise UsageError("events-backwards", date=event.date.isoformat(), last=last.isoformat())
            last = event.date
            if on is None or event.date <= on:
                apply(state, event)
        return state


def apply(state: State, event: Event) -> None:
    """Changes a state by one event; raises UsageError where it cannot have happened."""
    _APPLY[type(event)](state, event)


def _new_id(state: State, name: str) -> None:
    if any(name in known for known in (state.holdings, state.grants, state.promises, state.convertibles)):
        raise UsageError("ids-repeat", found=[name])


def _positive(shares: int, *, at: str, most: int | None = None) -> int:
    if type(shares) is not int or shares <= 0 or (most is not None and shares > most):
        raise UsageError("shares-number", at=Place(field=at), found=shares, most="any number" if most is None else most)
    return shares


def _known(known: Mapping[str, Any], name: str) -> Any:
    if name not in known:
        raise UsageError("security-unknown", found=name, allowed=sorted(known))
    return known[name]


def _add_class(state: State, event: AddClass) -> None:
    if event.stock_class.id in state.classes:
        raise UsageError("ids-repeat", found=[event.stock_class.id])
    state.classes[event.stock_class.id] = event.stock_class


def _issue(state: State, event: Issue) -> None:
    _new_id(state, event.id)
    _known(state.classes, event.stock_class)
    price = fraction(event.price)
    state.holdings[event.id] = Holding(
        event.holder, event.stock_class, _positive(event.shares, at=event.id), price, vesting=event.vesting
    )
    state.raised += event.shares * price if event.raises else 0


def _reserve(state: State, event: ReservePool) -> None:
    if state.pool + event.shares < 0:
        raise UsageError("pool-too-small", pool=state.pool, wanted=-event.shares)
    state.pool += event.shares


def _take_from_pool(state: State, shares: int) -> None:
    if shares > state.pool:
        raise UsageError("pool-too-small", pool=state.pool, wanted=shares)
    state.pool -= shares


def _promise(state: State, event: Promise) -> None:
    _new_id(state, event.id)
    _take_from_pool(state, _positive(event.shares, at=event.id))
    state.promises[event.id] = event


def _grant(state: State, event: Grant) -> None:
    _new_id(state, event.id)
    _positive(event.shares, at=event.id)
    if event.promise is None:
        _take_from_pool(state, event.shares)
    else:
        _reduce(state.promises, event.promise, event.shares)
    state.grants[event.id] = Options(event, event.shares, fraction(event.strike))


def _reduce(known: dict[str, Any], name: str, shares: int | None) -> int:
    """Takes shares off a security; without a number, all of them. Returns how many."""
    held = _known(known, name)
    taken = held.shares if shares is None else _positive(shares, at=name, most=held.shares)
    if taken == held.shares:
        del known[name]
    else:
        known[name] = replace(held, shares=held.shares - taken)
    return int(taken)


def _exercise(state: State, event: Exercise) -> None:
    grant: Options = _known(state.grants, event.grant)
    _positive(event.shares, at=event.grant, most=grant.vested(event.date))
    state.grants[event.grant] = replace(grant, exercised=grant.exercised + event.shares)
    _issue(state, Issue(event.date, event.id, grant.holder, event.stock_class, event.shares, grant.strike))


def _cancel(state: State, event: Cancel) -> None:
    if event.security in state.holdings:
        _reduce(state.holdings, event.security, event.shares)
    elif event.security in state.grants:
        grant = state.grants[event.security]
        lapsed = grant.shares if event.shares is None else _positive(event.shares, at=event.security, most=grant.shares)
        state.grants[event.security] = replace(grant, lapsed=grant.lapsed + lapsed)
        state.pool += lapsed
    elif event.security in state.promises:
        state.pool += _reduce(state.promises, event.security, event.shares)
    else:
        _known(state.convertibles, event.security)
        del state.convertibles[event.security]


def _transfer(state: State, event: Transfer) -> None:
    held: Holding = _known(state.holdings, event.security)
    _new_id(state, event.id)
    _reduce(state.holdings, event.security, event.shares)
    state.holdings[event.id] = replace(held, holder=event.to, shares=event.shares)


def _split(state: State, event: Split) -> None:
    factor = Fraction(_positive(event.numerator, at="split"), _positive(event.denominator, at="split"))
    for name, held in state.holdings.items():
        state.holdings[name] = replace(held, shares=int(held.shares * factor), price=held.price / factor)
    for name, promise in state.promises.items():
        state.promises[name] = replace(promise, shares=int(promise.shares * factor))
    for name, grant in state.grants.items():
        granted, exercised = int(grant.granted * factor), int(grant.exercised * factor)
        state.grants[name] = replace(
            grant,
            granted=granted,
            exercised=exercised,
            strike=grant.strike / factor,
            lapsed=granted - exercised - int(grant.shares * factor),
        )
    state.pool = int(state.pool * factor)


def _convertible(state: State, event: IssueConvertible) -> None:
    security = event.security
    _new_id(state, security.id)
    if isinstance(security, Safe) and security.issued is None:
        security = replace(security, issued=event.date)
    state.convertibles[security.id] = security
    if event.raises:
        state.raised += fraction(security.amount if isinstance(security, Safe) else security.principal)


def _priced_round(state: State, event: PricedRound) -> None:
    terms = event.terms if event.terms.on else replace(event.terms, on=event.date)
    result = price_round(state.capitalization, list(state.convertibles.values()), terms)
    _protect(state, result)
    _add_class(state, AddClass(event.date, event.stock_class))
    name = event.stock_class.id
    state.convertibles.clear()
    for each in result.conversions:
        _hold(state, f"{each.id} > {name}", Holding(each.holder, name, each.shares, each.price))
    for right in result.pro_rata:
        _hold(state, f"{right.id} + {name}", Holding(right.holder, name, right.shares, result.price))
    rest = result.new_shares - sum(right.shares for right in result.pro_rata)
    for holder, shares in _divided(rest, event.investors).items():
        _hold(state, f"{holder}: {name}", Holding(holder, name, shares, result.price))
    state.pool += result.pool_increase
    state.raised += result.new_shares * result.price
    state.rounds.append(result)


def _hold(state: State, name: str, holding: Holding) -> None:
    if holding.shares:
        _new_id(state, name)
        state.holdings[name] = holding


def _divided(shares: int, proportions: Mapping[str, Rational | str]) -> dict[str, int]:
    """Shares in proportion, whole and adding up: steps of the rounded running sum."""
    weights = {holder: fraction(part) for holder, part in proportions.items()}
    total = sum(weights.values(), Fraction(0))
    if total <= 0 or min(weights.values()) < 0:
        raise UsageError("split-weights", found=[str(part) for part in proportions.values()])
    given, running, parts = 0, Fraction(0), {}
    for holder, weight in weights.items():
        running += weight
        parts[holder] = whole(shares * running / total, "down") - given
        given += parts[holder]
    return parts


def _protect(state: State, result: RoundResult) -> None:
    """Lowers the conversion price of protected classes after a cheaper round; the round's own price stays as it was."""
    everything = state.capitalization.total
    for name, held in list(state.holdings.items()):
        protection = state.classes[held.stock_class].protection
        if protection == "none" or not held.price or not result.new_shares:
            continue
        preferred = sum(other.shares for other in state.holdings.values() if other.stock_class == held.stock_class)
        price = held.price / held.ratio
        lower = anti_dilution(
            price,
            outstanding=preferred if protection == "narrow" else everything,
            new_shares=result.new_shares,
            new_money=result.new_shares * result.price,
            method="full_ratchet" if protection == "full_ratchet" else "weighted",
        )
        state.holdings[name] = replace(held, ratio=held.price / lower)


_APPLY: dict[type, Callable[[State, Any], None]] = {
    AddClass: _add_class,
    Issue: _issue,
    ReservePool: _reserve,
    Promise: _promise,
    Grant: _grant,
    Exercise: _exercise,
    Cancel: _cancel,
    Transfer: _transfer,
    Split: _split,
    IssueConvertible: _convertible,
    PricedRound: _priced_round,
}
