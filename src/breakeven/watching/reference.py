"""The reference that drift is measured from: the snapshot's held-out rows, answered by the release itself.

Made once a release and rule, when it is deployed, from the rows that it was made from and no others, and kept beside
the artifacts: the signed release is not touched. It holds lengths, scripts, labels and hashed triples of characters,
and no text.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from breakeven.artifacts import Store, fingerprint, write_atomic
from breakeven.errors import IntegrityError, Place, UsageError
from breakeven.packaging.release import Release
from breakeven.watching.features import Features, describe

if TYPE_CHECKING:
    from breakeven.packaging.decisions import Decision
    from breakeven.packaging.opened import Package
    from breakeven.task import Cases, Task

FOLDER = "watching"
MOST_ROWS = 2000
MOST_SECONDS = 60.0  # of answering while a release is deployed; the answers of evaluation cost nothing
SPLITS: tuple[Literal["validation", "test"], ...] = (
    "validation",
    "test",
)  # the model was not fitted on these: its scores there are as they will be on others


@dataclass(frozen=True)
class Rows:
    """Where the rows of a release are, and how they are read. `answered`: the evaluation's answers to the test rows
    (`quality.TEST` in that folder), so that they need not be asked again; None: all are asked.
    """

    store: Store
    task: Task
    fields: Mapping[str, Any]
    answered: Path | None = None


def reference(store: Store, release: Release, decision: Decision, *, task: Task, fields: Mapping[str, Any]) -> Features:
    """The reference of the release that a decision serves, made where it is not there yet.

    UsageError `drift-no-reference`: the rows it was made from are no longer here.
    """
    return ensure(store.root, release, decision.rule, Rows(store, task, fields))


def ensure(root: Path, release: Release, rule: Mapping[str, Any] | None, rows: Rows) -> Features:
    """The reference of a release under a rule, kept in a store's folder `root`; made where it is not there yet."""
    path = place(root, release.id, rule)
    if path.is_file():
        return read(path)
    made = _made(release, rule, rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, made.as_bytes())
    return made


def place(root: Path, release: str, rule: Mapping[str, Any] | None) -> Path:
    """Where a reference is kept. The rule decides the answers, so another rule is another reference."""
    return root / FOLDER / f"{release}-{fingerprint(rule)[:12]}.npz"


def read(path: Path) -> Features:
    """A reference that was written before; IntegrityError `drift-reference-broken`."""
    try:
        return Features.from_bytes(path.read_bytes())
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise IntegrityError("drift-reference-broken", at=Place(file=str(path))) from error


def _made(release: Release, rule: Mapping[str, Any] | None, rows: Rows) -> Features:
    from breakeven.data.cases import load_cases

    manifest = rows.store.manifest("process")
    wanted = release.info.get("lineage", {}).get("steps", {}).get("process", {}).get("fingerprint")
    if manifest is None or manifest.fingerprint != wanted:
        raise UsageError("drift-no-reference", release=release.id)
    rows.store.verify("process")
    held = {split: load_cases(rows.store.folder("process"), rows.task, rows.fields, split) for split in SPLITS}
    with release.open(task=rows.task) as package:
        items, raw = _answered(package, held, rows)
        outputs = package.render(raw, package.answer(raw, rule))
    return describe(items, outputs)


def _answered(package: Package, held: Mapping[Any, Cases], rows: Rows) -> tuple[list[Any], list[Any]]:
    """(inputs, calibrated raw outputs) of MOST_ROWS held-out rows at most, drawn."""
    known = _known(held["test"], rows)
    asked = held["validation"].inputs if known is not None else [item for part in held.values() for item in part.inputs]
    if known is not None and not _affordable(package, len(asked)):
        asked = []
    free = held["test"].inputs if known is not None else []
    chosen = _drawn(len(asked) + len(free))
    ask = [asked[index] for index in chosen if index < len(asked)]
    told = [index - len(asked) for index in chosen if index >= len(asked)]
    raw = [*package.raw(ask), *((known or [])[index] for index in told)]
    return [*ask, *(free[index] for index in told)], raw


def _known(test: Cases, rows: Rows) -> list[Any] | None:
    from breakeven.measuring.quality import read_answers

    return None if rows.answered is None else read_answers(rows.answered, rows.task, test.ids)


def _affordable(package: Package, count: int) -> bool:
    """Whether a deployment may answer so many rows: nothing that is paid for, nothing that takes minutes."""
    if package.predictor.spends:
        return False
    tried = package.info["runtimes"].get("tried", [])
    paces = [float(item.get("ms_per_case") or 0.0) for item in tried if item.get("runtime") == package.runtime]
    return min(count, MOST_ROWS) * max(paces, default=0.0) / 1000 <= MOST_SECONDS


def _drawn(count: int) -> Sequence[int]:
    """MOST_ROWS places of so many, in order."""
    if count <= MOST_ROWS:
        return range(count)
    return sorted(int(index) for index in np.random.default_rng(0).choice(count, MOST_ROWS, replace=False))
