"""Commands about what happens to a served release: kept inputs, drift."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from breakeven.cli.options import answer, as_json, open_project, project_options, table, warn
from breakeven.cli.service import _customer, _folder, _ledger, _rows
from breakeven.errors import render

_VERDICTS = {"same": "drift-same", "small": "drift-small", "drift": "drift-drift"}


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
        return
    if out is not None:
        from breakeven.artifacts import write_atomic

        write_atomic(Path(out), b"".join(lines(rows)), mode=0o600)
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


@click.command()
@click.option("--since", metavar="TIME", help="ISO 8601; the first moment counted.  [default: all that is kept]")
@click.option("--trust", type=click.Path(path_type=Path), metavar="KEY.pub", help="As for serve.")
@project_options
def drift(since: str | None, trust: Path | None, folder: str, overrides: tuple[str, ...], as_json: bool) -> None:
    """How far kept requests to the current release are from the rows it was made from; exit 1 if something drifted."""
    project = open_project(folder, overrides)
    release, current, found, told = _compared(project, since, trust)
    drifted = any(item.verdict == "drift" for item in found)
    if as_json:
        answer({"release": release, "rows": current, "drift": drifted, "statistics": [item.as_json() for item in found],
                "findings": [finding.as_json() for finding in told]})  # fmt: skip
    else:
        shown = [{**item.as_json(), **{name: f"{getattr(item, name):.3f}" for name in ("value", "noise")},
                  "p": f"{item.p:.4f}", "verdict": render(_VERDICTS[item.verdict], {})} for item in found]  # fmt: skip
        columns = {"column": "column", "statistic": "statistic", "value": "value", "noise": "chance explains", "p": "p",
                   "verdict": "verdict"}  # fmt: skip
        if shown:
            table(shown, columns, right=("value", "noise", "p"))
        click.echo(render("drift-rows", {**current, "release": release}), err=True)
        warn(told)
    if drifted:
        raise click.exceptions.Exit(1)


def _compared(project: Any, since: str | None, trust: Path | None) -> tuple[str, dict[str, int], list[Any], list[Any]]:
    """(release, rows, statistics, findings) of the current release's kept requests."""
    from breakeven.ledger import commands
    from breakeven.ledger.book import ledger_place
    from breakeven.packaging.decisions import open_current
    from breakeven.stages.train import fields_of
    from breakeven.watching import drift as statistics
    from breakeven.watching.features import describe
    from breakeven.watching.reference import reference

    release, decision = open_current(project.root / "releases", trust or project.root / "keys" / "release.pub")
    known = reference(project.store, release, decision, task=project.task, fields=fields_of(project.setup()))
    rows = _rows(lambda: list(commands.kept_inputs(ledger_place(project.root), None, since)))
    mine = [row for row in rows if row["release"] == release.id]
    now = describe([row["input"] for row in mine], [row["output"] for row in mine])
    found = statistics.compare(known, now)
    counts = {"rows": len(mine), "reference": known.rows, "other_releases": len(rows) - len(mine)}
    return release.id, counts, found, statistics.findings(found, reference=known.rows, current=len(mine))


def costs_of(root: Path) -> Callable[[str], dict[str, tuple[str, float]]]:
    """What a running server counts its answers at: release -> kind -> (currency, cost of an answer), as measured by the
    newest verdict; nothing where there is none.
    """

    def find(release: str) -> dict[str, tuple[str, float]]:
        from breakeven.artifacts import read_json
        from breakeven.errors import BreakevenError

        try:
            verdict = read_json(root / "artifacts" / "evaluate" / "verdict.json")
            judged = verdict["candidates"][read_json(root / "releases" / release / "release.json")["candidate"]]
            costs = {kind: float(judged[f"{kind}_per_1000"]["value"]) for kind in ("marginal", "at_volume")}
            return {kind: (str(verdict["currency"]), cost / 1000) for kind, cost in costs.items()}
        except (BreakevenError, KeyError, TypeError, ValueError):  # no verdict, or none that speaks of this release
            return {}

    return find
