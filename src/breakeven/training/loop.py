"""The one training loop: any torch model, CPU or CUDA.

It times a few steps, undoes them, turns the time budget into a number of steps, keeps that plan beside the checkpoints
and then follows it exactly, through kills and resumes, to the same bits. Imported only inside functions.
"""

from __future__ import annotations

import contextlib
import math
import os
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from breakeven.artifacts import file_hash, fingerprint, read_json, write_json
from breakeven.errors import DataError, EnvironmentFault, Finding, IntegrityError, Place
from breakeven.task import TrainContext
from breakeven.training import allocator, batches, precision, schedule
from breakeven.training.checkpoints import Checkpoint, Checkpoints
from breakeven.training.optimiser import MasterAdamW
from breakeven.training.schedule import Plan, Speed

PLAN = "plan.json"
FORMAT = 2  # of what a checkpoint holds: names and kinds of tensors
LOWER_IS_BETTER = ("log_loss",)


class Learner(Protocol):
    """A model with its rows, as the loop sees it."""

    lengths: list[int]  # tokens a training row
    device: torch.device
    key: str  # fingerprint of rows, weights and settings: what a checkpoint must belong to
    faster: dict[str, float]  # parameters that learn at a multiple of the rate

    def named(self) -> dict[str, nn.Parameter]:
        """The parameters to train."""

    def start(self) -> dict[str, Tensor]:
        """The fp32 values that the parameters of `named` begin with."""

    def cast(self, kind: torch.dtype) -> None:
        """Computes in this float type from now on, from the starting values."""

    def loss(self, rows: list[int]) -> Tensor:
        """Mean loss over training rows; a scalar with a graph."""

    def train(self, on: bool) -> None:
        """Training behaviour (dropout) on or off."""

    def validate(self) -> dict[str, float]:
        """Figures over the validation rows, the metric among them."""


@dataclass(frozen=True)
class Options:
    """What decides a run beside the model and its rows."""

    epochs: float
    batch_tokens: int
    learning_rate: float
    weight_decay: float
    warmup: float
    patience: int
    metric: str = "macro_f1"
    clip: float = 1.0
    bf16: bool | None = None
    steps: int | None = None


@dataclass
class Outcome:
    """What a run came to."""

    plan: Plan
    steps: int
    stopped: str
    still_improving: bool
    best: dict[str, Any]
    history: list[dict[str, Any]]
    weights: dict[str, Tensor]
    earlier_seconds: float


@dataclass
class _State:
    """What changes from step to step beside weights, moments and random states."""

    step: int = 0
    loss_sum: float = 0.0
    loss_rows: int = 0
    without_gain: int = 0
    seconds: float = 0.0
    best: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)


def run(learner: Learner, options: Options, context: TrainContext, *, started: float) -> Outcome:
    """Trains to the end of the plan, of patience, or resumes there; the best step's weights are returned.

    `started`: `time.monotonic()` when the candidate's fit began; the budget counts from there.
    """
    torch.set_num_threads(context.threads)
    with memory_faults(options.batch_tokens), allocator.kept(allocator.glibc()):
        return _Run(learner, options, context, started).finish()


class _Run:
    """One run's parts, so that its steps read as sentences."""

    def __init__(self, learner: Learner, options: Options, context: TrainContext, started: float) -> None:
        self.learner, self.options, self.context, self.started = learner, options, context, started
        self.checkpoints = Checkpoints(context.checkpoints)
        self.rows = _all_batches(learner.lengths, options, context.seed)
        self.state = _State()
        self.plan, self.optimiser = self._prepare()
        self.earlier_seconds = 0.0
        self.checkpointed = 0

    def _prepare(self) -> tuple[Plan, MasterAdamW]:
        place = self.context.checkpoints / PLAN
        if place.is_file():
            plan = Plan.from_json(read_json(place))
            self._belongs(plan, place)
            self.learner.cast(getattr(torch, plan.precision))
            return plan, self._optimiser()
        torch.manual_seed(self.context.seed)
        kind, _ = precision.choose(self.options.bf16, self.learner.device, self._attempt)
        self.learner.cast(kind)
        optimiser = self._optimiser()
        plan = self._plan(optimiser, kind)
        write_json(place, plan.as_json())
        return plan, optimiser

    def _optimiser(self) -> MasterAdamW:
        learner = self.learner
        return MasterAdamW(
            learner.named(), learner.start(), weight_decay=self.options.weight_decay, faster=learner.faster
        )

    def _attempt(self, kind: torch.dtype) -> None:
        """A forward and backward pass over a third of a batch, for timing only."""
        self.learner.cast(kind)
        self.learner.loss(self.rows[0][: len(self.rows[0]) // 3 + 1]).backward()
        for parameter in self.learner.named().values():
            parameter.grad = None

    def _plan(self, optimiser: MasterAdamW, kind: torch.dtype) -> Plan:
        options, budget = self.options, self.context.budget_seconds
        speed = self._measure(optimiser)
        count = schedule.evaluation_count(options.epochs, speed, budget)
        tokens = [sum(self.learner.lengths[row] for row in rows) for rows in self.rows]
        steps = schedule.affordable(tokens, speed, budget, count)
        limited: schedule.Limit = "budget" if steps < len(self.rows) else "steps" if options.steps else "epochs"
        step_seconds = max(speed.per_token * sum(tokens) / len(tokens), 1e-6)
        return Plan(
            steps=steps,
            warmup_steps=schedule.warmup_steps(steps, options.warmup),
            evaluate_at=schedule.evaluation_steps(steps, count),
            checkpoint_every=max(1, int(schedule.CHECKPOINT_SECONDS / step_seconds)),
            limited_by=limited,
            precision=str(kind).removeprefix("torch."),
            device=self.learner.device.type,
            threads=self.context.threads,
            seed=self.context.seed,
            key=self._key(),
            versions={"torch": str(torch.__version__)},
            speed={
                "seconds_per_step": round(step_seconds, 6),
                "seconds_per_evaluation": round(speed.per_evaluation, 6),
            },
        )

    def _measure(self, optimiser: MasterAdamW) -> Speed:
        """Times whole steps on batches from all over the run, and one evaluation; then undoes them."""
        before = {name: value.clone() for name, value in optimiser.weights().items()}
        random = _random_state(self.learner.device)
        spread = [
            self.rows[int(number * len(self.rows) / schedule.MEASURED_STEPS)]
            for number in range(schedule.MEASURED_STEPS)
        ]
        self._step(optimiser, spread[0], 0.0)  # allocators and kernels settle
        paces = []
        for rows in spread:
            begun = time.monotonic()
            self._step(optimiser, rows, 0.0)
            paces.append((time.monotonic() - begun) / max(sum(self.learner.lengths[row] for row in rows), 1))
        per_token = statistics.median(paces)  # one step that a neighbour disturbed must not decide
        begun = time.monotonic()
        if self.context.budget_seconds is not None:
            self._validated()
        per_evaluation = time.monotonic() - begun
        optimiser.restore_weights(before)
        optimiser.restore_moments({})
        _set_random_state(random, self.learner.device)
        return Speed(per_token, per_evaluation, time.monotonic() - self.started)

    def _step(self, optimiser: MasterAdamW, rows: list[int], rate: float) -> float:
        self.learner.train(True)
        loss = self.learner.loss(rows)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise DataError("training-diverged", step=self.state.step, loss=str(value))
        loss.backward()
        optimiser.step(rate, clip=self.options.clip)
        return value

    def _validated(self) -> dict[str, float]:
        self.learner.train(False)
        with torch.inference_mode():
            return self.learner.validate()

    def _key(self) -> str:
        relevant = {name: value for name, value in self.options.__dict__.items() if name not in ("bf16",)}
        return fingerprint(
            {"format": FORMAT, "learner": self.learner.key, "options": relevant, "seed": self.context.seed}
        )

    def _belongs(self, plan: Plan, place: Path) -> None:
        if plan.key != self._key():
            raise IntegrityError("checkpoint-other-run", at=Place(file=str(place)))
        here = {"threads": self.context.threads, "device": self.learner.device.type, "torch": str(torch.__version__)}
        there = {"threads": plan.threads, "device": plan.device, "torch": plan.versions.get("torch")}
        changed = [f"{name} {there[name]} -> {here[name]}" for name in here if here[name] != there[name]]
        if changed:
            self.context.find(Finding("resumed-elsewhere", "warning", "train", None, {"changed": ", ".join(changed)}))

    def finish(self) -> Outcome:
        """Resumes where a checkpoint stands, trains to the end, and gives the best weights."""
        self._resume(self.checkpoints.newest())
        begun, first = time.monotonic(), self.state.step
        while self.state.step < self.plan.steps and not self._out_of_patience():
            self._advance()
            self._show(begun, first)
        return self._outcome()

    def _advance(self) -> None:
        state, plan = self.state, self.plan
        rows = self.rows[state.step]
        loss = self._step(self.optimiser, rows, schedule.rate(state.step, plan, self.options.learning_rate))
        state.step += 1
        state.loss_sum += loss * len(rows)
        state.loss_rows += len(rows)
        if state.step in plan.evaluate_at:
            self._judge()
        if state.step - self.checkpointed >= plan.checkpoint_every:
            self._save()

    def _judge(self) -> None:
        """Looks at the validation rows and keeps the weights if they are the best so far."""
        state = self.state
        figures = self._validated()
        score = figures[self.options.metric] * (-1 if self.options.metric in LOWER_IS_BETTER else 1)
        gained = not state.best or score > state.best["score"]
        state.history.append({"step": state.step, "loss": state.loss_sum / max(state.loss_rows, 1), **figures})
        state.loss_sum, state.loss_rows = 0.0, 0
        state.without_gain = 0 if gained else state.without_gain + 1
        if gained:
            state.best = {"step": state.step, "score": score, **self._keep_best()}

    def _keep_best(self) -> dict[str, str]:
        from safetensors.torch import save_file

        name = f"best-{self.state.step:09d}.safetensors"
        place = self.context.checkpoints / name
        aside = place.with_name(f".{name}.{os.getpid()}")
        try:
            save_file({key: value.contiguous() for key, value in self.optimiser.weights().items()}, aside)
            os.replace(aside, place)
        except OSError as error:
            raise EnvironmentFault("file-unwritable", at=Place(file=str(place)), reason=str(error)) from error
        return {"file": name, "sha256": file_hash(place)}

    def _out_of_patience(self) -> bool:
        return self.state.without_gain >= self.options.patience

    def _save(self) -> None:
        state = self.state
        state.seconds = self.earlier_seconds + time.monotonic() - self.started
        tensors = {f"weights/{name}": value for name, value in self.optimiser.weights().items()}
        tensors |= {f"adam/{name}": value for name, value in self.optimiser.moments().items()}
        tensors |= {f"random/{name}": value for name, value in _random_state(self.learner.device).items()}
        self.checkpoints.save(state.step, tensors, dict(state.__dict__))
        self.checkpointed = state.step
        for old in self.context.checkpoints.glob("best-*.safetensors"):
            if state.best and old.name != state.best["file"]:
                old.unlink(missing_ok=True)

    def _resume(self, found: Checkpoint | None) -> None:
        if found is None:
            torch.manual_seed(self.context.seed)
            return
        self.state = _State(**found.facts)
        self.earlier_seconds, self.checkpointed = self.state.seconds, found.step

        def part(kind: str) -> dict[str, Tensor]:
            return {
                name.partition("/")[2]: value for name, value in found.tensors.items() if name.startswith(f"{kind}/")
            }

        self.optimiser.restore_weights(part("weights"))
        self.optimiser.restore_moments(part("adam"))
        _set_random_state(part("random"), self.learner.device)
        self.context.find(Finding("resumed", "info", "train", None, {"step": found.step, "steps": self.plan.steps}))

    def _show(self, begun: float, first: int) -> None:
        state = self.state
        pace = (time.monotonic() - begun) / max(state.step - first, 1)
        figures = {"loss": state.loss_sum / state.loss_rows} if state.loss_rows else {"loss": state.history[-1]["loss"]}
        self.context.progress(
            state.step, self.plan.steps, seconds_left=pace * (self.plan.steps - state.step), **figures
        )

    def _outcome(self) -> Outcome:
        from safetensors.torch import load_file

        state, plan = self.state, self.plan
        place = self.context.checkpoints / state.best["file"]
        if not place.is_file() or file_hash(place) != state.best["sha256"]:
            raise IntegrityError(
                "checkpoints-corrupt", at=Place(file=str(place)), count=1, reason="the best weights changed"
            )
        early = self._out_of_patience() and state.step < plan.steps
        stopped = "converged" if early else "budget" if plan.limited_by == "budget" else "epochs"
        improving = stopped == "budget" and state.best["step"] == state.history[-1]["step"]
        return Outcome(
            plan, state.step, stopped, improving, state.best, state.history, load_file(place), self.earlier_seconds
        )


def _all_batches(lengths: list[int], options: Options, seed: int) -> list[list[int]]:
    """Every batch of the run in order; a fraction of an epoch is the first part of its batches."""
    found: list[list[int]] = []
    for number in range(math.ceil(options.epochs)):
        part = batches.epoch(lengths, options.batch_tokens, seed=seed, number=number)
        found += part[: max(1, round(len(part) * min(1.0, options.epochs - number)))]
    return found[: options.steps] if options.steps else found


def _random_state(device: torch.device) -> dict[str, Tensor]:
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def _set_random_state(state: dict[str, Tensor], device: torch.device) -> None:
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)


@contextlib.contextmanager
def memory_faults(batch_tokens: int) -> Iterator[None]:
    """Turns the several ways of running out of memory into one EnvironmentFault that says what to change."""
    try:
        yield
    except (MemoryError, torch.OutOfMemoryError) as error:
        raise _too_little(batch_tokens) from error
    except RuntimeError as error:
        if "can't allocate memory" in str(error) or "out of memory" in str(error).lower():
            raise _too_little(batch_tokens) from error
        raise


def _too_little(batch_tokens: int) -> EnvironmentFault:
    return EnvironmentFault("out-of-memory", batch_tokens=batch_tokens, smaller=max(batch_tokens // 2, 16))
