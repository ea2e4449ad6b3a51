"""Commands about the business alone: simulate, actuals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from breakeven.cli.options import answer, console, part_of, project_options, say, speak, warn
from breakeven.errors import Finding

if TYPE_CHECKING:
    from breakeven.economics.actuals import Counted, CountedMonths
    from breakeven.economics.plan import BusinessPlan
    from breakeven.economics.results import Plan
    from breakeven.economics.sections import Customers
    from breakeven.report.words import Words

ORIGINS = ("assumed", "quoted", "declared", "measured")  # the least sure first
_SPENT = ("costs.", "team.", "other_per_month")
_NO_MONEY = ("peak_factor", "capacity_per_second", "count", "load")


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
    inputs = data["candidates"]["plan"]["inputs"]
    for line in _origins(inputs, words):
        console().print(line, soft_wrap=True, markup=False)
    warn(_no_costs(inputs))
    for finding in plans["plan"].findings:
        said = part_of(words(f"level-{finding.level}"), finding)
        console(stderr=True).print(said, soft_wrap=True, markup=False)
    for path in written:
        say(f"wrote {path}", err=True)


def _origins(inputs: Mapping[str, Any], words: Words) -> list[str]:
    """A line an origin: the numbers that the figures rest on, the least sure first."""
    names = {origin: [name for name, number in inputs.items() if number["origin"] == origin] for origin in ORIGINS}
    return [f"{words.term(origin)} ({len(found)}): {', '.join(found)}" for origin, found in names.items() if found]


def _no_costs(inputs: Mapping[str, Any]) -> list[Finding]:
    """A plan that spends nothing breaks even at once, and says nothing."""
    paid = [name for name in inputs if name.startswith(_SPENT) and not name.endswith(_NO_MONEY)]
    spent = [name for name in paid if inputs[name]["value"]]
    return [] if spent else [Finding("plan-without-costs", "warning", None)]


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
    help="Count from a table instead of the ledger: columns new, lost; and customers, answers, revenue, cash, segment.",
)
@click.option(
    "--segments",
    "members",
    metavar="FILE",
    help="Which customer of the ledger is of which segment: a table with the columns customer, segment.",
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
    members: str | None,
    refit: bool,
    keep_declared: bool,
    folder: str,
    overrides: tuple[str, ...],
    as_json: bool,
) -> None:
    """What happened beside the plan, month by month; and with --refit the plan from here on."""
    import datetime

    from breakeven.cli import counted
    from breakeven.economics.actuals import alone
    from breakeven.ledger.book import ledger_place
    from breakeven.stages import business

    settings = _settings(folder, overrides)
    root, plan = Path(folder).expanduser().resolve(), settings.business
    today = datetime.datetime.now(datetime.UTC).date()
    if table is not None:
        months = counted.from_table(root, table, plan, start)
    else:
        members_of = None if members is None else counted.segments_of(root, members, plan)
        place = ledger_place(root)
        months = counted.from_ledger(place, plan, start=start, lapse=lapse, today=today, segment_of=members_of)
    made = business.simulate_file(plan, seed=settings.seed, root=root)
    data = _beside(made, made.settings, months.counted, months.labels)
    data["segments"] = {
        name: _beside(made, alone(made.settings, name), each, months.labels) for name, each in months.segments.items()
    }
    rest = business.simulate_rest(made, months, root=root, keep_declared=keep_declared) if refit else None
    data["refit"] = None if rest is None else business.plan_json({"plan": rest}, product=business.product_of(settings))
    if as_json:
        answer(data)
        return
    _tell_actuals(data, months, made)


def _beside(made: Plan, plan: BusinessPlan, seen: Counted, labels: Sequence[str]) -> dict[str, Any]:
    """Counted months beside a plan's forecast, what was fitted to them, and what they are too few to say."""
    from breakeven.cli import counted
    from breakeven.economics.actuals import beside
    from breakeven.economics.continued import fitted

    data = counted.as_json(seen, labels, beside(plan, seen, seed=made.run.seed))
    fits = fitted(seen)
    data["fitted"] = {name: number.as_json() for name, number in fits.quantities.items()}
    data["too_few"] = {name: str(error) for name, error in fits.open_.items()}
    return data


TITLES = {
    "customers": "actuals-customers",
    "new_customers": "actuals-new_customers",
    "churned_customers": "actuals-churned_customers",
    "answers": "actuals-answers",
    "revenue": "actuals-revenue",
}


def _tell_actuals(data: Mapping[str, Any], months: CountedMonths, made: Plan) -> None:
    """The months as a table, what lies outside, what was fitted, each segment's too, and the plan from here on."""
    from breakeven.errors import render

    _tell_months(data)
    click.echo(render("actuals-legend", {}))
    _tell_outside(data)
    if not data["segments"]:
        _tell_fitted(data, made.settings.customers)
    for name, part in data["segments"].items():
        click.echo("\n" + render("actuals-segment-title", {"segment": name}))
        _tell_months(part)
        _tell_outside(part)
        _tell_fitted(part, made.settings.segments[name].customers)
    if data["refit"] is not None:
        over = months.counted.months
        click.echo(render("actuals-refit", {"over": over, "left": made.settings.months - over}))
        for line in data["refit"]["summary"]:
            console().print(line["text"], soft_wrap=True, markup=False)


def _tell_months(data: Mapping[str, Any]) -> None:
    from rich.table import Table

    from breakeven.errors import render

    streams = {name: {row["month"]: row for row in rows} for name, rows in data["streams"].items()}
    table = Table(render("actuals-month-title", {}), *(render(TITLES[name], {}) for name in streams))
    for month, title in enumerate(data["months"], 1):
        table.add_row(title, *(_cell(rows.get(month)) for rows in streams.values()))
    console().print(table)


def _tell_outside(data: Mapping[str, Any]) -> None:
    from breakeven.errors import render

    for name, rows in data["streams"].items():
        many = sum(not row["within"] for row in rows)
        if many:
            about = {"stream": render(TITLES[name], {}), "outside": many, "months": len(rows)}
            click.echo(render("actuals-outside", about))


def _tell_fitted(data: Mapping[str, Any], declared: Customers) -> None:
    from breakeven.errors import render

    for name, number in data["fitted"].items():
        about = {"name": name, "value": _short(number["value"])}
        about |= {end: _short(number[end] or 0.0) for end in ("low", "high")}
        driver = getattr(declared, name, None)
        if driver is None:
            click.echo(render("actuals-fitted", about))
        else:
            click.echo(render("actuals-fitted-declared", {**about, "declared": _short(driver.mean)}))
    for name, reason in data["too_few"].items():
        click.echo(render("actuals-too-few", {"name": name, "reason": reason}))


def _cell(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return "-"
    mark = "" if row["within"] else " *"
    return f"{_short(row['actual'])} ({_short(row['p10'])}, {_short(row['p90'])}){mark}"


def _short(value: float) -> str:
    value = 0.0 if abs(value) < 1e-12 else value  # what is left of a sum that comes to nothing
    return f"{value:,.0f}" if abs(value) >= 100.0 or value == round(value) else f"{value:.3g}"
