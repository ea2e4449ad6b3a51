"""What a reader sees of a project: one HTML file, the same in Markdown, tables in the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from breakeven.project import Snapshot


def write(snapshot: Snapshot, folder: Path) -> list[Path]:
    """Writes `report.html` and `report.md` into `folder`, each whole or not at all; returns their paths."""
    from breakeven.artifacts import write_atomic
    from breakeven.report import html, markdown
    from breakeven.report.compose import compose

    report = compose(snapshot)
    pages = {folder / "report.html": html.render_report(report), folder / "report.md": markdown.render_report(report)}
    for path, text in pages.items():
        write_atomic(path, text)
    return list(pages)
