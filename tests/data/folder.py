"""A project folder for tests of collect and process: settings in, steps run through the real pipeline."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl

from breakeven import pipeline
from breakeven.artifacts import HashCache, Store, read_json
from breakeven.errors import Finding
from breakeven.stages import collect, process
from breakeven.tasks import find

FIELDS = {"inputs": ["text"], "target": "label"}


@dataclass
class Folder:
    root: Path
    collect: dict[str, Any]
    process: dict[str, Any] = field(default_factory=dict)

    @property
    def store(self) -> Store:
        return Store(self.root / "artifacts")

    def setup(self, *, refresh: bool = False) -> pipeline.Setup:
        config = SimpleNamespace(
            collect=collect.Settings(**{"fields": FIELDS, **self.collect}),
            process=process.Settings(**self.process),
            product=SimpleNamespace(name="test"),
        )
        return pipeline.Setup(self.root, config, find("text-classification"), 0, refresh=refresh)

    def plan(self, *, refresh: bool = False) -> list[pipeline.Planned]:
        setup = self.setup(refresh=refresh)
        steps = collect.STAGE.steps(setup) + process.STAGE.steps(setup)
        return pipeline.plan(steps, self.store, HashCache(self.root / "hashes.json"))

    def run(self, *targets: str, refresh: bool = False) -> Folder:
        planned = pipeline.wanted(self.plan(refresh=refresh), targets or ("collect", "process"))
        pipeline.run(planned, self.setup(refresh=refresh), self.store, pipeline.Quiet())
        return self

    def table(self) -> pl.DataFrame:
        return pl.read_parquet(self.root / "artifacts/collect/table.parquet")

    def rows(self) -> pl.DataFrame:
        return pl.read_parquet(self.root / "artifacts/process/rows.parquet")

    def card(self) -> dict[str, Any]:
        return read_json(self.root / "artifacts/collect/card.json")

    def report(self) -> dict[str, Any]:
        return read_json(self.root / "artifacts/process/report.json")

    def findings(self, step: str) -> dict[str, Finding]:
        return {finding.code: finding for finding in pipeline.findings_of(self.store, step)}


def collected(root: Path, content: bytes | str, name: str = "data.csv", **settings: Any) -> Folder:
    """Writes a file, collects it and returns the folder."""
    (root / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return Folder(root, {"source": {"path": name}, **settings}).run("collect")


def sentences(count: int, labels: tuple[str, ...] = ("good", "bad")) -> list[tuple[str, str]]:
    """Distinct texts and their labels, taking turns; no two are near one another."""
    return [(f"{hash_words(row)} {labels[row % len(labels)]}", labels[row % len(labels)]) for row in range(count)]


def hash_words(number: int) -> str:
    """Ten letters' words that share almost no 5-gram between numbers."""
    import hashlib

    digest = hashlib.sha256(str(number).encode()).hexdigest()
    return " ".join("".join(chr(97 + int(c, 16)) for c in digest[i : i + 6]) for i in range(0, 42, 6))


def csv_of(rows: list[tuple[str, str]]) -> str:
    return "text,label\n" + "".join(f"{text},{label}\n" for text, label in rows)
