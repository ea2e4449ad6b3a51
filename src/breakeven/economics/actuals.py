"""What really happened, month by month: counted from use, beside the plan's p10, p50 and p90, and fitted for the rest.

Nobody signs off from a metered service: a customer counts from the first month with use, and as lost in the month after
the last one, once `lapse` months have passed without use. Churn, new customers and use are fitted by maximum
likelihood; their doubt is drawn in the plan that goes on from here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from breakeven.economics.drivers import Driver
from breakeven.economics.elapsed import advance
from breakeven.economics.fitting import ConstantChurn, beta_quantile, fit_churn_curve, fit_growth, fit_usage
from breakeven.economics.forms import AMOUNT, COUNT
from breakeven.economics.normal import Floats, floats
from breakeven.economics.paths import simulate_block
from breakeven.economics.plan import BusinessPlan, Part, replaced
from breakeven.economics.rates import Use, revenue_of
from breakeven.economics.refitting import Compared, History
from breakeven.economics.sampling import Sampler
from breakeven.economics.simulation import row_quantiles, tables
from breakeven.errors import BreakevenError, DataError, UsageError
from breakeven.quantity import Quantity

COMPARED = 8192
Used = Mapping[tuple[str, int], Mapping[str, float]]


@dataclass(frozen=True)
class Counted:
    """Counted months. new, lost, present: customers by month; meters: use by meter and month; revenue: money by month,
    before tax; each: what every present customer used of answers in the last month; stays: (months with us, whether
    gone) of every customer who came in these months."""

    opening: float
    new: tuple[float, ...]
    lost: tuple[float, ...]
    meters: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    revenue: tuple[float, ...] = ()
    each: tuple[float, ...] = ()
    stays: tuple[tuple[int, bool], ...] = ()
    cash: float | None = None

    @property
    def months(self) -> int:
        """How many were counted."""
        return len(self.new)

    def history(self) -> History:
        """As the plan is refitted to it."""
        return History(self.opening, self.new, self.lost, self.each, self.cash)

    def streams(self) -> dict[str, tuple[float, ...]]:
        """What the plan has a forecast of, by the name of its stream."""
        found = {"customers": tuple(self.history().present), "new_customers": self.new}
        found |= {"churned_customers": self.lost}
        found |= {name: row for name, row in {"answers": self.meters.get("answers", ())}.items() if row}
        return found | ({"revenue": self.revenue} if self.revenue else {})


def count(used: Used, months: int, *, lapse: int = 2) -> Counted:
    """Counts customers and use. `used`: units by meter of each customer in each month; month 1 is the plan's first,
    months before it (0, -1 ...) say who was there already, months after `months` only who is still there."""
    active: dict[str, list[int]] = {}
    for customer, month in used:
        active.setdefault(customer, []).append(month)
    spans = {name: (min(seen), max(seen)) for name, seen in active.items() if min(seen) <= months}
    ends = {name: last if months - last >= lapse else months for name, (_, last) in spans.items()}
    present = {name: end for name, end in ends.items() if end >= 1 or spans[name][0] >= 1}
    new, lost = np.zeros(months), np.zeros(months)
    for name, end in present.items():
        if spans[name][0] >= 1:
            new[spans[name][0] - 1] += 1
        if end < months:
            lost[end] += 1
    opening = sum(1 for name in present if spans[name][0] < 1)
    here = [name for name, end in present.items() if end == months]
    return Counted(
        float(opening),
        tuple(new.tolist()),
        tuple(lost.tolist()),
        _meters(used, months),
        (),
        tuple(float(used.get((name, months), {}).get("answers", 0.0)) for name in here),
        tuple((end - spans[name][0] + 1, end < months) for name, end in present.items() if spans[name][0] >= 1),
    )


def _meters(used: Used, months: int) -> dict[str, tuple[float, ...]]:
    sums: dict[str, Floats] = {}
    for (_, month), quantities in used.items():
        if 1 <= month <= months:
            for meter, quantity in quantities.items():
                sums.setdefault(meter, np.zeros(months))[month - 1] += float(quantity)
    return {meter: tuple(row.tolist()) for meter, row in sorted(sums.items())}


def revenue(plan: BusinessPlan, used: Used, months: int) -> tuple[float, ...]:
    """What the counted use comes to at the declared prices, before tax; empty where no one price is declared."""
    part = next(iter(plan.parts().values()))
    if plan.segments or part.price is None:
        return ()
    earned = np.zeros(months)
    first: dict[str, int] = {}
    for customer, month in used:
        first[customer] = min(month, first.get(customer, month))
    for (customer, month), quantities in used.items():
        if 1 <= month <= months:
            earned[month - 1] += _paid(part, quantities, begins=first[customer] == month)
    return tuple(earned.tolist())


def _paid(part: Part, quantities: Mapping[str, float], *, begins: bool) -> float:
    price = part.price
    assert price is not None  # asked only where one is declared
    answers = float(quantities.get("answers", 0.0))
    if price.plan is not None:
        others = {meter: float(number) for meter, number in quantities.items() if meter != "answers"}
        sizes = {meter: use.per_event for meter, use in part.customers.meters.items() if use.per_event is not None}
        seats = 1 if part.customers.seats_each is None else round(part.customers.seats_each.mean)
        return revenue_of(price.plan, answers, Use(others, seats, sizes))
    once = price.per_new_customer.mean if begins and price.per_new_customer is not None else 0.0
    monthly = price.per_customer.mean if price.per_customer is not None else 0.0
    return once + monthly + (answers * price.per_answer.mean if price.per_answer is not None else 0.0)


def beside(plan: BusinessPlan, counted: Counted, *, seed: int = 0) -> dict[str, list[Compared]]:
    """Each counted stream beside its forecast, the luck of few customers included."""
    streams = counted.streams()
    whole = plan
    if not plan.segments:
        customers = plan.customers.model_copy(update={"counting": "whole"})
        whole = plan.model_copy(update={"customers": customers})
    sampler, priced = Sampler.of(whole, seed), tables(whole)
    kept: dict[str, list[Floats]] = {name: [] for name in streams}
    for inputs in sampler.blocks(min(COMPARED, plan.scenarios)):
        made = simulate_block(whole, inputs, priced).streams
        for name, rows in kept.items():
            rows.append(made[name])
    base = simulate_block(whole, sampler.base(), priced).streams
    found = {}
    for name, actual in streams.items():
        low, middle, high = row_quantiles(np.concatenate(kept[name], axis=1))
        found[name] = [
            Compared(place + 1, value, *(float(row[place]) for row in (base[name][:, 0], low, middle, high)))
            for place, value in enumerate(actual[: plan.months])
            if not math.isnan(value)
        ]
    return found


@dataclass(frozen=True)
class Fitted:
    """What the counted months say by themselves: numbers with 95% intervals by the driver they are of, and the drivers
    themselves with that doubt. `open_`: what the months are too few to say, and why."""

    quantities: Mapping[str, Quantity]
    drivers: Mapping[str, Driver]
    open_: Mapping[str, BreakevenError]


def fitted(counted: Counted) -> Fitted:
    """Churn, new customers, their growth and use by maximum likelihood."""
    quantities: dict[str, Quantity] = {}
    drivers: dict[str, Driver] = {}
    open_: dict[str, BreakevenError] = {}
    exposed, lost = float(counted.history().exposed.sum()), float(np.sum(counted.lost))
    if exposed > 0.0:
        quantities["churn_per_month"] = ConstantChurn(round(lost), exposed).quantity()
        parameters = (lost + 0.5, max(exposed - lost, 0.0) + 0.5, 0.0, 1.0)
        drivers["customers.churn_per_month"] = Driver("beta", parameters, "measured")
    else:
        open_["churn_per_month"] = DataError("history-short", n=0)
    came, months = float(np.sum(counted.new)), counted.months
    quantities["new_per_month"] = _rate(came, months)
    if came > 0.0:
        # The Jeffreys posterior of a Poisson rate is gamma(came + 1/2, months); a lognormal with its two moments.
        sigma = math.sqrt(math.log1p(1.0 / (came + 0.5)))
        mean = (came + 0.5) / months
        new = Driver("lognormal", (math.log(mean) - 0.5 * sigma**2, sigma, 0.0), "measured")
        drivers["customers.new_per_month"] = new.checked(COUNT)
    _try(quantities, open_, "new_growth_per_month", lambda: fit_growth(counted.new))
    _usage(counted, quantities, drivers, open_)
    _curve(counted, quantities, open_)
    return Fitted(quantities, drivers, open_)


def _rate(came: float, months: int) -> Quantity:
    """New customers a month with the interval of a gamma posterior, through the beta it is the limit of."""
    scale = 1e7
    low, high = (scale * beta_quantile(part, came + 0.5, scale) / months for part in (0.025, 0.975))
    return Quantity(came / months, "customers/month", "measured", low, high, n=months, method="Poisson, Jeffreys")


def _try(quantities: dict[str, Quantity], open_: dict[str, BreakevenError], name: str, fit: Any) -> None:
    try:
        quantities[name] = fit()
    except BreakevenError as error:
        open_[name] = error


def _usage(
    counted: Counted,
    quantities: dict[str, Quantity],
    drivers: dict[str, Driver],
    open_: dict[str, BreakevenError],
) -> None:
    """The mean use of a present customer: a lognormal's mean with the doubt of both its parameters, idle ones apart."""
    try:
        use = fit_usage(counted.each) if counted.each else None
        if use is None:
            raise DataError("history-short", n=0)
    except BreakevenError as error:
        open_["answers_each"] = error
        return
    n, variance = use.mean_log.n or 1, use.sd_log.value**2
    log_mean = use.mean_log.value + 0.5 * variance + math.log(1.0 - use.idle)
    sigma = math.sqrt(variance / n + 0.5 * variance**2 / n)
    reach = 1.959963984540054 * sigma
    mean = math.exp(log_mean)
    bounds = (mean * math.exp(-reach), mean * math.exp(reach))
    about: dict[str, Any] = {"n": len(counted.each), "method": "lognormal among the present customers"}
    quantities["answers_each"] = Quantity(mean, "answers/customer/month", "measured", *bounds, **about)
    driver = Driver("lognormal", (log_mean - 0.5 * sigma**2, sigma, 0.0), "measured") if sigma else Driver.of(mean)
    drivers["customers.answers_each"] = driver.checked(AMOUNT)


def _curve(counted: Counted, quantities: dict[str, Quantity], open_: dict[str, BreakevenError]) -> None:
    """Churn that falls with age, shown beside the constant rate where the months tell it of single customers."""
    stays = counted.stays
    if not stays:
        return
    try:
        curve = fit_churn_curve([months for months, _ in stays], [gone for _, gone in stays])
    except BreakevenError as error:
        open_["churn_curve"] = error
        return
    assert curve.fit is not None  # what was fitted says how
    if not curve.fit.identified:
        open_["churn_curve"] = DataError("curve-open", n=len(stays))
        return
    for name in ("alpha", "beta"):
        quantities[f"churn_curve.{name}"] = curve.fit.quantity(name, "shape")


def go_on(plan: BusinessPlan, counted: Counted, found: Fitted) -> BusinessPlan:
    """The rest of the plan from where it stands, on what was fitted instead of what was declared.

    What could not be fitted stays declared; use keeps its spread among customers where a price plan bends.
    UsageError where the plan has segments or no month is left.
    """
    if plan.segments:
        raise UsageError("actuals-segments")
    left = plan.months - counted.months
    if left < 1:
        raise UsageError("actuals-over", counted=counted.months, months=plan.months)
    changes = {"customers.start": Driver.of(counted.history().present[-1], "customers", "measured")}
    rest = advance(plan, counted.months, counted.streams())
    customers = rest.customers.model_copy(update={"counting": "whole"})
    named = dict(found.drivers)
    if "customers.churn_per_month" in named:
        kinds: dict[str, Any] = dict.fromkeys(("churn_per_year", "churn_by_month", "churn_curve"))
        rate = named.pop("customers.churn_per_month")
        customers = customers.model_copy(update={**kinds, "churn_per_month": rate})
    bends = plan.price is not None and plan.price.plan is not None
    if bends and "customers.answers_each" in named:
        each = counted.each
        share = 1.0 / len(each)
        named["customers.answers_each"] = Driver("values", (*each, *(share for _ in each)), "measured", "customer")
    changes |= named
    if counted.cash is not None and plan.cash is not None:
        owed = plan.cash.mean - (rest.cash.mean if rest.cash is not None else 0.0)
        changes["cash"] = Driver.of(counted.cash - owed, plan.currency, "measured")
    rest = rest.model_copy(update={"customers": customers, "correlations": _known(rest, changes)})
    return replaced(rest, changes)


def _known(plan: BusinessPlan, changes: Mapping[str, Driver]) -> list[tuple[str, str, float]]:
    """Correlations among what stays doubtful as declared; what was fitted is drawn apart."""
    gone = {*changes, "customers.churn_per_month", "customers.churn_per_year"}
    return [pair for pair in plan.correlations if not gone & set(pair[:2])]


def of_rows(rows: Sequence[Mapping[str, Any]], opening: float) -> Counted:
    """Counted months from a table: `new` and `lost`, and where they are there `customers` (at the month's end),
    `answers` and other meters, `revenue` and `cash` (the last one counts). DataError names row and column."""
    if not rows:
        raise DataError("history-rows")
    for column in ("new", "lost"):
        if column not in rows[0]:
            raise DataError("history-column", column=column, found=list(rows[0]))
    read = {name: _column(rows, name) for name in rows[0] if name != "month"}
    start = read["customers"][0] - read["new"][0] + read["lost"][0] if "customers" in read else opening
    cash = read.get("cash", (math.nan,))[-1]
    known = ("new", "lost", "customers", "revenue", "cash")
    try:
        made = Counted(
            start, read["new"], read["lost"], {name: row for name, row in read.items() if name not in known},
            read.get("revenue", ()), cash=None if math.isnan(cash) else cash,
        )  # fmt: skip
        present = made.history().present
    except ValueError:
        raise DataError("history-negative") from None
    # Only sums are known, so the mean customer of each month stands for how use differs.
    pairs = zip(made.meters.get("answers", ()), present, strict=False)
    return replace(made, each=tuple(answers / there for answers, there in pairs if there > 0.0))


def _column(rows: Sequence[Mapping[str, Any]], name: str) -> tuple[float, ...]:
    values = []
    for number, row in enumerate(rows, 1):
        try:
            values.append(float(row[name]))
        except (TypeError, ValueError):
            raise DataError("history-cell", column=name, row=number, found=str(row[name])[:40]) from None
        if not (values[-1] >= 0.0 or name == "cash") or math.isinf(values[-1]):
            raise DataError("history-cell", column=name, row=number, found=str(row[name])[:40])
    return tuple(floats(values).tolist())
