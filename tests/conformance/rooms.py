"""A candidate of any task from rows to an opened package, without stages, as the conformance suite needs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from breakeven import models
from breakeven.errors import Finding
from breakeven.packaging.package import Package, build, open_package
from breakeven.task import Cases, Task


@dataclass
class Training:
    """The smallest TrainContext."""

    folder: Path
    checkpoints: Path
    cache: Path
    example: Any
    seed: int = 0
    threads: int = 1
    budget_seconds: float | None = None
    findings: list[Finding] = field(default_factory=list)

    def need(self, candidate: str) -> Path:
        raise AssertionError("no candidate of the suite needs another")

    def shared(self, key: Mapping[str, Any], build: Callable[[Path], None]) -> Path:
        place = self.cache / "shared"
        place.mkdir(parents=True, exist_ok=True)
        build(place)
        return place

    def progress(self, done: float, total: float, **figures: float) -> None:
        assert 0 <= done <= total

    def find(self, finding: Finding) -> None:
        self.findings.append(finding)


@dataclass(frozen=True)
class Entry:
    """A row of the suite: a task, one of its models, the model's options, and rows to learn from."""

    task: Task
    model: str
    rows: tuple[tuple[Any, Any], ...]
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def cases(self) -> Cases:
        return Cases([str(i) for i in range(len(self.rows))], [x for x, _ in self.rows], [y for _, y in self.rows])

    def package(self, root: Path) -> Package:
        """Fit, package, open."""
        cases, trained = self.cases, root / "trained"
        trained.mkdir()
        model = models.create(self.task, self.model, self.options)
        model.fit(cases, cases, Training(trained, root / "checkpoints", root / "cache", cases.inputs[0]))
        folder = root / "package"
        folder.mkdir()
        build(
            model, trained=trained, folder=folder, candidate="one", model_name=self.model, facts=self.task.facts(cases),
            chain=None, cases=cases, task=self.task, seconds=0.05,
        )  # fmt: skip
        return open_package(folder, task=self.task)
