"""How large the market is and how a new thing spreads in it: TAM, SAM, SOM, Bass diffusion, and the S-curve."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from breakeven.economics.normal import Floats, floats
from breakeven.errors import DataError, UsageError


@dataclass(frozen=True)
class MarketSize:
    """Customers and yearly money: all who could use it, whom we can serve, whom we can win."""

    tam_customers: float
    sam_customers: float
    som_customers: float
    yearly_spend: float

    @property
    def tam(self) -> float:
        """Total addressable market, money a year."""
        return self.tam_customers * self.yearly_spend

    @property
    def sam(self) -> float:
        """Serviceable addressable market, money a year."""
        return self.sam_customers * self.yearly_spend

    @property
    def som(self) -> float:
        """Serviceable obtainable market, money a year."""
        return self.som_customers * self.yearly_spend


def market_size(customers: float, yearly_spend: float, *, serviceable: float, obtainable: float) -> MarketSize:
    """Bottom-up: customers x money a year, the part we can serve, and the part of that which we can win (0 to 1)."""
    numbers = (customers, yearly_spend, serviceable, obtainable)
    if not all(math.isfinite(number) and number >= 0.0 for number in numbers) or max(serviceable, obtainable) > 1.0:
        raise UsageError("market-size", found=numbers)
    return MarketSize(customers, customers * serviceable, customers * serviceable * obtainable, yearly_spend)


@dataclass(frozen=True)
class Bass:
    """Diffusion by innovation `p` and imitation `q` in a market of `m`.

    The discrete recursion starts from nothing: sales of a period are (p + q Y / m)(m - Y), Y what was sold before it.
    The continuous curve is another one: its peak may fall some periods earlier.
    """

    p: float
    q: float
    m: float

    def sales(self, periods: int) -> Floats:
        """Sales of each period by the discrete recursion."""
        sold, before = np.empty(periods), 0.0
        for period in range(periods):
            sold[period] = (self.p + self.q * before / self.m) * (self.m - before)
            before += sold[period]
        return sold

    def adopted(self, time: ArrayLike) -> Floats:
        """Adopters up to a time by the continuous curve."""
        decay = np.exp(-(self.p + self.q) * floats(time))
        return floats(self.m * (1.0 - decay) / (1.0 + self.q / self.p * decay))

    @property
    def peak_time(self) -> float:
        """When the continuous curve rises fastest; 0 where sales fall from the start."""
        return max(0.0, math.log(self.q / self.p) / (self.p + self.q)) if self.q > 0.0 else 0.0

    def peak_period(self, periods: int = 1000) -> int:
        """The period (from 1) in which the discrete recursion sells most."""
        return int(np.argmax(self.sales(periods))) + 1


def fit_bass(sales: Sequence[float]) -> Bass:
    """Bass by least squares: sales on 1, Y and Y squared, Y the cumulative sales before each period."""
    sold = floats(sales)
    if len(sold) < 4 or not np.isfinite(sold).all() or (sold < 0.0).any():
        raise DataError("bass-sales", n=len(sold))
    before = np.concatenate([[0.0], np.cumsum(sold)[:-1]])
    columns = np.stack([np.ones_like(before), before, before**2], axis=1)
    constant, linear, square = (float(value) for value in np.linalg.lstsq(columns, sold, rcond=None)[0])
    inside = linear**2 - 4.0 * constant * square
    if constant <= 0.0 or square >= 0.0 or inside < 0.0:
        raise DataError("bass-shape")
    m = (-linear - math.sqrt(inside)) / (2.0 * square)
    return Bass(constant / m, -square * m, m)


def s_curve(start: float, ceiling: float, growth: float, periods: int) -> Floats:
    """Logistic growth: from `start` towards `ceiling`, at first by the factor 1 + `growth` a period."""
    if not 0.0 < start < ceiling or growth <= -1.0:
        raise UsageError("s-curve", start=start, ceiling=ceiling, growth=growth)
    odds = start / (ceiling - start) * (1.0 + growth) ** np.arange(periods)
    return floats(ceiling * odds / (1.0 + odds))
