"""The process section: what was dropped and how it adds up, the split, what was looked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from breakeven.report import numbers
from breakeven.report.blocks import Block, Cell, Facts, Table
from breakeven.report.sections.cells import judged, number, said
from breakeven.report.words import Words

if TYPE_CHECKING:
    from breakeven.project import Snapshot


def blocks(snapshot: Snapshot, words: Words) -> Iterator[Block]:
    """What was dropped and how it adds up, the split, the classes, duplicates, personal data."""
    report = snapshot.process
    if report is None:
        return
    yield _drops(report, words)
    yield from _split(report, words)
    yield from _classes(report, words)
    yield _looked_for(report, words)


def _split(report: Mapping[str, Any], words: Words) -> Iterator[Table]:
    splits, rule = report.get("splits") or {}, report.get("split_rule") or {}
    total = sum(splits.values())
    if not total:
        return
    rows = []
    for name, value in splits.items():
        share = value / total
        rows.append([Cell(words.term(name)), number(value), judged(share, numbers.percent(share), "measured")])
    told = [
        f"{words.term(str(name))} {words.term(value) if isinstance(value, str) else value}"
        for name, value in rule.items()
        if value not in (None, "", [], {})
    ]
    note = words("split-note", rule=words.joined(told)) if told else ""
    heads = [words("part"), words("rows-head"), words("share")]
    yield Table(words("split"), heads, rows, step="process", note=note)


def _looked_for(report: Mapping[str, Any], words: Words) -> Facts:
    pairs = [
        *_flat("duplicates", report, words),
        *_shares(report, words),
        (words("conflicts"), number(report.get("conflicts"))),
        (words("near-conflicts"), number(report.get("near_conflicts"))),
        *_flat("personal_data", report, words, unit="found"),
    ]
    columns = report.get("columns") or {}
    missing = ", ".join(f"{name} ({count})" for name, count in (columns.get("missing") or {}).items())
    pairs.append((words("columns-missing"), said(missing, code=True)))
    pairs.append((words("columns-constant"), said(", ".join(columns.get("constant") or []), code=True)))
    known = [pair for pair in pairs if pair[1].text != numbers.MISSING]
    return Facts(words("looked-for"), known, step="process")


def _shares(report: Mapping[str, Any], words: Words) -> Iterator[tuple[str, Cell]]:
    """Repeats as shares of what came in."""
    came, held = report.get("rows_in"), report.get("duplicates") or {}
    for name in ("exact", "near"):
        if came and isinstance(held.get(name), int):
            share = held[name] / came
            label = words("part-of", whole=words("duplicates"), part=words.joined([words.term(name), words("share")]))
            yield label, judged(share, numbers.percent(share), "measured")


def _drops(report: Mapping[str, Any], words: Words) -> Table:
    dropped = report.get("dropped") or {}
    came, left = report.get("rows_in"), report.get("rows_out")
    rows = [[Cell(words("rows-in")), number(came)]]
    rows += [[Cell("− " + words.term(str(reason))), number(value)] for reason, value in dropped.items()]
    adds = isinstance(came, int) and isinstance(left, int) and came == left + sum(dropped.values())
    rows.append([Cell(words("rows-out")), number(left)])
    note = words("adds-up") if adds else words("does-not-add-up")
    return Table(words("drops"), [words("step-of-rows"), words("rows-head")], rows, step="process", note=note)


def _classes(report: Mapping[str, Any], words: Words) -> Iterator[Table]:
    classes = report.get("classes") or {}
    labels = list(dict.fromkeys(label for held in classes.values() for label in held))
    if labels:
        rows = [[Cell(label), *(number(held.get(label, 0)) for held in classes.values())] for label in labels]
        yield Table(words("classes"), [words("class"), *(words.term(name) for name in classes)], rows, step="process")


def _flat(key: str, report: Mapping[str, Any], words: Words, unit: str = "rows") -> list[tuple[str, Cell]]:
    held = report.get(key)
    if not isinstance(held, Mapping):
        return []
    return [
        (words("part-of", whole=words(key), part=words.term(str(name))), number(value, unit))
        for name, value in held.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool)
    ]
