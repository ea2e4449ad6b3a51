"""The collect section: the data card."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from breakeven.report import numbers
from breakeven.report.blocks import Block, Cell, Facts, Table
from breakeven.report.origins import quantity
from breakeven.report.sections.cells import number, said
from breakeven.report.words import Words

if TYPE_CHECKING:
    from breakeven.project import Snapshot

SHOWABLE = ("category",)  # kinds whose example values may stand in a report that is passed on


def blocks(snapshot: Snapshot, words: Words) -> Iterator[Block]:
    """The data card: sources, what the filter dropped, columns."""
    card = snapshot.collect
    if card is None:
        return
    filtered = card.get("filtered") or {}
    pairs = [(words("rows-collected"), number(card.get("rows")))]
    if filtered.get("where"):
        pairs += [
            (words("filter"), said(filtered["where"], code=True)),
            (words("filter-dropped"), number(filtered.get("dropped"))),
        ]
    if (card.get("limited") or {}).get("dropped"):
        pairs.append((words("limit-dropped"), number(card["limited"]["dropped"])))
    if card.get("limit") is not None:
        pairs.append((words("row-limit"), _limit(card["limit"])))
    yield Facts(words("what-was-read"), pairs, step="collect")
    for source in card.get("sources") or []:
        yield Facts(words("source", name=source.get("name", "?")), _source(source, words), step="collect")
    yield _columns(card, words)


def _limit(value: Any) -> Cell:
    held = quantity({"value": value, "unit": "rows", "origin": "declared"})
    return Cell(quantity=held) if held else said(value)


def _source(source: Mapping[str, Any], words: Words) -> list[tuple[str, Cell]]:
    codes = ("location", "sha256", "encoding", "delimiter")
    pairs = []
    for key, value in source.items():
        if key == "name" or value is None or value == "":
            continue
        if key == "bytes":
            pairs.append((words("size"), Cell(numbers.size(value))))
        elif isinstance(value, int) and not isinstance(value, bool):
            pairs.append((words.term(key), number(value, "")))
        elif isinstance(value, Mapping):
            pairs += [
                (f"{words.term(key)}, {words.term(str(name))}", said(item)) for name, item in value.items() if item
            ]
        elif isinstance(value, list):
            pairs.append((words.term(key), said(", ".join(str(item) for item in value))))
        else:
            text = repr(value) if key == "delimiter" else value
            pairs.append((words.term(key), said(text, code=key in codes)))
    return pairs


def _columns(card: Mapping[str, Any], words: Words) -> Table:
    rows = []
    for column in card.get("columns") or []:
        kind = str(column.get("kind", ""))
        bounded = kind in ("number", "time") and column.get("min") is not None
        values = dict.fromkeys(_clip(value) for value in column.get("examples") or [])
        examples = ", ".join(values) if kind in SHOWABLE else ""
        if bounded:
            examples = f"{_clip(column['min'])} … {_clip(column['max'])}"
        rows.append(
            [
                Cell(str(column.get("name")), code=True),
                Cell(words.term(kind)),
                Cell(str(column.get("dtype", "")), code=True),
                number(column.get("missing")),
                number(column.get("distinct")),
                Cell(examples),
            ]
        )
    heads = [
        words(name) for name in ("column", "kind-of-field", "dtype", "missing-values", "distinct", "range-or-examples")
    ]
    return Table(words("columns"), heads, rows, step="collect", note=words("columns-note"))


def _clip(value: Any) -> str:
    text = numbers.plain(value) if isinstance(value, float) else str(value)
    return text if len(text) <= 28 else text[:27] + "…"
