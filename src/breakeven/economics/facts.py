"""What the verdict is computed from: measured facts of each candidate, and the plan that was declared.

Data only. The stage that measured fills these in; `verdict.decide` reads them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from breakeven.economics.draws import Estimate
from breakeven.economics.drivers import Driver
from breakeven.economics.gates import Gate
from breakeven.economics.normal import Floats
from breakeven.quantity import Quantity

Objective = Literal["value_minus_cost", "contribution"]


@dataclass(frozen=True)
class Machine:
    """A machine one can rent or own. An owned one adds its electricity: watts x hours x price per kWh."""

    name: str
    price_per_hour: Driver
    memory_mb: float | None = None
    owned: bool = False
    watts: float = 0.0
    price_per_kwh: Driver | None = None

    @property
    def per_hour(self) -> float:
        """Expected money per hour, electricity included where it is ours to pay."""
        power = self.watts / 1000.0 * self.price_per_kwh.mean if self.owned and self.price_per_kwh else 0.0
        return self.price_per_hour.mean + power


@dataclass(frozen=True)
class Speed:
    """What a candidate does on one listed machine: answers a second within the latency gate, its p95, its memory."""

    machine: str
    capacity_per_second: Quantity
    latency_ms_p95: Quantity | None = None
    memory_mb: Quantity | None = None


@dataclass(frozen=True)
class CandidateFacts:
    """What was measured of one candidate.

    value: gain per answer at the market's base rates (point over all test cases; draws from the bootstrap, paired over
    candidates). value_at_test_rates: the same at the test set's rates. metrics: by name, as gates judge them.
    speeds: on each listed machine it was measured (or assumed) on; empty for a remote API. api_per_answer: a remote's
    quoted price. per_answer: other variable costs by name (licence, network, review, support, liability ...).
    monthly: fixed costs by name (licence, storage ...). training: money per training, spread over
    `VerdictPlan.training_months`. point_worth: value of one more point of the metric, per answer.
    """

    name: str
    value: Estimate
    metrics: Mapping[str, Quantity] = field(default_factory=dict)
    speeds: tuple[Speed, ...] = ()
    value_at_test_rates: Estimate | None = None
    latency_ms_p95: Quantity | None = None
    api_per_answer: Driver | None = None
    per_answer: Mapping[str, Driver] = field(default_factory=dict)
    monthly: Mapping[str, Driver] = field(default_factory=dict)
    training: Driver | None = None
    point_worth: Estimate | None = None
    still_improving: bool = False


@dataclass(frozen=True)
class Alternative:
    """What the customer could do instead: its value and its price per answer."""

    name: str
    value: Estimate | Driver
    price: Driver = field(default_factory=lambda: Driver.of(0.0))


@dataclass(frozen=True)
class Payment:
    """What being paid costs: a percentage of the price, and a fixed fee an invoice."""

    percentage: float = 0.0
    fixed: float = 0.0
    answers_per_invoice: float = math.inf

    @property
    def fixed_per_answer(self) -> float:
        """The fixed fee's share in one answer."""
        return self.fixed / self.answers_per_invoice


@dataclass(frozen=True)
class Asked:
    """What people said of prices, as a demand curve in money per answer: intercept and slope, and draws of both.

    The part of the people who would ever buy moves no best price. per_answer: what a customer costs besides answers
    (support, the invoice's fee), spread over the answers of one.
    """

    intercept: float
    slope: float
    drawn: tuple[Floats, Floats]
    per_answer: float = 0.0


@dataclass(frozen=True)
class VerdictPlan:
    """What was declared. `answers_per_month` None: no demand, so `utilization` (0 .. 1) stands in for whole machines.

    price: per answer, None to have one recommended. constant_value: the value of the best constant answer, which the
    customer can have for nothing. objective: what ranks the candidates that are within the gates and pay.
    """

    machines: tuple[Machine, ...]
    currency: str = "USD"
    answers_per_month: Estimate | Driver | None = None
    peak_factor: Driver = field(default_factory=lambda: Driver.of(3.0, "peak to mean", "assumed"))
    utilization: Driver = field(default_factory=lambda: Driver.of(0.3, "share", "assumed"))
    price: Driver | None = None
    gates: tuple[Gate, ...] = ()
    metric: str = "accuracy"
    constant_value: Estimate | None = None
    alternatives: tuple[Alternative, ...] = ()
    switching_per_answer: Driver = field(default_factory=lambda: Driver.of(0.0))
    payment: Payment = field(default_factory=Payment)
    price_share: float = 0.5
    minimum_machines: int = 1
    training_months: float = 36.0
    objective: Objective = "value_minus_cost"
    seed: int = 0
    asked: Asked | None = None
