"""Commands about the ledger itself: proof, corrections, closed months, backup and restore, audit log."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from breakeven.cli.exchange import export_events, import_events, reconcile
from breakeven.cli.options import answer, as_json, say, table
from breakeven.cli.service import _folder, _ledger, _rows

_FILE = click.Path(path_type=Path, dir_okay=False)
_source = click.option("--source", metavar="NAME", help="Whose event, where several sources have one of that id.")
_reason = click.option("--reason", required=True, metavar="TEXT", help="Why; kept apart, where it can be erased.")


@click.group()
def ledger() -> None:
    """Prove, correct, close, copy and compare the ledger."""


@ledger.command("verify")
@click.option("--against", type=_FILE, metavar="FILE", help="Heads kept elsewhere: what --json printed, or a backup.")
@_folder
@as_json
def ledger_verify(against: Path | None, folder: str, as_json: bool) -> None:
    """Walk every hash chain and compare the totals with the events. Exit 4 where something does not hold.

    Keep the heads that --json prints somewhere else: with --against they prove later that nothing before them was
    changed.
    """
    from breakeven.errors import IntegrityError
    from breakeven.ledger import commands
    from breakeven.ledger.backups import heads_of

    found = commands.verify(_ledger(folder), None if against is None else heads_of(against))
    if as_json:
        answer(found)
        raise click.exceptions.Exit(0 if found["holds"] else IntegrityError.exit_code)
    if not found["holds"]:
        errors = [IntegrityError("ledger-does-not-hold", where=item["where"], what=item["what"])
                  for item in found["broken"]]  # fmt: skip
        errors[0].more = list(errors[1:])
        raise errors[0]
    say(f"the ledger holds: {found['events']} events, {found['audit']} lines of audit, chains and totals agree")


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
    table(shown, columns, empty="nothing was changed yet")


@ledger.command("correct")
@click.argument("event")
@click.option("--quantity", "quantities", multiple=True, required=True, metavar="METER=N", help="What it really was.")
@_reason
@_source
@_folder
@as_json
def ledger_correct(
    event: str, quantities: tuple[str, ...], reason: str, source: str | None, folder: str, as_json: bool
) -> None:
    """Say what EVENT really used. The event stays; the difference is appended to the chain.

    It counts in the event's month while that is open, and in the next open one after that. The same again changes
    nothing.
    """
    wanted: dict[str, int] = {}
    for text in quantities:
        meter, _, number = text.partition("=")
        if not meter or not number.strip().isdecimal() or not number.isascii():
            raise click.BadParameter(f"'{text}' is not METER=N", param_hint="--quantity")
        wanted[meter] = int(number)
    _amend(folder, as_json, event=event, quantities=wanted, reason=reason, source=source)


@ledger.command("void")
@click.argument("event")
@_reason
@_source
@_folder
@as_json
def ledger_void(event: str, reason: str, source: str | None, folder: str, as_json: bool) -> None:
    """Count EVENT for nothing. The event stays; what takes it back is appended to the chain."""
    _amend(folder, as_json, event=event, quantities=None, reason=reason, source=source)


def _amend(folder: str, as_json: bool, **wish: Any) -> None:
    from breakeven.ledger import commands

    found = commands.call(_ledger(folder), "correct", **wish)
    if as_json:
        answer(found)
        return
    left = ", ".join(f"{meter} {number}" for meter, number in found["quantities"].items())
    if found["changed"]:
        say(f"corrected {found['event']} by {found['id']}; it now counts as: {left}")
    else:
        say(f"{found['event']} counts so already, nothing was added: {left}")


@ledger.command("show")
@click.argument("event")
@_source
@_folder
@as_json
def ledger_show(event: str, source: str | None, folder: str, as_json: bool) -> None:
    """Show EVENT, its corrections with their reasons, and what it counts as now."""
    from breakeven.ledger import commands

    found = commands.call(_ledger(folder), "history", event=event, source=source)
    if as_json:
        answer(found)
        return
    rows = [{**row, "reason": row.get("reason")} for row in (found["event"], *found["corrections"])]
    shown = [{**row, "quantities": _quantities(row["quantities"]), "late": row["counted"] if row["late"] else ""}
             for row in rows]  # fmt: skip
    columns = {"id": "event", "kind": "kind", "time": "time", "late": "counts at", "quantities": "quantities",
               "reason": "reason"}  # fmt: skip
    table(shown, columns)
    say(f"it counts as: {_quantities(found['quantities'])}")


def _quantities(quantities: dict[str, int]) -> str:
    return ", ".join(f"{meter} {number}" for meter, number in quantities.items())


@ledger.command("close")
@click.argument("customer", required=False)
@click.argument("month", required=False)
@click.option("--reference", default="", metavar="TEXT", help="Why, for example a document's number.")
@_folder
@as_json
def ledger_close(customer: str | None, month: str | None, reference: str, folder: str, as_json: bool) -> None:
    """Close a CUSTOMER's MONTH (2026-11): what comes for it later counts in the next open one. Without both: list.

    An invoice closes its month by itself. A closed month is never opened again.
    """
    from breakeven.ledger import commands

    place = _ledger(folder)
    if month is None:
        rows = _rows(lambda: commands.call(place, "closed", customer=customer))
        if as_json:
            answer(rows)
            return
        names = {row["id"]: row["name"] for row in commands.customers_list(place)} if rows else {}
        shown = [{**row, "customer": names.get(row["customer"], row["customer"])} for row in rows]
        columns = {"customer": "customer", "month": "month", "closed": "closed", "reference": "reference"}
        table(shown, columns, empty="no month is closed")
        return
    closed = commands.call(place, "close", customer=customer, month=month, reference=reference)
    if as_json:
        answer({"customer": customer, "month": month, "closed": closed})
    elif closed:
        say(f"closed {month} for {customer}")
    else:
        say(f"{month} was closed for {customer} before; nothing changed")


@ledger.command("backup")
@click.argument("file", type=_FILE)
@_folder
@as_json
def ledger_backup(file: Path, folder: str, as_json: bool) -> None:
    """Copy the ledger to FILE, also while a server runs, and prove that the copy holds."""
    from breakeven.ledger import commands

    found = commands.call(_ledger(folder), "backup", file=str(file.absolute()))
    if as_json:
        answer(found)
        return
    say(f"wrote {found['file']}: {found['events']} events, {found['bytes']} bytes, proved")


@ledger.command("restore")
@click.argument("file", type=_FILE)
@click.option("--replace", is_flag=True, help="There is a ledger already; keep it under another name.")
@_folder
@as_json
def ledger_restore(file: Path, replace: bool, folder: str, as_json: bool) -> None:
    """Put the backup FILE where the ledger is, after proving it. No server may have the ledger open.

    Then compare with what was answered since: breakeven ledger reconcile --answers LOG.
    """
    from breakeven.ledger.backups import restore

    found = restore(_ledger(folder), file, replace=replace)
    if as_json:
        answer(found)
        return
    say(f"restored {found['file']} as of {found['made']}: {found['events']} events, chains as they were")
    for kept in found["kept"]:
        say(f"kept what was there: {kept}", err=True)


for _command in (export_events, import_events, reconcile):
    ledger.add_command(_command)
