"""Commands about the business alone: simulate."""

from __future__ import annotations

from pathlib import Path

import click

from breakeven.cli.options import answer, console, project_options


@click.command()
@click.option(
    "--write",
    "target",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Write plan.json and every series (Parquet, CSV) into DIR.",
)
@project_options
def simulate(target: Path | None, folder: str, overrides: tuple[str, ...], as_json: bool) -> None:
    """Simulate the `business` section month by month over its scenarios; no data and no model are needed."""
    from breakeven.errors import ConfigError, Place
    from breakeven.project import FILE, open_settings
    from breakeven.stages import business

    settings, document = open_settings(Path(folder).expanduser() / FILE, overrides)
    if settings.business is None:
        raise ConfigError("missing-key", at=Place(document.file, 1, 1), key="business")
    plan = business.simulate_file(settings.business, seed=settings.seed)
    written = _write(target, plan) if target else []
    if as_json:
        answer(business.finite({**plan.as_json(), "written": written}))
        return
    from breakeven.report import terminal

    terminal.print_plan(console(), plan.as_json(), settings.business.model_dump(mode="json"))
    for path in written:
        click.echo(f"wrote {path}")


def _write(target: Path, plan: object) -> list[str]:
    """plan.json, series.parquet and series.csv."""
    import polars as pl

    from breakeven.stages import business

    target.mkdir(parents=True, exist_ok=True)
    business.write(target, {"plan": plan})  # type: ignore[dict-item]
    pl.read_parquet(target / business.SERIES).write_csv(target / "series.csv")
    return [str(target / name) for name in (business.PLAN, business.SERIES, "series.csv")]
