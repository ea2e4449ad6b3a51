"""Commands about customers: their terms, and what is known of them, exported or erased."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from breakeven.cli.options import answer, as_json, open_project, part_of, say, spoken
from breakeven.cli.service import _folder, _ledger, _rows, _table, short_time
from breakeven.errors import render

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    Command = TypeVar("Command", bound=Callable[..., Any])

_NONE = "none"
_WRITTEN_SECONDS = 2.0  # after which a server has written the inputs that it had just answered


@click.group()
def customers() -> None:
    """Add, list, limit, export and erase customers."""


def _terms_options(command: Command) -> Command:
    quota = click.option("--quota", "quotas", multiple=True, metavar="METER=N", help="Units a month; N may be none.")
    cap = click.option("--spend-cap", metavar="MONEY", help="Most money a month; none: no cap.")
    rate = click.option("--rate", metavar="R", help="Requests a second; none: no limit.")
    burst = click.option("--burst", metavar="N", help="Requests that may come at once.  [default: one second's]")
    consent = click.option(
        "--consent", type=click.Choice(["yes", "no"]), help="Inputs and outputs may be kept; no: erases what was."
    )
    return quota(cap(rate(burst(consent(_folder(as_json(command)))))))


@customers.command("add")
@click.argument("name")
@_terms_options
def customers_add(name: str, folder: str, as_json: bool, **changes: Any) -> None:
    """Add a customer NAME. One of that name that is there already is kept, and gets the terms given."""
    from breakeven.ledger import commands

    given = _given({**changes, "folder": folder})
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
    shown = [{**row, "created": short_time(row["created"])} for row in shown]
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

    given, place = _given({**changes, "folder": folder}), _ledger(folder)
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
        if number != _NONE:
            _check_meter(meter, changes["folder"])
        found.setdefault("quotas", {})[meter] = _number(number, int, "--quota")
    kinds: dict[str, tuple[str, Callable[[str], Any]]] = {
        "spend_cap": ("spend_cap", str),
        "rate": ("requests_per_second", float),
        "burst": ("burst", int),
    }
    for option, (name, kind) in kinds.items():
        if changes[option] is not None:
            found[name] = _number(changes[option], kind, f"--{option.replace('_', '-')}")
    if changes["consent"] is not None:
        found["consent"] = changes["consent"] == "yes"
    return found


def _check_meter(meter: str, folder: str) -> None:
    """A quota of what nothing counts would limit nothing. Where no project says what is counted, any name is taken."""
    from breakeven.errors import InputError, Place
    from breakeven.project import FILE

    if not (Path(folder).expanduser() / FILE).is_file():
        return
    project = open_project(folder, ())
    if project.settings.product is not None and meter not in project.task.meters:
        raise InputError("quota-meter", at=Place(field="--quota"), meter=meter, allowed=list(project.task.meters))


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
    words = [*(words or ["without limit"]), *(["inputs may be kept"] if terms["consent"] else [])]
    return render("joint-words", {}).join(map(spoken, words))


def _tell_customer(row: dict[str, Any], as_json: bool) -> None:
    if as_json:
        answer(row)
    else:
        click.echo(part_of(f"{row['name']} ({row['id']})", _terms_words(row["terms"])))


def _selection(command: Command) -> Command:
    """A person among a customer's requests."""
    request = click.option("--request", "requests", multiple=True, metavar="ID", help="Only this request; repeatable.")
    text = click.option(
        "--containing", metavar="TEXT", help="Only requests with this text in them: an address, a name."
    )
    return request(text(command))


@customers.command("export")
@click.argument("customer")
@_selection
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Written whole or not at all.  [default: stdout]",
)
@_folder
def customers_export(
    customer: str, requests: tuple[str, ...], containing: str | None, out: Path | None, folder: str
) -> None:
    """Write everything that is known of CUSTOMER (name or id), or of one person among their requests: JSON Lines."""
    from breakeven.artifacts import write_atomic
    from breakeven.ledger import commands
    from breakeven.ledger.subjects import lines

    place = _ledger(folder)
    arguments: dict[str, Any] = {"customer": customer, "events": list(requests), "containing": containing}
    parts = list(lines(commands.call(place, "subjects.export", **arguments)))
    if not requests and containing is None:
        for page in commands.event_pages(place, customer):
            parts += lines({"table": "events", **row} for row in page)
    if out is not None:
        write_atomic(out, b"".join(parts), mode=0o600)
        return
    for part in parts:
        sys.stdout.buffer.write(part)


def _erase_batches(ledger: str, found: dict[str, Any], *, everything: bool, containing: str | None) -> None:
    """Batch files lie beside the ledger. Who is erased whole leaves none; of one person the lines are written over,
    and what the ledger knows of them goes as well. `unreached` names what could not be looked through from here.
    """
    from breakeven.serving import batch_erase
    from breakeven.serving.batch_files import BatchFolder

    path = None if ledger.startswith("postgres") else Path(ledger.removeprefix("sqlite:///")).absolute()
    kept = BatchFolder.beside(path)
    found["unreached"] = [] if kept is not None else ["batches"]
    if kept is None:
        return
    if everything:
        found["erased"]["batches"] = kept.forget(found["customer"])
        return
    lines = batch_erase.erase(kept, found["customer"], found["events"], containing)
    found["erased"] |= {"batch_lines": lines.count, "uploads": lines.uploads}
    found["copies"] += lines.left
    more = sorted(lines.events - {*found["events"]})
    if more:
        _erase_more(ledger, found, lines=more)


def _erase_more(ledger: str, found: dict[str, Any], **chosen: Any) -> None:
    """Erases once more and adds what was found."""
    from breakeven.ledger import commands

    asked: dict[str, Any] = {"customer": found["customer"], "events": [], "containing": None, **chosen}
    again = commands.call(ledger, "subjects.erase", **asked)
    found["events"] = sorted({*found["events"], *again["events"]})
    found["requests"] = len(found["events"])
    for table, rows in again["erased"].items():
        found["erased"][table] = found["erased"].get(table, 0) + rows


@customers.command("erase")
@click.argument("customer")
@_selection
@click.option("--yes", is_flag=True, help="Do not ask.")
@_folder
@as_json
def customers_erase(
    customer: str, requests: tuple[str, ...], containing: str | None, yes: bool, folder: str, as_json: bool
) -> None:
    """Erase CUSTOMER (name or id), or one person among their requests: name, answers, inputs, feedback, notes.

    Quantities and times stay, without a name, and the ledger's chains still hold. Issued invoices stay: the law wants
    them kept. Keys are revoked. It cannot be undone.
    """
    from breakeven.ledger import commands

    if not yes:
        click.confirm(spoken(f"erase {customer} for ever?"), abort=True, err=True)
    arguments: dict[str, Any] = {"customer": customer, "events": list(requests), "containing": containing}
    began = time.monotonic()
    found = commands.call(_ledger(folder), "subjects.erase", **arguments)
    everything = not requests and containing is None
    _erase_batches(_ledger(folder), found, everything=everything, containing=containing)
    if containing is not None:  # a server keeps inputs in memory for a second before it writes them
        time.sleep(max(_WRITTEN_SECONDS - (time.monotonic() - began), 0.0))
        _erase_more(_ledger(folder), found, containing=containing)
    if "batches" in found["unreached"]:
        click.echo(render("erase-unreached", {}), err=True)
    if as_json:
        answer(found)
        return
    told = ", ".join(f"{table} {rows}" for table, rows in found["erased"].items() if rows) or "-"
    say(f"erased, rows by table: {told}")
    for copy in found["copies"]:
        say(f"a copy from before still holds it, delete it when it is no longer needed: {copy}", err=True)
