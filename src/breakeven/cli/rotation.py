"""The command that replaces a key; the group and its other commands stand beside the service."""

from __future__ import annotations

import re

import click

from breakeven.cli.options import answer, as_json, say
from breakeven.cli.service import _folder, _ledger, keys

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def _seconds(text: str) -> float:
    found = re.fullmatch(r"([0-9]{1,9})([smhd])", text.strip())
    if found is None:
        raise click.BadParameter(f"'{text}' is not a time such as 30m, 24h or 7d", param_hint="--overlap")
    return float(int(found[1]) * _SECONDS[found[2]])


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
