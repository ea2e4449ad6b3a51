"""Stages as graphs of steps: what is fresh, stale or missing, why, and how to run what is not fresh.

A stage declares its settings and gives steps; a step declares everything it depends on, so that its fingerprint is
known without running it. The pipeline knows neither tasks nor models.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol

from breakeven.artifacts import (
    HashCache,
    Manifest,
    Store,
    fingerprint,
    hash_tree,
    now,
    read_json,
    write_atomic,
    write_json,
)
from breakeven.changes import differences
from breakeven.errors import BreakevenError, Finding, IntegrityError, UsageError, fill, message

STAGES = ("collect", "process", "train", "evaluate", "deploy", "business")
FINDINGS = "findings.json"
State = Literal["fresh", "stale", "missing", "broken"]


@dataclass(frozen=True)
class Setup:
    """What a stage may read to lay out its steps: the checked settings and the task, never another stage's module."""

    root: Path
    config: Any  # the project's settings object: .collect, .process, ... , .product
    task: Any  # breakeven.task.Task
    seed: int
    refresh: bool = False  # remote sources are read anew
    area: str = "artifacts"  # where its steps are kept, below the root


class Progress(Protocol):
    """Where a step reports how far it is; the CLI shows a bar, tests keep a list."""

    def update(self, step: str, done: float, total: float, figures: Mapping[str, Any]) -> None:
        """`done` of `total` in the step's own unit, with figures such as loss or seconds."""

    def say(self, text: str) -> None:
        """A line of words."""


class Quiet:
    """Progress for nobody."""

    def update(self, step: str, done: float, total: float, figures: Mapping[str, Any]) -> None:
        """Nothing is shown."""

    def say(self, text: str) -> None:
        """Nothing is said."""


@dataclass
class Context:
    """What a running step is given."""

    setup: Setup
    store: Store
    step: Step
    folder: Path  # scratch; becomes the artifact
    fingerprint: str
    progress: Progress
    findings: list[Finding] = field(default_factory=list)

    def need(self, step: str) -> Path:
        """The finished folder of a step this one needs."""
        if step not in self.step.needs:
            raise UsageError("step-not-needed", step=self.step.name, need=step)
        return self.store.folder(step)

    def find(self, finding: Finding) -> None:
        """Keeps a finding with the artifact."""
        self.findings.append(finding)

    def shared(self, key: Mapping[str, Any], build: Callable[[Path], None]) -> Path:
        """A shared artifact: built once for a key, in scratch, renamed once."""
        place = self.store.shared(key)
        if not (place / "manifest.json").is_file():
            with self.store.scratch(place) as scratch:
                build(scratch)
                write_json(scratch / "manifest.json", {"format": 1, "key": dict(key), "files": hash_tree(scratch)})
        return place


@dataclass(frozen=True)
class Step:
    """The smallest thing that is run and remembered.

    `settings`: every value of the file it reads, JSON-able, keyed by dotted name. `files`: local inputs whose content
    counts. `needs`: steps whose artifacts it reads. `exports`: files copied to the stage's own folder when done.
    """

    name: str
    version: int
    run: Callable[[Context], None]
    settings: Mapping[str, Any] = field(default_factory=dict)
    files: tuple[Path, ...] = ()
    needs: tuple[str, ...] = ()
    exports: tuple[str, ...] = ()
    volatile: bool = False  # runs whenever it is asked for (a refresh)

    @property
    def stage(self) -> str:
        """The stage a step belongs to is the first word of its name."""
        return self.name.split("/")[0]


@dataclass(frozen=True)
class Stage:
    """One of the six. `steps` lays out its steps for a project; `estimate` says what they would take."""

    name: str
    settings: Any
    steps: Callable[[Setup], list[Step]]
    estimate: Callable[[Setup], list[dict[str, Any]]] | None = None


@dataclass(frozen=True)
class Planned:
    """A step with its state and, where it is not fresh, the reasons as messages; `why` is them in words."""

    step: Step
    state: State
    reasons: list[dict[str, Any]]
    fingerprint: str
    inputs: dict[str, Any]
    needs: dict[str, str]
    fault: BreakevenError | None = None  # why it must not simply be made anew

    @property
    def why(self) -> str:
        """The reasons in words, in the reader's language."""
        return self.said()

    def said(self, language: str | None = None) -> str:
        """The reasons in words of a language; empty where the step is fresh."""
        return fill("{reasons}", {"reasons": self.reasons}, language)

    @property
    def follows(self) -> bool:
        """Whether nothing of its own changed, only what it needs."""
        return bool(self.reasons) and all(reason["code"] in FOLLOWS for reason in self.reasons)


FOLLOWS = ("why-needs", "why-needs-changed")


def plan(steps: Sequence[Step], store: Store, hashes: HashCache) -> list[Planned]:
    """The state of every step, in an order in which they can run."""
    ordered = order(steps)
    planned: dict[str, Planned] = {}
    for step in ordered:
        inputs = {
            "version": step.version,
            "settings": dict(step.settings),
            "files": _contents(step.files, hashes),
        }
        needs = {need: planned[need].fingerprint for need in step.needs}
        digest = fingerprint({"step": step.name, "inputs": inputs, "needs": needs})
        found = Planned(step, "fresh", [], digest, inputs, needs)
        planned[step.name] = _judged(found, store, hashes, planned)
    return [planned[step.name] for step in ordered]


def _contents(files: Sequence[Path], hashes: HashCache) -> dict[str, str]:
    """Content hash by file name; by the whole path where two files share a name."""
    names = [path.name for path in files]
    return {path.name if names.count(path.name) == 1 else str(path): hashes.hash(path) for path in files}


def _judged(item: Planned, store: Store, hashes: HashCache, planned: Mapping[str, Planned]) -> Planned:
    """The step with its state and reasons. A manifest that cannot be read concerns this step alone."""
    try:
        manifest = store.manifest(item.step.name)
    except IntegrityError as error:
        file = _relative(Path(error.at.file or ""), store)
        if error.code == "format-newer":
            return replace(item, state="broken", fault=error, reasons=[message("why-newer", file=file, **error.fields)])
        return replace(item, state="broken", reasons=[message("why-broken", file=file)])
    if manifest is None:
        return replace(item, state="missing", reasons=[message("why-never-run")])
    state, reasons = _state(item, manifest, store, hashes, planned)
    return replace(item, state=state, reasons=reasons)


def _state(
    item: Planned, manifest: Manifest, store: Store, hashes: HashCache, planned: Mapping[str, Planned]
) -> tuple[State, list[dict[str, Any]]]:
    step, files = item.step, _files(item.step, store, manifest)
    if (lost := _lost(files)) is not None:
        return "missing", [message("why-lost", file=_relative(lost, store))]
    if manifest.fingerprint != item.fingerprint:
        reasons = differences(manifest.inputs, item.inputs)
        changed = [need for need, value in item.needs.items() if manifest.needs.get(need) != value]
        reasons += [message("why-needs-changed", step=need) for need in changed]
        reasons += [message("why-needs-no-longer", step=need) for need in manifest.needs if need not in item.needs]
        return "stale", reasons or [message("why-inputs-changed")]
    if (edited := _edited(files, hashes)) is not None:
        return "broken", [message("why-edited", file=_relative(edited, store))]
    if waiting := [need for need in step.needs if planned[need].state != "fresh"]:
        return "stale", [message("why-needs", steps=waiting)]
    if step.volatile:
        return "stale", [message("why-refresh")]
    return "fresh", []


def _files(step: Step, store: Store, manifest: Manifest) -> dict[Path, Mapping[str, Any]]:
    """What the manifest says of every file of the artifact, the exported copies among them."""
    place = store.folder(step.name)
    listed: dict[Path, Mapping[str, Any]] = {place / name: facts for name, facts in manifest.files.items()}
    return listed | {store.root / step.stage / name: manifest.files.get(name, {}) for name in step.exports}


def _lost(files: Mapping[Path, Mapping[str, Any]]) -> Path | None:
    """A file that is gone or of another size."""
    for path, facts in files.items():
        if not path.is_file() or path.stat().st_size != facts.get("bytes", path.stat().st_size):
            return path
    return None


def _edited(files: Mapping[Path, Mapping[str, Any]], hashes: HashCache) -> Path | None:
    """A file with other content than was written; read only where size, time or inode moved since it was hashed."""
    for path, facts in files.items():
        if facts.get("sha256", "") != hashes.hash(path):
            return path
    return None


def _relative(path: Path, store: Store) -> str:
    return path.relative_to(store.root).as_posix() if path.is_relative_to(store.root) else str(path)


def order(steps: Sequence[Step]) -> list[Step]:
    """Steps with every need before its user; an unknown need or a circle is an error that names it."""
    by_name = {step.name: step for step in steps}
    done: dict[str, Step] = {}

    def visit(step: Step, path: tuple[str, ...]) -> None:
        if step.name in path:
            raise UsageError("step-circle", circle=" -> ".join((*path, step.name)))
        if step.name in done:
            return
        for need in step.needs:
            if need not in by_name:
                raise UsageError("step-unknown", step=need, needed_by=step.name)
            visit(by_name[need], (*path, step.name))
        done[step.name] = step

    for step in steps:
        visit(step, ())
    return list(done.values())


def wanted(planned: Sequence[Planned], targets: Iterable[str]) -> list[Planned]:
    """The part of a plan that the targets (stages or steps) need, in order."""
    by_name = {item.step.name: item for item in planned}
    keep: set[str] = set()

    def take(name: str) -> None:
        if name not in keep:
            keep.add(name)
            for need in by_name[name].step.needs:
                take(need)

    for target in targets:
        for item in planned:
            if target in (item.step.stage, item.step.name):
                take(item.step.name)
    return [item for item in planned if item.step.name in keep]


def run(
    planned: Sequence[Planned], setup: Setup, store: Store, progress: Progress, hashes: HashCache | None = None
) -> list[str]:
    """Runs what is not fresh, in order; returns the names of the steps that ran. Stops at the first error.

    `hashes` learns what was written, so that the next plan need not read it again.
    """
    ran: list[str] = []
    for item in planned:
        if item.fault is not None:
            raise item.fault
        if item.state != "fresh":
            manifest = _run_one(item, setup, store, progress)
            if hashes is not None:
                _learn(item.step, store, manifest, hashes)
            ran.append(item.step.name)
    return ran


def _learn(step: Step, store: Store, manifest: Manifest, hashes: HashCache) -> None:
    for path, facts in _files(step, store, manifest).items():
        hashes.learn(path, facts["sha256"])
    hashes.save()


def _run_one(item: Planned, setup: Setup, store: Store, progress: Progress) -> Manifest:
    step, started = item.step, time.monotonic()
    place = store.folder(step.name)
    progress.update(step.name, 0, 1, {})
    with store.scratch(place) as scratch:
        context = Context(setup, store, step, scratch, item.fingerprint, progress)
        step.run(context)
        write_json(scratch / FINDINGS, [finding.as_json() for finding in context.findings])
        seconds = round(time.monotonic() - started, 3)
        manifest = Manifest(
            step.name, item.fingerprint, item.inputs, item.needs, hash_tree(scratch), now(), seconds, versions()
        )
        store.commit(scratch, manifest)
    for name in step.exports:
        write_atomic(store.root / step.stage / name, (place / name).read_bytes())
    _count(store, step.name, seconds)
    progress.update(step.name, 1, 1, {"seconds": seconds})
    return manifest


def _count(store: Store, step: str, seconds: float) -> None:
    """One line an executed step: the counters that prove what was and was not run again."""
    import json

    path = store.root / "runs.jsonl"
    with path.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps({"step": step, "at": now(), "seconds": seconds}) + "\n")


def counters(store: Store) -> dict[str, int]:
    """How often each step was executed in this project; a line that a kill cut short is passed over."""
    import json

    path = store.root / "runs.jsonl"
    counted: dict[str, int] = {}
    if path.is_file():
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            with contextlib.suppress(ValueError, KeyError, TypeError):
                name = str(json.loads(line)["step"])
                counted[name] = counted.get(name, 0) + 1
    return counted


def findings_of(store: Store, step: str) -> list[Finding]:
    """The findings kept with a step's artifact."""
    path = store.folder(step) / FINDINGS
    return [Finding.from_json(item) for item in read_json(path)] if path.is_file() else []


def versions() -> dict[str, str]:
    """Program and interpreter versions, as manifests carry them."""
    import platform

    from breakeven import __version__

    return {"breakeven": __version__, "python": platform.python_version()}
