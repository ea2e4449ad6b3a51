"""Commands that carry events out and in, and compare the ledger with what else was written down."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from breakeven.cli.options import answer, as_json, open_project, project_options, say, spoken, table
from breakeven.cli.service import _folder, _ledger
from breakeven.errors import BreakevenError, Refused, UsageError

FORMS = ("jsonl", "csv", "parquet", "lago", "openmeter")
_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command("export")
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMS),
    default="jsonl",
    show_default=True,
    help="jsonl: CloudEvents 1.0, a line each; csv, parquet: a row an event and meter; lago and openmeter: as theirs.",
)
@click.option("--from", "start", metavar="TIME", help="ISO 8601; the first moment exported.")
@click.option("--to", "end", metavar="TIME", help="ISO 8601; the first moment no longer exported.")
@click.option("--customer", metavar="NAME", help="Only this customer.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Written whole or not at all.  [default: stdout]",
)
@_folder
def export_events(
    form: str, start: str | None, end: str | None, customer: str | None, out: Path | None, folder: str
) -> None:
    """Write the usage events, in the ledger's order. (source, id) is unique: reading twice must count once."""
    from breakeven.artifacts import write_atomic
    from breakeven.ledger import commands
    from breakeven.ledger.export import FORMATS

    if form == "parquet" and out is None and sys.stdout.isatty():
        raise UsageError("export-needs-file")
    parts = FORMATS[form](commands.event_pages(_ledger(folder), customer, start, end))
    if out is not None:
        write_atomic(out, b"".join(parts), mode=0o600)
        return
    for part in parts:
        sys.stdout.buffer.write(part)


@click.command("import")
@click.argument("file", type=_FILE)
@click.option("--format", "form", type=click.Choice(FORMS), default="jsonl", show_default=True, help="As for export.")
@click.option("--source", metavar="NAME", help="The events' source, where the format has none.")
@click.option("--add-customers", is_flag=True, help="Add customers that are not there yet.")
@click.option("--dry-run", is_flag=True, help="Check everything, write nothing.")
@_folder
@as_json
def import_events(
    file: Path, form: str, source: str | None, add_customers: bool, dry_run: bool, folder: str, as_json: bool
) -> None:
    """Take usage events from FILE, all of them or none. One that is there already (source, id) is not counted again.

    An event of a closed month counts in the next open one. Every bad row is told with its line (exit 3).
    """
    from breakeven.ledger import commands

    found = commands.import_events(
        _ledger(folder), file, form, source=source, add_customers=add_customers, dry_run=dry_run
    )
    if as_json:
        answer({**found, "dry_run": dry_run})
    elif dry_run:
        say(f"would take {found['new']} events of {found['events']}; {found['there']} are there already")
    else:
        say(f"took {found['new']} events of {found['events']}; {found['there']} were there already")


@click.command("reconcile")
@click.option("--answers", "log", type=_FILE, metavar="LOG", help="JSON Lines of answers given: id, usage, time.")
@click.option("--invoices", is_flag=True, help="Issued invoices against what counts in their months.")
@click.option("--bill", type=_FILE, metavar="CSV", help="A cloud's bill against the measured cost of the answers.")
@click.option("--month", metavar="YYYY-MM", help="The bill's month, in UTC.")
@click.option("--time-column", default="time", show_default=True, metavar="NAME", help="Of the bill.")
@click.option("--cost-column", default="cost", show_default=True, metavar="NAME", help="Of the bill.")
@click.option("--time-format", metavar="FORM", help="How the bill writes times, as %m/%d/%Y.  [default: ISO 8601]")
@click.option("--currency-column", metavar="NAME", help="Of the bill; a row in another currency is refused.")
@click.option("--only", multiple=True, metavar="COLUMN=VALUE", help="Only rows of the bill with this; repeatable.")
@click.option("--expected", type=float, metavar="MONEY", help="What the bill should say.  [default: as measured]")
@click.option("--tolerance", type=click.FloatRange(0, 1), default=0.1, show_default=True, help="Of the larger one.")
@project_options
def reconcile(
    log: Path | None, invoices: bool, bill: Path | None, folder: str, overrides: tuple[str, ...], as_json: bool,
    **options: Any,
) -> None:  # fmt: skip
    """Compare the ledger with the answers that were given, the issued invoices, or a cloud's bill. Exit 1: it differs.

    The bill is shared among the customers by the measured cost of their answers: what is left of their revenue is
    their gross margin.
    """
    if log is None and bill is None and not invoices:
        raise click.UsageError("compare with what? --answers LOG, --invoices or --bill CSV")
    found: dict[str, Any] = {}
    if log is not None:
        found["answers"] = _with_answers(_ledger(folder), log)
    if invoices:
        found["invoices"] = _with_invoices(_ledger(folder))
    if bill is not None:
        found["bill"] = _with_bill(bill, folder, overrides, options)
    errors = [error for name, part in found.items() for error in _differences(name, part)]
    if as_json:
        answer({"agrees": not errors, **found})
        raise click.exceptions.Exit(Refused.exit_code if errors else 0)
    for name, part in found.items():
        if name == "bill":
            _tell_bill(part)
        elif part["agrees"]:
            say(f"{name} and ledger agree: {part['compared']} compared")
    if errors:
        errors[0].more = errors[1:]
        raise errors[0]


def _with_answers(place: str, log: Path) -> dict[str, Any]:
    from breakeven.ledger import commands
    from breakeven.ledger.reconcile import answers, with_answers

    given = answers(log)
    return with_answers((row for page in commands.event_pages(place) for row in page), given)


def _with_invoices(place: str) -> dict[str, Any]:
    from breakeven.ledger import clock, commands
    from breakeven.ledger.reconcile import with_invoices

    documents = [
        commands.call(place, "invoices.get", number=row["number"])["document"]
        for row in commands.call(place, "invoices.list")
    ]
    usage: dict[tuple[str, str], dict[str, int]] = {}
    for customer, month in {(item["customer_id"], item["month"]) for item in documents}:
        start, end = (clock.text(moment) for moment in clock.month_bounds(month))
        sums = usage.setdefault((customer, month), {})
        for row in commands.usage(place, customer, start, end):
            sums[row["meter"]] = sums.get(row["meter"], 0) + row["quantity"]
    return with_invoices(documents, usage)


def _with_bill(file: Path, folder: str, overrides: tuple[str, ...], options: dict[str, Any]) -> dict[str, Any]:
    from breakeven.billing.issue import Office
    from breakeven.billing.margin import customers_margin
    from breakeven.ledger.periods import read_period
    from breakeven.ledger.reconcile import Columns, bill, with_bill

    if options["month"] is None:
        raise click.UsageError("which month of the bill? --month YYYY-MM")
    month = read_period(options["month"])
    pairs = [text.partition("=") for text in options["only"]]
    if any(not sign for _, sign, _ in pairs):
        raise click.BadParameter("not COLUMN=VALUE", param_hint="--only")
    only = tuple((name, value) for name, _, value in pairs)
    project = open_project(folder, overrides)
    named, business = options["currency_column"], project.settings.business
    currency = (named, business.currency if business else "USD") if named else None
    columns = Columns(options["time_column"], options["cost_column"], only, options["time_format"], currency)
    billed = bill(file, month, columns)
    office = Office.of(_ledger(folder), project.settings.business, project.settings.billing)
    margins = customers_margin(office, project.root, month)
    compared = with_bill(
        billed["cost"], margins["customers"], tolerance=options["tolerance"], expected=options["expected"]
    )
    return {**compared, "month": month, "currency": margins["currency"], "rows": billed["rows"],
            "left_out": billed["left_out"]}  # fmt: skip


def _differences(name: str, part: dict[str, Any]) -> list[BreakevenError]:
    if part["agrees"]:
        return []
    if name == "bill":
        return [Refused("reconcile-bill", billed=part["billed"], expected=f"{part['expected']:.6g}",
                        tolerance=f"{part['tolerance']:.0%}")]  # fmt: skip
    return [
        Refused("reconcile-differs", what=spoken(f"{name}: {kind.replace('_', ' ')}"), count=item["count"],
                ids=", ".join(item["ids"][:20]))
        for kind, item in part["differences"].items()
        if item["count"]
    ]  # fmt: skip


def _tell_bill(part: dict[str, Any]) -> None:
    say(f"bill of {part['month']}: {part['billed']} {part['currency']} in {part['rows']} rows")
    rows = [
        {**row, "share": f"{row['share']:.1%}", "cost": f"{row['cost']:.4f}",
         "margin": None if row["margin"] is None else f"{row['margin']:.4f}"}
        for row in part["customers"]
    ]  # fmt: skip
    columns = {"name": "customer", "revenue": "revenue", "share": "share of cost", "cost": "cost", "margin": "margin"}
    table(rows, columns, empty="nothing was used in that month", right=set(columns) - {"name"})
