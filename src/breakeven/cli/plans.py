"""Commands about the business alone: simulate, actuals."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from breakeven.cli.options import answer, console, project_options, say, speak

if TYPE_CHECKING:
    from breakeven.economics.actuals import Counted, Fitted
    from breakeven.economics.results import Plan


@click.command()
@click.option(
    "--write",
    "target",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Write plan.json, every series (Parquet, CSV) and a page that draws them (plan.html) into DIR.",
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
    from breakeven.errors import reader_language
    from breakeven.report.words import Words
    from breakeven.stages import business

    settings = _settings(folder, overrides)
    root = Path(folder).expanduser().resolve()
    plans = {"plan": business.simulate_file(settings.business, seed=settings.seed, root=root)}
    data = business.plan_json(plans, product=business.product_of(settings))
    written = _write(target, plans, data) if target else []
    if target:
        from breakeven.report import plan_page

        page = plan_page.write(data, target, name=_name(settings, root), language=reader_language())
        written.append(str(page))
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
        say(f"wrote {path}", err=True)


def _name(settings: Any, root: Path) -> str:
    """What a page about the plan is headed by: the product, else its folder."""
    return str(settings.product.name) if getattr(settings, "product", None) is not None else root.name


def _write(target: Path, plans: Mapping[str, Plan], data: Mapping[str, Any]) -> list[str]:
    """plan.json, series.parquet and series.csv."""
    import polars as pl

    from breakeven.stages import business

    target.mkdir(parents=True, exist_ok=True)
    business.write(target, plans, data)
    pl.read_parquet(target / business.SERIES).write_csv(target / "series.csv")
    return [str(target / name) for name in (business.PLAN, business.SERIES, "series.csv")]


def _settings(folder: str, overrides: tuple[str, ...]) -> Any:
    """The checked settings of a file that has a business section; its language is spoken from here on."""
    from breakeven.errors import ConfigError, Place
    from breakeven.project import FILE, declared_language, open_settings

    settings, document = open_settings(Path(folder).expanduser() / FILE, overrides)
    speak(declared_language(settings))
    if settings.business is None:
        raise ConfigError("missing-key", at=Place(document.file, 1, 1), key="business")
    return settings


@click.command()
@click.option(
    "--start", metavar="YYYY-MM", help="Calendar month of the plan's month 1.  [default: first month with use]"
)
@click.option(
    "--lapse",
    type=click.IntRange(1, 24),
    default=2,
    show_default=True,
    help="Months without use after which a customer counts as lost.",
)
@click.option(
    "--history",
    "table",
    metavar="FILE",
    help="Count from a table instead of the ledger: columns new, lost; and customers, answers, revenue, cash.",
)
@click.option("--refit", is_flag=True, help="Fit churn, new customers and use, and simulate the rest of the plan.")
@click.option(
    "--keep-declared", is_flag=True, help="With --refit: weigh what was declared by what was counted, replace nothing."
)
@project_options
def actuals(
    start: str | None,
    lapse: int,
    table: str | None,
    refit: bool,
    keep_declared: bool,
    folder: str,
    overrides: tuple[str, ...],
    as_json: bool,
) -> None:
    """What happened beside the plan, month by month; and with --refit the plan from here on."""
    import datetime

    from breakeven.cli import counted as months
    from breakeven.economics import actuals as arithmetic
    from breakeven.ledger.book import ledger_place
    from breakeven.stages import business

    settings = _settings(folder, overrides)
    root, plan = Path(folder).expanduser().resolve(), settings.business
    today = datetime.datetime.now(datetime.UTC).date()
    if table is not None:
        counted, labels = months.from_table(root, table, plan, start)
    else:
        counted, labels = months.from_ledger(ledger_place(root), plan, start=start, lapse=lapse, today=today)
    made = business.simulate_file(plan, seed=settings.seed, root=root)
    compared = arithmetic.beside(made.settings, counted, seed=made.run.seed)
    fits = arithmetic.fitted(counted)
    rest = business.simulate_rest(made, counted, None if keep_declared else fits, root=root) if refit else None
    data = months.as_json(counted, labels, compared)
    data["fitted"] = {name: number.as_json() for name, number in fits.quantities.items()}
    data["too_few"] = {name: str(error) for name, error in fits.open_.items()}
    data["refit"] = None if rest is None else business.plan_json({"plan": rest}, product=business.product_of(settings))
    if as_json:
        answer(data)
        return
    _tell_actuals(data, counted, fits, made)


TITLES = {
    "customers": "actuals-customers",
    "new_customers": "actuals-new_customers",
    "churned_customers": "actuals-churned_customers",
    "answers": "actuals-answers",
    "revenue": "actuals-revenue",
}


def _tell_actuals(data: Mapping[str, Any], counted: Counted, fits: Fitted, made: Plan) -> None:
    """The months as a table, what lies outside, what was fitted, and the plan from here on."""
    from rich.table import Table

    from breakeven.errors import render

    streams = {name: {row["month"]: row for row in rows} for name, rows in data["streams"].items()}
    table = Table(render("actuals-month-title", {}), *(render(TITLES[name], {}) for name in streams))
    for month, title in enumerate(data["months"], 1):
        table.add_row(title, *(_cell(rows.get(month)) for rows in streams.values()))
    console().print(table)
    click.echo(render("actuals-legend", {}))
    outside = {name: sum(not row["within"] for row in rows.values()) for name, rows in streams.items()}
    for name, many in outside.items():
        if many:
            about = {"stream": render(TITLES[name], {}), "outside": many, "months": len(streams[name])}
            click.echo(render("actuals-outside", about))
    known = made.settings.drivers()
    for name, number in fits.quantities.items():
        declared = known.get(f"customers.{name}")
        about = {"name": name, "value": _short(number.value), "low": _short(number.low or 0.0)}
        about["high"] = _short(number.high or 0.0)
        if declared is None:
            click.echo(render("actuals-fitted", about))
        else:
            click.echo(render("actuals-fitted-declared", {**about, "declared": _short(declared.mean)}))
    for name, error in fits.open_.items():
        click.echo(render("actuals-too-few", {"name": name, "reason": str(error)}))
    if data["refit"] is not None:
        about = {"over": counted.months, "left": made.settings.months - counted.months}
        click.echo(render("actuals-refit", about))
        for line in data["refit"]["summary"]:
            console().print(line["text"], soft_wrap=True, markup=False)


def _cell(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return "-"
    mark = "" if row["within"] else " *"
    return f"{_short(row['actual'])} ({_short(row['p10'])}, {_short(row['p90'])}){mark}"


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100.0 or value == round(value) else f"{value:.3g}"
