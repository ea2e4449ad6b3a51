"""The `billing` section of the project file: who sells, how invoices are numbered, which taxes there are.

Details of customers do not stand in the file: they are in the private part of the ledger, where they can be erased.
"""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema, model_validator

from breakeven.economics.money import Share, expected
from breakeven.economics.plans import Plan

Language = Literal["en", "zh"]
Category = Literal["standard", "zero", "exempt", "reverse_charge", "export", "outside_scope"]


def _one_line(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise expected("text-one-line")
    return text.strip()


Line = Annotated[str, AfterValidator(_one_line), Field(max_length=300)]
"""A setting: printable text of one line."""


def _country(text: str) -> str:
    code = text.strip().upper()
    if len(code) != 2 or not (code.isascii() and code.isalpha()):
        raise expected("country-code")
    return code


Country = Annotated[
    str, AfterValidator(_country), WithJsonSchema({"type": "string", "pattern": "^[A-Za-z]{2}$", "title": "Country"})
]
"""A setting: an ISO 3166-1 code of two letters, kept as capitals."""
Series = Annotated[str, Field(pattern=r"^[A-Z0-9]{1,12}$")]
"""A setting: what invoice numbers begin with."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Address(_Section):
    """Where a party sits, and how it is known to the tax office."""

    street: Line | None = Field(None, description="Street and number")
    street_more: Line | None = Field(None, description="Second line of the street: floor, building")
    postcode: Line | None = Field(None, description="Postal code")
    city: Line | None = Field(None, description="City")
    region: Line | None = Field(None, description="State or province")
    country: Country | None = Field(None, description="Country: two capital letters, for example DE")
    tax_id: Line | None = Field(None, description="VAT identifier with its country's letters, for example DE123456789")
    email: Line | None = Field(None, description="E-mail address for invoices")


class Bank(_Section):
    """Where the money goes."""

    iban: Annotated[str, Field(pattern=r"^[A-Z]{2}[0-9]{2}[A-Z0-9]{8,30}$")] | None = Field(
        None, description="IBAN without spaces; either this or `account`"
    )
    account: Line | None = Field(None, description="Account number where there is no IBAN")
    bic: Annotated[str, Field(pattern=r"^[A-Z0-9]{8}([A-Z0-9]{3})?$")] | None = Field(
        None, description="BIC (SWIFT code) of the bank"
    )
    holder: Line | None = Field(None, description="Holder of the account; default: the seller")
    name: Line | None = Field(None, description="Name of the bank")

    @model_validator(mode="after")
    def _some_account(self) -> Bank:
        if (self.iban is None) == (self.account is None):
            raise expected("bank-one-of")
        return self


class Seller(Address):
    """Who sends the invoices."""

    name: Line = Field(description="Legal name")
    tax_number: Line | None = Field(None, description="Local tax number, where there is no VAT identifier")
    registration: Line | None = Field(None, description="Register and number, for example HRB 12345 Berlin")
    phone: Line | None = Field(None, description="Telephone number")
    bank: Bank | None = Field(None, description="Account that customers pay to")


class TaxRule(_Section):
    """A tax that customers can be under."""

    category: Category = Field("standard", description="Kind of tax, as EN 16931 tells them apart")
    name: Line = Field("VAT", description="Name on the invoice")
    rate: Share = Field(Decimal(0), description="Share of the taxed sum, 0 to 1; above 0 only where standard")
    inclusive: bool = Field(False, description="Whether the prices contain it already")
    reason: Line | None = Field(None, description="Why no tax is due, as the law wants it said on the invoice")

    @model_validator(mode="after")
    def _rate_fits(self) -> TaxRule:
        if (self.category == "standard") != (self.rate > 0):
            raise expected("tax-rate-fits")
        if self.category in ("exempt", "reverse_charge", "export", "outside_scope") and self.reason is None:
            raise expected("tax-reason")
        return self


class EarlierPlan(_Section):
    """A price plan that was in force before the one of `business.price`."""

    until: datetime.date = Field(description="First day (UTC) on which it no longer held, for example 2026-10-15")
    plan: Plan = Field(description="The plan, as under business.price.plan")


class Settings(_Section):
    """How customers are billed."""

    seller: Seller | None = Field(None, description="Who sends the invoices; needed to finalize one")
    series: Series = Field("INV", description="What invoice numbers begin with: INV-2026-0001")
    credit_series: Series = Field("CN", description="What numbers of credit notes begin with")
    payment_days: int = Field(14, ge=0, le=3650, description="Days from the invoice's date to the day it is due")
    language: Language = Field("en", description="Language of invoices whose customer has none of their own")
    taxes: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")], TaxRule] = Field(
        default_factory=dict, description="Taxes by name; without any, those of the price plan hold"
    )
    tax: str | None = Field(None, description="Name of the tax that customers are under who have none of their own")
    untaxed_reason: Line | None = Field(None, description="Why fees with `taxed: false` bear no tax")
    earlier_plans: tuple[EarlierPlan, ...] = Field(
        (), description="Plans that held before the present one, so that a month with a change is billed by both"
    )
    font: str | None = Field(
        None, description="Font file (TrueType or OpenType) for PDF invoices; default: one of this machine"
    )
    e_invoice: bool = Field(False, description="Whether an invoice is refused that no EN 16931 record could be made of")
    note: Line | None = Field(None, description="Sentence at the foot of every invoice")

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        if self.tax is not None and self.tax not in self.taxes:
            raise expected("tax-named", found=self.tax, allowed=sorted(self.taxes))
        if self.series == self.credit_series:
            raise expected("series-alike")
        days = [earlier.until for earlier in self.earlier_plans]
        if sorted(set(days)) != days:
            raise expected("plans-in-order")
        return self


class Buyer(Address):
    """What an invoice must know of a customer; all of it optional, until a document needs it."""

    name: Line | None = Field(None, description="Legal name; default: the customer's name in the ledger")
    language: Language | None = Field(None, description="Language of their invoices")
    tax: Line | None = Field(None, description="Name of one of billing.taxes")
    reference: Line | None = Field(None, description="What the customer wants to read on it: order or cost centre")
    since: datetime.date | None = Field(
        None, description="First day they are billed for; default: the day they were added"
    )
    until: datetime.date | None = Field(None, description="First day they are no longer billed for")
    seats: int | None = Field(None, ge=0, le=10**9, description="Seats they have")

    def as_json(self) -> dict[str, Any]:
        """What is known, as the ledger keeps it."""
        data: dict[str, Any] = self.model_dump(mode="json", exclude_none=True)
        return data
