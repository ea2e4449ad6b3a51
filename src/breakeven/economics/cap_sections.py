"""The cap table as settings: who owns what, as dated facts or Open Cap Format files, and the terms of rounds to come.

Numbers here are exact (shares, Decimal money, dates) and never distributions; what may or may not happen is a round
that closes or does not.
"""

from __future__ import annotations

from datetime import date as Date  # noqa: N812  the field of every event is called date
from decimal import Decimal
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, PositiveInt, model_validator

from breakeven.economics import cap_events
from breakeven.economics.captable import CapTable
from breakeven.economics.fees import Terms
from breakeven.economics.money import Amount, Share
from breakeven.economics.proration import DayCount
from breakeven.economics.rounds import Round, ShareRounding
from breakeven.economics.securities import Note, NoteMethod, Safe
from breakeven.economics.vesting import Allocation, Vesting, add_months
from breakeven.errors import BreakevenError

Positive = Annotated[Amount, Field(gt=0)]


class VestingTerms(Terms):
    """When shares or options become the holder's own."""

    start: Date | None = Field(None, description="First day; empty: the day of the event")
    months: PositiveInt = Field(48, description="Until all has vested")
    cliff: Annotated[int, Field(ge=0)] = Field(12, description="Months before which nothing vests")
    every: PositiveInt = Field(1, description="Months from one tranche to the next")
    allocation: Allocation = Field(
        "CUMULATIVE_ROUND_DOWN", description="How whole shares fall on the dates, as the Open Cap Format names it"
    )

    def of(self, day: Date) -> Vesting:
        """The schedule of something given on a day."""
        return Vesting(self.start or day, self.months, self.cliff, self.every, self.allocation)


class ClassTerms(Terms):
    """What a class of preferred shares is promised at an exit and at a cheaper round."""

    multiple: Amount = Field(Decimal(1), description="Money back first, in multiples of what was paid")
    seniority: int = Field(0, description="Higher ranks are paid first, equals in proportion")
    participates: bool = Field(False, description="Whether it shares in the rest after its money is back")
    participation_cap: Positive | None = Field(None, description="The most it gets that way, in multiples")
    protection: cap_events.Protection = Field("none", description="Against a cheaper round later")

    def stock_class(self, name: str, *, preferred: bool = True) -> cap_events.StockClass:
        """The class under a name."""
        return cap_events.StockClass(
            name, preferred, self.multiple, self.seniority, self.participates, self.participation_cap, self.protection
        )


class SafeTerms(Terms):
    """A simple agreement for future equity."""

    kind: Literal["safe"] = Field(description="A SAFE: shares at the next priced round")
    investor: str | None = Field(None, description="Who gives the money; empty: the name of the round")
    cap: Positive | None = Field(None, description="Valuation cap; empty: none")
    discount: Share = Field(Decimal(0), description="Off the round's price: 0.2 is 20%")
    money: Literal["post", "pre"] = Field("post", description="Whether the cap counts what converts (post-money)")
    mfn: bool = Field(False, description="Takes the terms of any later SAFE where they are better")
    pro_rata: bool = Field(False, description="May buy its part of the next round")

    def safe(self, name: str, amount: Decimal, on: Date) -> Safe:
        """The security."""
        return Safe(
            name, amount, self.cap, self.discount, self.money, self.mfn, self.pro_rata, on, self.investor or name
        )


class NoteTerms(Terms):
    """A convertible loan."""

    kind: Literal["note"] = Field(description="A convertible note: a loan that becomes shares")
    investor: str | None = Field(None, description="Who gives the money; empty: the name of the round")
    maturity_months: PositiveInt = Field(description="When it falls due")
    rate: Amount = Field(Decimal(0), description="Simple interest a year")
    cap: Positive | None = Field(None, description="Valuation cap, pre-money; empty: none")
    discount: Share = Field(Decimal(0), description="Off the round's price")
    method: NoteMethod = Field("percent_ownership", description="How the round's price treats it")
    day_count: DayCount = Field("ACT/365", description="How interest counts days")
    pro_rata: bool = Field(False, description="May buy its part of the next round")

    def due(self, on: Date) -> Date:
        """The day on which a note of a day falls due."""
        return add_months(on, self.maturity_months)

    def note(self, name: str, amount: Decimal, on: Date) -> Note:
        """The security."""
        return Note(name, amount, on, self.due(on), self.rate, self.cap, self.discount, self.method, self.day_count,
                    self.pro_rata, self.investor or name)  # fmt: skip


class PricedTerms(ClassTerms):
    """A priced round: preferred shares for new money; all that is open converts."""

    kind: Literal["priced"] = Field(description="A priced round: new preferred shares")
    pre_money: Positive = Field(description="Valuation before the money")
    investor: str | None = Field(None, description="Who gives the money; empty: the name of the round")
    pool_target: Share | None = Field(None, description="The free pool after the round, as a share of everything")
    pool_increase: Annotated[int, Field(ge=0)] | None = Field(None, description="Or: shares added to the pool")
    pro_rata: Literal["inside", "on_top", "none"] = Field("none", description="How pro-rata rights are served")
    conversions_in_pre_money: bool = Field(True, description="Whether what converts is part of the pre-money")
    price_places: Annotated[int, Field(ge=0, le=12)] | None = Field(
        None, description="Decimal places of the share price; empty: exact"
    )

    def round(self, name: str, amount: Decimal, on: Date) -> cap_events.PricedRound:
        """The event on its day; the money of `amount` buys a class called like the round."""
        terms = Round(
            self.pre_money, amount, self.pool_increase, self.pool_target, self.conversions_in_pre_money, self.pro_rata,
            on, ShareRounding(self.price_places),
        )  # fmt: skip
        return cap_events.PricedRound(on, terms, self.stock_class(name), {self.investor or name: 1})


RoundTerms: TypeAlias = Annotated[PricedTerms | SafeTerms | NoteTerms, Field(discriminator="kind")]


class Dated(Terms):
    """What every fact has."""

    date: Date = Field(description="The day it happened, as 2025-01-31")


class AddClass(Dated, ClassTerms):
    """A class of shares is created."""

    kind: Literal["class"] = Field(description="A class of shares is created")
    name: str = Field(description="What it is called; common is there already")
    preferred: bool = Field(True, description="Whether it gets money back before common shares")

    def event(self, number: int) -> cap_events.Event:
        """The event of the log; `number` names what has no name."""
        return cap_events.AddClass(self.date, self.stock_class(self.name, preferred=self.preferred))


class Issue(Dated):
    """Shares are issued."""

    kind: Literal["issue"] = Field(description="Shares are issued")
    holder: str = Field(description="Who gets them")
    shares: PositiveInt = Field(description="How many")
    price: Amount = Field(Decimal(0), description="Paid for each")
    stock_class: str = Field("common", description="Their class")
    id: str | None = Field(None, description="Name of the certificate, for later events")
    vesting: VestingTerms | None = None
    paid: bool = Field(True, description="Whether money was paid for them; false: they came of another security")

    def event(self, number: int) -> cap_events.Event:
        """The event of the log; `number` names what has no name."""
        vesting = None if self.vesting is None else self.vesting.of(self.date)
        name = self.id or f"issue-{number}"
        about = (self.holder, self.stock_class, self.shares, self.price, vesting, self.paid)
        return cap_events.Issue(self.date, name, *about)


class Pool(Dated):
    """The option pool grows or shrinks."""

    kind: Literal["pool"] = Field(description="The option pool changes")
    shares: int = Field(description="By how many shares; below 0: it shrinks")

    def event(self, number: int) -> cap_events.Event:
        """The event of the log; `number` names what has no name."""
        return cap_events.ReservePool(self.date, self.shares)


class Grant(Dated):
    """Options are granted or promised out of the pool."""

    kind: Literal["grant", "promise"] = Field(description="Options are granted, or promised, out of the pool")
    holder: str = Field(description="Who gets them")
    shares: PositiveInt = Field(description="How many")
    strike: Amount = Field(Decimal(0), description="Cost of exercising one")
    id: str | None = Field(None, description="Name of the grant, for later events")
    promise: str | None = Field(None, description="The promise that this grant keeps")
    vesting: VestingTerms | None = None

    def event(self, number: int) -> cap_events.Event:
        """The event of the log; `number` names what has no name."""
        name = self.id or f"{self.kind}-{number}"
        if self.kind == "promise":
            return cap_events.Promise(self.date, name, self.holder, self.shares)
        vesting = None if self.vesting is None else self.vesting.of(self.date)
        return cap_events.Grant(self.date, name, self.holder, self.shares, self.strike, vesting, self.promise)


class Change(Dated):
    """What becomes of a security: options exercised, shares transferred, anything cancelled."""

    kind: Literal["exercise", "transfer", "cancel"] = Field(description="What becomes of a security")
    security: str = Field(description="The id of the shares, grant, promise, SAFE or note")
    shares: PositiveInt | None = Field(None, description="How many; empty: all of a cancelled one")
    to: str | None = Field(None, description="New holder of what is transferred")
    stock_class: str = Field("common", description="Class of the shares that exercised options become")
    id: str | None = Field(None, description="Name of what comes of it, for later events")

    @model_validator(mode="after")
    def _complete(self) -> Change:
        if self.shares is None and self.kind != "cancel":
            raise ValueError(f"shares in {self.kind}")
        if (self.to is None) == (self.kind == "transfer"):
            raise ValueError("to (the new holder) in a transfer, and only there")
        return self

    def event(self, number: int) -> cap_events.Event:
        """The event of the log; `number` names what has no name."""
        name = self.id or f"{self.kind}-{number}"
        if self.kind == "cancel":
            return cap_events.Cancel(self.date, self.security, self.shares)
        if self.kind == "transfer":
            return cap_events.Transfer(self.date, name, self.security, self.to or "", self.shares or 0)
        return cap_events.Exercise(self.date, name, self.security, self.shares or 0, self.stock_class)


class Split(Dated):
    """Every share becomes several."""

    kind: Literal["split"] = Field(description="Every share becomes numerator / denominator shares")
    numerator: PositiveInt = Field(description="Shares after")
    denominator: PositiveInt = Field(1, description="Shares before")

    def event(self, number: int) -> cap_events.Event:
        """The event of the log; `number` names what has no name."""
        return cap_events.Split(self.date, self.numerator, self.denominator)


class SafeEvent(Dated, SafeTerms):
    """A SAFE is signed."""

    amount: Positive = Field(description="Money")
    id: str | None = Field(None, description="Its name, for later events")
    paid: bool = Field(True, description="Whether money was paid for it; false: it came of another security")

    def event(self, number: int) -> cap_events.Event:
        """The event of the log; `number` names what has no name."""
        safe = self.safe(self.id or self.investor or f"safe-{number}", self.amount, self.date)
        return cap_events.IssueConvertible(self.date, safe, self.paid)


class NoteEvent(Dated, NoteTerms):
    """A convertible note is signed."""

    amount: Positive = Field(description="Money")
    maturity_months: PositiveInt | None = Field(None, description="When it falls due; or maturity")  # type: ignore[assignment]
    maturity: Date | None = Field(None, description="The day it falls due; or maturity_months")
    id: str | None = Field(None, description="Its name, for later events")
    paid: bool = Field(True, description="Whether money was paid for it; false: it came of another security")

    @model_validator(mode="after")
    def _matures(self) -> NoteEvent:
        if (self.maturity is None) == (self.maturity_months is None):
            raise ValueError("maturity_months or maturity, one of them")
        return self

    def due(self, on: Date) -> Date:
        """The day on which it falls due."""
        return self.maturity or super().due(on)

    def event(self, number: int) -> cap_events.Event:
        """The event of the log; `number` names what has no name."""
        note = self.note(self.id or self.investor or f"note-{number}", self.amount, self.date)
        return cap_events.IssueConvertible(self.date, note, self.paid)


class PricedEvent(Dated, PricedTerms):
    """A priced round that is done."""

    name: str = Field(description="The round, and the class of its shares")
    amount: Positive = Field(description="New money")

    def event(self, number: int) -> cap_events.Event:
        """The event of the log; `number` names what has no name."""
        return self.round(self.name, self.amount, self.date)


CapEvent: TypeAlias = Annotated[
    AddClass | Issue | Pool | Grant | Change | Split | SafeEvent | NoteEvent | PricedEvent, Field(discriminator="kind")
]


class CapTableSettings(Terms):
    """Who owns the company before month 1: a log of events, or Open Cap Format files."""

    events: tuple[CapEvent, ...] = ()
    ocf: str | None = Field(None, description="Folder (or one file) of Open Cap Format files, instead of events")
    founders: tuple[str, ...] = Field(
        (), description="Whose share is the founders'; empty: everybody who holds common shares at the start"
    )
    start: Date | None = Field(None, description="First day of month 1; empty: the day of the last event")

    @model_validator(mode="after")
    def _one_source(self) -> CapTableSettings:
        if bool(self.events) == (self.ocf is not None):
            raise ValueError("events or ocf, one of them")
        try:
            table = self.table()
        except BreakevenError as error:
            raise ValueError(f"events that can have happened, not: {error}") from None
        last = table.events[-1].date if table.events else None
        if last is not None and self.start is not None and self.start < last:
            raise ValueError(f"start on or after the last event ({last.isoformat()})")
        return self

    def table(self) -> CapTable:
        """The table of the declared events; empty where files are declared instead."""
        return CapTable().add(*(item.event(number) for number, item in enumerate(self.events, 1)))
