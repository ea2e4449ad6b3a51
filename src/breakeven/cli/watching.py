"""Commands about what happens to a served release: kept inputs."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import click

from breakeven.cli.options import answer, as_json, table
from breakeven.cli.service import _customer, _folder, _ledger, _rows


@click.command()
@_customer
@click.option("--since", metavar="TIME", help="ISO 8601; the first moment counted.")
@click.option("--out", metavar="FILE", help="Write the cases as JSON Lines; - for stdout.")
@_folder
@as_json
def inputs(customer: str | None, since: str | None, out: str | None, folder: str, as_json: bool) -> None:
    """What is kept of requests of customers who consented: how much, or with --out the cases with their feedback."""
    from breakeven.ledger import commands
    from breakeven.ledger.subjects import lines

    rows = _rows(lambda: list(commands.kept_inputs(_ledger(folder), customer, since)))
    if out == "-":
        for line in lines(rows):
            click.echo(line.decode(), nl=False)
    elif out is not None:
        from breakeven.artifacts import write_atomic

        write_atomic(Path(out), b"".join(lines(rows)), mode=0o600)
    else:
        _tell(_counted(rows), as_json)


def _counted(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Kept cases by customer and release."""
    sums: dict[tuple[str, str], Counter[str]] = {}
    ends: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        place = row["customer"], row["release"]
        sums.setdefault(place, Counter()).update(cases=1, feedback=bool(row["feedback"]))
        ends.setdefault(place, []).append(row["time"])
    return [{"customer": customer, "release": release, "cases": sums[customer, release]["cases"],
             "with_feedback": sums[customer, release]["feedback"], "first": min(ends[customer, release]),
             "last": max(ends[customer, release])} for customer, release in sums]  # fmt: skip


def _tell(rows: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        answer(rows)
        return
    columns = {"customer": "customer", "release": "release", "cases": "cases", "with_feedback": "with feedback",
               "first": "first", "last": "last"}  # fmt: skip
    table(rows, columns, empty="nothing is kept: see watching.inputs in breakeven.yaml, and customers terms --consent")
