"""What a report is made of, before any markup: sections of tables, facts, pictures and findings.

The same blocks become HTML, Markdown and terminal output, so a number is formatted once and reads alike everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from breakeven.quantity import Origin, Quantity
from breakeven.report import numbers

Tone = Literal["", "good", "bad", "unsure", "quiet"]


@dataclass(frozen=True, eq=False)
class Cell:
    """One place of a table: words, or a quantity that is formatted here and listed in the appendix.

    With a quantity, `words` and `range` stand in place of what would be formatted (`> 36` for a month beyond the plan).
    """

    words: str = ""
    quantity: Quantity | None = None
    tone: Tone = ""
    code: bool = False  # a hash, a path, a name out of the file: fixed width
    bare: bool = False  # the head names the unit already
    range: str | None = None
    step: str | None = None  # the artifact, where it is not its table's

    @property
    def text(self) -> str:
        """What is shown, without the interval; a short unit stands behind the number."""
        if self.quantity is None or self.words:
            return self.words
        return numbers.amount(self.quantity) + ("" if self.bare else numbers.suffix(self.quantity))

    @property
    def numeric(self) -> bool:
        """Whether it reads as a number: aligned right, never folded."""
        return self.quantity is not None and not self.words

    @property
    def interval(self) -> str | None:
        """`[low, high]`, or None."""
        return self.range or (None if self.words else numbers.bounds(self.quantity))

    @property
    def line(self) -> str:
        """Text and interval in one line."""
        return f"{self.text} {self.interval}" if self.interval else self.text


@dataclass(frozen=True, eq=False)
class Table:
    """Rows under heads; the first column names the row. `step` is the artifact its numbers come from."""

    title: str
    heads: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    step: str | None = None
    note: str = ""
    main: bool = False  # the table of the first screen

    def numeric(self, column: int) -> bool:
        """Whether a column is read as numbers: most of its cells are, or are not known."""
        cells = [row[column] for row in self.rows]
        known, unknown = sum(cell.numeric for cell in cells), sum(cell.text == numbers.MISSING for cell in cells)
        return 2 * (known + unknown) > len(cells) and (known > 0 or unknown == len(cells))


@dataclass(frozen=True, eq=False)
class Facts:
    """Names and what stands for them."""

    title: str
    pairs: Sequence[tuple[str, Cell]]
    step: str | None = None


@dataclass(frozen=True)
class Picture:
    """An inline drawing, its heading, and the sentence under it; `table` says in numbers what it draws."""

    key: str
    title: str
    svg: str
    caption: str
    table: Table | None = None


@dataclass(frozen=True)
class Findings:
    """Coded findings: (level, text, code); those from `fold` on may be hidden until asked for."""

    items: Sequence[tuple[str, str, str]]
    fold: int | None = None


@dataclass(frozen=True)
class Note:
    """A paragraph; `command` is what makes what is missing."""

    text: str
    command: str | None = None
    tone: Tone = ""


@dataclass(frozen=True)
class Lines:
    """Sentences one under the other."""

    title: str
    items: Sequence[str]


@dataclass(frozen=True)
class Listing:
    """Text shown as it is: the project file."""

    title: str
    text: str


def one_origin(block: Table | Facts) -> Origin | None:
    """The origin that all numbers of a block share, so that one mark in its title speaks for them; else None."""
    if isinstance(block, Table) and (block.main or not block.title):
        return None
    cells = (
        [cell for row in block.rows for cell in row] if isinstance(block, Table) else [cell for _, cell in block.pairs]
    )
    found = {cell.quantity.origin for cell in cells if cell.quantity is not None}
    return found.pop() if len(found) == 1 else None


Block = Table | Facts | Picture | Findings | Note | Lines | Listing


@dataclass(frozen=True)
class Section:
    """A heading and its blocks."""

    key: str
    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Entry:
    """One line of the appendix: a number, where it stands, and all that is known of where it came from."""

    number: int
    where: str
    shown: str
    quantity: Quantity
    when: str | None
    artifact: str | None


@dataclass(frozen=True)
class Report:
    """Everything a renderer needs."""

    name: str
    task: str
    language: str
    sentence: str
    verdict: Literal["ship", "none", "missing"]
    basis: Sequence[str]
    sections: Sequence[Section]
    entries: Sequence[Entry] = field(default_factory=tuple)
    made: str = ""
    versions: Any = None

    def cells(self) -> Iterator[tuple[str, str | None, Cell]]:
        """Every cell with where it stands and the step behind it, in reading order."""
        for section in self.sections:
            for block in section.blocks:
                yield from _cells_of(section, block)


def _cells_of(section: Section, block: Block) -> Iterator[tuple[str, str | None, Cell]]:
    if isinstance(block, Picture) and block.table is not None:
        yield from _cells_of(section, block.table)
    elif isinstance(block, Table):
        for row in block.rows:
            for head, cell in zip(block.heads, row, strict=True):
                yield _path(section.title, block.title, row[0].text, head), cell.step or block.step, cell
    elif isinstance(block, Facts):
        for name, cell in block.pairs:
            yield _path(section.title, block.title, name), cell.step or block.step, cell


def _path(*parts: str) -> str:
    return " › ".join(part for part in parts if part)
