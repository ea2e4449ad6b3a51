"""What the verdict says, as data: of every candidate, of the choice, and of the closest rival.

Money is per 1,000 answers unless a name says otherwise. `decide` is a pure function of measured facts and a plan.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from breakeven.economics.costing import MachineUse, World, unit
from breakeven.economics.facts import CandidateFacts, VerdictPlan
from breakeven.economics.gates import GateResult
from breakeven.economics.machines import Volumes
from breakeven.errors import Finding
from breakeven.quantity import Quantity


@dataclass(frozen=True)
class Change:
    """One thing that would have to change for a candidate to pay: kind price | volume | metric | gate, and to what."""

    kind: str
    candidate: str
    found: float | None
    needed: float
    unit: str

    def as_json(self) -> dict[str, Any]:
        """As `verdict.json` carries it."""
        return {
            "kind": self.kind,
            "candidate": self.candidate,
            "found": self.found,
            "needed": self.needed,
            "unit": self.unit,
        }


OF_COST = (
    "marginal_per_1000",
    "at_volume_per_1000",
    "floor_per_1000",
    "recommended_per_1000",
    "contribution_per_month",
    "surplus_per_month",
)


@dataclass(frozen=True)
class CandidateVerdict:
    """Everything the verdict says of one candidate; money per 1,000 answers unless the name says otherwise."""

    name: str
    value_per_1000: Quantity
    value_at_test_rates_per_1000: Quantity
    marginal_per_1000: Quantity
    at_volume_per_1000: Quantity
    cost_parts: Mapping[str, Quantity]
    machine: MachineUse | None
    latency_ms_p95: Quantity | None
    floor_per_1000: Quantity
    ceiling_per_1000: Quantity
    recommended_per_1000: Quantity
    contribution_per_month: Quantity | None
    surplus_per_month: Quantity | None
    probability_best: float
    probability_pays: float
    point_worth_per_month: Quantity | None
    point_worth_at_our_share_per_month: Quantity | None
    break_even_answers: Volumes
    gates: tuple[GateResult, ...]
    within_gates: bool
    pays: bool
    why_not: Finding | None
    changes: tuple[Change, ...]
    still_improving: bool

    def as_json(self) -> dict[str, Any]:
        """The economic part of a candidate's entry in `verdict.json`."""
        data: dict[str, Any] = {}
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            data[name] = value.as_json() if hasattr(value, "as_json") else value
        data["cost_parts"] = {name: part.as_json() for name, part in self.cost_parts.items()}
        data["gates"] = [gate.as_json() for gate in self.gates]
        data["changes"] = [change.as_json() for change in self.changes]
        data["why_not"] = None if self.why_not is None else str(self.why_not)
        data["why_not_code"] = None if self.why_not is None else self.why_not.code
        data["why_not_fields"] = None if self.why_not is None else dict(self.why_not.fields)
        if self.machine is None and "api" not in self.cost_parts:
            data |= dict.fromkeys(OF_COST)  # nothing serves it: its cost is unknown, not nothing
        del data["name"]
        return data


@dataclass(frozen=True)
class Margin:
    """The chosen candidate against its strongest rival (usually a bigger one), per 1,000 answers.

    pays_from: the monthly volumes at which the rival would be the better choice. pays_at_metric: the rival's metric at
    which it would.
    """

    rival: str
    metric_points: float | None
    value_more: Quantity
    cost_more: Quantity
    pays_from: Volumes
    pays_at_metric: float | None
    probability_chosen_ahead: float

    def as_json(self) -> dict[str, Any]:
        """As `verdict.json` carries it."""
        return {
            "rival": self.rival,
            "metric_points": self.metric_points,
            "value_more_per_1000": self.value_more.as_json(),
            "cost_more_per_1000": self.cost_more.as_json(),
            "pays_from": self.pays_from.as_json(),
            "pays_at_metric": self.pays_at_metric,
            "probability_chosen_ahead": self.probability_chosen_ahead,
        }


@dataclass(frozen=True)
class Verdict:
    """The answer. `chosen` None: none pays, and `changes` of each candidate say what would have to change.

    chosen_value_corrected_per_1000: the winner's value less what choosing the best of several on one test set flatters.
    """

    basis: Literal["price", "value_minus_cost"]
    currency: str
    candidates: Mapping[str, CandidateVerdict]
    chosen: str | None
    chosen_by_other_objective: str | None
    probability_none: float
    chosen_value_corrected_per_1000: float | None
    margin: Margin | None
    price_per_1000: Quantity | None
    answers_per_month: Quantity | None
    peak_factor: Quantity
    sentence: Finding
    findings: tuple[Finding, ...]

    def as_json(self) -> dict[str, Any]:
        """The economic part of `verdict.json`."""
        return {
            "basis": self.basis,
            "currency": self.currency,
            "chosen": self.chosen,
            "chosen_by_other_objective": self.chosen_by_other_objective,
            "probability_none": self.probability_none,
            "chosen_value_corrected_per_1000": self.chosen_value_corrected_per_1000,
            "margin": self.margin.as_json() if self.margin else None,
            "price": {"declared": self.price_per_1000.as_json() if self.price_per_1000 else None},
            "demand": {
                "answers_per_month": self.answers_per_month.as_json() if self.answers_per_month else None,
                "peak_factor": self.peak_factor.as_json(),
            },
            "candidates": {name: candidate.as_json() for name, candidate in self.candidates.items()},
            "sentence": {"code": self.sentence.code, "fields": dict(self.sentence.fields), "text": str(self.sentence)},
            "findings": [finding.as_json() for finding in self.findings],
        }


def decide(candidates: Mapping[str, CandidateFacts], plan: VerdictPlan) -> Verdict:
    """The verdict over measured candidates under a declared plan. At least one candidate; draws of equal length."""
    from breakeven.economics import choice

    sizes = {len(facts.value.draws) for facts in candidates.values()}
    if len(sizes) != 1:
        raise ValueError(f"candidates need the same number of paired draws; found {sorted(sizes)}")
    world = World.of(plan, sizes.pop())
    made = {name: unit(facts, world) for name, facts in candidates.items()}
    return choice.choose(made, world)
