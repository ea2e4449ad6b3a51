"""From an exact price plan to what a customer pays on average, as a function of the mean use.

Invoices are exact and slow; the simulation is neither. The plan is rated exactly at many uses, averaged over how use is
spread among customers, and read by interpolation.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from decimal import Decimal

import numpy as np

from breakeven.economics import normal
from breakeven.economics.drivers import Driver
from breakeven.economics.normal import Floats, floats
from breakeven.economics.plans import Plan, steady

USES = 240
NODES = 48


def revenue_of(plan: Plan, answers: float) -> float:
    """What one customer with so many answers in a whole month pays before tax, unrounded parts rounded as declared."""
    from breakeven.economics.invoice import Customer, Event, invoice
    from breakeven.economics.proration import Period

    start = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    end = datetime.datetime(2026, 2, 1, tzinfo=datetime.UTC)
    event = Event(start, "use", "answers", Decimal(repr(round(float(answers), 6))))
    made = invoice([event], steady(plan), Customer("someone"), Period(start, end))
    return float(made.subtotal.amount)


def table(plan: Plan, use: Driver) -> Callable[[Floats], Floats]:
    """The mean monthly invoice by the mean use of a segment's customers, `use` giving how they are spread around it."""
    spread = _spread(use)
    reach = max(use.mean, 1.0)
    grid = np.concatenate([[0.0], np.geomspace(reach * 1e-3, reach * 1e3, USES)])
    exact = np.array([revenue_of(plan, answers) for answers in grid])
    means = np.array([_read(mean * spread, grid, exact).mean() for mean in grid])

    def read(mean_use: Floats) -> Floats:
        return _read(mean_use, grid, means)

    return read


def _read(use: Floats, grid: Floats, values: Floats) -> Floats:
    """Linear in between; beyond the end the last slope goes on."""
    inside = np.interp(use, grid, values)
    slope = (values[-1] - values[-2]) / (grid[-1] - grid[-2])
    return np.where(use > grid[-1], values[-1] + (use - grid[-1]) * slope, inside)


def _spread(use: Driver) -> Floats:
    """Equally likely uses around a mean of 1."""
    if use.certain or use.each != "customer" or use.mean <= 0.0:
        return np.ones(1)
    nodes = use.from_normal(normal.ppf((np.arange(NODES) + 0.5) / NODES))
    return floats(nodes / nodes.mean())
