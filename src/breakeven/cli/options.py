"""Options that several commands share, and the two ways of answering: words or JSON on stdout."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from breakeven.errors import Finding, reader_language, render, translated

if TYPE_CHECKING:
    from rich.console import Console

    from breakeven.project import Project

Command = TypeVar("Command", bound=Callable[..., Any])

as_json = click.option("--json", "as_json", is_flag=True, help="Answer in JSON on stdout.")
_folder = click.option(
    "-C", "--project", "folder", default=".", metavar="DIR", help="The project's folder.  [default: .]"
)
_settings = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Override a setting, e.g. --set evaluate.payoff.wrong=-0.2",
)


def project_options(command: Command) -> Command:
    """`-C DIR`, `--set KEY=VALUE` and `--json`."""
    return _folder(_settings(as_json(command)))


def open_project(folder: str, overrides: tuple[str, ...]) -> Project:
    """The project of a command; its language is spoken from here on where the environment names none."""
    with _uncollected():
        from breakeven.project import Project

    project = Project(folder, overrides=overrides)
    speak(project.language)
    return project


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """While modules are imported nothing is looked for that could be thrown away, and what they made is kept for good.

    Importing makes many objects and no garbage: to look at all of them again and again took a tenth of a short command.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def speak(language: str | None) -> None:
    """Makes a declared language that of this process and those it starts, unless the environment names one."""
    if language is not None and not os.environ.get("BREAKEVEN_LANG"):
        os.environ["BREAKEVEN_LANG"] = language


def console(*, stderr: bool = False) -> Console:
    """A terminal that respects NO_COLOR and pipes. Tables need room: a pipe is taken as 120 columns wide."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() or os.environ.get("COLUMNS") else 120
    return Console(stderr=stderr, width=width, highlight=False, soft_wrap=False)


def answer(value: Any) -> None:
    """JSON on stdout."""
    click.echo(json.dumps(value, ensure_ascii=False, indent=1, default=str))


def spoken(said: str) -> str:
    """Words of the command line in the reader's language: the entry `cli-...` whose English they are."""
    language = reader_language()
    return said if language == "en" else translated(said, "cli-", language)


def beside(*parts: str) -> str:
    """Things side by side, as the reader's language joins them."""
    return str(render("joint-words", {})).join(parts)


def part_of(whole: str, part: object) -> str:
    """`whole: part`, as the reader's language writes it."""
    return render("report-part-of", {"whole": whole, "part": part})


def say(said: str, *, err: bool = False) -> None:
    """A line in the reader's language."""
    click.echo(spoken(said), err=err)


def warn(findings: Iterable[Finding]) -> None:
    """Findings on stderr, a line each."""
    for finding in findings:
        level = render(f"report-level-{finding.level}", {})
        said = {"level": level, "said": str(finding), "code": finding.code}
        click.echo(render("report-finding", said), err=True)


def table(
    rows: Sequence[dict[str, Any]], columns: dict[str, str], *, empty: str = "", right: Iterable[str] = ()
) -> None:
    """Rows as a table, or `empty` where there is none; `columns` maps keys to heads, said in the reader's language."""
    if not rows:
        say(empty)
        return
    from rich.table import Table
    from rich.text import Text

    made, numbers = Table(box=None, pad_edge=False, header_style="bold"), set(right)
    for place, (key, head) in enumerate(columns.items()):
        side: Any = "right" if key in numbers or isinstance(rows[0].get(key), (int, float)) else "left"
        # What names the row is what the reader copies into the next command: never broken over two lines.
        made.add_column(spoken(head), justify=side, overflow="fold", no_wrap=place == 0)
    for row in rows:
        cells = ("" if row.get(key) is None else row[key] for key in columns)
        made.add_row(*(cell if isinstance(cell, Text) else Text(str(cell)) for cell in cells))
    console().print(made)
