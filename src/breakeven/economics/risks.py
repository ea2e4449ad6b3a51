"""The risk register: what each risk and each mitigation does to NPV and to ruin, inside the simulation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from breakeven.economics.drivers import Driver
from breakeven.economics.paths import simulate_block
from breakeven.economics.plan import BusinessPlan
from breakeven.economics.sampling import BLOCK, Sampler
from breakeven.economics.sections import Mitigation, Risk
from breakeven.economics.simulation import tables
from breakeven.errors import Finding


@dataclass(frozen=True)
class Effect:
    """A change on the same random numbers: of the expected NPV (money) and of the probability of ruin."""

    npv: float
    npv_error: float
    ruin: float

    def as_json(self) -> dict[str, float]:
        """As plan.json carries it."""
        return {"npv": self.npv, "npv_error": self.npv_error, "ruin": self.ruin}


@dataclass(frozen=True)
class Priced:
    """A mitigation with what it is worth, its own cost paid: `pays` where it raises the expected NPV."""

    name: str
    effect: Effect
    chosen: bool

    @property
    def pays(self) -> bool:
        """Whether it earns more than it costs."""
        return self.effect.npv > 0.0


@dataclass(frozen=True)
class Entry:
    """A risk with its damage as the plan stands (residual: after the mitigations that were chosen), and each
    mitigation: chosen ones against leaving them out, open ones against adding them."""

    name: str
    likelihood: float
    owner: str | None
    source: str | None
    residual: Effect
    mitigations: tuple[Priced, ...]
    counted: bool = True  # False: a finding suggests it, and the plan is simulated without it

    def as_json(self) -> dict[str, Any]:
        """As plan.json carries it."""
        return {
            "name": self.name,
            "likelihood": self.likelihood,
            "owner": self.owner,
            "source": self.source,
            "counted": self.counted,
            "residual": self.residual.as_json(),
            "mitigations": [
                {"name": item.name, "chosen": item.chosen, "pays": item.pays, **item.effect.as_json()}
                for item in self.mitigations
            ],
        }


def register(
    plan: BusinessPlan, *, suggested: Sequence[Risk] = (), seed: int = 0, scenarios: int = 4096
) -> list[Entry]:
    """Every risk of a plan, and what suggested ones would do to it, the most expensive first."""
    now = _outcomes(plan, seed, scenarios)
    entries = []
    for risk in plan.risks:
        without = _outcomes(_with(plan, risk.name, None), seed, scenarios)
        priced = tuple(
            _priced(plan, risk, mitigation, now, seed=seed, scenarios=scenarios) for mitigation in risk.mitigations
        )
        entries.append(Entry(risk.name, risk.likelihood.mean, risk.owner, risk.source, _effect(now, without), priced))
    for risk in uncovered(plan, suggested):
        struck = _outcomes(plan.model_copy(update={"risks": [*plan.risks, risk]}), seed, scenarios)
        effect = _effect(struck, now)
        entries.append(Entry(risk.name, risk.likelihood.mean, None, risk.source, effect, (), counted=False))
    return sorted(entries, key=lambda entry: entry.residual.npv)


def uncovered(plan: BusinessPlan, suggested: Sequence[Risk]) -> list[Risk]:
    """The suggested risks that the plan does not state itself, by name or by source."""
    known = {risk.name for risk in plan.risks} | {risk.source for risk in plan.risks}
    return [risk for risk in suggested if risk.name not in known and risk.source not in known]


def _priced(
    plan: BusinessPlan, risk: Risk, mitigation: Mitigation, now: Mapping[str, Any], *, seed: int, scenarios: int
) -> Priced:
    flipped = mitigation.model_copy(update={"chosen": not mitigation.chosen})
    others = [flipped if item.name == mitigation.name else item for item in risk.mitigations]
    other = _outcomes(_with(plan, risk.name, risk.model_copy(update={"mitigations": others})), seed, scenarios)
    pair = (now, other) if mitigation.chosen else (other, now)
    return Priced(mitigation.name, _effect(*pair), mitigation.chosen)


def _with(plan: BusinessPlan, name: str, risk: Risk | None) -> BusinessPlan:
    kept = [risk if item.name == name else item for item in plan.risks]
    return plan.model_copy(update={"risks": [item for item in kept if item is not None]})


def _effect(with_it: Mapping[str, Any], without: Mapping[str, Any]) -> Effect:
    change = with_it["worth"] - without["worth"]
    ruin = float(np.mean(np.isfinite(with_it["ruin_month"])) - np.mean(np.isfinite(without["ruin_month"])))
    return Effect(float(change.mean()), float(change.std() / np.sqrt(len(change))), ruin)


def _outcomes(plan: BusinessPlan, seed: int, scenarios: int) -> dict[str, Any]:
    sampler, priced = Sampler.of(plan, seed), tables(plan)
    parts = [simulate_block(plan, inputs, priced).outcomes for inputs in sampler.blocks(max(scenarios, BLOCK))]
    return {name: np.concatenate([part[name] for part in parts]) for name in ("worth", "ruin_month")}


# Findings of other stages that are business risks: likelihood within the plan and what it does. All assumed.
RAISED: dict[str, tuple[str, float, dict[str, float]]] = {
    "verdict-still-improving": ("rival trains longer", 0.1, {"new_customers": 0.8}),
    "gate-straddled": ("quality below its gate", 0.25, {"churn": 1.5}),
    "gate-straddled-speed": ("too slow for its gate", 0.25, {"churn": 1.3}),
    "drift": ("inputs drift away from the training data", 0.4, {"churn": 1.5, "new_customers": 0.8}),
    "single-supplier": ("the only supplier raises prices or leaves", 0.15, {"serving_cost": 2.0}),
    "rights-not-established": ("the owner of the data objects", 0.1, {"new_customers": 0.0, "churn": 2.0}),
    "licence-unknown": ("the owner of the weights objects", 0.1, {"new_customers": 0.0, "churn": 2.0}),
}


def raised(findings: Sequence[Finding]) -> list[Risk]:
    """Risks that findings of other stages suggest, one a code; their numbers are assumed, for the founder to judge."""
    found = {}
    for finding in findings:
        if finding.code in RAISED:
            name, likelihood, effect = RAISED[finding.code]
            found[finding.code] = Risk.model_validate(
                {
                    "name": name,
                    "likelihood": Driver.of(likelihood, origin="assumed"),
                    "effect": effect,
                    "source": f"{finding.stage or 'unknown'}: {finding.code}",
                }
            )
    return list(found.values())
