"""The process section: what was dropped and how it adds up, the split, what was looked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from breakeven.report import numbers
from breakeven.report.blocks import Block, Cell, Facts, Table
from breakeven.report.sections.cells import number, said
from breakeven.report.words import Words

if TYPE_CHECKING:
    from breakeven.project import Snapshot


def blocks(snapshot: Snapshot, words: Words) -> Iterator[Block]:
    """What was dropped and how it adds up, the split, the classes, duplicates, personal data."""
    report = snapshot.process
    if report is None:
        return
    yield _drops(report, words)
    splits = report.get("splits") or {}
    rule = report.get("split_rule") or {}
    how = ", ".join(
        f"{words.term(str(name))} {value}" for name, value in rule.items() if value not in (None, "", [], {})
    )
    if splits:
        total = sum(value for value in splits.values() if isinstance(value, int))
        rows = [
            [Cell(words.term(name)), number(value), Cell(numbers.percent(value / total if total else None))]
            for name, value in splits.items()
        ]
        yield Table(
            words("split"),
            [words("part"), words("rows-head"), words("share")],
            rows,
            step="process",
            note=words("split-note", rule=how) if how else "",
        )
    yield from _classes(report, words)
    pairs = [
        *_flat("duplicates", report, words),
        (words("conflicts"), number(report.get("conflicts"))),
        (words("near-conflicts"), number(report.get("near_conflicts"))),
        *_flat("personal_data", report, words, unit="found"),
    ]
    columns = report.get("columns") or {}
    for name in ("missing", "constant"):
        held = columns.get(name)
        if held:
            text = (
                ", ".join(f"{key} ({value})" for key, value in held.items())
                if isinstance(held, Mapping)
                else ", ".join(map(str, held))
            )
            pairs.append((words(f"columns-{name}"), said(text, code=True)))
    yield Facts(words("looked-for"), [pair for pair in pairs if pair[1].text != numbers.MISSING], step="process")


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
        (f"{words(key)}: {words.term(str(name))}", number(value, unit))
        for name, value in held.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool)
    ]
