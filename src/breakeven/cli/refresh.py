"""The command that learns: new rows, the candidates trained anew, champion against challenger, a signed decision."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from breakeven.cli.options import answer, part_of, project_options, speak, warn
from breakeven.errors import Finding, Refused, UsageError, render

if TYPE_CHECKING:
    from breakeven.refresh.line import Refresh

OUTCOMES = {
    "planned": "refresh-planned",
    "unchanged": "refresh-unchanged",
    "refused": "refresh-refused",
    "canary": "refresh-canary",
    "promoted": "refresh-promoted",
    "forgotten": "refresh-forgotten",
    "no-canary": "refresh-no-canary",
    "waits": "refresh-waits",
    "rolled-back": "refresh-rolled-back",
}
WATCHES = {
    "feedback": "refresh-watch-feedback",
    "failures": "refresh-watch-failures",
    "latency": "refresh-watch-latency",
    "answers": "refresh-watch-answers",
}
NOTHING_SEEN = {"latency": "refresh-watch-no-latency", "answers": "refresh-watch-no-answers"}
COMPARED = {
    "all": "refresh-compared-all",
    "fresh": "refresh-compared-fresh",
    "established": "refresh-compared-established",
    "others": "refresh-compared-others",
}


@click.command()
@click.option("--dry-run", is_flag=True, help="Only say what there is to learn from and what would run.")
@click.option("--forget", is_flag=True, help="Only remove tables that hold rows of whoever was erased.")
@click.option("--watch", is_flag=True, help="Only look at the running canary: back, to everybody, or wait.")
@click.option("--answers", type=click.IntRange(min=1), default=1000, show_default=True,
              help="With --watch: requests of the canary after which it serves everybody.")  # fmt: skip
@click.option("--hours", type=click.FloatRange(min=0), help="With --watch: or so many hours after its decision.")
@click.option("--alarm", type=click.FloatRange(0, 0.5, min_open=True), default=0.05, show_default=True,
              help="With --watch: the chance that a canary as good as the champion is rolled back.")  # fmt: skip
@click.option("--slower", type=click.FloatRange(min=1), default=1.5, show_default=True,
              help="With --watch: how many times the champion's 95th percentile it may surely take.")  # fmt: skip
@click.option("--differ", type=click.FloatRange(0, 1), default=0.3, show_default=True,
              help="With --watch: the share of its labels that may surely be others than the champion's.")  # fmt: skip
@click.option("--share", metavar="SHARE", default="10%", show_default=True,
              help="The customers who meet the challenger first (0.1 or 10%); 100%: everybody at once.")  # fmt: skip
@click.option("--probability", type=float, default=0.9, show_default=True,
              help="How sure it must be that the challenger is not worth less.")  # fmt: skip
@click.option("--reason", metavar="TEXT", help="Why; it stands in the signed decision and the audit log.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
@project_options
def refresh(folder: str, overrides: tuple[str, ...], as_json: bool, **asked: Any) -> None:
    """Train on what came since, and let the result serve if it is worth more on the same test rows.

    Sources are read anew (with `ledger: feedback` also what customers said), the candidates are trained in an area of
    their own, and the best one that passes its gates meets the release that serves. Exit code 1 when it is refused;
    what serves is not touched then. With --watch: exit code 1 when the canary is rolled back.
    """
    done = _done(folder, overrides, asked)
    record = done.get("decision")
    server = None if record is None else _followed(folder, record)
    if as_json:
        answer({**done, "server": server})
    else:
        _tell(done)
        _tell_server(server, record)
    ships = record is not None and record["release"] is not None
    ignored = server is not None and ships and record is not None and server["decision"] != record["number"]
    if ignored or "behind" in done or done["outcome"] in ("refused", "rolled-back"):
        raise click.exceptions.Exit(Refused.exit_code)


def _done(folder: str, overrides: tuple[str, ...], asked: Mapping[str, Any]) -> dict[str, Any]:
    """What was asked for, done: the whole refresh, or one part of it."""
    from breakeven.cli.progress import shown
    from breakeven.refresh.comparison import Terms
    from breakeven.refresh.line import Refresh, Wish

    if not 0.5 <= asked["probability"] < 1:
        raise UsageError("refresh-probability", found=asked["probability"])
    parts = [name for name in ("dry_run", "forget", "watch") if asked[name]]
    if len(parts) > 1:
        raise UsageError("refresh-one-part", found=", ".join(f"--{name.replace('_', '-')}" for name in parts))
    wish = Wish(Terms(asked["probability"]), _share(asked["share"]), asked["reason"])
    with shown(quiet=asked["quiet"] or bool(parts)) as progress:
        line = Refresh(folder, overrides=overrides, wish=wish, progress=progress)
        speak(line.project.language)
        if asked["watch"]:
            return _look(line, asked)
        return line.plan() if asked["dry_run"] else line.forget() if asked["forget"] else line.run()


def _look(line: Refresh, asked: Mapping[str, Any]) -> dict[str, Any]:
    """One look at the running canary, and the decision that follows from it."""
    from breakeven.cli.releases import status_of
    from breakeven.ledger.book import ledger_place
    from breakeven.refresh.canary import Counted, Limits

    limits = Limits(asked["answers"], asked["hours"], asked["alarm"], asked["slower"], asked["differ"])
    return line.watch(limits, Counted.of(status_of(ledger_place(line.root))))


def _share(text: str) -> float:
    from breakeven.cli.releases import share_of

    return 1.0 if text.strip() in ("1", "1.0", "100%") else share_of(text)


def _followed(folder: str, record: dict[str, Any]) -> dict[str, Any] | None:
    """The decision in the audit log; a server that runs follows it at once."""
    from breakeven.cli.releases import follow
    from breakeven.ledger.book import ledger_place

    place = ledger_place(Path(folder).expanduser().resolve())
    return follow(place, {**record, "release": record["release"] or "withheld"})


def _tell_server(server: dict[str, Any] | None, record: dict[str, Any] | None) -> None:
    from breakeven.cli.releases import tell_server

    if record is not None and record["release"] is not None:
        tell_server(server)


def _tell(done: dict[str, Any]) -> None:
    _tell_rows(done)
    for name, part in (done.get("comparison") or {}).items():
        if part is not None:
            _tell_part(name, part)
    for name, figures in (done.get("watches") or {}).items():
        _tell_watch(name, figures)
    warn([Finding.from_json(one) for one in done.get("findings") or ()])
    for one in done.get("reasons") or ():
        click.echo(render(one["code"], one["fields"]))
    if (behind := done.get("behind")) is not None:
        click.echo(render("refresh-behind", {"number": behind["decision"], "reason": behind.get("message", "-")}))
    number = done.get("decision", {}).get("number")
    fields = {"champion": done.get("champion"), "challenger": done.get("challenger"), "number": number,
              "watch": done.get("watch"),
              "share": f"{done.get('share', 0) * 100:.3g}%"}  # fmt: skip
    click.echo(render(OUTCOMES[done["outcome"]], fields))


def _tell_watch(name: str, figures: Mapping[str, Any]) -> None:
    """What a watch saw; a watch that saw nothing says so."""
    if "unknown" in figures:
        click.echo(render("refresh-watch-unknown", {"watch": name, "reason": figures["unknown"]}))
    elif not figures:
        click.echo(render(NOTHING_SEEN[name], {}))
    else:
        parts = {key: value for key, value in figures.items() if not isinstance(value, Mapping)}
        parts |= {f"{side}_{key}": value for side, found in figures.items() if isinstance(found, Mapping)
                  for key, value in found.items()}  # fmt: skip
        click.echo(render(WATCHES[name], {key: _shown(key, value) for key, value in parts.items()}))


def _shown(key: str, value: Any) -> Any:
    """A figure by its unit: milliseconds, times, a share, or a count."""
    if key.endswith("_ms"):
        return "?" if value is None else f"{value:.3g}"
    if key == "size":
        return 4 ** (value + 2)
    return f"{value:g}" if key == "ratio" else f"{value * 100:.3g}%" if isinstance(value, float) else value


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
        click.echo("  " + part_of(step["step"], step["why"]))


def _tell_part(name: str, part: dict[str, Any]) -> None:
    difference = part["difference"]
    figures = {"rows": part["n"], "not_worse": f"{part['not_worse'] * 100:.3g}%"}
    figures |= {side: f"{part[side]['value']:.4g}" for side in ("champion", "challenger")}
    figures |= {key: f"{difference[key]:+.4g}" for key in ("value", "low", "high")}
    click.echo(render(COMPARED[name], figures))
