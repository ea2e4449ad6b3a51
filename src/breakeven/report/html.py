"""The report as one self-contained HTML file: no script, no network, every word escaped.

The page's policy allows exactly one style sheet (by its hash) and nothing else, so that text out of the data could
not run or fetch anything even if it were not escaped.
"""

from __future__ import annotations

import base64
import hashlib
import re
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from breakeven import __version__
from breakeven.report import numbers, origins
from breakeven.report.blocks import (
    Block,
    Cell,
    Picture,
    Report,
    one_origin,
)
from breakeven.report.compose import compose
from breakeven.report.words import Words

if TYPE_CHECKING:
    from markupsafe import Markup

    from breakeven.project import Snapshot


def render(snapshot: Snapshot) -> str:
    """The whole report as HTML."""
    return render_report(compose(snapshot))


def render_report(report: Report) -> str:
    """A composed report as HTML."""
    from jinja2 import Environment, PackageLoader
    from markupsafe import Markup

    words = Words(report.language)
    style = _style()
    environment = Environment(
        loader=PackageLoader("breakeven.report", "templates"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals.update(
        words=words,
        numbers=numbers,
        marks=origins.MARKS,
        kind=_kind,
        show=_Shower(report, words),
        drawing=Markup,
        details=origins.details,
        groups=_groups,
        one_origin=one_origin,
        typeset=_typeset,
        version=__version__,
    )
    return environment.get_template("report.html").render(report=report, style=Markup(style), policy=policy(style))  # noqa: S704 (ours)


def policy(style: str) -> str:
    """The content security policy: this one style sheet, nothing else."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def _style() -> str:
    text = (files("breakeven.report") / "templates" / "report.css").read_text(encoding="utf-8")
    return re.sub(r"\n\s*", "\n", re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)).strip()


def _kind(block: Block) -> str:
    """The macro of the template that a block is rendered by."""
    return type(block).__name__.lower()


class _Shower:
    """A cell as markup: value and interval lead to the appendix, the mark of the origin stands beside them."""

    def __init__(self, report: Report, words: Words) -> None:
        self._places = origins.places(report)
        self._words = words

    def __call__(self, cell: Cell, *, marked: bool = True) -> Markup:
        from markupsafe import Markup

        if cell.quantity is None:
            return Markup("<code>{}</code>").format(cell.text) if cell.code else Markup("{}").format(cell.text)
        entry = self._places[id(cell)]
        interval = Markup('<span class="i">{}</span>').format(_typeset(cell.interval)) if cell.interval else ""
        shown = Markup('<a class="q" href="#n{}" title="{}"><span class="v">{}{}</span>{}</a>')
        return shown.format(
            entry.number,
            origins.hover(entry, self._words),
            _typeset(cell.text),
            self.mark(cell.quantity.origin) if marked else "",
            interval,
        )

    def mark(self, origin: str | None) -> Markup:
        """The small letter of an origin, with its word for those who hover or listen."""
        from markupsafe import Markup

        if origin is None:
            return Markup("")
        name = self._words.term(origin)
        return Markup('<span class="o {}" title="{}" aria-label="{}">{}</span>').format(
            origin, name, name, origins.MARKS[origin]
        )


def _typeset(text: str) -> str:
    """A true minus sign before digits and currency signs."""
    return re.sub(r"-(?=[\d$€£¥₹₩∞])", "\u2212", text)


def _groups(blocks: list[Any]) -> list[tuple[str, list[Any]]]:
    """Blocks with neighbouring pictures gathered, so that they can stand side by side."""
    found: list[tuple[str, list[Any]]] = []
    for block in blocks:
        name = "pictures" if isinstance(block, Picture) and block.key != "lineage" else "single"
        if name == "pictures" and found and found[-1][0] == "pictures":
            found[-1][1].append(block)
        else:
            found.append((name, [block]))
    return found
