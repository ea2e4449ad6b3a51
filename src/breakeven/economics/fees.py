"""What a plan can charge for: one class of settings for each kind of fee."""

from __future__ import annotations

from decimal import Decimal
from functools import cached_property
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, field_validator

from breakeven.economics.money import Amount, Share, exactly, expected


class Terms(BaseModel):
    """Settings that cannot be changed once read and take no unknown key."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Charge(Terms):
    """What every fee has: a name on the document, and whether tax is due on it."""

    name: str | None = Field(
        None, description="Name on the invoice, unique in the plan; default: the meter, else the kind"
    )
    taxed: bool = Field(True, description="Whether the plan's taxes are due on it")


class Metered(Charge):
    """A fee on the units of one meter in the period; `included` units are free, `minimum` is charged at least."""

    meter: str = Field("answers", description="What is counted")
    included: Amount = Field(Decimal(0), description="Units a period that are free; prorated")
    minimum: Amount = Field(Decimal(0), description="Money a period that this fee charges at least; prorated")


class Free(Charge):
    """No price; the usage is shown on the invoice at zero."""

    kind: Literal["free"] = Field("free", description="No price; the use is shown at zero")
    meter: str = Field("answers", description="What is counted and shown")


class Flat(Charge):
    """A price each month or year, for the part of the period in which the customer had the plan."""

    kind: Literal["flat"] = Field("flat", description="A fixed price each period or year")
    price: Amount = Field(description="Money each period or year, as `every` says")
    every: Literal["period", "year"] = Field(
        "period", description="period: prorated; year: whole, at the customer's start and each anniversary"
    )


class PerUnit(Metered):
    """`price` for `per` units, every unit alike, parts of a unit in proportion."""

    kind: Literal["per_unit"] = Field("per_unit", description="Every unit at the same price")
    price: Amount = Field(description="Money for `per` units")
    per: Literal[1, 10, 100, 1000, 10000, 100000, 1000000, 1000000000] = Field(
        1, description="Units that the price is for; parts count in proportion"
    )

    @cached_property
    def unit_price(self) -> Decimal:
        """The exact price of one unit."""
        with exactly():
            return self.price / self.per


class PerMille(PerUnit):
    """Advertising: the price of a thousand impressions."""

    kind: Literal["per_mille"] = Field("per_mille", description="A price for a thousand impressions")  # type: ignore[assignment]
    meter: str = Field("impressions", description="What is counted")
    per: Literal[1, 10, 100, 1000, 10000, 100000, 1000000, 1000000000] = Field(
        1000, description="Units that the price is for; parts count in proportion"
    )


class Days(PerUnit):
    """Services by the day."""

    kind: Literal["days"] = Field("days", description="Services by the day")  # type: ignore[assignment]
    meter: str = Field("days", description="What is counted")


class Tier(Terms):
    """Units above the tier before, up to and with `up_to` (none: no end): a price each, a flat fee on entering."""

    above: Amount | None = Field(
        None, description="Units where the tier starts, not included; if given, the end of the tier before (first: 0)"
    )
    up_to: Amount | None = Field(None, description="Units where the tier ends, included; none in the last tier only")
    price: Amount = Field(Decimal(0), description="Money a unit; of graduated_percentage the rate, 0 to 1")
    flat: Amount = Field(
        Decimal(0), description="Money on top, once a period: of each tier reached; of volume only the total's tier"
    )


class Tiered(Metered):
    """A fee whose price depends on how many units the period had."""

    tiers: tuple[Tier, ...] = Field(min_length=1)
    flat_at_zero: bool = Field(True, description="Whether the first tier's flat fee is charged at 0 units too")

    @field_validator("tiers")
    @classmethod
    def _in_order(cls, tiers: tuple[Tier, ...]) -> tuple[Tier, ...]:
        edge = Decimal(0)
        for position, tier in enumerate(tiers):
            if tier.above is not None and tier.above != edge:
                raise expected("tiers-overlap" if tier.above < edge else "tiers-gap", above=edge, tier=position + 1)
            if (tier.up_to is None) != (position == len(tiers) - 1):
                raise expected("tiers-open")
            if tier.up_to is not None and tier.up_to <= edge:
                raise expected("tiers-ascending", above=edge, tier=position + 1)
            edge = tier.up_to or edge
        return tiers


class Graduated(Tiered):
    """Each unit costs what its own tier says."""

    kind: Literal["graduated"] = Field("graduated", description="Each unit at the price of its own tier")


class Volume(Tiered):
    """All units cost what the tier of the total says."""

    kind: Literal["volume"] = Field("volume", description="All units at the price of the total's tier")


class GraduatedPercentage(Tiered):
    """A meter of money: each part of the sum at the rate (`price`) of its tier."""

    kind: Literal["graduated_percentage"] = Field(
        "graduated_percentage", description="Each part of a sum of money at its tier's rate"
    )

    @field_validator("tiers")
    @classmethod
    def _shares(cls, tiers: tuple[Tier, ...]) -> tuple[Tier, ...]:
        if any(tier.price > 1 for tier in tiers):
            raise expected("rate-not-share")
        return tiers


class Package(Metered):
    """`price` for each begun package of `size` units."""

    kind: Literal["package"] = Field("package", description="A price for each begun package")
    price: Amount = Field(description="Money for each begun package")
    size: Annotated[Amount, Field(gt=0, description="Units in a package")]


class Percentage(Charge):
    """A meter of money (payments): `rate` of each event's quantity plus `fixed` an event.

    The first `free_events` in time order are free of rate and fee. With `free_amount`, what is free of the rate is at
    most that much of their sum, and the fee is waived for those whose running total stays within it.
    """

    kind: Literal["percentage"] = Field("percentage", description="A rate of each payment and a fixed fee an event")
    meter: str = Field("payments", description="What is counted: a meter of money")
    rate: Share = Field(description="Share of each event's money, 0 to 1")
    fixed: Amount = Field(Decimal(0), description="Money an event, besides the rate")
    free_events: Annotated[int, Field(ge=0)] | None = Field(
        None, description="First events a period that are free; default: 0, or any number up to free_amount"
    )
    free_amount: Amount | None = Field(
        None, description="Money a period that is free of the rate, at most; events within it pay no fixed fee"
    )


class RevenueShare(Charge):
    """A share of the revenue that the customer made with it, a meter of money."""

    kind: Literal["revenue_share"] = Field("revenue_share", description="A share of the customer's revenue")
    meter: str = Field("revenue", description="What is counted: a meter of money")
    rate: Share = Field(description="Share of that money, 0 to 1")


class Seats(Charge):
    """A price a seat and period: prorated by time, or for the peak, or for those at the end."""

    kind: Literal["seats"] = Field("seats", description="A price a seat and period")
    price: Amount = Field(description="Money a seat and period")
    included: Annotated[int, Field(ge=0)] = Field(0, description="Seats that are free")
    minimum: Annotated[int, Field(ge=0)] = Field(0, description="Seats counted at least, the free ones among them")
    count: Literal["prorated", "peak", "end"] = Field(
        "prorated", description="Seats charged for: by the time each was held, the most at once, or those at the end"
    )


class OneOff(Charge):
    """Hardware, a licence, a project: charged once, in the period in which the customer starts."""

    kind: Literal["one_off"] = Field("one_off", description="Charged once, in the period of the customer's start")
    price: Amount = Field(description="Money, once")


class Prepaid(Charge):
    """Credits bought each period: `price` is paid, `credits` (default the same) pay usage from now on.

    Buying credits is not taxed; what is paid with them is.
    """

    kind: Literal["prepaid"] = Field("prepaid", description="Sells credits each period")
    taxed: bool = Field(False, description="Whether the plan's taxes are due on buying credits")
    price: Amount = Field(description="Money each period for the credits; not prorated")
    credits: Amount | None = Field(
        None, description="Money of bills that the credits of a period pay; default: the price"
    )


Fee: TypeAlias = Annotated[
    Free
    | Flat
    | PerUnit
    | PerMille
    | Days
    | Graduated
    | Volume
    | GraduatedPercentage
    | Package
    | Percentage
    | RevenueShare
    | Seats
    | OneOff
    | Prepaid,
    Field(discriminator="kind"),
]


def label(fee: Charge) -> str:
    """The name of a fee on a document: its own, else its meter or kind."""
    return fee.name or str(getattr(fee, "meter", None) or getattr(fee, "kind", "fee"))
