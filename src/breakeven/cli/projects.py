"""Commands about a project as a whole: init, recipes, check, status."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from breakeven.cli.options import answer, as_json, open_project, project_options, say, spoken, table, warn
from breakeven.errors import reader_language

if TYPE_CHECKING:
    from breakeven.project import Project


def _recipes(context: click.Context, parameter: click.Parameter, typed: str) -> list[str]:
    """Recipes that begin with what was typed, for the shell."""
    from breakeven import recipes as shelf

    return [name for name in shelf.names() if name.startswith(typed)]


@click.command()
@click.argument("directory", default=".", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--recipe", default="sentiment", show_default=True, help="See: breakeven recipes", shell_complete=_recipes
)
@click.option(
    "--data", type=click.Path(path_type=Path), metavar="FILE", help="A table of your own instead of a recipe."
)
@click.option("--target", metavar="COLUMN", help="With --data: the label.  [default: found]")
@click.option("--inputs", metavar="COLUMN,...", help="With --data: the texts.  [default: found]")
@as_json
def init(
    directory: Path, recipe: str, data: Path | None, target: str | None, inputs: str | None, as_json: bool
) -> None:
    """Make a project in DIRECTORY from a recipe, or around a table: breakeven.yaml, a signing key, a .gitignore.

    Files that are already there are never overwritten.
    """
    from breakeven import recipes as shelf
    from breakeven.packaging.signing import make_key

    directory = directory.expanduser()  # a shell leaves `~` alone inside quotes
    guess = None
    if data is None:
        written = shelf.write(recipe, directory)
    else:
        from breakeven.recipes import own

        guess, written = own.write(
            data, directory, target, [name.strip() for name in (inputs or "").split(",") if name]
        )
    key = directory / "keys" / "release.key"
    modelled = data is not None or shelf.has_model(recipe)
    if modelled and not key.exists():
        make_key(key)
        written += [key, key.with_suffix(".pub")]
    if as_json:
        columns = {"target": guess.target, "inputs": guess.inputs} if guess else None
        named = None if guess else recipe
        paths = [str(path) for path in written]
        answer({"directory": str(directory), "recipe": named, "columns": columns, "written": paths})
        return
    for path in written:
        say(f"wrote {path}")
    here = "" if directory.resolve() == Path.cwd() else f"cd {shlex.quote(str(directory))} && "
    if guess is not None:
        say(f"the label: {guess.target} ({len(guess.classes)} values); the texts: {', '.join(guess.inputs)}")
    if not modelled:
        say(f"{here}breakeven simulate   (the answer)")
        return
    say(f"next: {here}breakeven run --dry-run   (what it would take)")
    click.echo("      " + spoken(f"{here}breakeven run   (the answer)"))


@click.command()
@as_json
def recipes(as_json: bool) -> None:
    """List the recipes that `breakeven init` knows."""
    from breakeven import recipes as shelf

    rows = shelf.describe()
    if as_json:
        answer(rows)
        return
    for row in rows:
        click.echo(f"{row['name']:<16} {row['summary']}")


@click.command()
@project_options
def check(folder: str, overrides: tuple[str, ...], as_json: bool) -> None:
    """Check breakeven.yaml and the local files it reads: every problem with its place, and what is expected."""
    project = open_project(folder, overrides)
    steps = [step.name for step in project.steps()] if project.settings.collect else []
    lacking = project.lacking() if steps else []
    rows = _rows_there(project) if steps and not lacking else None
    if as_json:
        found = [finding.as_json() for finding in lacking]
        answer({"ok": True, "name": project.name, "steps": steps, "rows": rows, "findings": found})
        return
    listed = ", ".join(steps) or "business alone (breakeven simulate)"
    say(f"{project.document.file}: fine; {len(steps)} steps: {listed}")
    if rows is not None:
        say(f"the data: {rows:,} rows read, with every column that is named")
    warn(lacking)


def _rows_there(project: Project) -> int | None:
    """Rows of local files, tried as a run would read them: a wrong column is told before anything runs."""
    from breakeven.stages.collect import tried

    return tried(project.setup())


@click.command()
@project_options
def status(folder: str, overrides: tuple[str, ...], as_json: bool) -> None:
    """Show every step: fresh, stale or missing, why, and how often it was run."""
    from breakeven import pipeline

    project = open_project(folder, overrides)
    counted = pipeline.counters(project.store)
    rows = [
        {"step": item.step.name, "state": item.state, "why": item.why, "runs": counted.get(item.step.name, 0)}
        for item in project.plan()
    ]
    if as_json:
        answer(rows)
        return
    from rich.text import Text

    from breakeven.report.words import Words

    words = Words(reader_language())
    colours = {"fresh": "green", "stale": "yellow", "missing": "red", "broken": "bold red"}
    shown = [{**row, "state": Text(words.term(str(row["state"])), style=colours[str(row["state"])])} for row in rows]
    table(shown, {name: words(name) for name in ("step", "state", "runs", "why")})
