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

    name: str | None = None
    taxed: bool = True


class Metered(Charge):
    """A fee on the units of one meter in the period; `included` units are free, `minimum` is charged at least."""

    meter: str = "answers"
    included: Amount = Decimal(0)
    minimum: Amount = Decimal(0)


class Free(Charge):
    """No price; the usage is shown on the invoice at zero."""

    kind: Literal["free"] = "free"
    meter: str = "answers"


class Flat(Charge):
    """A price each month or year, for the part of the period in which the customer had the plan."""

    kind: Literal["flat"] = "flat"
    price: Amount
    every: Literal["period", "year"] = "period"


class PerUnit(Metered):
    """`price` for `per` units, every unit alike, parts of a unit in proportion."""

    kind: Literal["per_unit"] = "per_unit"
    price: Amount
    per: Literal[1, 10, 100, 1000, 10000, 100000, 1000000, 1000000000] = 1

    @cached_property
    def unit_price(self) -> Decimal:
        """The exact price of one unit."""
        with exactly():
            return self.price / self.per


class PerMille(PerUnit):
    """Advertising: the price of a thousand impressions."""

    kind: Literal["per_mille"] = "per_mille"  # type: ignore[assignment]
    meter: str = "impressions"
    per: Literal[1, 10, 100, 1000, 10000, 100000, 1000000, 1000000000] = 1000


class Days(PerUnit):
    """Services by the day."""

    kind: Literal["days"] = "days"  # type: ignore[assignment]
    meter: str = "days"


class Tier(Terms):
    """Units above the tier before, up to and with `up_to` (none: no end): a price each, a flat fee on entering."""

    above: Amount | None = None
    up_to: Amount | None = None
    price: Amount = Decimal(0)
    flat: Amount = Decimal(0)


class Tiered(Metered):
    """A fee whose price depends on how many units the period had."""

    tiers: tuple[Tier, ...] = Field(min_length=1)
    flat_at_zero: bool = True

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

    kind: Literal["graduated"] = "graduated"


class Volume(Tiered):
    """All units cost what the tier of the total says."""

    kind: Literal["volume"] = "volume"


class GraduatedPercentage(Tiered):
    """A meter of money: each part of the sum at the rate (`price`) of its tier."""

    kind: Literal["graduated_percentage"] = "graduated_percentage"

    @field_validator("tiers")
    @classmethod
    def _shares(cls, tiers: tuple[Tier, ...]) -> tuple[Tier, ...]:
        if any(tier.price > 1 for tier in tiers):
            raise expected("rate-not-share")
        return tiers


class Package(Metered):
    """`price` for each begun package of `size` units."""

    kind: Literal["package"] = "package"
    price: Amount
    size: Annotated[Amount, Field(gt=0)]


class Percentage(Charge):
    """A meter of money (payments): `rate` of each event's quantity plus `fixed` an event.

    The first `free_events` in time order are free of rate and fee. With `free_amount`, what is free of the rate is at
    most that much of their sum, and the fee is waived for those whose running total stays within it.
    """

    kind: Literal["percentage"] = "percentage"
    meter: str = "payments"
    rate: Share
    fixed: Amount = Decimal(0)
    free_events: Annotated[int, Field(ge=0)] | None = None
    free_amount: Amount | None = None


class RevenueShare(Charge):
    """A share of the revenue that the customer made with it, a meter of money."""

    kind: Literal["revenue_share"] = "revenue_share"
    meter: str = "revenue"
    rate: Share


class Seats(Charge):
    """A price a seat and period: prorated by time, or for the peak, or for those at the end."""

    kind: Literal["seats"] = "seats"
    price: Amount
    included: Annotated[int, Field(ge=0)] = 0
    minimum: Annotated[int, Field(ge=0)] = 0
    count: Literal["prorated", "peak", "end"] = "prorated"


class OneOff(Charge):
    """Hardware, a licence, a project: charged once, in the period in which the customer starts."""

    kind: Literal["one_off"] = "one_off"
    price: Amount


class Prepaid(Charge):
    """Credits bought each period: `price` is paid, `credits` (default the same) pay usage from now on.

    Buying credits is not taxed; what is paid with them is.
    """

    kind: Literal["prepaid"] = "prepaid"
    taxed: bool = False
    price: Amount
    credits: Amount | None = None


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
