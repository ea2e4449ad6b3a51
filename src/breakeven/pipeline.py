"""Stages as graphs of steps: what is fresh, stale or missing, why, and how to run what is not fresh.

A stage declares its settings and gives steps; a step declares everything it depends on, so that its fingerprint is
known without running it. The pipeline knows neither tasks nor models.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
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
from breakeven.errors import Finding, UsageError, fill, message

STAGES = ("collect", "process", "train", "evaluate", "deploy", "business")
FINDINGS = "findings.json"
State = Literal["fresh", "stale", "missing"]


@dataclass(frozen=True)
class Setup:
    """What a stage may read to lay out its steps: the checked settings and the task, never another stage's module."""

    root: Path
    config: Any  # the project's settings object: .collect, .process, ... , .product
    task: Any  # breakeven.task.Task
    seed: int
    refresh: bool = False  # remote sources are read anew


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
        state, reasons = _state(step, store, digest, inputs, needs, planned)
        planned[step.name] = Planned(step, state, reasons, digest, inputs, needs)
    return [planned[step.name] for step in ordered]


def _contents(files: Sequence[Path], hashes: HashCache) -> dict[str, str]:
    """Content hash by file name; by the whole path where two files share a name."""
    names = [path.name for path in files]
    return {path.name if names.count(path.name) == 1 else str(path): hashes.hash(path) for path in files}


def _state(
    step: Step, store: Store, digest: str, inputs: dict[str, Any], needs: dict[str, str], planned: Mapping[str, Planned]
) -> tuple[State, list[dict[str, Any]]]:
    manifest = store.manifest(step.name)
    if manifest is None:
        return "missing", [message("why-never-run")]
    if (lost := _lost(step, store, manifest)) is not None:
        return "missing", [message("why-lost", file=lost)]
    waiting = [need for need in step.needs if planned[need].state != "fresh"]
    if manifest.fingerprint != digest:
        reasons = differences(manifest.inputs, inputs)
        changed = [need for need, value in needs.items() if manifest.needs.get(need) != value]
        reasons += [message("why-needs-changed", step=need) for need in changed]
        reasons += [message("why-needs-no-longer", step=need) for need in manifest.needs if need not in needs]
        return "stale", reasons or [message("why-inputs-changed")]
    if waiting:
        return "stale", [message("why-needs", steps=waiting)]
    if step.volatile:
        return "stale", [message("why-refresh")]
    return "fresh", []


def _lost(step: Step, store: Store, manifest: Manifest) -> str | None:
    """A file of the artifact that is gone or of another size; sizes only, so that planning stays quick."""
    place = store.folder(step.name)
    listed = {place / name: facts.get("bytes") for name, facts in manifest.files.items()}
    listed |= {store.root / step.stage / name: manifest.files.get(name, {}).get("bytes") for name in step.exports}
    for path, size in listed.items():
        if not path.is_file() or (size is not None and path.stat().st_size != size):
            return path.relative_to(store.root).as_posix()
    return None


def differences(old: Any, new: Any, name: str = "") -> list[dict[str, Any]]:
    """What changed between two JSON values, as messages `name: old -> new`, the names dotted."""
    if isinstance(old, dict) and isinstance(new, dict):
        found: list[dict[str, Any]] = []
        for key in sorted(set(old) | set(new), key=str):
            label = key if name in ("", "settings", "files") else f"{name}.{key}"
            if key not in new:
                found.append(message("why-removed", name=label))
            elif key not in old:
                found.append(message("why-added", name=label))
            else:
                found += differences(old[key], new[key], str(label))
        return found
    if old != new:
        return [message("why-changed", name=name, old=_short(old), new=_short(new))]
    return []


def _short(value: Any) -> str:
    text = str(value)
    if len(text) == 64 and set(text) <= set("0123456789abcdef"):
        return text[:8]
    return text if len(text) <= 60 else text[:57] + "..."


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


def run(planned: Sequence[Planned], setup: Setup, store: Store, progress: Progress) -> list[str]:
    """Runs what is not fresh, in order; returns the names of the steps that ran. Stops at the first error."""
    ran: list[str] = []
    for item in planned:
        if item.state == "fresh":
            continue
        _run_one(item, setup, store, progress)
        ran.append(item.step.name)
    return ran


def _run_one(item: Planned, setup: Setup, store: Store, progress: Progress) -> None:
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


def _count(store: Store, step: str, seconds: float) -> None:
    """One line an executed step: the counters that prove what was and was not run again."""
    import json

    path = store.root / "runs.jsonl"
    with path.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps({"step": step, "at": now(), "seconds": seconds}) + "\n")


def counters(store: Store) -> dict[str, int]:
    """How often each step was executed in this project."""
    import json

    path = store.root / "runs.jsonl"
    counted: dict[str, int] = {}
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.strip():
                name = json.loads(line)["step"]
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
