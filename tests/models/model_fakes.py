"""A task at the seam (classification of plain strings) and a training context that keeps a list."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from breakeven.task import Cases


def classification_facts(train: Cases) -> dict[str, Any]:
    labels = sorted(set(train.targets or []))
    counts = {label: (train.targets or []).count(label) for label in labels}
    return {"classes": labels, "train_rates": {label: counts[label] / len(train) for label in labels}}


def plain_task() -> Any:
    return SimpleNamespace(name="plain", version=1, facts=classification_facts, text_of=lambda item: item)


def cases(texts: list[str], labels: list[str]) -> Cases:
    return Cases([str(i) for i in range(len(texts))], list(texts), list(labels))


@dataclass
class Fitting:
    """A TrainContext in a temporary folder."""

    root: Path
    seed: int = 0
    threads: int = 1
    budget_seconds: float | None = None
    example: Any = "a text"
    reports: list[tuple[float, float, dict[str, float]]] = field(default_factory=list)
    findings: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder, self.checkpoints, self.cache = (self.root / name for name in ("trained", "checkpoints", "cache"))
        for folder in (self.folder, self.checkpoints, self.cache):
            folder.mkdir(parents=True, exist_ok=True)

    def need(self, candidate: str) -> Path:
        raise AssertionError(candidate)

    def shared(self, key: Any, build: Any) -> Path:
        from breakeven.artifacts import fingerprint

        folder = self.root / "shared" / fingerprint(key)[:16]
        if not folder.is_dir():
            folder.mkdir(parents=True)
            build(folder)
        return folder

    def progress(self, done: float, total: float, **figures: float) -> None:
        self.reports.append((done, total, figures))

    def find(self, finding: Any) -> None:
        self.findings.append(finding)


@pytest.fixture
def task() -> Any:
    return plain_task()


@pytest.fixture
def context(tmp_path: Path) -> Fitting:
    return Fitting(tmp_path)


GOOD = (
    "I love this film",
    "a lovely and moving story",
    "great acting, great fun",
    "best shop, fast delivery",
    "很好吃，推荐",
    "质量很好 满意",
)
BAD = (
    "I hate this film",
    "a boring and endless story",
    "poor acting, no fun",
    "worst shop, slow delivery",
    "太难吃，不推荐",
    "质量很差 失望",
)


@pytest.fixture
def reviews() -> tuple[Cases, Cases]:
    texts = [f"{text} {number}" for number in range(12) for text in GOOD + BAD]
    labels = (["good"] * len(GOOD) + ["bad"] * len(BAD)) * 12
    return cases(texts, labels), cases([*GOOD, *BAD], ["good"] * len(GOOD) + ["bad"] * len(BAD))
