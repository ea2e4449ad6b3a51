"""Makes a package of a trained candidate: tries each runtime, keeps the reference and the fastest that holds.

A runtime holds when it answers as the reference does, and the same whoever else is in the batch. What was tried stays
on record in `package.json`. Rows used here are validation rows only.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from breakeven.artifacts import fingerprint, hash_tree, write_json
from breakeven.errors import BreakevenError, DataError
from breakeven.packaging.hardware import hardware, library_versions
from breakeven.packaging.opened import (
    FORMAT,
    PACKAGE,
    Package,
    open_package,
    read_info,
    task_name,
)
from breakeven.packaging.recheck import CHECK, as_json
from breakeven.packaging.trials import Conditions, Tried, threads_of, trials

if TYPE_CHECKING:
    from breakeven.task import Cases, Model, Task

__all__ = ["Built", "Package", "build", "identity", "open_package", "read_info"]

LIMITS = {"max_inputs": 256, "max_bytes": 1_000_000}
LIBRARIES = ("numpy", "safetensors", "torch", "transformers", "tokenizers", "onnxruntime", "scipy", "scikit-learn")
IMPORTED_AS = {"scikit-learn": "sklearn"}
CHECK_ROWS = 8


@dataclass(frozen=True)
class Built:
    """A package as it was made. `info`: the content of `package.json`. `raw`: what the chosen runtime answered to the
    cases it was built with, calibrated: exactly what the opened package would answer to them again."""

    info: dict[str, Any]
    raw: list[Any] = field(repr=False)


def build(
    model: Model,
    *,
    trained: Path,
    folder: Path,
    candidate: str,
    model_name: str,
    facts: Mapping[str, Any],
    chain: Any,
    cases: Cases,
    task: Task,
    calibration: Mapping[str, Any] | None = None,
    sample: list[Any] | None = None,
    tolerance: float = 0.01,
    agreement: float = 0.99,
    runtimes: Sequence[str] | None = None,
    threads: int = 1,
    seconds: float = 3.0,
    licences: Mapping[str, Any] | None = None,
    limits: Mapping[str, int] | None = None,
    example: Any = None,
    allow_not_finite: bool = False,
) -> Built:
    """Writes the package into the empty `folder`; returns what was written of it and what it answered.

    `cases`: validation rows, inputs parsed and not yet transformed; every row is compared. `chain`: fitted transforms
    or None. `calibration` None: fitted here on the chosen runtime's outputs. `runtimes` narrows `model.runtimes()`,
    whose first is always the reference. A runtime holds when at least `agreement` of the rows agree within
    `tolerance`, and every row agrees with itself in any batch. `seconds` bounds the timing of a runtime.
    """
    if not len(cases):
        raise DataError("package-no-rows", candidate=candidate)
    inputs = cases.inputs if chain is None else list(chain.apply(task, cases.inputs))
    given = Conditions(inputs, task, facts, sample or inputs[:256], tolerance, agreement, threads, seconds,
                       allow_not_finite)  # fmt: skip
    tried, chosen = trials(model, trained, folder, _named(model, runtimes), given)
    if calibration is None:
        calibration = task.scoring().calibrate(chosen.raw, cases.targets, facts) if cases.targets is not None else {}
    rows = _check_rows(task, chain, inputs, facts)
    info = _about(model, model_name, candidate, task) | {
        "facts": dict(facts),
        "runtimes": _runtimes(tried, chosen) | {"threads": threads_of(model, folder, chosen, given)},
        "tolerance": tolerance,
        "agreement": agreement,
        "transforms": None if chain is None else chain.as_json(),
        "calibration": dict(calibration),
        "limits": {**LIMITS, **(limits or {})},
        "example": example if example is not None else (rows[0][0] if rows else None),
        "licences": dict(licences or {}),
        **_made_here(),
    }
    write_json(folder / PACKAGE, info)
    _write_check(folder / CHECK, task, rows, chosen.raw)
    return Built(info, task.scoring().calibrated(chosen.raw, calibration) if calibration else chosen.raw)


def _about(model: Model, model_name: str, candidate: str, task: Task) -> dict[str, Any]:
    """Whose package it is: the part of package.json that is known before anything is tried."""
    return {
        "format": FORMAT,
        "task": task_name(task),
        "task_version": task.version,
        "candidate": candidate,
        "model": model_name,
        "model_version": task.model(model_name).version,
        "settings": model.options.model_dump(mode="json"),
        "meters": list(task.meters),
    }


def _write_check(path: Path, task: Task, rows: Sequence[tuple[Any, int]], raw: Sequence[Any]) -> None:
    """A few inputs and their outputs, for a machine that wants to know whether it answers alike."""
    if rows:
        outputs = as_json(task.scoring(), [raw[index] for _, index in rows])
        write_json(path, {"format": FORMAT, "inputs": [payload for payload, _ in rows], "outputs": outputs})


def _made_here() -> dict[str, Any]:
    return {"hardware": hardware(), "versions": library_versions(_used())}


def _named(model: Model, wanted: Sequence[str] | None) -> list[str]:
    """The reference first, then what is wanted of the others; None: those that are tried by default."""
    first, *others = model.runtimes()
    wanted = model.runtimes_by_default() if wanted is None else wanted
    return [first, *(name for name in others if name in wanted)]


def _runtimes(tried: Sequence[Tried], chosen: Tried) -> dict[str, Any]:
    records = [item.as_json() for item in tried]
    return {"reference": tried[0].runtime, "chosen": chosen.runtime, "tried": records}


def _check_rows(task: Task, chain: Any, inputs: list[Any], facts: Mapping[str, Any]) -> list[tuple[Any, int]]:
    """(payload, index) of a few rows to recheck on other hardware: transformed, and not changed by a second time."""
    kept: list[tuple[Any, int]] = []
    for index in random.Random(2).sample(range(len(inputs)), min(CHECK_ROWS, len(inputs))):
        try:
            payload = task.payload(inputs[index])
            again = task.parse(payload, facts)
            if chain is not None:
                again = next(iter(chain.apply(task, [again])))
        except BreakevenError:
            continue
        if fingerprint(task.payload(again)) == fingerprint(payload):
            kept.append((payload, index))
    return kept


def _used() -> list[str]:
    """Libraries that this process has loaded, and that an answer may therefore depend on."""
    return [name for name in LIBRARIES if IMPORTED_AS.get(name, name) in sys.modules]


def identity(folder: Path, *, digests: Mapping[str, str] | None = None) -> str:
    """The fingerprint of what a package answers with: not of when, where or how fast it was measured.

    `digests`: SHA-256 by relative path where they are known already, so that nothing is read twice.
    """
    info = read_info(folder)
    if digests is None:
        digests = {name: entry["sha256"] for name, entry in hash_tree(folder).items()}
    kept = {info["runtimes"]["reference"], info["runtimes"]["chosen"]}
    parts = ("task", "task_version", "model", "model_version", "settings", "facts", "transforms", "calibration",
             "limits", "tolerance")  # fmt: skip
    return fingerprint(
        {
            **{name: info.get(name) for name in parts},
            "reference": info["runtimes"]["reference"],
            "chosen": info["runtimes"]["chosen"],
            "files": {name: digest for name, digest in digests.items() if name.split("/")[0] in kept},
        }
    )
