"""The collect section: the data card."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from breakeven.report import numbers
from breakeven.report.blocks import Block, Cell, Facts, Table
from breakeven.report.origins import measured, quantity
from breakeven.report.sections.cells import number, said
from breakeven.report.words import Words

if TYPE_CHECKING:
    from breakeven.project import Snapshot

UNKNOWN_RIGHTS = "not established"
CODES = ("location", "encoding", "delimiter")
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
    yield from _sources(card.get("sources") or [], words)
    yield _columns(card, words)


def _limit(value: Any) -> Cell:
    held = quantity({"value": value, "unit": "rows", "origin": "declared"})
    return Cell(quantity=held) if held else said(value)


def _sources(sources: Sequence[Mapping[str, Any]], words: Words) -> Iterator[Block]:
    """One source as facts; of several what they share once, and a column each for the rest."""
    if len(sources) == 1:
        yield Facts(words("source", name=sources[0].get("name", "?")), _facts(sources[0], words), step="collect")
    if len(sources) < 2:
        return
    keys = [key for key in dict.fromkeys(key for source in sources for key in source) if key != "name"]
    shared = {
        key: sources[0].get(key) for key in keys if all(other.get(key) == sources[0].get(key) for other in sources)
    }
    if any(value not in (None, "") for value in shared.values()):
        yield Facts(words("every-source"), _facts(shared, words), step="collect")
    rows = [
        [Cell(words.term(key)), *(_value(key, source.get(key), words) for source in sources)]
        for key in keys
        if key not in shared
    ]
    names = [str(source.get("name", "?")) for source in sources]
    yield Table(words("sources"), [words("what"), *names], rows, step="collect")


def _facts(source: Mapping[str, Any], words: Words) -> list[tuple[str, Cell]]:
    return [
        (words.term(key), _value(key, value, words))
        for key, value in source.items()
        if key != "name" and value not in (None, "")
    ]


def _value(key: str, value: Any, words: Words) -> Cell:
    if key == "rights" and value == UNKNOWN_RIGHTS:
        return said(words.term("rights-not-established"))
    if key == "kind":
        return said(words.term(f"source-{value}"))
    if isinstance(value, int) and not isinstance(value, bool):
        return Cell(numbers.size(value), measured(value, "bytes")) if key == "bytes" else number(value, "")
    if isinstance(value, Mapping):
        return said("; ".join(f"{name}: {item}" for name, item in value.items() if item))
    if isinstance(value, list):
        return said(", ".join(str(item) for item in value))
    return said(repr(value) if key == "delimiter" and value else value, code=key in CODES)


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
