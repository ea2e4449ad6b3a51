"""Each runtime of a model tried on validation rows: does it answer as the reference does, alone and in any company, and
how fast, with how much work a batch, on how many threads.

A runtime may fail in any way it likes: it is then on record with the reason, and the reference answers. All timing is
bounded.
"""

from __future__ import annotations

import random
import shutil
import statistics
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from breakeven.artifacts import hash_tree
from breakeven.errors import IntegrityError, Place
from breakeven.packaging.contents import check_finite, not_finite
from breakeven.packaging.hardware import cores
from breakeven.packaging.opened import load_predictor, predict_all

if TYPE_CHECKING:
    from breakeven.task import Model, Predictor, Task

FASTER = 1.1  # below this ratio a difference in speed is noise, and what comes first is kept
SINGLE_ROWS = 24
SHUFFLED_ROWS = 98
WARM_ROWS = 8
BUDGETS = (512, 1024, 2048)  # tokens a batch
BATCH_SHARE, THREADS_SHARE = 0.5, 0.25  # of the seconds that a runtime's timing may take
MOST_WORKERS = 4  # each holds the model
LONG_SECONDS = 2.0  # answering every row once: beyond this all cores do it, and a part of the rows is timed


UNTOLD = ("raw", "company", "spends")


@dataclass
class Tried:
    """One runtime, as it was found. Times are milliseconds a case; `agreement` is the share of rows that agree.

    `answers_alike`: share of rows with the reference's answer by the default rule; `largest_gap`: of any number of an
    output. `load_seconds`: until it had given its first answer, compiling included.
    """

    runtime: str
    threads: int
    ms_single: float | None = None
    ms_batched: float | None = None
    ms_per_case: float | None = None
    agreement: float | None = None
    answers_alike: float | None = None
    largest_gap: float | None = None
    rows: int = 0
    batch_independent: bool = False
    within: bool = False
    bytes: int = 0
    load_seconds: float | None = None
    tokens_per_batch: int | None = None
    batches: list[dict[str, float]] = field(default_factory=list)
    failed: str | None = None
    raw: list[Any] = field(default_factory=list, repr=False)
    company: list[tuple[int, Any]] = field(default_factory=list, repr=False)  # (row, output) in other batches
    spends: bool = False

    def as_json(self) -> dict[str, Any]:
        """The record in `runtimes.tried`."""
        return {part.name: getattr(self, part.name) for part in fields(self) if part.name not in UNTOLD}


@dataclass(frozen=True)
class Conditions:
    """What every runtime is tried on. `inputs`: as the model takes them. `seconds` bounds each timing."""

    inputs: list[Any]
    task: Task
    facts: Mapping[str, Any]
    sample: list[Any]
    tolerance: float
    agreement: float
    threads: int
    seconds: float
    allow_not_finite: bool = False


def trials(
    model: Model, trained: Path, folder: Path, names: Sequence[str], given: Conditions
) -> tuple[list[Tried], Tried]:
    """(what each runtime came to, the chosen one); the folders of the others are removed, the reference's is kept.

    `names`: the reference first.
    """
    tried: list[Tried] = []
    for name in names:
        tried.append(attempt(model, trained, folder, name, reference=tried[0] if tried else None, given=given))
    chosen = choose(tried)
    for item in tried[1:]:
        if item is not chosen:
            shutil.rmtree(folder / item.runtime, ignore_errors=True)
    return tried, chosen


def choose(tried: Sequence[Tried]) -> Tried:
    """The fastest runtime that holds; the reference (the first) unless another is clearly faster."""
    reference = tried[0]
    holding = [item for item in tried[1:] if item.within and item.batch_independent and item.ms_per_case]
    best = min(holding, key=lambda item: item.ms_per_case or 0.0, default=reference)
    return best if (reference.ms_per_case or 0.0) > FASTER * (best.ms_per_case or 0.0) else reference


def attempt(
    model: Model, trained: Path, folder: Path, name: str, *, reference: Tried | None, given: Conditions
) -> Tried:
    """Packages, loads, compares and times one runtime. The reference must hold; any other may fail, and says why."""
    found = Tried(name, given.threads, rows=len(given.inputs))
    place = folder / name
    try:
        place.mkdir(parents=True)
        model.package(trained, place, name, given.sample)
        if not given.allow_not_finite:
            check_finite(place)
        found.bytes = sum(entry["bytes"] for entry in hash_tree(place).values())
        # Where another runtime may answer, the reference's batches are not worth the time.
        _load_and_measure(found, model, folder, given, settle=reference is not None)
    except Exception as error:
        # An exporter may fail in any way it likes: the candidate still has its reference.
        if reference is None:
            raise
        found.failed = str(error).splitlines()[0][:300] if str(error) else type(error).__name__
        return found
    _judge(found, reference, place, given)
    return found


def _load_and_measure(found: Tried, model: Model, folder: Path, given: Conditions, *, settle: bool) -> None:
    started = time.perf_counter()
    predictor = load_predictor(model, folder, found.runtime, given.threads)
    try:
        found.spends = predictor.spends
        if found.spends:
            found.raw, spent = _pass(predictor, given.inputs)
            found.ms_batched = found.ms_single = found.ms_per_case = round(spent * 1000, 5)
            found.batch_independent = True  # every input is a call of its own
            return
        predictor.predict(given.inputs[:1])
        found.load_seconds = round(time.perf_counter() - started, 3)
        _measure(found, predictor, given, settle=settle)
    finally:
        predictor.close()
    if not found.raw:
        found.raw = _on_all_cores(found, model, folder, given)
    found.batch_independent = all(
        given.task.agree(one, found.raw[index], given.tolerance) for index, one in found.company
    )


def _measure(found: Tried, predictor: Predictor, given: Conditions, *, settle: bool) -> None:
    """Times rows together and alone; answers some alone and some in odd company. Answers every row where that is soon
    done.
    """
    inputs = given.inputs
    pace = _pass(predictor, inputs[:WARM_ROWS])[1]
    found.tokens_per_batch = predictor.tokens_per_batch
    if settle:
        _settle_batches(found, predictor, inputs, pace, BATCH_SHARE * given.seconds)
    timed = inputs
    if pace * len(inputs) > LONG_SECONDS and cores() > 1:
        timed = inputs[: max(SINGLE_ROWS, int(given.seconds / 2 / pace))]
    raw, best = _pass(predictor, timed)
    found.raw = raw if len(timed) == len(inputs) else []
    # The best of up to five passes: a fast model's single pass is over before the machine has settled.
    for _ in range(min(4, int(given.seconds / (best * len(timed))))):
        best = min(best, _pass(predictor, timed)[1])
    some = random.Random(0).sample(range(len(inputs)), min(SINGLE_ROWS, len(inputs)))
    alone, single = _one_by_one(predictor, [inputs[index] for index in some])
    _note(found, batched=best, single=single)
    found.company = [*zip(some, alone, strict=True), *_in_other_company(predictor, inputs)]


def _on_all_cores(found: Tried, model: Model, folder: Path, given: Conditions) -> list[Any]:
    """Every row's output: a predictor a core, each on one thread, for threads that wait for each other are slow where a
    neighbour keeps one of them from running.
    """
    workers = min(cores(), MOST_WORKERS)
    with ThreadPoolExecutor(workers) as pool:
        parts = pool.map(
            lambda first: _answers(found, model, folder, given.inputs[first::workers], given.threads), range(workers)
        )
        outputs: list[Any] = [None] * len(given.inputs)
        for first, part in enumerate(parts):
            outputs[first::workers] = part
    return outputs


def _answers(found: Tried, model: Model, folder: Path, inputs: list[Any], threads: int) -> list[Any]:
    predictor = load_predictor(model, folder, found.runtime, threads)
    try:
        predictor.tokens_per_batch = found.tokens_per_batch
        return predict_all(predictor, inputs)
    finally:
        predictor.close()


def _judge(found: Tried, reference: Tried | None, place: Path, given: Conditions) -> None:
    """Whether its answers are finite, the same in any company, and those of the reference."""
    if any(not_finite(raw) for raw in found.raw):
        if reference is None and not given.allow_not_finite:
            raise IntegrityError("package-output-not-finite", at=Place(file=str(place)), runtime=found.runtime)
        found.failed = found.failed or (None if given.allow_not_finite else "answers that are not finite")
    if reference is None and not found.batch_independent:
        raise IntegrityError("package-batch-dependent", at=Place(file=str(place)), runtime=found.runtime)
    expected = (reference or found).raw
    agree = given.task.agree
    same = sum(bool(agree(one, other, given.tolerance)) for one, other in zip(found.raw, expected, strict=True))
    found.agreement = round(same / len(given.inputs), 6)
    found.within = found.failed is None and found.agreement >= given.agreement
    if found.failed is None:
        found.answers_alike, found.largest_gap = _alike(found.raw, expected, given), _gap(found.raw, expected, given)


def _alike(raw: list[Any], expected: list[Any], given: Conditions) -> float:
    scoring = given.task.scoring()
    rule = scoring.rule({}, None, given.facts)
    pairs = zip(scoring.decide(raw, rule), scoring.decide(expected, rule), strict=True)
    return round(sum(bool(one == other) for one, other in pairs) / len(raw), 6)


def _gap(raw: list[Any], expected: list[Any], given: Conditions) -> float | None:
    """None where outputs are not numbers of one shape."""
    import numpy as np

    scoring = given.task.scoring()
    one, other = scoring.pack(raw), scoring.pack(expected)
    gaps = [
        float(np.max(np.abs(one[name] - other[name]), initial=0.0))
        for name in one
        if one[name].dtype.kind == "f" and name in other and one[name].shape == other[name].shape
    ]
    return round(max(gaps), 8) if gaps and all(np.isfinite(gaps)) else None


def _note(found: Tried, *, batched: float, single: float) -> None:
    found.ms_batched, found.ms_single = round(batched * 1000, 5), round(single * 1000, 5)
    # Requests come alone at low traffic and together at high: the geometric mean favours neither.
    found.ms_per_case = round((found.ms_batched * found.ms_single) ** 0.5, 5)


def _settle_batches(found: Tried, predictor: Predictor, inputs: list[Any], pace: float, seconds: float) -> None:
    """Gives a predictor that makes its own batches the number of tokens that is fastest, where that can be told.

    Among equals its own default is kept; so it is where the rows do not fill the largest batch, or take too long.
    """
    default = predictor.tokens_per_batch
    if default is None:
        return
    some = inputs[: int(seconds / (pace * len(BUDGETS)))]
    if sum(predictor.sizes(some) or [0]) < BUDGETS[-1]:
        return
    seen: dict[int, float] = {}
    for budget in BUDGETS:
        predictor.tokens_per_batch = budget
        seen[budget] = _pass(predictor, some)[1]
    found.batches = [{"tokens": budget, "ms": round(spent * 1000, 5)} for budget, spent in seen.items()]
    predictor.tokens_per_batch = found.tokens_per_batch = fastest(seen, default)


def fastest(seconds: Mapping[int, float], usual: int) -> int:
    """The one that takes least, or the usual one where that is not clearly slower."""
    best = min(seconds, key=lambda one: seconds[one])
    return usual if usual in seconds and seconds[usual] <= FASTER * seconds[best] else best


def _pass(predictor: Predictor, inputs: list[Any]) -> tuple[list[Any], float]:
    """(raw outputs in the order of `inputs`, seconds a case) of one pass."""
    started = time.perf_counter()
    outputs = predict_all(predictor, inputs)
    return outputs, (time.perf_counter() - started) / max(len(inputs), 1)


def _one_by_one(predictor: Predictor, inputs: list[Any]) -> tuple[list[Any], float]:
    """(raw outputs, median seconds of one)."""
    outputs, times = [], []
    for item in inputs:
        started = time.perf_counter()
        outputs.append(predictor.predict([item])[0])
        times.append(time.perf_counter() - started)
    return outputs, statistics.median(times)


def _in_other_company(predictor: Predictor, inputs: list[Any]) -> list[tuple[int, Any]]:
    """(row, output) of rows answered in shuffled batches of an odd size, short beside long."""
    some = random.Random(1).sample(range(len(inputs)), min(SHUFFLED_ROWS, len(inputs)))
    found: list[tuple[int, Any]] = []
    for start in range(0, len(some), 7):
        batch = some[start : start + 7]
        found += zip(batch, predictor.predict([inputs[i] for i in batch]), strict=True)
    return found


def threads_of(model: Model, folder: Path, chosen: Tried, given: Conditions) -> dict[str, Any]:
    """`{chosen, tried: [{threads, ms_single, ms_batched, ms_per_case}]}` of the chosen runtime: one thread, and every
    doubling up to all cores. More threads are chosen where they are clearly faster.
    """
    counts = [1]
    while counts[-1] < cores():
        counts.append(min(2 * counts[-1], cores()))
    wanted = len(counts) > 1 and not chosen.spends
    tried = [_on_threads(model, folder, chosen, count, given) for count in counts] if wanted else []
    best = fastest({one.threads: one.ms_per_case or 0.0 for one in tried}, 1) if tried else chosen.threads
    names = ("threads", "ms_single", "ms_batched", "ms_per_case")
    return {"chosen": best, "tried": [{name: getattr(one, name) for name in names} for one in tried]}


def _on_threads(model: Model, folder: Path, chosen: Tried, threads: int, given: Conditions) -> Tried:
    found = replace(chosen, threads=threads, raw=[])
    pace = (chosen.ms_batched or 1.0) / 1000
    count = int(THREADS_SHARE * given.seconds / 2 / pace)
    some = given.inputs[: max(1, count)]
    predictor = load_predictor(model, folder, chosen.runtime, threads)
    try:
        predictor.tokens_per_batch = chosen.tokens_per_batch
        _pass(predictor, some[:WARM_ROWS])
        _note(found, batched=_pass(predictor, some)[1], single=_one_by_one(predictor, some[:WARM_ROWS])[1])
    finally:
        predictor.close()
    return found
