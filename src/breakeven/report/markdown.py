"""The report in Markdown: the same sentence, tables and findings as the HTML; of pictures the numbers.

Words out of the data are escaped, so that a cell can neither break its table nor become a link, an image or markup.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from breakeven import __version__
from breakeven.report import numbers, origins
from breakeven.report.blocks import (
    Block,
    Cell,
    Entry,
    Facts,
    Findings,
    Lines,
    Listing,
    Note,
    Picture,
    Report,
    Section,
    Table,
    one_origin,
)
from breakeven.report.compose import compose
from breakeven.report.words import Words

if TYPE_CHECKING:
    from breakeven.project import Snapshot

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~$!])")
_LINKED = re.compile(r"(?i)\b(https?|ftp|javascript|data|mailto):")


def render(snapshot: Snapshot) -> str:
    """The whole report as Markdown."""
    return render_report(compose(snapshot))


def render_report(report: Report) -> str:
    """A composed report as Markdown."""
    words = Words(report.language)
    parts = [f"# {escape(report.name)}", f"**{escape(report.sentence)}**"]
    if report.basis:
        parts.append("\n".join(f"- {escape(item)}" for item in report.basis))
    for section in report.sections:
        parts += _section(section, words)
    parts += [
        f"## {words('appendix')}",
        escape(words("appendix-note", count=len(report.entries))),
        _appendix(report.entries, words),
    ]
    parts.append(f"{escape(words('footer', version=__version__))} {numbers.moment(report.made)}")
    return "\n\n".join(part for part in parts if part) + "\n"


def escape(text: str) -> str:
    """Text that Markdown shows as it is, on one line; an address is shown and not linked."""
    flat = " ".join(text.split())
    return _LINKED.sub(lambda found: found.group(1) + "&#58;", _SPECIAL.sub(r"\\\1", flat.replace("&", "&amp;")))


def _section(section: Section, words: Words) -> Iterator[str]:
    if section.title:
        yield f"## {escape(section.title)}"
    for block in section.blocks:
        shown = block.table if isinstance(block, Picture) else block
        if shown is not None:
            yield _block(shown, words)


def _block(block: Block, words: Words) -> str:
    if isinstance(block, Table):
        note = f"\n\n{escape(block.note)}" if block.note else ""
        legend = f"\n\n{_legend(words)}" if block.main else ""
        origin = one_origin(block)
        rows = [[_cell(cell, marked=not origin) for cell in row] for row in block.rows]
        return _title(block.title, _mark(origin)) + _table(block.heads, rows) + note + legend
    if isinstance(block, Facts):
        origin = one_origin(block)
        lines = (f"- {escape(name)}: {_cell(cell, marked=not origin)}" for name, cell in block.pairs)
        return _title(block.title, _mark(origin)) + "\n".join(lines)
    if isinstance(block, Findings):
        lines = (f"- **{words(f'level-{level}')}** {escape(text)} ({_code(code)})" for level, text, code in block.items)
        return "\n".join(lines)
    if isinstance(block, Note):
        return f"> {escape(block.text)}" + (f" {_code(block.command)}" if block.command else "")
    if isinstance(block, Lines):
        return _title(block.title) + "\n".join(f"- {escape(item)}" for item in block.items)
    if isinstance(block, Listing):
        return _title(block.title) + _fenced(block.text)
    return ""


def _title(text: str, mark: str = "") -> str:
    return f"### {escape(text)}{mark}\n\n" if text else ""


def _mark(origin: str | None) -> str:
    return f" <sup>{origins.MARKS[origin]}</sup>" if origin else ""


def _table(heads: Sequence[str], rows: list[list[str]]) -> str:
    names = [escape(str(head)) or " " for head in heads]
    lines = [names, ["---"] * len(names), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cell(cell: Cell, *, marked: bool) -> str:
    if cell.quantity is None:
        return _code(cell.text) if cell.code and cell.text else escape(cell.text)
    return escape(cell.line) + (_mark(cell.quantity.origin) if marked else "")


def _code(text: str) -> str:
    """Inline code that no content can leave, safe inside a table."""
    flat = " ".join(text.split()).replace("|", "\\|")
    longest = max((len(run) for run in re.findall(r"`+", flat)), default=0)
    fence = "`" * (longest + 1)
    space = " " if flat.startswith("`") or flat.endswith("`") else ""
    return f"{fence}{space}{flat}{space}{fence}"


def _fenced(text: str) -> str:
    longest = max((len(run) for run in re.findall(r"`{3,}", text)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}yaml\n{text.rstrip()}\n{fence}"


def _legend(words: Words) -> str:
    return words.joined(f"<sup>{mark}</sup> {words.term(origin)}" for origin, mark in origins.MARKS.items())


def _appendix(entries: Sequence[Entry], words: Words) -> str:
    rows = []
    for entry in entries:
        details = enumerate(origins.details(entry, words))
        said = words.joined(
            (text if place == 0 else f"{name} {text}" for place, (name, text) in details), sentences=True
        )
        rows.append([str(entry.number), escape(entry.where), escape(entry.shown), escape(said)])
    return _table(["#", words("where"), words("number"), words("origin")], rows)
