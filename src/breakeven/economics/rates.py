"""From an exact price plan to what its customers pay on average, by how much they use of every meter.

Invoices are exact and slow; the simulation is neither. The plan is rated exactly at many uses, averaged over how use is
spread among customers, and read by interpolation. A doubtful ratio of another meter to the answers, and the spread of
seats, are each rated apart from the rest: exact where the fees of meters add up, the first order of it where a minimum,
a discount or credits join them.
"""

from __future__ import annotations

import datetime
import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction

import numpy as np

from breakeven.economics import normal
from breakeven.economics.drivers import Driver
from breakeven.economics.fees import OneOff, Percentage
from breakeven.economics.invoice import Customer, Event, Invoice, invoice
from breakeven.economics.money import exponent
from breakeven.economics.normal import Floats, floats
from breakeven.economics.plans import Plan, introductory, steady
from breakeven.economics.proration import Period
from breakeven.economics.sampling import Inputs, Value
from breakeven.economics.sections import Customers

USES = 240
NODES = 48
RATIOS = (0.02, 0.25, 0.5, 0.75, 0.98)
MOST_EVENTS = 200
DAYS_PER_MONTH = 365.0 / 12.0
_START = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
_END = datetime.datetime(2026, 2, 1, tzinfo=datetime.UTC)


@dataclass(frozen=True)
class Use:
    """What one customer uses in a month: units by meter, seats, and the size of an event where fees count events."""

    meters: Mapping[str, float]
    seats: int = 0
    sizes: Mapping[str, float] = field(default_factory=dict)


def bill(plan: Plan, use: Use, billed: int | None = None) -> Invoice:
    """The invoice of one whole month of a customer with so many invoices before it; None: who is long there."""
    return _invoice(steady(plan, billed), use, billed or 0)


def _invoice(plan: Plan, use: Use, billed: int) -> Invoice:
    events = [
        Event(_START, f"{meter}-{number}", meter, Decimal(repr(round(float(quantity) / count, 6))))
        for meter, quantity in use.meters.items()
        for count in [_events(quantity, use.sizes.get(meter))]
        for number in range(count)
    ]
    someone = Customer("someone", seats=((_START, use.seats),), periods_billed=billed)
    return invoice(events, plan, someone, Period(_START, _END))


def _events(quantity: float, size: float | None) -> int:
    return 1 if size is None else max(1, min(MOST_EVENTS, round(quantity / size)))


def revenue_of(plan: Plan, answers: float, use: Use | None = None, billed: int | None = None) -> float:
    """What a customer with so many answers in a whole month pays before tax: what prepaid credits pay is sold once.

    `billed`: how many invoices the customer had before; None: so many that every introductory discount is over.
    """
    whole = Use({"answers": answers, **(use.meters if use else {})}, use.seats if use else 0, use.sizes if use else {})
    made = bill(plan, whole, billed)
    paid = float(made.subtotal.amount)
    if made.credits.minor:
        # Credits pay the bill with its tax; the part of it that is no tax was revenue when the credits were sold.
        net = sum(line.minor for line in made.lines if line.kind != "prepaid")
        gross = net + sum(line.minor for line in made.taxes)
        paid -= float(Fraction(made.credits.minor * net, gross)) / 10.0 ** exponent(made.currency)
    return paid + _uncounted(plan, whole)


def _uncounted(plan: Plan, use: Use) -> float:
    """Fixed fees of the events that were rated as parts of larger ones."""
    missing = 0.0
    for fee in plan.fees:
        if isinstance(fee, Percentage) and fee.meter in use.sizes:
            count = round(use.meters.get(fee.meter, 0.0) / use.sizes[fee.meter])
            missing += max(0, count - MOST_EVENTS) * float(fee.fixed)
    return missing


def once_of(plan: Plan) -> float:
    """What a new customer pays once: one-off fees, less the shares that discounts take off them."""
    fees = tuple(fee for fee in plan.fees if isinstance(fee, OneOff))
    if not fees:
        return 0.0
    names = {fee.name or fee.kind for fee in fees}
    offs = tuple(
        off.model_copy(update={"fees": tuple(name for name in off.fees if name in names)})
        for off in (*plan.discounts, *plan.coupons)
        if off.rate is not None and (not off.fees or names & set(off.fees))
    )
    kept = {"fees": fees, "minimum": Decimal(0), "trial_days": 0, "discounts": offs, "coupons": ()}
    made = invoice([], plan.model_copy(update=kept), Customer("someone", started=_START), Period(_START, _END))
    return float(made.subtotal.amount)


@dataclass(frozen=True)
class RateTable:
    """The mean invoice of a segment's customers. grid: mean answers; means: what they pay; per driver of another
    meter, its nodes and what each changes; once: paid by a new customer; trial: [months] the part that is free.
    early: (a customer's first month, the month after the last, what discounts that end change of the bill then)."""

    grid: Floats
    means: Floats
    ratios: Mapping[str, tuple[Floats, Floats]]
    once: float
    trial: tuple[float, ...]
    early: tuple[tuple[int, int, Floats], ...] = ()

    def recurring(self, use: Floats, inputs: Inputs) -> Floats:
        """[months, n]: the mean bill at a mean use of answers."""
        paid = _read(use, self.grid, self.means)
        for name, (nodes, changes) in self.ratios.items():
            paid = paid + _between(np.broadcast_to(inputs[name], use.shape), nodes, use, self.grid, changes)
        return np.asarray(np.maximum(paid, 0.0))

    def served(self, active: Floats, new: Floats) -> Floats:
        """[months, n]: customers who are billed, those in their trial left out."""
        if not self.trial:
            return active
        free = np.zeros_like(active)
        for age, part in enumerate(self.trial):
            free[age:] += part * new[: len(new) - age]
        return np.asarray(np.maximum(active - free, 0.0))

    def introduced(self, kept: Floats, new: Floats, use: Floats) -> Floats:
        """[months, n]: what discounts that end change of all bills; `kept`: the share of the customers that stays.

        Who was there before month 1 has had them; those who came leave like all others, whatever their age.
        """
        changed, alive, age = np.zeros_like(new), new, 0
        for first, end, changes in self.early:
            change = _read(use, self.grid, changes)
            for age in range(first, min(end, len(new))):
                if age:
                    alive = alive[:-1] * kept[age:]
                free = self.trial[age] if age < len(self.trial) else 0.0
                changed[age:] += (1.0 - free) * alive * change[age:]
        return changed


@dataclass(frozen=True)
class _Asked:
    """What a table depends on, as text; the rest is carried along."""

    text: str
    prefix: str
    plan: Plan = field(compare=False)
    customers: Customers = field(compare=False)


def table(plan: Plan, customers: Customers, prefix: str = "") -> RateTable:
    """Rates a plan for one segment; `prefix` stands before the names of its drivers. Equal questions are rated once."""
    read = {"answers_each", "seats_each", "meters"}
    text = plan.model_dump_json() + customers.model_dump_json(include=read)
    return _table(_Asked(text, prefix, plan, customers))


@functools.lru_cache(maxsize=64)
def _table(asked: _Asked) -> RateTable:
    plan, customers, prefix = asked.plan, asked.customers, asked.prefix
    spread = _spread(customers.answers_each)
    reach = max(customers.answers_each.mean, 1.0)
    grid = np.concatenate([[0.0], np.geomspace(reach * 1e-3, reach * 1e3, USES)])
    means = {name: driver.mean for name, driver in _ratios(customers)}
    rated = _rated(plan, customers, grid, spread, means)
    seats, early, first = _seats(plan, customers), [], 0
    for end in introductory(plan):
        begins = _rated(plan, customers, grid, spread, means, billed=first) + _seats(plan, customers, first)
        early.append((first, end, begins - rated - seats))
        first = end
    ratios = {}
    for name, driver in _ratios(customers):
        if not driver.certain:
            nodes = np.unique([driver.quantile(share) for share in RATIOS])
            rows = [_rated(plan, customers, grid, spread, {**means, name: node}) - rated for node in nodes]
            ratios[f"{prefix}customers.{name}"] = (floats(nodes), floats(rows))
    return RateTable(grid, rated + seats, ratios, once_of(plan), trial_of(plan), tuple(early))


def mean_bill(plan: Plan, customers: Customers) -> float:
    """What a customer of mean use pays in a month, every meter and seat counted."""
    values = {name: driver.mean for name, driver in _ratios(customers)}
    answers = customers.answers_each.mean
    return revenue_of(plan, answers, _use(customers, answers, values)) + _seats(plan, customers)


def _ratios(customers: Customers) -> list[tuple[str, Driver]]:
    found = []
    for meter, use in customers.meters.items():
        for name in ("per_answer", "per_month"):
            driver = getattr(use, name)
            if driver is not None:
                found.append((f"meters.{meter}.{name}", driver))
    return found


def _use(customers: Customers, answers: float, values: Mapping[str, float], seats: int = 0) -> Use:
    counted = {}
    for meter in customers.meters:
        ratio, fixed = (values.get(f"meters.{meter}.{name}", 0.0) for name in ("per_answer", "per_month"))
        counted[meter] = ratio * answers + fixed
    sizes = {meter: use.per_event for meter, use in customers.meters.items() if use.per_event is not None}
    return Use(counted, seats, sizes)


def _rated(
    plan: Plan,
    customers: Customers,
    grid: Floats,
    spread: Floats,
    values: Mapping[str, float],
    *,
    billed: int | None = None,
) -> Floats:
    """The mean bill at each mean use, the customers spread around it."""
    exact = np.array([revenue_of(plan, answers, _use(customers, answers, values), billed) for answers in grid])
    return np.array([_read(mean * spread, grid, exact).mean() for mean in grid])


def _seats(plan: Plan, customers: Customers, billed: int | None = None) -> float:
    """What seats add to a customer's bill, in the mean over how many each has."""
    driver = customers.seats_each or Driver.of(1.0)
    if not any(fee.kind == "seats" for fee in plan.fees):
        return 0.0
    held = [driver.mean] if driver.certain else driver.from_normal(normal.ppf((np.arange(NODES) + 0.5) / NODES))
    values = {name: each.mean for name, each in _ratios(customers)}
    answers = customers.answers_each.mean
    none = revenue_of(plan, answers, _use(customers, answers, values), billed)
    numbers, counts = np.unique(np.rint(held).astype(int), return_counts=True)
    whole = [_use(customers, answers, values, int(number)) for number in numbers]
    paid = [revenue_of(plan, answers, use, billed) - none for use in whole]
    return float(np.average(paid, weights=counts))


def trial_of(plan: Plan) -> tuple[float, ...]:
    """The free part of a customer's first, second ... month."""
    left = plan.trial_days / DAYS_PER_MONTH
    return tuple(min(1.0, left - month) for month in range(int(np.ceil(left))))


def _read(use: Floats, grid: Floats, values: Floats) -> Floats:
    """Linear in between; beyond the end the last slope goes on."""
    inside = np.interp(use, grid, values)
    slope = (values[-1] - values[-2]) / (grid[-1] - grid[-2])
    return np.where(use > grid[-1], values[-1] + (use - grid[-1]) * slope, inside)


def _between(ratio: Value, nodes: Floats, use: Floats, grid: Floats, changes: Floats) -> Floats:
    """The change of the bill at a ratio between two nodes, or beyond the last on its slope."""
    place = np.clip(np.searchsorted(nodes, ratio) - 1, 0, len(nodes) - 2)
    part = (ratio - nodes[place]) / (nodes[place + 1] - nodes[place])
    found = np.zeros(use.shape)
    for node in range(len(nodes)):
        weight = np.where(place == node, 1.0 - part, 0.0) + np.where(place + 1 == node, part, 0.0)
        found += weight * _read(use, grid, changes[node])
    return np.asarray(found)


def _spread(use: Driver) -> Floats:
    """Equally likely uses around a mean of 1."""
    if use.certain or use.each != "customer" or use.mean <= 0.0:
        return np.ones(1)
    nodes = use.from_normal(normal.ppf((np.arange(NODES) + 0.5) / NODES))
    return floats(nodes / nodes.mean())
