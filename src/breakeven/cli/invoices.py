"""Commands about money owed: drafts, invoices, credit notes, buyers, and the margin of every customer."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from breakeven.cli.options import answer, as_json, beside, open_project, part_of, project_options, say, spoken, table
from breakeven.cli.service import _folder, _ledger, _rows
from breakeven.errors import UsageError, render

if TYPE_CHECKING:
    from collections.abc import Mapping

    from breakeven.billing.issue import Office

_FORMS = ("text", "html", "pdf", "xml", "json")
_month = click.option("--month", required=True, metavar="YYYY-MM", help="The calendar month, in UTC.")
_given_back = click.option(
    "--given-back",
    is_flag=True,
    help="What corrections of billed months take away beyond this month's use was given back by a credit note.",
)


class _Drafts(click.Group):
    """`invoice CUSTOMER` is short for `invoice draft CUSTOMER`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ("-h", "--help"):
            args = ["draft", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_Drafts)
def invoice() -> None:
    """Drafts, invoices and credit notes. `breakeven invoice CUSTOMER --month 2026-10` draws a draft."""


@invoice.command("draft")
@click.argument("customer", required=False)
@click.option("--customer", "named", metavar="NAME", help="The same, as an option.")
@_month
@_given_back
@click.option("--html", "page", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write the page.")
@project_options
def invoice_draft(
    customer: str | None, named: str | None, month: str, page: Path | None, given_back: bool, folder: str,
    overrides: tuple[str, ...], as_json: bool,
) -> None:  # fmt: skip
    """Rate a CUSTOMER's usage of a month by the declared price, exactly. Nothing is numbered, kept or closed."""
    from breakeven.artifacts import write_atomic
    from breakeven.billing.html import to_html
    from breakeven.billing.issue import draw_draft

    given = [one for one in (customer, named) if one is not None]
    if len(given) != 1 or not given[0].strip():
        raise click.UsageError("which customer? breakeven invoice CUSTOMER --month YYYY-MM")
    document = draw_draft(_office(folder, overrides), given[0], month, given_back=given_back)
    if page is not None:
        write_atomic(page, to_html(document), mode=0o600)
    if as_json:
        answer(document)
        return
    _tell(document, sys.stdout)
    if document["seller"] is not None:
        _warn_no_record(document)


@invoice.command("finalize")
@click.argument("customer", required=False)
@click.option("--all", "everyone", is_flag=True, help="Every customer with something to bill.")
@_month
@_given_back
@project_options
def invoice_finalize(
    customer: str | None, everyone: bool, month: str, given_back: bool, folder: str, overrides: tuple[str, ...],
    as_json: bool,
) -> None:  # fmt: skip
    """Issue the invoice of a month that is over: it gets its number, is kept for ever, and the month is closed.

    What is used in that month but comes later is billed with the next one. Asked again, the same invoice is shown.
    """
    from breakeven.billing.issue import finalize, finalize_all

    if (customer is None) == (not everyone) or (everyone and given_back):
        raise click.UsageError("which customer? breakeven invoice finalize CUSTOMER --month YYYY-MM, or --all")
    office = _office(folder, overrides)
    if customer is not None:
        _issued(finalize(office, customer, month, given_back=given_back), as_json)
        return
    rows = list(finalize_all(office, month))
    if as_json:
        answer([{**row, "error": row["error"].as_json()} if "error" in row else row for row in rows])
    elif not rows:
        say(f"nobody has anything to bill in {month}")
    for row in rows:
        if not as_json and "document" in row:
            _issued(row["document"], False)
        elif not as_json:
            click.echo(part_of(row["customer"], row["error"]), err=True)
    errors = [row["error"] for row in rows if "error" in row]
    if errors:
        raise click.exceptions.Exit(errors[0].exit_code)


@invoice.command("credit")
@click.argument("number")
@click.option("--lines", "chosen", metavar="1,3", help="Only these lines of the invoice.  [default: all]")
@click.option(
    "--share", default="1", metavar="S", help="Only this share of them, above 0 to 1.  [default: what is left]"
)
@click.option("--reason", required=True, help="Why; the customer reads it.")
@click.option("--key", metavar="TEXT", help="The same key again gives the same note, never a second one.")
@project_options
def invoice_credit(
    number: str, chosen: str | None, share: str, reason: str, key: str | None, folder: str, overrides: tuple[str, ...],
    as_json: bool,
) -> None:  # fmt: skip
    """Give back what is left of invoice NUMBER, or some of it, by a credit note with a number of its own."""
    from breakeven.billing.issue import credit
    from breakeven.economics.money import exact

    try:
        lines = None if chosen is None else [int(part) for part in chosen.split(",")]
    except ValueError:
        raise click.BadParameter(f"'{chosen}' is not a list of line numbers", param_hint="--lines") from None
    office = _office(folder, overrides)
    _issued(credit(office, number, lines=lines, share=exact(share, field="--share"), reason=reason, key=key), as_json)


@invoice.command("void")
@click.argument("customer")
@_month
@click.option("--reason", required=True, help="Why nobody is billed; kept in the audit log.")
@project_options
def invoice_void(
    customer: str, month: str, reason: str, folder: str, overrides: tuple[str, ...], as_json: bool
) -> None:
    """Give up the draft of a month: the month is closed and never billed. An issued invoice stays; credit it."""
    from breakeven.billing.issue import void

    row = void(_office(folder, overrides), customer, month, reason)
    if as_json:
        answer(row)
    else:
        closed = f"{month} of {customer} is closed and will not be billed"
        say(closed if row["closed"] else f"{month} of {customer} was closed before")


@invoice.command("list")
@click.option("--customer", metavar="NAME", help="Only this customer.")
@click.option("--month", metavar="YYYY-MM", help="Only this month.")
@_folder
@as_json
def invoice_list(customer: str | None, month: str | None, folder: str, as_json: bool) -> None:
    """List issued invoices and credit notes, by number."""
    from breakeven.ledger import commands

    rows = _rows(lambda: commands.call(_ledger(folder), "invoices.list", customer=customer, month=month))
    if as_json:
        answer(rows)
        return
    columns = {"number": "number", "kind": "kind", "name": "buyer", "period": "month", "issued": "date",
               "total": "total", "currency": "currency", "about": "refers to"}  # fmt: skip
    shown = [{**row, "kind": spoken(row["kind"].replace("_", " "))} for row in rows]
    empty = "nothing was issued yet: breakeven invoice finalize --all --month YYYY-MM"
    table(shown, columns, empty=empty, right=("total",))


@invoice.command("show")
@click.argument("number")
@click.option("--format", "form", type=click.Choice(_FORMS), help="xml: EN 16931; pdf: with the xml inside where it "
              "can be made.  [default: as FILE ends, else text]")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="Written whole or not at all.  [default: stdout]")  # fmt: skip
@project_options
def invoice_show(
    number: str, form: str | None, out: Path | None, folder: str, overrides: tuple[str, ...], as_json: bool
) -> None:
    """Show a document as it was issued: the same bytes every time."""
    from breakeven.artifacts import write_atomic
    from breakeven.billing.issue import show

    document = show(_ledger(folder), number)
    if as_json:
        answer(document)
        return
    ending = "" if out is None else out.suffix.lower().removeprefix(".")
    form = form or (ending if ending in _FORMS else "text")
    made = _made(document, form, folder, overrides)
    if out is not None:
        write_atomic(out, made, mode=0o600)
        say(f"wrote {out}", err=True)
    elif form == "pdf" and sys.stdout.isatty():
        raise UsageError("export-needs-file")
    else:
        sys.stdout.buffer.write(made)


def _made(document: Mapping[str, Any], form: str, folder: str, overrides: tuple[str, ...]) -> bytes:
    """The document in one of its forms."""
    from breakeven.artifacts import canonical
    from breakeven.billing import cii, html, pdf

    if form == "json":
        return canonical(document).encode() + b"\n"
    if form == "text":
        said = io.StringIO()
        _tell(document, said)
        return said.getvalue().encode()
    if form == "html":
        return html.to_html(document).encode()
    if form == "xml":
        return cii.to_xml(document)
    problems = _warn_no_record(document)
    font = open_project(folder, overrides).settings.billing.font
    return pdf.to_pdf(document, None if problems else cii.to_xml(document), font=font)


@invoice.command("customer")
@click.argument("customer")
@click.option("--name", "name", metavar="TEXT", help="Legal name.")
@click.option("--street", metavar="TEXT", help="Street and number.")
@click.option("--street-more", metavar="TEXT", help="Second line of the street.")
@click.option("--postcode", metavar="TEXT", help="Postal code.")
@click.option("--city", metavar="TEXT", help="City.")
@click.option("--region", metavar="TEXT", help="State or province.")
@click.option("--country", metavar="CC", help="Country: two capital letters.")
@click.option("--tax-id", metavar="ID", help="VAT identifier with its country's letters.")
@click.option("--email", metavar="ADDRESS", help="Where invoices go.")
@click.option("--language", metavar="LANG", help="en or zh.")
@click.option("--tax", metavar="NAME", help="One of billing.taxes.")
@click.option("--reference", metavar="TEXT", help="Their order number or cost centre.")
@click.option("--since", metavar="DAY", help="First day they are billed for.")
@click.option("--until", metavar="DAY", help="First day they are no longer billed for.")
@click.option("--seats", metavar="N", help="Seats they have.")
@click.option("--forget", is_flag=True, help="Erase all of it first. Issued invoices keep what stands on them.")
@_folder
@as_json
def invoice_customer(customer: str, forget: bool, folder: str, as_json: bool, **given: str | None) -> None:
    """Show or set what invoices say of CUSTOMER. `none` takes a part out. Kept apart, where it can be erased."""
    from breakeven.billing.issue import buyer_of
    from breakeven.billing.settings import Buyer
    from breakeven.config import Document
    from breakeven.ledger import commands

    row, buyer = buyer_of(_ledger(folder), customer)
    named = {name: value for name, value in given.items() if value is not None}
    known: dict[str, Any] = {**({} if forget else buyer.as_json()), **named}
    known = {name: value for name, value in known.items() if value != "none"}
    if named or forget:
        buyer = Document("invoice customer", known).validate(Buyer)
        commands.call(_ledger(folder), "invoices.buyer", customer=row["id"], body=buyer.as_json(), actor="command")
    if as_json:
        answer({"customer": row["id"], **buyer.as_json()})
        return
    click.echo(f"{row['name']} ({row['id']})")
    for name, value in buyer.as_json().items():
        click.echo(f"  {name:<12} {value}")


@click.command()
@click.option("--month", metavar="YYYY-MM", help="The calendar month, in UTC.  [default: this one]")
@project_options
def margin(month: str | None, folder: str, overrides: tuple[str, ...], as_json: bool) -> None:
    """What each customer paid for, what their answers cost to give, and what is left."""
    from breakeven.billing.margin import customers_margin

    project = open_project(folder, overrides)
    found = customers_margin(_office(folder, overrides), project.root, month)
    if as_json:
        answer(found)
        return
    columns = {
        "name": "customer", "answers": "answers", "revenue": "revenue", "marginal_cost": "marginal cost",
        "margin": "margin", "margin_share": "of revenue", "at_volume_cost": "cost at volume",
        "margin_at_volume": "margin at volume",
    }  # fmt: skip
    shown = [{name: _margin_cell(name, row[name]) for name in columns} for row in found["customers"]]
    table(shown, columns, empty=f"nothing was used in {found['month']}", right=set(columns) - {"name"})
    for row in found["customers"]:
        click.echo(part_of(row["name"], row["revenue_from"]), err=True)
    for line in found["origins"]:
        click.echo(line, err=True)


def _margin_cell(name: str, value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.1%}" if name == "margin_share" else f"{value:,.4f}"
    return "-" if value is None else str(value)


def _office(folder: str, overrides: tuple[str, ...]) -> Office:
    from breakeven.billing.issue import Office

    settings = open_project(folder, overrides).settings
    return Office.of(_ledger(folder), settings.business, settings.billing)


def _issued(document: Mapping[str, Any], as_json: bool) -> None:
    """Says what was issued."""
    if as_json:
        answer(document)
        return
    total = f"{document['total']['amount']} {document['currency']}"
    facts = beside(document["buyer"]["name"], document["month"], total)
    issued = f"issued {document['number']}: {facts}"
    say(f"issued before: {document['number']}, {facts}" if document.get("already") else issued)


def _warn_no_record(document: Mapping[str, Any]) -> bool:
    """Says in one line why no EN 16931 record can be made of a document; False where one can."""
    from breakeven.billing.cii import lacking

    problems = lacking(document)
    if problems:
        click.echo(render("invoice-no-xml", {"why": [str(problem) for problem in problems]}), err=True)
    return bool(problems)


def _tell(document: Mapping[str, Any], out: TextIO) -> None:
    """The document on a terminal."""
    from breakeven.billing.shown import Shown

    shown = Shown(document)
    out.write(beside(f"{shown.title} {document['number'] or ''}".strip(), document["buyer"]["name"]) + "\n")
    out.write(f"{shown.word('invoice-word-from-to', first=shown.period[0], last=shown.period[1])}\n")
    for row in shown.rows():
        words = ", ".join(part for part in (row.name, row.quantity, row.detail) if part)
        out.write(f"  {words:<52} {row.amount:>18}\n")
    for label, amount, _ in shown.totals():
        out.write(f"  {label:<52} {amount:>18}\n")
    for meter, quantity in document["unpriced"].items():
        out.write(f"  {shown.word('invoice-word-unpriced', meter=meter, quantity=quantity)}\n")
    for remark in shown.remarks():
        out.write(f"  {remark}\n")
