"""train: one step a candidate. Reads processed rows, applies the transforms that requests will get, fits, and records
what training took. It names no model; the task's table does."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, create_model, model_validator

from breakeven import models
from breakeven.artifacts import now, read_json, write_json
from breakeven.errors import DataError, Finding, IntegrityError, Place
from breakeven.pipeline import Context, Setup, Stage, Step
from breakeven.task import Cases, Model, Task
from breakeven.training.weights import cache_folder

if TYPE_CHECKING:
    from breakeven.config import Document

FORMAT = 1
VERSION = 1
RECORD = "training.json"
FINISHED = "finished.json"
ASSUMED_ROWS = 10_000


class Candidate(BaseModel):
    """One way to solve the task: a name, a model of the task's table, and that model's own keys."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$", description="Small letters, digits, . _ -")
    model: str = Field(description="A model that the task knows; its own settings stand beside this key")

    def options(self) -> dict[str, Any]:
        """The model's own keys as they stand in the file."""
        return dict(self.model_extra or {})


class Budget(BaseModel):
    """Time for training, divided among the candidates that train by steps."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    minutes: float | None = Field(
        20.0, gt=0, le=100_000, description="Wall minutes for all such candidates; null: no limit"
    )
    shares: dict[str, float] = Field(
        default_factory=dict, description="Weight of a candidate in the division; default 1"
    )

    @model_validator(mode="after")
    def _positive(self) -> Budget:
        if any(share <= 0 for share in self.shares.values()):
            raise ValueError("shares above 0")
        return self


class Settings(BaseModel):
    """The train section."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    candidates: tuple[Candidate, ...] = Field(
        (Candidate(name="majority", model="majority"), Candidate(name="linear", model="linear")),
        min_length=1,
        description="The ladder, the cheapest first",
    )
    budget: Budget = Field(default_factory=Budget)
    seed: int | None = Field(None, ge=0, lt=2**32, description="Seed of training; default: the project's")
    threads: int | None = Field(None, ge=1, le=1024, description="CPU threads; default: all cores this process may use")

    @model_validator(mode="after")
    def _distinct(self) -> Settings:
        names = [candidate.name for candidate in self.candidates]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"names used once; used twice: {', '.join(twice)}")
        unknown = sorted(set(self.budget.shares) - set(names))
        if unknown:
            raise ValueError(f"shares of declared candidates; unknown: {', '.join(unknown)}")
        return self


@dataclass
class Training:
    """What `Model.fit` is given beside its rows (the task's TrainContext)."""

    context: Context
    folder: Path
    checkpoints: Path
    cache: Path
    seed: int
    threads: int
    budget_seconds: float | None
    example: Any

    def need(self, candidate: str) -> Path:
        """The trained folder of another candidate this one names."""
        return self.context.need(f"train/{candidate}")

    def shared(self, key: Mapping[str, Any], build: Callable[[Path], None]) -> Path:
        """A shared artifact, built once per key."""
        return self.context.shared(key, build)

    def progress(self, done: float, total: float, **figures: float) -> None:
        """Passed on to whoever watches the run."""
        self.context.progress.update(self.context.step.name, done, total, figures)

    def find(self, finding: Finding) -> None:
        """Kept with the artifact."""
        self.context.find(finding)


def check_options(candidate: Candidate, model: type[Model], document: Document, at: tuple[str | int, ...]) -> None:
    """Checks a candidate's own keys against its model's settings; an error carries file, line and column."""
    both: Any = create_model(f"{model.__name__}Candidate", __base__=model.settings, name=(str, ...), model=(str, ...))
    if document.get(*at) is not None:
        document.validate(both, at)


def model_of(task: Task, candidate: Candidate) -> Model:
    """The candidate's model with its checked settings."""
    return models.create(
        task, candidate.model, candidate.options(), at=Place(field=f"train.candidates.{candidate.name}")
    )


def budgets(settings: Settings, built: Mapping[str, Model]) -> dict[str, float | None]:
    """Seconds by candidate: the minutes divided by share among those that train by steps, None for the others."""
    weights = {name: settings.budget.shares.get(name, 1.0) for name, model in built.items() if model.trains_by_steps()}
    total = sum(weights.values())
    minutes = settings.budget.minutes
    return {
        name: None if minutes is None or name not in weights else round(60 * minutes * weights[name] / total, 3)
        for name in built
    }


def steps(setup: Setup) -> list[Step]:
    """One step a candidate."""
    settings: Settings = setup.config.train
    built = {candidate.name: model_of(setup.task, candidate) for candidate in settings.candidates}
    seconds = budgets(settings, built)
    return [
        _step(setup, candidate, built[candidate.name], seconds[candidate.name]) for candidate in settings.candidates
    ]


def _step(setup: Setup, candidate: Candidate, model: Model, budget_seconds: float | None) -> Step:
    settings: Settings = setup.config.train
    entry = setup.task.model(candidate.model)
    name = f"train.{candidate.name}"
    read = {
        "product.task": f"{setup.task.name} v{setup.task.version}",
        "collect.fields": fields_of(setup),
        f"{name}.model": f"{candidate.model} v{entry.version}",
        f"{name}.options": model.options.model_dump(mode="json"),
        f"{name}.budget_seconds": budget_seconds,
        "train.seed": _seed(setup),
        "train.threads": settings.threads,
    }
    needs = ("process", *(f"train/{other}" for other in model.needs()))

    def run(context: Context) -> None:
        _run(context, candidate, model, budget_seconds)

    return Step(f"train/{candidate.name}", VERSION, run, settings=read, needs=needs)


def fields_of(setup: Setup) -> dict[str, Any]:
    """Field names by role, as the file gives them."""
    fields = setup.config.collect.fields
    return dict(fields) if isinstance(fields, Mapping) else dict(fields.roles())


def _seed(setup: Setup) -> int:
    seed: int | None = setup.config.train.seed
    return setup.seed if seed is None else seed


def _run(context: Context, candidate: Candidate, model: Model, budget_seconds: float | None) -> None:
    setup, started, used = context.setup, time.monotonic(), time.process_time()
    train, validation = rows(context)
    digest = context.fingerprint
    checkpoints = context.store.checkpoints(context.step.name, digest)
    _sweep(context)
    training = Training(
        context,
        context.folder,
        checkpoints,
        cache_folder(),
        _seed(setup),
        threads(setup),
        budget_seconds,
        train.inputs[0],
    )
    record = model.fit(train, validation, training)
    write_json(
        context.folder / RECORD, _record(candidate, record, time.monotonic() - started, time.process_time() - used)
    )
    if record.get("still_improving"):
        context.find(
            Finding(
                "still-improving",
                "warning",
                "train",
                candidate.name,
                {"candidate": candidate.name, "seconds": budget_seconds, "steps": record.get("steps")},
            )
        )
    if checkpoints.is_dir():
        write_json(checkpoints / FINISHED, {"step": context.step.name, "fingerprint": digest, "at": now()})


def _record(candidate: Candidate, record: Mapping[str, Any], seconds: float, cpu_seconds: float) -> dict[str, Any]:
    """training.json; time spent before a kill counts, money was paid for it too."""
    earlier = float(record.get("earlier_seconds", 0.0))
    defaults: dict[str, Any] = {
        "steps": 0,
        "stopped": None,
        "still_improving": False,
        "validation": {},
        "history": [],
        "base": None,
        "parameters": 0,
    }
    return {
        "format": FORMAT,
        "candidate": candidate.name,
        "model": candidate.model,
        **defaults,
        **record,
        "seconds": round(seconds + earlier, 3),
        "machine_seconds": round(seconds + earlier, 3),
        "cpu_seconds": round(cpu_seconds, 3),
        "hardware": hardware(),
        "versions": package_versions(),
    }


def rows(context: Context) -> tuple[Cases, Cases]:
    """(training cases, validation cases) after the transforms; too few to learn from is a DataError."""
    from breakeven.data.cases import Split, load_cases
    from breakeven.transforms import Chain

    setup, folder = context.setup, context.need("process")
    chain = Chain.from_json(read_json(folder / "transforms.json"))
    parts = []
    splits: tuple[Split, ...] = ("train", "validation")
    for split in splits:
        part = load_cases(folder, setup.task, fields_of(setup), split)
        if not len(part):
            raise DataError("train-no-rows", split=split)
        part.inputs = list(chain.apply(setup.task, part.inputs))
        parts.append(part)
    return parts[0], parts[1]


def _sweep(context: Context) -> None:
    """Removes checkpoints of fits whose artifact has been committed since; nothing else ever deletes one."""
    area = context.store.root / "checkpoints"
    for mark in area.glob(f"*/{FINISHED}"):
        done = read_json(mark)
        manifest = context.store.manifest(str(done["step"]))
        if manifest is not None and manifest.fingerprint == done["fingerprint"]:
            shutil.rmtree(mark.parent, ignore_errors=True)


def threads(setup: Setup) -> int:
    """Threads to train with: declared, else every core this process may use."""
    declared: int | None = setup.config.train.threads
    return declared or available_cores()


def available_cores() -> int:
    """Cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def hardware() -> dict[str, Any]:
    """What the training ran on, as far as it can be told without a framework."""
    import platform

    import psutil

    return {
        "machine": platform.machine(),
        "system": platform.system(),
        "cores": available_cores(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
    }


def package_versions() -> dict[str, str]:
    """Versions of the packages that decide a trained model's bits, those that are installed."""
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for name in ("breakeven", "numpy", "scikit-learn", "torch", "transformers", "tokenizers", "peft"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def estimate(setup: Setup) -> list[dict[str, Any]]:
    """Minutes, memory, downloads and money a candidate would take, before anything starts."""
    settings: Settings = setup.config.train
    built = {candidate.name: model_of(setup.task, candidate) for candidate in settings.candidates}
    seconds, count = budgets(settings, built), expected_rows(setup)
    found = []
    for name, model in built.items():
        row: dict[str, Any] = {"step": f"train/{name}", **model.estimate(count)}
        limit = seconds[name]
        if limit is not None:
            row["minutes"] = min(row["minutes"], limit / 60)
        found.append(row)
    return found


def expected_rows(setup: Setup) -> int:
    """Training rows: counted where the rows were processed before, else the declared limit, else an assumption."""
    report = setup.root / setup.area / "process" / "report.json"
    if report.is_file():
        with contextlib.suppress(IntegrityError):  # the plan says so
            return int(read_json(report).get("splits", {}).get("train", ASSUMED_ROWS))
    limit = getattr(setup.config.collect, "limit", None)
    return int(limit * 0.7) if limit else ASSUMED_ROWS


STAGE = Stage("train", Settings, steps, estimate)
