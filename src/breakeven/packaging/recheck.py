"""A package on another machine than the one that measured it: the same answers, as fast, or the portable reference."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from breakeven.artifacts import read_json
from breakeven.errors import EnvironmentFault, IntegrityError, Place
from breakeven.packaging.hardware import hardware, library_versions
from breakeven.packaging.opened import Package, load_predictor

if TYPE_CHECKING:
    from breakeven.task import Predictor, Scoring

CHECK = "check.json"
ROUNDS = 3


def moved(info: Mapping[str, Any]) -> list[str]:
    """What differs from where the package was measured: hardware key and library versions, in words."""
    here, there = hardware()["key"], info["hardware"].get("key")
    found = [] if here == there else [f"hardware: {there} -> {here}"]
    then: Mapping[str, Any] = info["versions"]
    now = library_versions(list(then))
    return found + [f"{name}: {then[name]} -> {now.get(name)}" for name in sorted(then) if now.get(name) != then[name]]


def check_here(package: Package) -> dict[str, Any]:
    """Answers the recorded inputs again where the machine or the libraries differ; falls back to the reference.

    Returns `{moved, checked, runtime, rows, agree, ms_chosen, ms_reference, fell_back, reason}`. EnvironmentFault where
    even the reference does not give the recorded answers.
    """
    differs, path = moved(package.info), package.folder / CHECK
    result = {"moved": differs, "checked": False, "runtime": package.runtime, "fell_back": False, "reason": None}
    if not differs or not path.is_file():
        return result
    inputs, expected = _recorded(package)
    agree, spent = _against(package, package.predictor, inputs, expected)
    result |= {"checked": True, "rows": len(inputs), "agree": agree, "ms_chosen": spent}
    reference = str(package.info["runtimes"]["reference"])
    if package.runtime != reference:
        return result | _against_reference(package, reference, inputs, expected, chosen=(agree, spent))
    if agree < len(inputs):
        raise _not_here(package, agree, len(inputs))
    return result


def _recorded(package: Package) -> tuple[list[Any], list[Any]]:
    """(inputs as the model takes them, outputs as they were) of the package's own check."""
    check = read_json(package.folder / CHECK)
    try:
        inputs = package.prepare([package.parse(payload) for payload in check["inputs"]])
        expected = from_json(package.scoring, check["outputs"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        place = Place(file=str(package.folder / CHECK))
        raise IntegrityError("package-shape", at=place, part="inputs and outputs") from error
    return inputs, expected


def _against_reference(package: Package, reference: str, inputs: list[Any], expected: list[Any], *,
                       chosen: tuple[int, float]) -> dict[str, Any]:  # fmt: skip
    """Keeps the chosen runtime where it agrees and is no slower; else the reference takes over, if that agrees."""
    other = load_predictor(package.model, package.folder, reference, package.threads)
    agree, spent = _against(package, other, inputs, expected)
    held = chosen[0] == len(inputs)
    if held and (chosen[1] <= spent or agree < len(inputs)):
        other.close()
        return {"ms_reference": spent}
    if agree < len(inputs):
        other.close()
        raise _not_here(package, agree, len(inputs))
    package.use(other, reference)
    reason = "slower" if held else "parity"
    return {"ms_reference": spent, "runtime": reference, "fell_back": True, "reason": reason}


def _not_here(package: Package, agree: int, rows: int) -> EnvironmentFault:
    return EnvironmentFault("package-not-here", at=Place(file=str(package.folder)), agree=agree, rows=rows)


def _against(package: Package, predictor: Predictor, inputs: list[Any], expected: list[Any]) -> tuple[int, float]:
    """(rows that agree with the recorded outputs, milliseconds a row one by one, the best of three rounds)."""
    outputs = [predictor.predict([item])[0] for item in inputs]
    tolerance = float(package.info["tolerance"])
    agree = sum(bool(package.task.agree(one, other, tolerance)) for one, other in zip(outputs, expected, strict=True))
    rounds = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        for item in inputs:
            predictor.predict([item])
        rounds.append((time.perf_counter() - started) * 1000 / max(len(inputs), 1))
    return agree, round(min(rounds), 4)


def as_json(scoring: Scoring, raw: list[Any]) -> dict[str, Any]:
    """Raw outputs as JSON-able arrays, by the scoring's own packing."""
    return {name: {"dtype": array.dtype.str, "values": array.tolist()} for name, array in scoring.pack(raw).items()}


def from_json(scoring: Scoring, data: Mapping[str, Any]) -> list[Any]:
    """The inverse of `as_json`."""
    import numpy as np

    return scoring.unpack({name: np.array(entry["values"], dtype=entry["dtype"]) for name, entry in data.items()})
