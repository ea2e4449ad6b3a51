"""The reference that drift is measured from: the snapshot's held-out rows, answered by the release itself.

Made once a release, from the rows that it was made from and no others, and kept beside the artifacts: the signed
release is not touched. It holds lengths, scripts, labels and hashed triples of characters, and no text.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from breakeven.artifacts import Store, write_atomic
from breakeven.errors import IntegrityError, Place, UsageError
from breakeven.packaging.decisions import Decision
from breakeven.packaging.release import Release
from breakeven.task import Task
from breakeven.watching.features import Features, describe

FOLDER = "watching"
MOST_ROWS = 2000
SPLITS: tuple[Literal["validation", "test"], ...] = (
    "validation",
    "test",
)  # the model was not fitted on these: its scores there are as they will be on others


def reference(store: Store, release: Release, decision: Decision, *, task: Task, fields: Mapping[str, Any]) -> Features:
    """The reference of a release by the rule of its decision, made where it is not there yet.

    UsageError `drift-no-reference`: the rows it was made from are no longer here.
    """
    path = store.root / FOLDER / f"{release.id}-{decision.number}.npz"
    if path.is_file():
        return read(path)
    made = _made(store, release, decision, task, fields)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, made.as_bytes())
    return made


def read(path: Path) -> Features:
    """A reference that was written before; IntegrityError `drift-reference-broken`."""
    try:
        return Features.from_bytes(path.read_bytes())
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise IntegrityError("drift-reference-broken", at=Place(file=str(path))) from error


def _made(store: Store, release: Release, decision: Decision, task: Task, fields: Mapping[str, Any]) -> Features:
    from breakeven.data.cases import load_cases

    manifest = store.manifest("process")
    wanted = release.info.get("lineage", {}).get("steps", {}).get("process", {}).get("fingerprint")
    if manifest is None or manifest.fingerprint != wanted:
        raise UsageError("drift-no-reference", release=release.id)
    store.verify("process")
    items = [item for split in SPLITS for item in load_cases(store.folder("process"), task, fields, split).inputs]
    if len(items) > MOST_ROWS:
        chosen = np.random.default_rng(0).choice(len(items), MOST_ROWS, replace=False)
        items = [items[index] for index in sorted(chosen)]
    with release.open(task=task) as package:
        raw = package.raw(items)
        outputs = package.render(raw, package.answer(raw, decision.rule))
    return describe(items, outputs)
