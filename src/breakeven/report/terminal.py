"""The report in the terminal: the table of candidates and the sentence, a stage or a candidate, two side by side.

Readable at 80 columns (a table that does not fit is turned on its side), without colour, and in plain ASCII where the
terminal's encoding is not a Unicode one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from breakeven.errors import reader_language
from breakeven.report import compose, origins, pairs
from breakeven.report.blocks import Block, Cell, Facts, Findings, Lines, Listing, Note, Picture, Table, one_origin
from breakeven.report.sections import evaluate
from breakeven.report.words import Words

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from breakeven.project import Snapshot

TONES = {"good": "green", "bad": "red", "unsure": "yellow", "quiet": "dim", "": ""}
LEVELS = {"problem": "red", "warning": "yellow", "info": "dim"}
ASCII = {
    "−": "-",
    "–": "-",
    "—": "-",
    "×": "x",
    "…": "...",
    "›": ">",
    "€": "EUR ",
    "£": "GBP ",
    "¥": "CNY ",
    "₹": "INR ",
    "₩": "KRW ",
    "∞": "inf",
    "→": "->",
    "·": "-",
    "’": "'",
}
NARROWEST = 40
LONGEST = 24  # a word without spaces longer than this may be folded
GAP = 2


def print_verdict(console: Console, snapshot: Snapshot, *, findings: bool = True) -> None:
    """The table of candidates, the sentence, and the findings that a reader should know (unless they follow anyway)."""
    words = Words(reader_language(snapshot.language))
    verdict = snapshot.verdict or {}
    if not verdict.get("candidates"):
        _print(console, compose.sentence(snapshot, words))
        return
    _table(console, evaluate.main_table(snapshot, words), words)
    _print(console, _legend(words), style="dim")
    _print(console, words.joined(compose.basis(verdict, words), sentences=True), style="dim")
    console.print()
    said = compose.sentence(snapshot, words)
    _print(console, said if said.startswith("->") else f"-> {said}", style="bold", hang="   ")
    console.print()
    if compose.standing(verdict) == "none":
        for block in evaluate.obstacles(snapshot, words):
            _block(console, block, words)
    if findings:
        _pressing(console, snapshot, words)


def _pressing(console: Console, snapshot: Snapshot, words: Words) -> None:
    """The first few problems and warnings; how many more there are, and where."""
    items = compose.pressing(snapshot)
    for block in compose.findings(items[: compose.SHOWN], words):
        _block(console, block, words)
    if len(items) > compose.SHOWN:
        more = words("more-findings", count=len(items) - compose.SHOWN)
        _print(console, words.joined([more, "breakeven show evaluate"], sentences=True), style="dim")


def show(console: Console, snapshot: Snapshot, what: str) -> None:
    """A stage by name, or all that is known of one candidate."""
    words = Words(reader_language(snapshot.language))
    if what in compose.ORDER:
        if what == "evaluate" and (snapshot.verdict or {}).get("candidates"):
            print_verdict(console, snapshot, findings=False)
        blocks: Sequence[Block] = compose.section(snapshot, words, what).blocks
    else:
        blocks = pairs.candidate(snapshot, words, what)
    for block in blocks:
        _block(console, block, words)


def compare(console: Console, snapshot: Snapshot, one: str, other: str) -> None:
    """Two candidates side by side, with paired differences where the verdict states them."""
    words = Words(reader_language(snapshot.language))
    for block in pairs.compare(snapshot, words, one, other):
        _block(console, block, words)


def status(console: Console, snapshot: Snapshot) -> None:
    """Every step: fresh, stale or missing, why, and how often it was run."""
    words = Words(reader_language(snapshot.language))
    _table(console, compose.states(snapshot, words), words)


def _block(console: Console, block: Block, words: Words) -> None:
    if isinstance(block, Table):
        _table(console, block, words)
        console.print()
    elif isinstance(block, Facts):
        _facts(console, block)
    elif isinstance(block, Findings):
        for level, text, code in block.items:
            name = words(f"level-{level}")
            _print(console, words("finding", level=name, said=text, code=code), style=LEVELS.get(level, ""), hang="  ")
    elif isinstance(block, Note):
        _print(console, f"{block.text} {block.command or ''}".rstrip(), style=TONES[block.tone])
    elif isinstance(block, Lines):
        _print(console, block.title, style="bold")
        for item in block.items:
            _print(console, f"- {item}", hang="  ")
        console.print()
    elif isinstance(block, Listing):
        _print(console, block.text)
    elif isinstance(block, Picture):
        return


def _facts(console: Console, block: Facts) -> None:
    from rich.table import Table as Grid

    grid = Grid.grid(padding=(0, 2))
    grid.add_column(overflow="fold", max_width=34)
    grid.add_column(overflow="fold", ratio=1)
    for name, cell in block.pairs:
        grid.add_row(_text(console, name, "dim"), _cell(console, cell, lines=False, marked=one_origin(block) is None))
    if block.title:
        _print(console, block.title + _mark(block), style="bold")
    console.print(grid)
    console.print()


def _table(console: Console, block: Table, words: Words) -> None:
    """The table as it is where it fits, else turned: a column a row, as many rows at a time as fit."""
    marked = one_origin(block) is None
    if block.title:
        _print(console, block.title + _mark(block), style="bold")
    if sum(least for least, _ in _widths(console, block.heads, block.rows, marked=marked)) <= console.width + GAP:
        _grid(console, block.heads, block.rows, marked=marked)
    else:
        for rows in _chunks(console, block, marked=marked):
            heads = [block.heads[0], *(row[0].text for row in rows)]
            turned = [[Cell(head), *(row[place] for row in rows)] for place, head in enumerate(block.heads) if place]
            _grid(console, heads, turned, marked=marked, tones=["", *(row[0].tone for row in rows)])
    if block.note:
        _print(console, block.note, style="dim")


def _mark(block: Table | Facts) -> str:
    origin = one_origin(block)
    return f" ({origins.MARKS[origin]})" if origin else ""


def _grid(
    console: Console, heads: Sequence[str], rows: Sequence[Sequence[Cell]], *, marked: bool, tones: Sequence[str] = ()
) -> None:
    from rich.table import Table as Grid

    grid = Grid(
        box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold", show_edge=False, collapse_padding=True
    )
    widths = _fitted(console.width + GAP, _widths(console, heads, rows, marked=marked))
    for place, (head, width) in enumerate(zip(heads, widths, strict=True)):
        grid.add_column(
            _text(console, head, f"bold {TONES[tones[place]]}" if tones else "bold"), overflow="fold", width=width - GAP
        )
    for row in rows:
        grid.add_row(*(_cell(console, cell, marked=marked) for cell in row))
    console.print(grid)


def _fitted(room: int, widths: Sequence[tuple[int, int]]) -> list[int]:
    """A width for each column between its least and its natural one; what room is left goes to those that want most."""
    held = [least for least, _ in widths]
    spare = room - sum(held)
    while spare > 0 and any(width < natural for width, (_, natural) in zip(held, widths, strict=True)):
        neediest = max(range(len(held)), key=lambda place: widths[place][1] - held[place])
        held[neediest] += 1
        spare -= 1
    return held


def _cell(console: Console, cell: Cell, *, lines: bool = True, marked: bool = True) -> Text:
    """Value and mark; the interval on a line of its own below, dim."""
    text = _text(console, cell.text, TONES[cell.tone])
    if cell.quantity is not None:
        text.append(f" {origins.MARKS[cell.quantity.origin]}" if marked else "", style="dim")
        if cell.interval:
            text.append(("\n" if lines else " ") + plain(console, cell.interval), style="dim")
    return text


def _least(console: Console, rows: Sequence[Sequence[Cell]], place: int, *, marked: bool) -> int:
    """The narrowest a column may be: numbers are never folded, words at their spaces."""
    parts = [""]
    for row in rows:
        text = _cell(console, row[place], marked=marked).plain
        parts += text.split("\n") if row[place].numeric else text.split()
    return max(map(_cells, parts))


def _widths(
    console: Console, heads: Sequence[str], rows: Sequence[Sequence[Cell]], *, marked: bool
) -> list[tuple[int, int]]:
    """(least, natural) width of every column with the gap behind it; a hash or path may be folded anywhere."""
    found = []
    for place, head in enumerate(heads):
        parts = [part for row in rows for part in _cell(console, row[place], marked=marked).plain.split("\n")]
        least = max(
            max(map(_cells, head.split()), default=0), min(_least(console, rows, place, marked=marked), LONGEST)
        )
        found.append((least + GAP, max(least, _cells(head), *map(_cells, parts), 0) + GAP))
    return found


def _chunks(console: Console, block: Table, *, marked: bool) -> Iterator[Sequence[Sequence[Cell]]]:
    """Rows in groups that fit side by side when the table is turned."""
    left = max(map(_cells, block.heads), default=0) + GAP
    held: list[Sequence[Cell]] = []
    used = left
    for row in block.rows:
        turned = [[cell] for cell in row]
        wide = max(min(_least(console, turned, 0, marked=marked), LONGEST), min(_cells(row[0].text), LONGEST)) + GAP
        if held and used + wide > max(console.width, NARROWEST) + GAP:
            yield held
            held, used = [], left
        held.append(row)
        used += wide
    if held:
        yield held


def _cells(text: str) -> int:
    from rich.cells import cell_len

    return cell_len(text)


def _legend(words: Words) -> str:
    return "  ".join(f"{mark} {words.term(origin)}" for origin, mark in origins.MARKS.items())


def _print(console: Console, text: str, *, style: str = "", hang: str = "") -> None:
    lines = _text(console, text, style)
    if not hang:
        console.print(lines)
        return
    for place, line in enumerate(lines.wrap(console, max(console.width - len(hang), NARROWEST // 2))):
        line.rstrip()
        console.print(line if place == 0 else _text(console, hang, style) + line)


def _text(console: Console, text: str, style: str = "") -> Text:
    from rich.text import Text

    return Text(plain(console, text), style=style)


def plain(console: Console, text: str) -> str:
    """The text as this terminal can write it: control characters out, ASCII words for signs it has not."""
    clean = "".join(letter for letter in text if letter in "\n\t" or (letter.isprintable()))
    encoding = console.encoding or "utf-8"
    if encoding.lower().replace("-", "").startswith("utf"):
        return clean
    try:
        clean.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        for sign, words in ASCII.items():
            clean = clean.replace(sign, words)
        clean = clean.encode(encoding if _known(encoding) else "ascii", "replace").decode(
            encoding if _known(encoding) else "ascii"
        )
    return clean


def _known(encoding: str) -> bool:
    import codecs

    try:
        codecs.lookup(encoding)
    except LookupError:
        return False
    return True
