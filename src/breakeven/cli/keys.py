"""Commands about customers' keys: create, list, rotate, revoke."""

from __future__ import annotations

import re
from typing import Any

import click

from breakeven.cli.options import answer, as_json, say
from breakeven.cli.service import _customer, _folder, _ledger, _names, _rows, _table, _time, short_time

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_SCOPES = ("predict", "feedback", "usage", "admin")  # the ledger's, which is not imported for `--help`


@click.group()
def keys() -> None:
    """Create, list, rotate and revoke customers' keys."""


@keys.command("create")
@click.option("--customer", required=True, metavar="NAME", help="Made if the name is new.")
@click.option("--name", default="", help="What the key is for.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(_SCOPES),
    help="What it may do; repeatable.  [default: predict, feedback and usage]",
)
@click.option("--not-before", metavar="TIME", help="ISO 8601; refused until then.")
@click.option("--expires", metavar="TIME", help="ISO 8601, for example 2027-01-31.")
@_folder
@as_json
def keys_create(
    customer: str,
    name: str,
    scopes: tuple[str, ...],
    not_before: str | None,
    expires: str | None,
    folder: str,
    as_json: bool,
) -> None:
    """Make a key. It is shown once, here, and stored only as a hash."""
    from breakeven.errors import UsageError
    from breakeven.ledger import commands
    from breakeven.ledger.keys import DEFAULT_SCOPES

    if not customer.strip():
        raise UsageError("customer-blank")
    first, last = _time(not_before, "--not-before"), _time(expires, "--expires")
    if first is not None and last is not None and first >= last:
        raise UsageError("times-reversed", first="--not-before", last="--expires")
    row = commands.keys_create(
        _ledger(folder),
        customer,
        scopes=scopes or DEFAULT_SCOPES,
        not_before=not_before,
        expires=expires,
        name=name,
    )
    if as_json:
        answer(row)
        return
    click.echo(row["secret"])
    say(
        f"key {row['id']} for {customer}: shown this once, keep it now; to end it: breakeven keys revoke {row['id']}",
        err=True,
    )


@keys.command("list")
@_customer
@_folder
@as_json
def keys_list(customer: str | None, folder: str, as_json: bool) -> None:
    """List keys, without their secrets."""
    from breakeven.ledger import commands

    rows = _rows(lambda: commands.keys_list(_ledger(folder), customer))
    if as_json:
        answer(rows)
        return
    columns = {
        "id": "key",
        "owner": "customer",
        "name": "for",
        "ends_with": "ends with",
        "may": "may",
        "created": "made",
        "not_before": "from",
        "expires": "expires",
        "revoked": "revoked",
    }
    names = _names(folder) if rows else {}
    times = ("created", "not_before", "expires", "revoked")
    shown: list[dict[str, Any]] = [
        {**row, **{name: short_time(row.get(name)) for name in times}, "may": ", ".join(row.get("scopes") or ()),
         "owner": names.get(row["customer"], row["customer"])}
        for row in rows
    ]  # fmt: skip
    # A column in which nothing stands is left out: most keys begin at once and never end.
    kept = {key: title for key, title in columns.items() if any(row.get(key) for row in shown)}
    _table(shown, kept, "no keys yet: breakeven keys create")


@keys.command("rotate")
@click.argument("key")
@click.option("--overlap", default="24h", show_default=True, metavar="TIME", help="How long KEY goes on: 30m, 24h, 7d.")
@_folder
@as_json
def keys_rotate(key: str, overlap: str, folder: str, as_json: bool) -> None:
    """Make a key that may what KEY may, and let KEY end after the overlap. The new one is shown once, here."""
    from breakeven.ledger import commands

    row = commands.call(_ledger(folder), "keys.rotate", id=key, overlap=_seconds(overlap))
    if as_json:
        answer(row)
        return
    click.echo(row["secret"])
    say(f"key {row['id']} takes over from {key}, which ends at {row['old']['expires']}: shown this once", err=True)


def _seconds(text: str) -> float:
    found = re.fullmatch(r"([0-9]{1,9})([smhd])", text.strip())
    if found is None:
        raise click.BadParameter(f"'{text}' is not a time such as 30m, 24h or 7d", param_hint="--overlap")
    return float(int(found[1]) * _SECONDS[found[2]])


@keys.command("revoke")
@click.argument("key")
@_folder
@as_json
def keys_revoke(key: str, folder: str, as_json: bool) -> None:
    """End KEY within a second, in a running server too."""
    from breakeven.ledger import commands

    row = commands.keys_revoke(_ledger(folder), key)
    if as_json:
        answer(row)
    else:
        say(f"revoked {row['id']}")
