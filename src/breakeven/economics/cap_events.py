"""What can happen to a cap table: classes, shares, options, convertibles and rounds, as dated facts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Literal, TypeAlias

from breakeven.economics.money import Rational
from breakeven.economics.rounds import Round
from breakeven.economics.securities import Convertible
from breakeven.economics.vesting import Vesting

Protection = Literal["none", "broad", "narrow", "full_ratchet"]


@dataclass(frozen=True)
class StockClass:
    """A class of shares. Preferred: money back `multiple` times first, by `seniority`; the cap is in multiples too."""

    id: str
    preferred: bool = False
    multiple: Rational | str = 1
    seniority: int = 0
    participates: bool = False
    participation_cap: Rational | str | None = None
    protection: Protection = "none"


@dataclass(frozen=True)
class AddClass:
    """A class of shares is created."""

    date: date
    stock_class: StockClass


@dataclass(frozen=True)
class Issue:
    """Shares of a class are issued at a price each. `raises`: the price was paid in cash, not in another security."""

    date: date
    id: str
    holder: str
    stock_class: str
    shares: int
    price: Rational | str = 0
    vesting: Vesting | None = None
    raises: bool = True


@dataclass(frozen=True)
class ReservePool:
    """The option pool grows (or shrinks) by a number of shares."""

    date: date
    shares: int


@dataclass(frozen=True)
class Promise:
    """Options are promised out of the pool, and not yet granted."""

    date: date
    id: str
    holder: str
    shares: int


@dataclass(frozen=True)
class Grant:
    """Options are granted out of the pool, or in fulfilment of a promise."""

    date: date
    id: str
    holder: str
    shares: int
    strike: Rational | str = 0
    vesting: Vesting | None = None
    promise: str | None = None


@dataclass(frozen=True)
class Exercise:
    """Options become shares of a class; the strike is paid."""

    date: date
    id: str
    grant: str
    shares: int
    stock_class: str = "common"


@dataclass(frozen=True)
class Cancel:
    """Shares are bought back, options or promises lapse into the pool, a convertible is repaid; no `shares`: all."""

    date: date
    security: str
    shares: int | None = None


@dataclass(frozen=True)
class Transfer:
    """Shares change hands."""

    date: date
    id: str
    security: str
    to: str
    shares: int


@dataclass(frozen=True)
class Split:
    """Every share, option and reserved share becomes `numerator` / `denominator` shares; parts are dropped."""

    date: date
    numerator: int
    denominator: int = 1


@dataclass(frozen=True)
class IssueConvertible:
    """A SAFE or a note is signed. `raises`: it was paid in cash, not with another security."""

    date: date
    security: Convertible
    raises: bool = True


@dataclass(frozen=True)
class PricedRound:
    """New money buys shares of a new class, divided among `investors`; all convertibles convert into it."""

    date: date
    terms: Round
    stock_class: StockClass
    investors: Mapping[str, Rational | str]


Event: TypeAlias = (
    AddClass
    | Issue
    | ReservePool
    | Promise
    | Grant
    | Exercise
    | Cancel
    | Transfer
    | Split
    | IssueConvertible
    | PricedRound
)
