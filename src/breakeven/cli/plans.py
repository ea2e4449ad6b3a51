"""Commands about the business alone: simulate."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from breakeven.cli.options import answer, console, project_options, speak

if TYPE_CHECKING:
    from breakeven.economics.results import Plan


@click.command()
@click.option(
    "--write",
    "target",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Write plan.json and every series (Parquet, CSV) into DIR.",
)
@click.option(
    "--xlsx",
    "workbook",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write a spreadsheet with live formulas for the base case (needs breakeven[excel]).",
)
@project_options
def simulate(
    target: Path | None, workbook: Path | None, folder: str, overrides: tuple[str, ...], as_json: bool
) -> None:
    """Simulate the `business` section month by month over its scenarios; no data and no model are needed."""
    from breakeven.errors import ConfigError, Place, reader_language
    from breakeven.project import FILE, declared_language, open_settings
    from breakeven.report.words import Words
    from breakeven.stages import business

    settings, document = open_settings(Path(folder).expanduser() / FILE, overrides)
    speak(declared_language(settings))
    if settings.business is None:
        raise ConfigError("missing-key", at=Place(document.file, 1, 1), key="business")
    root = Path(folder).expanduser().resolve()
    plans = {"plan": business.simulate_file(settings.business, seed=settings.seed, root=root)}
    data = business.plan_json(plans, product=business.product_of(settings))
    written = _write(target, plans, data) if target else []
    if workbook is not None:
        from breakeven.report.spreadsheet import write_plan

        write_plan(workbook, plans["plan"])
        written.append(str(workbook))
    if as_json:
        answer({**data, "written": written})
        return
    for line in data["summary"]:
        console().print(line["text"], soft_wrap=True, markup=False)
    words = Words(reader_language())
    for finding in plans["plan"].findings:
        console(stderr=True).print(f"{words(f'level-{finding.level}')}: {finding}", soft_wrap=True, markup=False)
    for path in written:
        click.echo(f"wrote {path}", err=True)


def _write(target: Path, plans: Mapping[str, Plan], data: Mapping[str, Any]) -> list[str]:
    """plan.json, series.parquet and series.csv."""
    import polars as pl

    from breakeven.stages import business

    target.mkdir(parents=True, exist_ok=True)
    business.write(target, plans, data)
    pl.read_parquet(target / business.SERIES).write_csv(target / "series.csv")
    return [str(target / name) for name in (business.PLAN, business.SERIES, "series.csv")]
