"""Makes a package of a trained candidate: tries each runtime, keeps the reference and the fastest that holds.

A runtime holds when it answers as the reference does, and the same whoever else is in the batch. What was tried stays
on record in `package.json`. Rows used here are validation rows only.
"""

from __future__ import annotations

import random
import shutil
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from breakeven.artifacts import fingerprint, hash_tree, write_json
from breakeven.errors import BreakevenError, DataError, IntegrityError, Place
from breakeven.packaging.contents import check_finite, not_finite
from breakeven.packaging.hardware import hardware, library_versions
from breakeven.packaging.opened import (
    FORMAT,
    PACKAGE,
    Package,
    batches,
    load_predictor,
    open_package,
    read_info,
    task_name,
)
from breakeven.packaging.recheck import CHECK, as_json

if TYPE_CHECKING:
    from breakeven.task import Cases, Model, Predictor, Task

__all__ = ["Built", "Package", "build", "identity", "open_package", "read_info"]

LIMITS = {"max_inputs": 256, "max_bytes": 1_000_000}
LIBRARIES = ("numpy", "safetensors", "torch", "transformers", "tokenizers", "onnxruntime", "scipy", "scikit-learn")
IMPORTED_AS = {"scikit-learn": "sklearn"}
FASTER = 1.1  # below this ratio a difference in speed is noise, and the reference is kept
SINGLE_ROWS = 24
SHUFFLED_ROWS = 98
CHECK_ROWS = 8


@dataclass
class Tried:
    """One runtime, as it was found. Times are milliseconds a case; `agreement` is the share of rows that agree."""

    runtime: str
    threads: int
    ms_single: float | None = None
    ms_batched: float | None = None
    ms_per_case: float | None = None
    agreement: float | None = None
    rows: int = 0
    batch_independent: bool = False
    within: bool = False
    bytes: int = 0
    failed: str | None = None
    raw: list[Any] = field(default_factory=list, repr=False)

    def as_json(self) -> dict[str, Any]:
        """The record in `runtimes.tried`."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "raw"}


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
    conditions: dict[str, Any] = {
        "inputs": inputs,
        "task": task,
        "sample": sample or inputs[:256],
        "allow_not_finite": allow_not_finite,
    }
    conditions |= {"tolerance": tolerance, "agreement": agreement, "threads": threads, "seconds": seconds}
    tried, chosen = _trials(model, trained, folder, runtimes=runtimes, **conditions)
    if calibration is None:
        calibration = task.scoring().calibrate(chosen.raw, cases.targets, facts) if cases.targets is not None else {}
    rows = _check_rows(task, chain, inputs, facts)
    info = _about(model, model_name, candidate, task) | {
        "facts": dict(facts),
        "runtimes": _runtimes(tried, chosen),
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


def _runtimes(tried: Sequence[Tried], chosen: Tried) -> dict[str, Any]:
    records = [item.as_json() for item in tried]
    return {"reference": tried[0].runtime, "chosen": chosen.runtime, "tried": records}


def _trials(
    model: Model, trained: Path, folder: Path, *, runtimes: Sequence[str] | None, **conditions: Any
) -> tuple[list[Tried], Tried]:
    """(what each runtime came to, the chosen one); the folders of the others are removed, the reference's is kept."""
    first, *others = model.runtimes()
    tried = [_try(model, trained, folder, first, reference=None, **conditions)]
    for name in others:
        if runtimes is None or name in runtimes:
            tried.append(_try(model, trained, folder, name, reference=tried[0], **conditions))
    chosen = choose(tried)
    for item in tried[1:]:
        if item is not chosen:
            shutil.rmtree(folder / item.runtime, ignore_errors=True)
    return tried, chosen


def choose(tried: Sequence[Tried]) -> Tried:
    """The fastest runtime that holds; the reference (the first) unless another is clearly faster."""
    reference = tried[0]
    holding = [item for item in tried[1:] if item.within and item.batch_independent and item.ms_per_case]
    fastest = min(holding, key=lambda item: item.ms_per_case or 0.0, default=reference)
    if (reference.ms_per_case or 0.0) > FASTER * (fastest.ms_per_case or 0.0):
        return fastest
    return reference


def _try(
    model: Model,
    trained: Path,
    folder: Path,
    name: str,
    *,
    reference: Tried | None,
    inputs: list[Any],
    task: Task,
    sample: list[Any],
    tolerance: float,
    agreement: float,
    threads: int,
    seconds: float,
    allow_not_finite: bool,
) -> Tried:
    """Packages, loads, compares and times one runtime. The reference must hold; any other may fail, and says why."""
    found = Tried(name, threads, rows=len(inputs))
    place = folder / name
    try:
        place.mkdir(parents=True)
        model.package(trained, place, name, sample)
        if not allow_not_finite:
            check_finite(place)
        found.bytes = sum(entry["bytes"] for entry in hash_tree(place).values())
        predictor = load_predictor(model, folder, name, threads)
        try:
            _measure(found, predictor, inputs, task=task, tolerance=tolerance, seconds=seconds)
        finally:
            predictor.close()
    except Exception as error:
        # An exporter may fail in any way it likes: the candidate still has its reference.
        if reference is None:
            raise
        found.failed = str(error).splitlines()[0][:300] if str(error) else type(error).__name__
        return found
    if any(not_finite(raw) for raw in found.raw):
        if reference is None and not allow_not_finite:
            raise IntegrityError("package-output-not-finite", at=Place(file=str(place)), runtime=name)
        found.failed = found.failed or (None if allow_not_finite else "answers that are not finite")
    if reference is None and not found.batch_independent:
        raise IntegrityError("package-batch-dependent", at=Place(file=str(place)), runtime=name)
    expected = (reference or found).raw
    same = sum(bool(task.agree(one, other, tolerance)) for one, other in zip(found.raw, expected, strict=True))
    found.agreement = round(same / len(inputs), 6)
    found.within = found.failed is None and found.agreement >= agreement
    return found


def _measure(
    found: Tried, predictor: Predictor, inputs: list[Any], *, task: Task, tolerance: float, seconds: float
) -> None:
    """Answers every row in batches, some alone and some in other company, and times both ways."""
    plan = batches(predictor.sizes(inputs), len(inputs))
    if predictor.spends:
        found.raw, best = _pass(predictor, inputs, plan)
        found.ms_batched = found.ms_single = found.ms_per_case = round(best * 1000, 5)
        found.batch_independent = True  # every input is a call of its own
        return
    predictor.predict([inputs[index] for index in plan[0]])
    found.raw, best = _pass(predictor, inputs, plan)
    # The best of up to five passes: a fast model's single pass is over before the machine has settled.
    for _ in range(min(4, int(seconds / (best * len(inputs))))):
        best = min(best, _pass(predictor, inputs, plan)[1])
    some = random.Random(0).sample(range(len(inputs)), min(SINGLE_ROWS, len(inputs)))
    alone, times = [], []
    for index in some:
        started = time.perf_counter()
        alone.append(predictor.predict([inputs[index]])[0])
        times.append(time.perf_counter() - started)
    found.ms_batched, found.ms_single = round(best * 1000, 5), round(statistics.median(times) * 1000, 5)
    # Requests come alone at low traffic and together at high: the geometric mean favours neither.
    found.ms_per_case = round((found.ms_batched * found.ms_single) ** 0.5, 5)
    same = all(task.agree(one, found.raw[index], tolerance) for one, index in zip(alone, some, strict=True))
    found.batch_independent = same and _same_in_other_company(found, predictor, inputs, task=task, tolerance=tolerance)


def _pass(predictor: Predictor, inputs: list[Any], plan: list[list[int]]) -> tuple[list[Any], float]:
    """(raw outputs in the order of `inputs`, seconds a case) of one pass over all batches."""
    outputs: list[Any] = [None] * len(inputs)
    started = time.perf_counter()
    for batch in plan:
        for index, raw in zip(batch, predictor.predict([inputs[i] for i in batch]), strict=True):
            outputs[index] = raw
    return outputs, (time.perf_counter() - started) / len(inputs)


def _same_in_other_company(
    found: Tried, predictor: Predictor, inputs: list[Any], *, task: Task, tolerance: float
) -> bool:
    """Whether rows answered in shuffled batches of an odd size, short beside long, keep their answers."""
    some = random.Random(1).sample(range(len(inputs)), min(SHUFFLED_ROWS, len(inputs)))
    for start in range(0, len(some), 7):
        batch = some[start : start + 7]
        for index, raw in zip(batch, predictor.predict([inputs[i] for i in batch]), strict=True):
            if not task.agree(raw, found.raw[index], tolerance):
                return False
    return True


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
