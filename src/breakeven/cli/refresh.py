"""The command that learns: new rows, the candidates trained anew, champion against challenger, a signed decision."""

from __future__ import annotations

from typing import Any

import click

from breakeven.cli.options import answer, project_options, say, speak
from breakeven.errors import Refused, UsageError, render

OUTCOMES = {
    "planned": "refresh-planned",
    "unchanged": "refresh-unchanged",
    "refused": "refresh-refused",
    "canary": "refresh-canary",
    "promoted": "refresh-promoted",
    "forgotten": "refresh-forgotten",
}
COMPARED = {
    "all": "refresh-compared-all",
    "fresh": "refresh-compared-fresh",
    "established": "refresh-compared-established",
}


@click.command()
@click.option("--dry-run", is_flag=True, help="Only say what there is to learn from and what would run.")
@click.option("--forget", is_flag=True, help="Only remove tables that hold rows of whoever was erased.")
@click.option("--share", metavar="SHARE", default="10%", show_default=True,
              help="The customers who meet the challenger first (0.1 or 10%); 100%: everybody at once.")  # fmt: skip
@click.option("--probability", type=float, default=0.9, show_default=True,
              help="How sure it must be that the challenger is not worth less.")  # fmt: skip
@click.option("--reason", metavar="TEXT", help="Why; it stands in the signed decision and the audit log.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
@project_options
def refresh(
    dry_run: bool, forget: bool, share: str, probability: float, reason: str | None, quiet: bool, folder: str,
    overrides: tuple[str, ...], as_json: bool,
) -> None:  # fmt: skip
    """Train on what came since, and let the result serve if it is worth more on the same test rows.

    Sources are read anew (with `ledger: feedback` also what customers said), the candidates are trained in an area of
    their own, and the best one that passes its gates meets the release that serves. Exit code 1 when it is refused;
    what serves is not touched then.
    """
    from breakeven.cli.progress import shown
    from breakeven.refresh.comparison import Terms
    from breakeven.refresh.line import Refresh, Wish

    if not 0.5 <= probability < 1:
        raise UsageError("refresh-probability", found=probability)
    wish = Wish(Terms(probability), _share(share), reason)
    with shown(quiet=quiet or dry_run or forget) as progress:
        line = Refresh(folder, overrides=overrides, wish=wish, progress=progress)
        speak(line.project.language)
        done = line.plan() if dry_run else {"outcome": "forgotten", **line.forget()} if forget else line.run()
    server = _followed(str(line.root), done) if done.get("decision") else None
    if as_json:
        answer({**done, "server": server})
    else:
        _tell(done)
    if done["outcome"] == "refused":
        raise click.exceptions.Exit(Refused.exit_code)


def _share(text: str) -> float:
    from breakeven.cli.releases import share_of

    return 1.0 if text.strip() in ("1", "1.0", "100%") else share_of(text)


def _followed(root: str, done: dict[str, Any]) -> dict[str, Any] | None:
    """The decision in the audit log; a server that runs follows it at once."""
    from pathlib import Path

    from breakeven.cli.releases import follow
    from breakeven.ledger.book import ledger_place

    record = done["decision"]
    return follow(ledger_place(Path(root)), {**record, "release": record["release"] or "withheld"})


def _tell(done: dict[str, Any]) -> None:
    _tell_rows(done)
    for name, part in (done.get("comparison") or {}).items():
        if part is not None:
            _tell_part(name, part)
    for one in done.get("reasons") or ():
        click.echo(render(one["code"], one["fields"]))
    number = done.get("decision", {}).get("number")
    fields = {"champion": done.get("champion"), "challenger": done.get("challenger"), "number": number,
              "share": f"{done.get('share', 0) * 100:.3g}%"}  # fmt: skip
    click.echo(render(OUTCOMES[done["outcome"]], fields))


def _tell_rows(done: dict[str, Any]) -> None:
    forgotten = done.get("forgotten") or (done if done["outcome"] == "forgotten" else {})
    for area, count in (forgotten.get("rows") or {}).items():
        click.echo(render("refresh-forgot", {"area": area, "rows": count}))
    for name in forgotten.get("releases") or ():
        click.echo(render("refresh-repeats", {"release": name}))
    if done.get("ledger") is not None:
        click.echo(render("refresh-ledger", done["ledger"]))
    if rows := done.get("rows") if isinstance(done.get("champion"), str) else None:
        click.echo(render("refresh-rows", rows))
    for step in done.get("steps") or ():
        say(f"  {step['step']}: {step['why']}")


def _tell_part(name: str, part: dict[str, Any]) -> None:
    difference = part["difference"]
    figures = {"rows": part["n"], "not_worse": f"{part['not_worse'] * 100:.3g}%"}
    figures |= {side: f"{part[side]['value']:.4g}" for side in ("champion", "challenger")}
    figures |= {key: f"{difference[key]:+.4g}" for key in ("value", "low", "high")}
    click.echo(render(COMPARED[name], figures))
