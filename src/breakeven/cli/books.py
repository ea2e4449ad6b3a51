"""Commands about the books: customers and their terms, the ledger's proof, export and audit log."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from breakeven.cli.options import answer, as_json
from breakeven.cli.service import _folder, _ledger, _rows, _table
from breakeven.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    Command = TypeVar("Command", bound=Callable[..., Any])

_NONE = "none"


@click.group()
def customers() -> None:
    """Add, list and limit customers."""


def _terms_options(command: Command) -> Command:
    quota = click.option("--quota", "quotas", multiple=True, metavar="METER=N", help="Units a month; N may be none.")
    cap = click.option("--spend-cap", metavar="MONEY", help="Most money a month; none: no cap.")
    rate = click.option("--rate", metavar="R", help="Requests a second; none: no limit.")
    burst = click.option("--burst", metavar="N", help="Requests that may come at once.  [default: one second's]")
    return quota(cap(rate(burst(_folder(as_json(command))))))


@customers.command("add")
@click.argument("name")
@_terms_options
def customers_add(name: str, folder: str, as_json: bool, **changes: Any) -> None:
    """Add a customer NAME. One of that name that is there already is kept, and gets the terms given."""
    from breakeven.ledger import commands

    given = _given(changes)
    row = commands.customers_add(_ledger(folder), name)
    if given:
        row = commands.customers_terms(_ledger(folder), row["id"], _merged(row["terms"], given))
    _tell_customer(row, as_json)


@customers.command("list")
@_folder
@as_json
def customers_list(folder: str, as_json: bool) -> None:
    """List customers and what they may use."""
    from breakeven.ledger import commands

    rows = _rows(lambda: commands.customers_list(_ledger(folder)))
    if as_json:
        answer(rows)
        return
    shown = [{**row, "terms": _terms_words(row["terms"])} for row in rows]
    columns = {"id": "customer", "name": "name", "created": "since", "terms": "may use"}
    _table(shown, columns, "no customers yet: breakeven customers add")


@customers.command("terms")
@click.argument("customer")
@_terms_options
def customers_terms(customer: str, folder: str, as_json: bool, **changes: Any) -> None:
    """Show what CUSTOMER (name or id) may use, or change the limits that are given; the others stay.

    They hold from the next request on, in a running server too. Quotas and the cap are per calendar month, UTC.
    """
    from breakeven.errors import InputError
    from breakeven.ledger import commands

    given, place = _given(changes), _ledger(folder)
    found = [row for row in commands.customers_list(place) if customer in (row["id"], row["name"])]
    if not found:
        raise InputError("customer-not-found", customer=customer)
    row = found[0]
    if given:
        row = commands.customers_terms(place, row["id"], _merged(row["terms"], given))
    _tell_customer(row, as_json)


def _given(changes: dict[str, Any]) -> dict[str, Any]:
    """The terms that the options speak of; None lifts a limit."""
    found: dict[str, Any] = {}
    for text in changes["quotas"]:
        meter, _, number = text.partition("=")
        if not meter or not number:
            raise click.BadParameter(f"'{text}' is not METER=N", param_hint="--quota")
        found.setdefault("quotas", {})[meter] = _number(number, int, "--quota")
    kinds: dict[str, tuple[str, Callable[[str], Any]]] = {
        "spend_cap": ("spend_cap", str),
        "rate": ("requests_per_second", float),
        "burst": ("burst", int),
    }
    for option, (name, kind) in kinds.items():
        if changes[option] is not None:
            found[name] = _number(changes[option], kind, f"--{option.replace('_', '-')}")
    return found


def _merged(terms: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    quotas = {**terms["quotas"], **given.get("quotas", {})}
    return {**terms, **given, "quotas": {meter: number for meter, number in quotas.items() if number is not None}}


def _number(text: str, kind: Callable[[str], Any], option: str) -> Any:
    if text.strip().lower() == _NONE:
        return None
    try:
        return kind(text.strip())
    except ValueError:
        raise click.BadParameter(f"'{text}' is not a number or none", param_hint=option) from None


def _terms_words(terms: dict[str, Any]) -> str:
    words = [f"{quantity} {meter} a month" for meter, quantity in terms["quotas"].items()]
    words += [f"{terms['spend_cap']} of money a month"] if terms["spend_cap"] is not None else []
    words += [f"{terms['requests_per_second']:g} requests a second"] if terms["requests_per_second"] is not None else []
    words += [f"{terms['burst']} at once"] if terms["burst"] is not None else []
    return ", ".join(words) or "without limit"


def _tell_customer(row: dict[str, Any], as_json: bool) -> None:
    if as_json:
        answer(row)
    else:
        click.echo(f"{row['name']} ({row['id']}): {_terms_words(row['terms'])}")


@click.group()
def ledger() -> None:
    """Prove, export and read the ledger."""


@ledger.command("verify")
@_folder
@as_json
def ledger_verify(folder: str, as_json: bool) -> None:
    """Walk every hash chain and compare the totals with the events. Exit 4 where something does not hold.

    Keep the heads that --json prints somewhere else: they prove later that nothing before them was changed.
    """
    from breakeven.errors import IntegrityError
    from breakeven.ledger import commands

    found = commands.verify(_ledger(folder))
    if as_json:
        answer(found)
        raise click.exceptions.Exit(0 if found["holds"] else IntegrityError.exit_code)
    if not found["holds"]:
        errors = [IntegrityError("ledger-does-not-hold", where=item["where"], what=item["what"])
                  for item in found["broken"]]  # fmt: skip
        errors[0].more = list(errors[1:])
        raise errors[0]
    click.echo(f"the ledger holds: {found['events']} events, {found['audit']} lines of audit, chains and totals agree")


@ledger.command("export")
@click.option(
    "--format",
    "form",
    type=click.Choice(["jsonl", "csv", "parquet"]),
    default="jsonl",
    show_default=True,
    help="jsonl: CloudEvents 1.0, one a line; csv and parquet: a row an event and meter.",
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
def ledger_export(
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


@ledger.command("audit")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1), help="Newest lines only.")
@_folder
@as_json
def ledger_audit(limit: int, folder: str, as_json: bool) -> None:
    """Who changed what, newest first."""
    import json

    from breakeven.ledger import commands

    rows = _rows(lambda: commands.audit(_ledger(folder), limit))
    if as_json:
        answer(rows)
        return
    shown = [{**row, "detail": json.dumps(row["detail"], ensure_ascii=False)} for row in rows]
    columns = {"time": "time", "actor": "by", "action": "what", "subject": "on", "detail": "detail"}
    _table(shown, columns, "nothing was changed yet")
