"""A package on another machine than the one that measured it: the same answers, as fast, or the portable reference.

What came of it is kept beside the release, never inside: the next start on the same machine reads it and checks nothing
again. It can only choose between the two runtimes that were signed.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from breakeven.artifacts import fingerprint, now, read_json, write_json
from breakeven.errors import BreakevenError, EnvironmentFault, IntegrityError, Place
from breakeven.packaging.hardware import hardware, library_versions
from breakeven.packaging.opened import Package, load_predictor, open_package, read_info, threads_here

if TYPE_CHECKING:
    from breakeven.task import Predictor, Scoring, Task

CHECK = "check.json"
HERE = "here"  # the folder beside the releases where this machine's results are kept
FORMAT = 1
ROUNDS = 3
NOISE = 1.1  # a chosen runtime that is slower by less than this is as fast


def moved(info: Mapping[str, Any]) -> list[str]:
    """What differs from where the package was measured: hardware key and library versions, in words."""
    here, there = hardware()["key"], info["hardware"].get("key")
    found = [] if here == there else [f"hardware: {there} -> {here}"]
    then: Mapping[str, Any] = info["versions"]
    now_here = library_versions(list(then))
    return found + [
        f"{name}: {then[name]} -> {now_here.get(name)}" for name in sorted(then) if now_here.get(name) != then[name]
    ]


def open_here(folder: Path, *, threads: int = 1, beside: Path | None = None, task: Task | None = None) -> Package:
    """Opens a package with the runtime that holds on this machine; `Package.here` says how that was found.

    Where it was measured that is the chosen one. Elsewhere parity and a short measurement decide, once: the result is
    kept in the folder `beside` (None: nowhere), by machine, versions and threads.
    """
    info = read_info(folder)
    threads = threads or threads_here(info)
    differs = moved(info)
    if not differs:
        return open_package(folder, threads=threads, task=task)
    path = None if beside is None else beside / f"{_key(folder, info, threads)}.json"
    known = None if path is None else _remembered(path, info)
    if known is not None:
        package = open_package(folder, runtime=known["runtime"], threads=threads, task=task)
        package.here = {**known, "remembered": True}
        return package
    package = _checked(folder, info, threads, task)
    if path is not None:
        with contextlib.suppress(EnvironmentFault):  # releases on a read-only disk are checked at every start
            write_json(path, {"format": FORMAT, "created": now(), "threads": threads, **package.here})
    return package


def _key(folder: Path, info: Mapping[str, Any], threads: int) -> str:
    """One name for this package on this machine with these versions; a change of any is another name."""
    check = folder / CHECK
    asked = read_json(check) if check.is_file() else None
    versions = library_versions(list(info["versions"]))
    whole = fingerprint({"info": info, "check": asked, "versions": versions, "threads": threads})
    return f"{info['candidate']}-{hardware()['key']}-{whole[:16]}"


def _remembered(path: Path, info: Mapping[str, Any]) -> dict[str, Any] | None:
    """A former result that can be read and names one of the package's runtimes; anything else is checked again."""
    try:
        known = read_json(path)
    except (EnvironmentFault, IntegrityError):
        return None
    signed = (info["runtimes"]["reference"], info["runtimes"]["chosen"])
    if not isinstance(known, dict) or known.get("format") != FORMAT or known.get("runtime") not in signed:
        return None
    return {name: value for name, value in known.items() if name not in ("format", "created", "threads")}


def _checked(folder: Path, info: Mapping[str, Any], threads: int, task: Task | None) -> Package:
    """Opens with the chosen runtime and checks it; with the reference where the chosen one cannot even be loaded."""
    reference, chosen = str(info["runtimes"]["reference"]), str(info["runtimes"]["chosen"])
    unloadable: BreakevenError | None = None
    try:
        package = open_package(folder, threads=threads, task=task)
    except BreakevenError as error:
        if chosen == reference:
            raise
        unloadable = error
        package = open_package(folder, runtime=reference, threads=threads, task=task)
    try:
        check_here(package)
    except BaseException:
        package.close()
        raise
    if unloadable is not None:
        package.here |= {"fell_back": True, "reason": "unloadable", "why": str(unloadable)}
    return package


def check_here(package: Package) -> dict[str, Any]:
    """Answers the recorded inputs again where the machine or the libraries differ; falls back to the reference.

    Returns `{moved, checked, runtime, rows, agree, ms_chosen, ms_reference, fell_back, reason}`, kept as
    `package.here`. EnvironmentFault where even the reference does not give the recorded answers.
    """
    differs, path = moved(package.info), package.folder / CHECK
    result = {"moved": differs, "checked": False, "runtime": package.runtime, "fell_back": False, "reason": None}
    if differs and path.is_file():
        result |= _parity(package)
    package.here = result
    return result


def _parity(package: Package) -> dict[str, Any]:
    inputs, expected = _recorded(package)
    reference = str(package.info["runtimes"]["reference"])
    result: dict[str, Any] = {"checked": True, "rows": len(inputs)}
    if package.runtime != reference:
        try:
            agree = _agreeing(package, package.predictor, inputs, expected)
        except Exception as error:  # it opens, and an instruction or a kernel that it needs is not here
            return result | {"agree": 0} | _unable(package, reference, inputs, expected, error=error)
        return result | {"agree": agree} | _against_reference(package, reference, inputs, expected, agree=agree)
    agree = _agreeing(package, package.predictor, inputs, expected)
    result["agree"] = agree
    if agree < len(inputs):
        raise _not_here(package, agree, len(inputs))
    return result | {"ms_reference": _paces([package.predictor], inputs)[0]}


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
                       agree: int) -> dict[str, Any]:  # fmt: skip
    """Keeps the chosen runtime where it agrees and is no slower; else the reference takes over, if that agrees."""
    other = load_predictor(package.model, package.folder, reference, package.threads)
    agreed = _agreeing(package, other, inputs, expected)
    spent, spent_by_reference = _paces([package.predictor, other], inputs)
    found = {"ms_chosen": spent, "ms_reference": spent_by_reference}
    held = agree == len(inputs)
    if held and (spent <= NOISE * spent_by_reference or agreed < len(inputs)):
        other.close()
        return found
    if agreed < len(inputs):
        other.close()
        raise _not_here(package, agreed, len(inputs))
    package.use(other, reference)
    return found | {"runtime": reference, "fell_back": True, "reason": "slower" if held else "parity"}


def _unable(package: Package, reference: str, inputs: list[Any], expected: list[Any], *,
            error: Exception) -> dict[str, Any]:  # fmt: skip
    """The reference in the place of a chosen runtime that cannot answer on this machine."""
    other = load_predictor(package.model, package.folder, reference, package.threads)
    agreed = _agreeing(package, other, inputs, expected)
    if agreed < len(inputs):
        other.close()
        raise _not_here(package, agreed, len(inputs)) from error
    package.use(other, reference)
    why = f"{type(error).__name__}: {error}".splitlines()[0][:300]
    return {"agree": agreed, "runtime": reference, "fell_back": True, "reason": "unable", "why": why}


def _not_here(package: Package, agree: int, rows: int) -> EnvironmentFault:
    return EnvironmentFault("package-not-here", at=Place(file=str(package.folder)), agree=agree, rows=rows)


def _agreeing(package: Package, predictor: Predictor, inputs: list[Any], expected: list[Any]) -> int:
    """Rows, answered one by one, that agree with the recorded outputs."""
    tolerance = float(package.info["tolerance"])
    outputs = [predictor.predict([item])[0] for item in inputs]
    return sum(bool(package.task.agree(one, other, tolerance)) for one, other in zip(outputs, expected, strict=True))


def _paces(predictors: Sequence[Predictor], inputs: list[Any]) -> list[float]:
    """Milliseconds a row of each, one by one: the best of three rounds that take turns."""
    best = [float("inf")] * len(predictors)
    for _ in range(ROUNDS):
        for place, predictor in enumerate(predictors):
            started = time.perf_counter()
            for item in inputs:
                predictor.predict([item])
            best[place] = min(best[place], (time.perf_counter() - started) * 1000 / max(len(inputs), 1))
    return [round(one, 4) for one in best]


def as_json(scoring: Scoring, raw: list[Any]) -> dict[str, Any]:
    """Raw outputs as JSON-able arrays, by the scoring's own packing."""
    return {name: {"dtype": array.dtype.str, "values": array.tolist()} for name, array in scoring.pack(raw).items()}


def from_json(scoring: Scoring, data: Mapping[str, Any]) -> list[Any]:
    """The inverse of `as_json`."""
    import numpy as np

    return scoring.unpack({name: np.array(entry["values"], dtype=entry["dtype"]) for name, entry in data.items()})
