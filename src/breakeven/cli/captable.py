"""Commands about who owns the company: show the table, and take it out of or into the Open Cap Format."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from breakeven.cli.options import answer, as_json, project_options, say, speak, table, warn
from breakeven.errors import DataError, Place, UsageError

if TYPE_CHECKING:
    from breakeven.economics.captable import CapTable, State

_day = click.DateTime(["%Y-%m-%d"])


@click.group()
def captable() -> None:
    """Show who owns the company; exchange it in the Open Cap Format."""


@captable.command("show")
@click.option("--on", "day", type=_day, metavar="YYYY-MM-DD", help="As it was on that day.  [default: after all]")
@project_options
def captable_show(day: datetime.datetime | None, folder: str, overrides: tuple[str, ...], as_json: bool) -> None:
    """Who holds what of business.cap_table: shares as converted, options, promises, the pool; open SAFEs and notes."""
    made, _, findings = _declared(folder, overrides)
    _tell(_rows_of(made.state(None if day is None else day.date())), as_json=as_json)
    warn(findings)


@captable.command("export")
@click.option("--ocf", "target", required=True, metavar="DIR", type=click.Path(path_type=Path), help="A new folder.")
@click.option("--legal-name", metavar="NAME", help="The company's.  [default: the product's, else the folder's]")
@click.option("--formed", type=_day, metavar="YYYY-MM-DD", help="Day of formation.  [default: the first event's]")
@click.option("--country", default="US", show_default=True, metavar="CC", help="Country of formation, two letters.")
@click.option("--as-of", type=_day, metavar="YYYY-MM-DD", help="Events up to that day.  [default: today]")
@click.option("--institution", "institutions", multiple=True, metavar="HOLDER", help="A holder that is no person.")
@project_options
def captable_export(target: Path, folder: str, overrides: tuple[str, ...], as_json: bool, **about: Any) -> None:
    """Write business.cap_table as Open Cap Format files into a new folder; what the format cannot carry is named."""
    from breakeven.artifacts import write_atomic
    from breakeven.economics.ocf_write import write_ocf

    made, settings, findings = _declared(folder, overrides)
    if not made.events:
        raise DataError("captable-empty")
    now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    until = now.date() if about["as_of"] is None else about["as_of"].date()
    named = _institutions(made, about["institutions"])
    out = write_ocf(
        made,
        _issuer(made, settings, folder, about),
        as_of=until,
        generated=now,
        currency=settings.business.currency,
        institutions=named,
    )
    _must_be_new(target)
    for file, text in out.files.items():
        write_atomic(target / file, text)
    if as_json:
        answer({"written": [str(target / file) for file in out.files], "left_out": list(out.left_out)})
        return
    say(f"wrote {target}")
    _tell_left_out(out.left_out)
    warn(findings)


@captable.command("import")
@click.option("--ocf", "place", required=True, metavar="PATH", type=click.Path(path_type=Path), help="Folder or file.")
@click.option(
    "--write",
    "target",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the events as YAML for business.cap_table into a new FILE.",
)
@as_json
def captable_import(place: Path, target: Path | None, as_json: bool) -> None:
    """Read Open Cap Format files strictly and show who owns what; with --write, as events of breakeven.yaml.

    To plan with the files as they are, name them instead: business.cap_table.ocf: PATH.
    """
    from breakeven.artifacts import write_atomic
    from breakeven.economics.cap_declared import declared
    from breakeven.stages.declared_files import ocf

    read = ocf(place.expanduser())
    events = [declared(event) for event in read.table.events]
    if target is not None:
        _must_be_new(target)
        write_atomic(target, _yaml({"cap_table": {"events": events}}))
    data = _rows_of(read.table.state())
    if as_json:
        more = {"events": events, "left_out": list(read.left_out), "currencies": list(read.currencies)}
        answer({**data, **more, "written": None if target is None else str(target)})
        return
    _tell(data, as_json=False)
    _tell_left_out(read.left_out)
    if target is not None:
        say(f"wrote {target}")


def _declared(folder: str, overrides: tuple[str, ...]) -> tuple[CapTable, Any, list[Any]]:
    """(the table of a project's file, its settings, what of its files has no place)."""
    from breakeven.project import FILE, declared_language, open_settings
    from breakeven.stages.declared_files import cap_table

    settings, document = open_settings(Path(folder).expanduser() / FILE, overrides)
    speak(declared_language(settings))
    if settings.business is None or settings.business.cap_table is None:
        raise UsageError("captable-missing", at=Place(file=document.file))
    made, findings = cap_table(Path(folder).expanduser().resolve(), settings.business)
    return made or settings.business.cap_table.table(), settings, findings


def _issuer(made: CapTable, settings: Any, folder: str, about: Mapping[str, Any]) -> Any:
    """The company as the manifest names it."""
    from breakeven.economics.ocf_write import Issuer

    country = about["country"]
    if len(country) != 2 or not (country.isascii() and country.isalpha()):
        raise UsageError("captable-country", found=country)
    product = getattr(settings, "product", None)
    name = about["legal_name"] or (Path(folder).expanduser().resolve().name if product is None else product.name)
    formed = made.events[0].date if about["formed"] is None else about["formed"].date()
    return Issuer(str(name), formed, country.upper())


def _institutions(made: CapTable, named: tuple[str, ...]) -> tuple[str, ...]:
    state = made.state()
    known = {*state.by_holder(), *(each.holder or each.id for each in state.convertibles.values())}
    unknown = sorted(set(named) - known)
    if unknown:
        raise UsageError("captable-holder", found=unknown, allowed=sorted(known - {"pool"}))
    return named


def _must_be_new(target: Path) -> None:
    """Nothing that is there is written over."""
    if target.is_file() or (target.is_dir() and any(target.iterdir())):
        raise UsageError("captable-there", at=Place(file=str(target)))


def _rows_of(state: State) -> dict[str, Any]:
    """Everybody's fully diluted shares and part of them, and what has not converted yet."""
    from breakeven.economics.money import plain
    from breakeven.economics.securities import Safe

    held = {name: shares for name, shares in state.by_holder().items() if shares}
    total = sum(held.values(), Fraction(0))
    rows = [{"holder": name, "shares": plain(part), "share": float(part / total)} for name, part in held.items()]
    open_ = [
        {
            "id": each.id,
            "holder": each.holder or each.id,
            "kind": "SAFE" if isinstance(each, Safe) else "note",
            "amount": str(each.amount if isinstance(each, Safe) else each.principal),
            "cap": None if each.cap is None else str(each.cap),
            "discount": str(each.discount),
        }
        for each in state.convertibles.values()
    ]
    return {"holders": rows, "convertibles": open_}


def _tell(data: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        answer(data)
        return
    shown = [
        {**row, "shares": f"{float(Fraction(row['shares'])):,.0f}", "share": f"{100 * row['share']:.2f}%"}
        for row in data["holders"]
    ]
    columns = {"holder": "holder", "shares": "shares", "share": "part"}
    table(shown, columns, empty="nobody holds anything yet", right=("shares", "share"))
    if data["convertibles"]:
        heads = {"id": "not converted yet", "holder": "holder", "kind": "kind", "amount": "amount", "cap": "cap"}
        numbers = ("amount", "cap", "discount")
        table([_open(row) for row in data["convertibles"]], {**heads, "discount": "discount"}, right=numbers)


def _open(row: Mapping[str, Any]) -> dict[str, Any]:
    money = {name: f"{float(row[name]):,.0f}" for name in ("amount", "cap") if row[name] is not None}
    return {**row, **money, "discount": f"{100 * float(row['discount']):g}%"}


def _tell_left_out(left: Iterable[str]) -> None:
    for each in left:
        say(f"left out: {each}", err=True)


def _yaml(data: Mapping[str, Any]) -> str:
    """Plain YAML, in the order of the keys."""
    from io import StringIO

    from ruamel.yaml import YAML

    out, writer = StringIO(), YAML(typ="rt", pure=True)
    writer.default_flow_style, writer.width = False, 4096
    writer.dump(dict(data), out)
    return out.getvalue()
