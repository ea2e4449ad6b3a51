"""One candidate's quality: packaged, calibrated on validation rows, answering the test rows as it would be served."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from breakeven.artifacts import read_json, write_json
from breakeven.errors import DataError, Finding
from breakeven.task import Cases, Model, Task

FORMAT = 1
PACKAGE, TEST, QUALITY = "package", "test.npz", "quality.json"
POOR_CALIBRATION = 0.10
SINGLE_CALLS = 40  # of an API, timed one by one


@dataclass(frozen=True)
class Data:
    """The processed rows a candidate is judged on. `chain`: the fitted transforms, as packaged."""

    facts: Mapping[str, Any]
    validation: Cases
    test: Cases
    chain: Any


def read_data(processed: Path, task: Task, fields: Mapping[str, Any]) -> Data:
    """Facts of the training rows, validation and test cases, and the chain of transforms."""
    from breakeven.data.cases import load_cases
    from breakeven.transforms import Chain

    parts = {split: load_cases(processed, task, fields, split) for split in ("train", "validation", "test")}
    for split, cases in parts.items():
        if not len(cases):
            raise DataError("evaluate-no-rows", split=split)
    chain = Chain.from_json(read_json(processed / "transforms.json"))
    declared = fields.get("inputs") or []
    names = [declared] if isinstance(declared, str) else list(declared)
    return Data({**task.facts(parts["train"]), "fields": names}, parts["validation"], parts["test"], chain)


def judge(
    model: Model,
    data: Data,
    *,
    task: Task,
    trained: Path,
    folder: Path,
    candidate: str,
    model_name: str,
    runtimes: int | Sequence[str] | None,
    tolerance: float,
    agreement: float,
    seconds: float,
) -> list[Finding]:
    """Writes `package/`, `test.npz` and `quality.json` into `folder`; returns what a reader should know."""
    import numpy as np

    from breakeven.packaging.package import build, open_package

    built = build(
        model,
        trained=trained,
        folder=folder / PACKAGE,
        candidate=candidate,
        model_name=model_name,
        facts=data.facts,
        chain=data.chain,
        cases=data.validation,
        task=task,
        runtimes=allowed(model, runtimes),
        tolerance=tolerance,
        agreement=agreement,
        seconds=seconds,
        licences=_licences(trained),
    )
    price = _trained(trained).get("price_per_answer")
    with open_package(folder / PACKAGE, task=task) as package:
        raw, spent, alone = _answers(package, data.test.inputs, SINGLE_CALLS if price else 0)
    # Validation rows were answered while packaging, by the same batches: nothing, and no API, is asked twice.
    validation = _validation(task, built.raw, data)
    arrays: dict[str, Any] = {"ids": np.asarray(data.test.ids, dtype=str), **task.scoring().pack(raw)}
    np.savez_compressed(folder / TEST, **arrays)
    record = {
        "format": FORMAT,
        "candidate": candidate,
        "n": len(data.test),
        "facts": dict(data.facts),
        "validation": validation,
        "columns": column_means(data.validation),
        "price_per_answer": price,
        "seconds_per_case": spent / len(data.test),
        "latency_ms": quantiles(alone),
    }
    write_json(folder / QUALITY, record | _packaged(folder / PACKAGE, built.info))
    return _findings(candidate, validation)


def _packaged(package: Path, info: Mapping[str, Any]) -> dict[str, Any]:
    """What quality.json says of the package itself."""
    from breakeven.packaging.package import identity

    runtimes = info["runtimes"]
    chosen = next(tried for tried in runtimes["tried"] if tried["runtime"] == runtimes["chosen"])
    return {
        "agreement": chosen.get("agreement"),
        "calibration": info["calibration"],
        "identity": identity(package),
        "package_mb": _megabytes(package),
    }


def _answers(package: Any, inputs: list[Any], single: int) -> tuple[list[Any], float, list[float]]:
    """(raw outputs, seconds for all, milliseconds of each of the first `single` rows, which are asked one by one)."""
    raw, alone = [], []
    for item in inputs[:single]:
        started = time.perf_counter()
        raw += package.raw([item])
        alone.append((time.perf_counter() - started) * 1000)
    started = time.perf_counter()
    raw += package.raw(inputs[len(raw) :])
    return raw, time.perf_counter() - started + sum(alone) / 1000, alone


def quantiles(milliseconds: Sequence[float]) -> dict[str, Any]:
    """Quantiles of single answers as quantities in JSON, with bootstrap intervals; {} for none."""
    import numpy as np

    from breakeven.metrics.intervals import percentile
    from breakeven.quantity import Quantity

    found: dict[str, Any] = {}
    if milliseconds:
        values = np.asarray(milliseconds)
        drawn = np.random.default_rng(0).choice(values, (2000, len(values)))
        for share in (50, 95, 99):
            interval = percentile(np.percentile(drawn, share, axis=1))
            found[f"latency_ms_p{share}"] = Quantity(
                float(np.percentile(values, share)), "ms", "measured", interval.low, interval.high, n=len(values),
                method=f"calls of the evaluation, one by one; {interval.method}",
            ).as_json()  # fmt: skip
    return found


def read_answers(folder: Path, task: Task, ids: Sequence[str]) -> list[Any]:
    """Calibrated raw outputs in the order of the test cases; raises DataError where the rows are not the same."""
    import numpy as np

    with np.load(folder / TEST, allow_pickle=False) as arrays:
        stored = {name: arrays[name] for name in arrays.files}
    if stored.pop("ids").tolist() != list(ids):
        raise DataError("evaluate-other-rows", candidate=folder.name)
    return task.scoring().unpack(stored)


def column_means(cases: Cases) -> dict[str, Any]:
    """Means of the numeric columns, also by true class: what a rule may assume of a column that requests lack."""
    means: dict[str, Any] = {}
    for name, values in cases.columns.items():
        by_class: dict[str, list[float]] = {}
        for target, value in zip(cases.targets or [], values, strict=False):
            by_class.setdefault(str(target), []).append(value)
        means[name] = {
            "mean": sum(values) / max(len(values), 1),
            "by_class": {label: sum(group) / len(group) for label, group in by_class.items()},
        }
    return means


def _validation(task: Task, raw: list[Any], data: Data) -> dict[str, float]:
    import numpy as np

    scoring = task.scoring()
    answers = scoring.decide(raw, scoring.rule({}, None, data.facts))
    found = scoring.metrics(answers, raw, data.validation, np.ones((1, len(raw))), data.facts)
    return {name: float(values[0]) for name, values in found.items() if np.isfinite(values[0])}


def _findings(candidate: str, validation: Mapping[str, float]) -> list[Finding]:
    gap = validation.get("expected_calibration_error", 0.0)
    if gap <= POOR_CALIBRATION:
        return []
    return [
        Finding(
            "calibration-poor", "warning", "evaluate", candidate, {"candidate": candidate, "gap": round(100 * gap, 1)}
        )
    ]


def allowed(model: Model, limit: int | Sequence[str] | None) -> list[str] | None:
    """Runtimes to try by a setting that counts or names them; None: all."""
    if limit is None:
        return None
    return list(model.runtimes()[:limit]) if isinstance(limit, int) else list(limit)


def _licences(trained: Path) -> dict[str, Any]:
    """The licence of the pretrained weights, as training recorded it."""
    base = _trained(trained).get("base")
    return {base.get("weights", "weights"): base.get("licence")} if isinstance(base, dict) else {}


def _trained(trained: Path) -> dict[str, Any]:
    path = trained / "training.json"
    return dict(read_json(path)) if path.is_file() else {}


def _megabytes(folder: Path) -> float:
    return round(sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6, 4)
