"""What was measured of the candidates: metrics, classes, slices, speed, runtimes, rules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from breakeven.quantity import Quantity
from breakeven.report import numbers
from breakeven.report.blocks import Block, Cell, Facts, Table
from breakeven.report.origins import quantity
from breakeven.report.sections.cells import candidates, cell, loose, machine_words, number, shown_candidate
from breakeven.report.words import Words

if TYPE_CHECKING:
    from breakeven.project import Snapshot

STEP = "evaluate/verdict"
SPEED = "evaluate/speed"
COUNTS = ("n", "answered")


def blocks(snapshot: Snapshot, words: Words) -> list[Block]:
    """Metrics, classes, slices, speed, runtimes and the answer rule."""
    parts = (_per_class, _per_slice, _speed, _runtimes, _rules)
    return [_metrics(snapshot, words), *(block for part in parts for block in part(snapshot, words))]


def _metrics(snapshot: Snapshot, words: Words) -> Block:
    found = {name: item.get("metrics") or {} for name, item in candidates(snapshot).items()}
    classes = {
        str(label)
        for item in candidates(snapshot).values()
        for label in (item.get("pictures") or {}).get("classes", [])
    }
    names = [
        name
        for name in dict.fromkeys(key for item in found.values() for key in item)
        if not any(name.endswith(f"_{label}") for label in classes)
    ]
    rows = [[Cell(words.term(name)), *(cell(item.get(name)) for item in found.values())] for name in names]
    return Table(words("metrics"), [words("metric"), *found], rows, step=STEP, note=words("metrics-note"))


def _per_class(snapshot: Snapshot, words: Words) -> Iterator[Block]:
    name = shown_candidate(snapshot)
    found = candidates(snapshot)[name] if name else {}
    rows = _breakdown(found.get("per_class") or (found.get("pictures") or {}).get("per_class") or {}, words)
    if rows:
        yield Table(words("per-class", candidate=name), *rows, step=STEP)


def _per_slice(snapshot: Snapshot, words: Words) -> Iterator[Block]:
    name = shown_candidate(snapshot)
    found = candidates(snapshot)[name] if name else {}
    for field, values in (found.get("per_slice") or (found.get("pictures") or {}).get("per_slice") or {}).items():
        rows = _breakdown(values, words)
        if rows:
            yield Table(words("per-slice", field=field, candidate=name), *rows, step=STEP)


def _breakdown(values: Mapping[str, Any], words: Words) -> tuple[list[str], list[list[Cell]]] | None:
    """(heads, rows) of `{label: {n, metric: Quantity JSON or number}}`; None where there is nothing."""
    keys = list(dict.fromkeys(key for item in values.values() for key in item))
    if not keys:
        return None
    rows = [[Cell(label), *(_broken(item.get(key), key) for key in keys)] for label, item in values.items()]
    return [words("group"), *(words.term(key) for key in keys)], rows


def _broken(data: Any, key: str) -> Cell:
    return number(data) if key in COUNTS else loose(data, "")


def figures(snapshot: Snapshot) -> dict[str, dict[str, Quantity]]:
    """What was measured of each candidate beside its metrics: speed, size, energy; in the ladder's order."""
    found: dict[str, dict[str, Quantity]] = {}
    served = (snapshot.speed or {}).get("candidates") or {}
    for name, item in candidates(snapshot).items():
        both = {**(served.get(name) or {}), **(snapshot.measurements.get(name) or {})}
        metrics = item.get("metrics") or {}
        found[name] = {key: held for key, data in both.items() if key not in metrics and (held := quantity(data))}
    return found


def _speed(snapshot: Snapshot, words: Words) -> Iterator[Block]:
    found = figures(snapshot)
    names = list(dict.fromkeys(key for item in found.values() for key in item))
    if names:
        rows = [[Cell(words.term(name)), *(_or_missing(item.get(name)) for item in found.values())] for name in names]
        note = words(
            "speed-note", hardware=machine_words((snapshot.speed or {}).get("hardware"), words) or numbers.MISSING
        )
        yield Table(words("speed"), [words("measured-thing"), *found], rows, step=SPEED, note=note)


def _or_missing(held: Quantity | None) -> Cell:
    return Cell(quantity=held) if held else Cell(numbers.MISSING, tone="quiet")


def _runtimes(snapshot: Snapshot, words: Words) -> Iterator[Block]:
    """What was tried of each candidate, why it was not taken, and what threads do for the one that was."""
    rows = [
        _tried(name, tried, package["runtimes"], words)
        for name, package in snapshot.packages.items()
        for tried in (package.get("runtimes") or {}).get("tried") or []
    ]
    if rows:
        names = ("candidate", "runtime", "ms-alone", "ms-together", "agreement", "answers-alike", "largest-gap",
                 "tokens-per-batch", "seconds-to-load", "chosen")  # fmt: skip
        yield Table(words("runtimes"), [words(name) for name in names], rows, note=words("runtimes-note"))
    threads = list(_threads(snapshot, words))
    if threads:
        heads = [words(name) for name in ("candidate", "runtime", "threads", "ms-alone", "ms-together", "chosen")]
        yield Table(words("runtime-threads"), heads, threads)


def _tried(name: str, tried: Mapping[str, Any], runtimes: Mapping[str, Any], words: Words) -> list[Cell]:
    chosen = tried.get("runtime") == runtimes.get("chosen")
    why = "" if chosen else _why_not(tried, runtimes, words)
    return [
        Cell(name),
        Cell(str(tried.get("runtime")), tone="good" if chosen else "", code=True),
        loose(tried.get("ms_single"), "ms"),
        loose(tried.get("ms_batched"), "ms"),
        loose(tried.get("agreement"), "share"),
        loose(tried.get("answers_alike"), "share"),
        loose(tried.get("largest_gap"), ""),
        number(tried.get("tokens_per_batch"), "tokens"),
        loose(tried.get("load_seconds"), "s"),
        Cell(words("chosen") if chosen else why, tone="" if chosen or tried.get("within") else "bad"),
    ]


def _why_not(tried: Mapping[str, Any], runtimes: Mapping[str, Any], words: Words) -> str:
    """The reference needs no reason: it is kept beside what was chosen."""
    if tried.get("runtime") == runtimes.get("reference"):
        return ""
    if tried.get("failed"):
        return str(tried["failed"])
    if not tried.get("within"):
        return words("outside-tolerance")
    return words("batch-dependent" if not tried.get("batch_independent") else "not-faster")


def _threads(snapshot: Snapshot, words: Words) -> Iterator[list[Cell]]:
    for name, package in snapshot.packages.items():
        runtimes = package.get("runtimes") or {}
        known = runtimes.get("threads") or {}
        for tried in known.get("tried") or []:
            chosen = tried.get("threads") == known.get("chosen")
            yield [
                Cell(name),
                Cell(str(runtimes.get("chosen")), code=True),
                number(tried.get("threads"), "threads"),
                loose(tried.get("ms_single"), "ms"),
                loose(tried.get("ms_batched"), "ms"),
                Cell(words("chosen") if chosen else ""),
            ]


def _rules(snapshot: Snapshot, words: Words) -> Iterator[Block]:
    name = shown_candidate(snapshot)
    rule = (candidates(snapshot)[name] if name else {}).get("rule") or {}
    pairs = [
        (words.term(str(key)), Cell(_said(value), code=True))
        for key, value in rule.items()
        if value not in (None, {}, [])
    ]
    if pairs:
        yield Facts(words("rule", candidate=name), pairs, step=STEP)


def _said(value: Any) -> str:
    if isinstance(value, float):
        return numbers.tick(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_said(item)}" for key, item in value.items())
    if isinstance(value, list):
        nested = any(isinstance(item, list) for item in value)
        return ", ".join(f"[{_said(item)}]" if nested else _said(item) for item in value)
    return str(value)
