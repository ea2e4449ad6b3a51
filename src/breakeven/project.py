"""Project: the object every door opens. It composes the schema, lays out the steps, runs them under one lock, and reads
everything a reader may see into a Snapshot."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from breakeven import extras, pipeline
from breakeven.artifacts import HashCache, Manifest, Store, locked, read_json
from breakeven.billing import settings as billing_settings
from breakeven.config import Document, load
from breakeven.errors import ConfigError, Finding, Place, reader_language
from breakeven.stages import business as business_stage
from breakeven.stages import collect as collect_stage
from breakeven.stages import deploy as deploy_stage
from breakeven.stages import evaluate as evaluate_stage
from breakeven.stages import process as process_stage
from breakeven.stages import train as train_stage
from breakeven.tasks import find
from breakeven.watching import settings as watching_settings

if TYPE_CHECKING:
    from breakeven.task import Task

FILE = "breakeven.yaml"
EXCEL = (".xlsx", ".xls", ".xlsb", ".ods")
VERSION = 1
STAGES: tuple[pipeline.Stage, ...] = (
    collect_stage.STAGE,
    process_stage.STAGE,
    train_stage.STAGE,
    evaluate_stage.STAGE,
    deploy_stage.STAGE,
    business_stage.STAGE,
)


class Product(BaseModel):
    """What is sold, and which kind of problem it is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(
        pattern=r"^[a-z0-9][a-z0-9-]{0,62}$", description="Name of the product: small letters, digits, dashes"
    )
    task: str = Field(description="The kind of problem, for example text-classification")
    description: str | None = Field(None, description="One sentence for people: what is sold, to whom")
    language: Literal["en", "zh"] = Field(
        "en", description="Language of the report; where it is not declared, that of BREAKEVEN_LANG"
    )


class ProjectSettings(BaseModel):
    """The whole of breakeven.yaml."""

    model_config = ConfigDict(extra="forbid", frozen=True, title="breakeven.yaml")

    version: int = Field(description="Version of this file's format: 1")
    product: Product | None = Field(None, description="What is sold; absent only where the business is simulated alone")
    seed: int = Field(0, ge=0, lt=2**32, description="Seed of everything random")
    collect: collect_stage.Settings | None = None
    process: process_stage.Settings = Field(default_factory=process_stage.Settings)
    train: train_stage.Settings = Field(default_factory=train_stage.Settings)
    evaluate: evaluate_stage.Settings = Field(default_factory=evaluate_stage.Settings)
    deploy: deploy_stage.Settings = Field(default_factory=deploy_stage.Settings)
    business: business_stage.Settings | None = None
    billing: billing_settings.Settings = Field(default_factory=billing_settings.Settings)
    watching: watching_settings.Settings = Field(default_factory=watching_settings.Settings)


@dataclass(frozen=True)
class Snapshot:
    """All that a report reads: the project as it stands, as plain JSON. Absent stages are None or empty."""

    name: str
    task: str
    root: Path
    language: str = "en"
    states: list[dict[str, Any]] = field(default_factory=list)
    collect: dict[str, Any] | None = None
    process: dict[str, Any] | None = None
    train: dict[str, dict[str, Any]] = field(default_factory=dict)
    quality: dict[str, dict[str, Any]] = field(default_factory=dict)
    packages: dict[str, dict[str, Any]] = field(default_factory=dict)
    speed: dict[str, Any] | None = None
    measurements: dict[str, dict[str, Any]] = field(default_factory=dict)
    verdict: dict[str, Any] | None = None
    deploy: dict[str, Any] | None = None
    business: dict[str, Any] | None = None
    findings: list[dict[str, Any]] = field(default_factory=list)
    counters: dict[str, int] = field(default_factory=dict)
    lineage: dict[str, dict[str, Any]] = field(default_factory=dict)
    config_text: str = ""
    versions: dict[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The snapshot as `--json` prints it."""
        return {**self.__dict__, "root": str(self.root)}


class Project:
    """A project folder: its file, its steps and its artifacts.

    `overrides` are `section.key=value` strings, as `--set` takes them. `area` is where its steps are
    kept. Nothing is run, written or locked by opening.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str] = ".",
        *,
        overrides: Sequence[str] = (),
        file: str = FILE,
        area: str = "artifacts",
    ) -> None:
        self.root = Path(folder).expanduser().resolve()
        self.settings, self.document = open_settings(self.root / file, overrides)
        self.area = area
        self.store = Store(self.root / area)
        self._task: Task | None = None

    @property
    def name(self) -> str:
        """The product's name; the folder's where the file declares no product."""
        return self.settings.product.name if self.settings.product else self.root.name

    @property
    def language(self) -> str | None:
        """The language that the file declares; None where it leaves that to the reader."""
        return declared_language(self.settings)

    @property
    def task(self) -> Task:
        """The task that the file names."""
        if self._task is None:
            if self.settings.product is None:
                raise self._lacks("product")
            try:
                self._task = find(self.settings.product.task)
            except ConfigError as error:
                raise self._placed(error, ("product", "task")) from None
        return self._task

    def _placed(self, error: ConfigError, path: tuple[str | int, ...]) -> ConfigError:
        place = self.document.place(path)
        error.located(file=place.file, line=place.line, column=place.column)
        return error

    def _lacks(self, key: str) -> ConfigError:
        """A section that is not there; a plan without a model is told what does answer it."""
        alone = self.settings.product is None and self.settings.collect is None
        return ConfigError("business-alone" if alone else "missing-key", at=Place(self.document.file, 1, 1), key=key)

    def setup(self, *, refresh: bool = False) -> pipeline.Setup:
        """What the stages may read to lay out their steps; candidates' own keys are checked here."""
        self._check_candidates()
        return pipeline.Setup(self.root, self.settings, self.task, self.settings.seed, refresh=refresh, area=self.area)

    def _check_candidates(self) -> None:
        for index, candidate in enumerate(self.settings.train.candidates):
            at: tuple[str | int, ...] = ("train", "candidates", index)
            try:
                model = self.task.model(candidate.model).load()
            except ConfigError as error:
                raise self._placed(error, (*at, "model")) from None
            train_stage.check_options(candidate, model, self.document, at)

    def steps(self, *, refresh: bool = False) -> list[pipeline.Step]:
        """Every step of the project."""
        if self.settings.collect is None:
            raise self._lacks("collect")
        setup = self.setup(refresh=refresh)
        try:
            return [step for stage in STAGES for step in stage.steps(setup)]
        except ConfigError as error:
            raise self._placed(error, tuple((error.at.field or "").split("."))) from None

    def plan(self, targets: Iterable[str] = (), *, refresh: bool = False) -> list[pipeline.Planned]:
        """What is fresh, stale or missing, and why, for the targets (stages, steps or candidates; none: everything)."""
        planned, hashes = self._plan(targets, refresh=refresh)
        if self.store.root.is_dir():
            hashes.save()
        return planned

    def _plan(self, targets: Iterable[str], *, refresh: bool) -> tuple[list[pipeline.Planned], HashCache]:
        hashes = HashCache(self.store.root / "hashes.json")
        planned = pipeline.plan(self.steps(refresh=refresh), self.store, hashes)
        chosen = list(targets)
        return (pipeline.wanted(planned, chosen) if chosen else planned), hashes

    def run(
        self, targets: Iterable[str] = (), *, refresh: bool = False, progress: pipeline.Progress | None = None
    ) -> list[str]:
        """Runs what is not fresh; returns the names of the steps that ran. One run at a time."""
        watcher = progress or pipeline.Quiet()
        with self.lock():
            self.store.clean()
            setup, chosen = self.setup(refresh=refresh), list(targets)
            if not chosen or "deploy" in chosen:
                made = deploy_stage.ensure_key(setup)
                if made is not None:
                    watcher.say(f"made a signing key; whoever serves or checks releases trusts {made}")
            planned, hashes = self._plan(chosen, refresh=refresh)
            return pipeline.run(planned, setup, self.store, watcher, hashes)

    def lacking(self) -> list[Finding]:
        """What the file asks for and this installation cannot do: one warning for each extra that is not complete."""
        wanted: dict[str, list[str]] = {}
        for candidate in self.settings.train.candidates:
            if extra := self.task.model(candidate.model).extra:
                wanted.setdefault(extra, []).append(f"train.candidates.{candidate.name}")
        sources = self.settings.collect.named() if self.settings.collect else {}
        for name, source in sources.items():
            if source.format == "excel" or (source.path or "").lower().endswith(EXCEL):
                wanted.setdefault("excel", []).append(f"collect.sources.{name}")
        if self.settings.process.personal_names:
            wanted.setdefault("pii", []).append("process.personal_names")
        return [
            Finding("extra-absent", "warning", None, extra, {"extra": extra, "packages": names, "needed_by": needed})
            for extra, needed in wanted.items()
            if (names := extras.absent(extra))
        ]

    def estimate(self, targets: Iterable[str] = ()) -> list[dict[str, Any]]:
        """For every step that would run: minutes, memory_gb, download_mb, money, and why it would run.

        Minutes are those it took the last time, where neither its rows nor its own settings changed since.
        """
        setup = self.setup()
        rows: dict[str, dict[str, Any]] = {}
        for stage in STAGES:
            rows.update({row["step"]: row for row in stage.estimate(setup)} if stage.estimate else {})
        planned = self.plan(targets)
        same_rows = any(item.step.name == "process" and item.state == "fresh" for item in planned)
        return [
            {
                "minutes": 0.0,
                "memory_gb": 0.0,
                "download_mb": 0.0,
                "money": 0.0,
                **rows.get(item.step.name, {}),
                **(self._last_time(item) if same_rows else {}),
                "step": item.step.name,
                "state": item.state,
                "why": item.why,
            }
            for item in planned
            if item.state != "fresh"
        ]

    def _last_time(self, item: pipeline.Planned) -> dict[str, float]:
        changed = item.step.stage == "train" and not item.follows  # another budget, another model
        if item.state != "stale" or changed:
            return {}
        manifest = self.store.manifest(item.step.name)
        return {"minutes": manifest.seconds / 60} if manifest else {}

    def lock(self) -> contextlib.AbstractContextManager[None]:
        """Holds the project; a second holder gets Busy with the first one's process id."""
        return locked(self.store.root / ".lock", "project-locked")

    def snapshot(self) -> Snapshot:
        """The project as it stands, for reports and `--json`; reads artifacts only."""
        folder, product = self.store.root, self.settings.product
        planned = self.plan()
        names = [candidate.name for candidate in self.settings.train.candidates]
        steps, language = [item.step.name for item in planned], self.language or reader_language()
        return Snapshot(
            name=self.name,
            task=product.task if product else "",
            root=self.root,
            language=language,
            states=[_state(item, language) for item in planned],
            collect=_maybe(folder / "collect" / "card.json"),
            process=_maybe(folder / "process" / "report.json"),
            train=_each(names, folder / "train", "training.json"),
            quality=_each(names, folder / "evaluate", "quality.json"),
            packages=_each(names, folder / "evaluate", "package/package.json"),
            speed=_maybe(folder / "evaluate" / "speed" / "speed.json"),
            measurements=_maybe(folder / "evaluate" / "measurements.json") or {},
            verdict=_maybe(folder / "evaluate" / "verdict.json"),
            deploy=_deployed(self.root / "releases", folder / "deploy"),
            business=_maybe(folder / "business" / "plan.json"),
            findings=[finding.as_json() for step in steps for finding in pipeline.findings_of(self.store, step)],
            counters=pipeline.counters(self.store),
            lineage={step: _manifest(self.store, step) for step in steps},
            config_text=self.document.text,
            versions=pipeline.versions(),
        )


def declared_language(settings: ProjectSettings) -> str | None:
    """The language of `product.language` where the file states it, else None."""
    product = settings.product
    return product.language if product and "language" in product.model_fields_set else None


def open_settings(path: Path, overrides: Sequence[str] = ()) -> tuple[ProjectSettings, Document]:
    """The checked settings of a project file; a file written for a newer program says so first."""
    settings, document = load(path, ProjectSettings, overrides)
    if settings.version != VERSION:
        place = document.place(("version",))
        raise ConfigError("config-version", at=place, found=settings.version, known=VERSION)
    return settings, document


def schema() -> dict[str, Any]:
    """The JSON Schema of breakeven.yaml, for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **ProjectSettings.model_json_schema()}


def _state(item: pipeline.Planned, language: str) -> dict[str, Any]:
    return {"step": item.step.name, "state": item.state, "why": item.said(language), "follows": item.follows}


def _maybe(path: Path) -> dict[str, Any] | None:
    return read_json(path) if path.is_file() else None


def _each(names: Iterable[str], folder: Path, file: str) -> dict[str, dict[str, Any]]:
    found = {name: _maybe(folder / name / file) for name in names}
    return {name: value for name, value in found.items() if value is not None}


def _deployed(releases: Path, folder: Path) -> dict[str, Any] | None:
    """The newest decision, the release it names and that release's parity receipt."""
    decision = _maybe(folder / "decision.json")
    if decision is None:
        return None
    release = releases / str(decision.get("release"))
    return {
        "decision": decision,
        "release": _maybe(release / "release.json"),
        "parity": _maybe(release / "parity.json"),
    }


def _manifest(store: Store, step: str) -> dict[str, Any]:
    manifest: Manifest | None = store.manifest(step)
    if manifest is None:
        return {}
    keep: Mapping[str, Any] = manifest.__dict__
    return {name: keep[name] for name in ("fingerprint", "needs", "created", "seconds", "versions")}
