"""How long a run trains and how its learning rate moves: fixed once before the first step, then followed exactly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

Limit = Literal["epochs", "budget", "steps"]
MEASURED_STEPS = 4  # steps that are timed, and undone, before the plan is made
CHECKPOINT_SECONDS = 30.0  # what a kill may cost
EVALUATION_SHARE = 0.15  # of a time budget, at most, goes into looking at validation rows


@dataclass(frozen=True)
class Speed:
    """What the warm-up measured, in seconds."""

    per_token: float
    per_evaluation: float
    spent: float


@dataclass(frozen=True)
class Plan:
    """A run before its first step. `limited_by` says what ends it if nothing stops it earlier."""

    steps: int
    warmup_steps: int
    evaluate_at: tuple[int, ...]
    checkpoint_every: int
    limited_by: Limit
    precision: str
    device: str
    threads: int
    seed: int
    key: str
    versions: dict[str, str]
    speed: dict[str, float]

    def as_json(self) -> dict[str, Any]:
        """The plan as it is kept beside the checkpoints."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Plan:
        """The inverse of `as_json`."""
        return cls(**{**data, "evaluate_at": tuple(data["evaluate_at"])})


def affordable(step_tokens: Sequence[int], speed: Speed, budget_seconds: float | None, evaluations: int) -> int:
    """Steps of a run that fit into the budget after what was spent and what the evaluations will take; at least one."""
    if budget_seconds is None:
        return len(step_tokens)
    left = 0.97 * budget_seconds - speed.spent - evaluations * speed.per_evaluation
    for done, tokens in enumerate(step_tokens):
        left -= tokens * speed.per_token
        if left < 0:
            return max(done, 1)
    return len(step_tokens)


def evaluation_count(epochs: float, speed: Speed, budget_seconds: float | None) -> int:
    """Looks at the validation rows: two an epoch, at least four a run, within their share of the budget."""
    wanted = max(4, round(2 * epochs))
    if budget_seconds is None or speed.per_evaluation <= 0:
        return wanted
    return max(1, min(wanted, int(EVALUATION_SHARE * budget_seconds / speed.per_evaluation)))


def evaluation_steps(steps: int, count: int) -> tuple[int, ...]:
    """Evenly spread steps after which validation rows are judged; the last step is one of them."""
    return tuple(sorted({max(1, round(steps * (number + 1) / count)) for number in range(count)}))


def warmup_steps(steps: int, share: float) -> int:
    """Steps over which the rate rises: the share, but not fewer than ten (a third of a short run).

    Adam's first step moves every weight by the full rate, whatever its gradient: at its peak that wrecks a good start.
    """
    return max(1, round(share * steps), min(10, steps // 3) if share else 0)


def rate(step: int, plan: Plan, peak: float) -> float:
    """The learning rate of a step (from 0): linear up over the warm-up, then linear down to zero at the end."""
    if step < plan.warmup_steps:
        return peak * (step + 1) / plan.warmup_steps
    return peak * max(plan.steps - step, 0) / max(plan.steps - plan.warmup_steps, 1)
