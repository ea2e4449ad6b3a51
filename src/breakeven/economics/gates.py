"""Gates: a declared limit, judged on the unsafe end of an interval or on the point."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from breakeven.quantity import Quantity

Passes = Literal["yes", "no", "cannot_tell"]
FEWEST_CASES = 30


@dataclass(frozen=True)
class Gate:
    """`name` is a metric, latency_ms_p95, memory_mb, marginal_per_1000 or cost_per_1000 (at volume)."""

    name: str
    kind: Literal["min", "max"]
    limit: float
    judged: Literal["bound", "point"] = "bound"


@dataclass(frozen=True)
class GateResult:
    """How a gate was judged. cases_needed: about how many test cases would let the bound pass at the same point."""

    gate: Gate
    found: Quantity | None
    passes: Passes
    cases_needed: int | None = None

    def as_json(self) -> dict[str, Any]:
        """As `verdict.json` carries it."""
        return {
            "gate": self.gate.name,
            "limit": self.gate.limit,
            "kind": self.gate.kind,
            "judged": self.gate.judged,
            "found": self.found.as_json() if self.found else None,
            "passes": self.passes,
            "cases_needed": self.cases_needed,
        }


def judge(gate: Gate, found: Quantity | None) -> GateResult:
    """Whether a gate lets `found` through. Nothing measured, or too few cases to bound it, cannot be told."""
    if found is None or (
        found.n is not None and found.n < FEWEST_CASES and found.origin == "measured" and gate.judged == "bound"
    ):
        return GateResult(gate, found, "cannot_tell")
    sign = 1.0 if gate.kind == "min" else -1.0
    unsafe = found.low if gate.kind == "min" else found.high
    if gate.judged == "point" or (unsafe is None and found.origin != "measured"):
        return GateResult(gate, found, "yes" if sign * (found.value - gate.limit) >= 0.0 else "no")
    if unsafe is None:
        return GateResult(gate, found, "cannot_tell")
    if sign * (unsafe - gate.limit) >= 0.0:
        return GateResult(gate, found, "yes")
    return GateResult(gate, found, "no", _cases_needed(found, unsafe, gate.limit, sign))


def _cases_needed(found: Quantity, unsafe: float, limit: float, sign: float) -> int | None:
    """An interval shrinks with the root of the cases; None where the point itself does not pass."""
    room = sign * (found.value - limit)
    if room <= 0.0 or found.n is None:
        return None
    return round(found.n * ((found.value - unsafe) / room) ** 2)
