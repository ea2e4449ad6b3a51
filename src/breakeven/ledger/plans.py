"""Price plans as the meter sees them: a version and an exact rate per meter. Invoices are the economics room's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, localcontext
from typing import Any

from breakeven.artifacts import fingerprint
from breakeven.errors import ConfigError, Place

DECIMALS = 12


@dataclass(frozen=True)
class PricePlan:
    """Rates per unit of each meter, at most 12 decimals. A meter without a rate is counted and free."""

    currency: str = "USD"
    rates: Mapping[str, Decimal] = field(default_factory=dict)
    version: str = ""

    @classmethod
    def of(cls, rates: Mapping[str, Any], currency: str = "USD") -> PricePlan:
        """A plan from declared numbers; its version is the hash of what it says."""
        exact = {}
        for meter, rate in sorted(rates.items()):
            value = Decimal(str(rate))
            exponent = value.as_tuple().exponent
            if not value.is_finite() or value < 0 or (isinstance(exponent, int) and -exponent > DECIMALS):
                raise ConfigError("plan-rate", at=Place(field=meter), found=rate, decimals=DECIMALS)
            exact[meter] = value.normalize() + 0
        body = {"currency": currency, "rates": {meter: format(rate, "f") for meter, rate in exact.items()}}
        return cls(currency, exact, fingerprint(body)[:16])

    def as_json(self) -> dict[str, Any]:
        """Exact decimal strings; what the ledger keeps under the version."""
        return {
            "version": self.version,
            "currency": self.currency,
            "rates": {meter: format(rate, "f") for meter, rate in self.rates.items()},
        }

    def amount(self, quantities: Mapping[str, int]) -> Decimal:
        """The exact, unrounded price of some quantities."""
        with localcontext() as context:
            context.prec = 60
            return sum(
                (self.rates[meter] * count for meter, count in quantities.items() if meter in self.rates), Decimal(0)
            )

    def price(self, quantities: Mapping[str, int]) -> str | None:
        """The price as an exact decimal string, None where the plan has no rates."""
        return format(self.amount(quantities), "f") if self.rates else None
