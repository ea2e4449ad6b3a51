"""Options that several commands share, and the two ways of answering: words or JSON on stdout."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

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
    from breakeven.project import Project

    project = Project(folder, overrides=overrides)
    speak(project.language)
    return project


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
