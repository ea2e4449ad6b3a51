"""Commands about what is served: list releases, go back, promote, canary, shadow, one more by name.

Every change is a new signed decision, written into the audit log; a running server follows it and says so.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from breakeven.cli.options import answer, open_project, project_options, say, spoken, table
from breakeven.errors import TERM, Busy, UsageError, render

if TYPE_CHECKING:
    from breakeven.packaging.routing import Desk

_FOLLOW_SECONDS = 60.0  # for servers that share a database to open what a decision names

_reason = click.option("--reason", metavar="TEXT", help="Why; it stands in the signed decision and the audit log.")


@click.group(invoke_without_command=True)
@project_options
@click.pass_context
def releases(context: click.Context, folder: str, overrides: tuple[str, ...], as_json: bool) -> None:
    """List the releases and who is sent to them; its commands change that."""
    given = {"folder": folder, "overrides": overrides, "as_json": as_json}
    context.default_map = dict.fromkeys(releases.commands, given)
    if context.invoked_subcommand is not None:
        return
    from breakeven.packaging.routing import listed

    desk, place = _desk(folder, overrides)
    rows, status = listed(desk.releases, desk.trust), status_of(place)
    if as_json:
        answer({"releases": rows, "server": status})
        return
    heads = {
        "release": "release",
        "served": "served to",
        "decision": "decision",
        "decided": "decided",
        "value": "measured",
    }
    if any(row["role"] == "canary" for row in rows):
        rows = [{**row, "role": "others" if row["role"] == "current" else row["role"]} for row in rows]
    table([_shown(row, status) for row in rows], heads | ({"requests": "requests"} if status else {}), right=("value",))
    tell_server(status)


@releases.command()
@click.option("--to", "release", metavar="RELEASE", help="The release to go back to.  [default: the one before this]")
@_reason
@project_options
def rollback(release: str | None, reason: str | None, folder: str, overrides: tuple[str, ...], as_json: bool) -> None:
    """Serve a former release again, by the rule it was last served by."""
    _change(folder, overrides, as_json, reason, lambda desk: desk.rollback(release))


@releases.command()
@click.argument("release", required=False)
@_reason
@project_options
def promote(release: str | None, reason: str | None, folder: str, overrides: tuple[str, ...], as_json: bool) -> None:
    """Serve the canary, or RELEASE, to everybody."""
    _change(folder, overrides, as_json, reason, lambda desk: desk.promote(release))


@releases.command()
@click.argument("release")
@click.argument("share", required=False)
@_reason
@project_options
def canary(
    release: str, share: str | None, reason: str | None, folder: str, overrides: tuple[str, ...], as_json: bool
) -> None:
    """Give RELEASE a SHARE of the customers (0.1 or 10%), each always the same release; `canary off` ends it."""
    if release == "off":
        _change(folder, overrides, as_json, reason, lambda desk: desk.canary(None))
        return
    part = share_of(share)
    _change(folder, overrides, as_json, reason, lambda desk: desk.canary(release, part))


@releases.command()
@click.argument("release")
@_reason
@project_options
def shadow(release: str, reason: str | None, folder: str, overrides: tuple[str, ...], as_json: bool) -> None:
    """Let RELEASE answer copies of requests, unseen and uncharged, and compare; `shadow off` ends it."""
    _change(folder, overrides, as_json, reason, lambda desk: desk.shadow(None if release == "off" else release))


@releases.command()
@click.argument("release")
@click.option("--off", is_flag=True, help="End it.")
@_reason
@project_options
def beside(release: str, off: bool, reason: str | None, folder: str, overrides: tuple[str, ...], as_json: bool) -> None:
    """Let RELEASE answer whoever names it as `model`, beside the current one."""
    _change(folder, overrides, as_json, reason, lambda desk: desk.beside(release, on=not off))


def _desk(folder: str, overrides: tuple[str, ...], reason: str | None = None) -> tuple[Desk, str]:
    from breakeven.ledger.book import ledger_place
    from breakeven.packaging.routing import Desk

    project = open_project(folder, overrides)
    key = project.root / Path(project.settings.deploy.sign_with).expanduser()
    return Desk(project.root / "releases", key, reason), ledger_place(project.root)


def _change(
    folder: str, overrides: tuple[str, ...], as_json: bool, reason: str | None, change: Callable[[Desk], dict[str, Any]]
) -> None:
    desk, place = _desk(folder, overrides, reason)
    record = change(desk)
    status = follow(place, record)
    refused = status is not None and status["decision"] != record["number"]
    if as_json:
        answer({"decision": record, "server": status})
    else:
        _say_decided(record)
        tell_server(status)
    if refused:
        raise click.exceptions.Exit(1)


def _say_decided(record: dict[str, Any]) -> None:
    from breakeven.serving.orders import summary

    found = summary(record)
    say(f"decision {found['number']}: {found['release']} is served")
    if found["canary"]:
        say(f"  {found['canary']} to {_percent(found['share'])} of the customers")
    if found["shadow"]:
        say(f"  {found['shadow']} answers copies, unseen")
    for name in found["beside"] or ():
        say(f"  {name} to whoever names it")


def tell_server(status: dict[str, Any] | None) -> None:
    """Says which decision a running server follows."""
    if status is None:
        say("no server of this project runs here; the next one follows the newest decision")
        return
    if status.get("servers", 1) > 1:
        say(f"all {status['servers']} servers follow decision {status['decision']} or a newer one")
    else:
        say(f"the server (process {status['pid']}) follows decision {status['decision']}")
    if status["refused"] is not None:
        refused = status["refused"]
        say(f"it does not follow decision {refused['decision']}: {refused['message']}")
    shadowed = dict(status["shadow"] or {})
    if shadowed:
        name = shadowed.pop("release")
        counts = ", ".join(f"{spoken(word)} {count}" for word, count in shadowed.items()) or spoken("nothing yet")
        say(f"copies answered by {name}: {counts}")


def _shown(row: dict[str, Any], status: dict[str, Any] | None) -> dict[str, Any]:
    """A row of the table: the role in words, the figure with its name, what the server answered with it."""
    words = {"current": "everybody", "others": "everybody else", "shadow": "nobody (shadow)", "beside": "who names it"}
    share = row["share"]
    if share is not None:
        role = spoken(f"{_percent(share)} of the customers")
    else:
        role = spoken(words[row["role"]]) if row["role"] in words else ""
    value = "" if row["value"] is None else f"{render(TERM + row['metric'], {})} {row['value']:.4g}"
    counts = ((status or {}).get("requests") or {}).get(row["release"])
    requests = "" if counts is None else str(counts["answered"])
    return {**row, "served": role, "value": value, "requests": requests}


def _percent(share: float) -> str:
    return f"{share * 100:.3g}%"


def share_of(text: str | None) -> float:
    """A share between 0 and 1, written as a number or in percent."""
    try:
        given = (text or "").strip()
        share = float(given[:-1]) / 100 if given.endswith("%") else float(given)
    except ValueError:
        share = 0.0
    if not 0 < share < 1:
        raise UsageError("routing-share", found=text or "")
    return share


def follow(place: str, record: dict[str, Any]) -> dict[str, Any] | None:
    """Writes the decision into the audit log and lets a running server follow it; None: none runs on this ledger."""
    from breakeven.serving import orders

    decided = orders.summary(record)
    if place.startswith("postgres"):
        return _followed_by_all(place, decided)
    return _asked(place, orders.FOLLOW, {"decided": decided}, lambda ledger: orders.note(ledger, decided))


def status_of(place: str) -> dict[str, Any] | None:
    """What a running server says of its releases; None: none runs on this ledger."""
    from breakeven.serving import orders

    if place.startswith("postgres"):
        return _of_all(place)
    return _asked(place, orders.STATUS, {}, lambda ledger: None)


def _of_all(place: str) -> dict[str, Any] | None:
    """What the servers on a PostgreSQL ledger wrote last, as one status."""
    from breakeven.ledger.commands import call
    from breakeven.serving.reports import together

    return together(call(place, "servers"))


def _followed_by_all(place: str, decided: dict[str, Any]) -> dict[str, Any] | None:
    """Writes the decision into the audit log and waits until every server has followed it, or said why not."""
    from breakeven.ledger.book import open_ledger
    from breakeven.serving import orders

    with open_ledger(place) as ledger:
        orders.note(ledger, decided)
    until = time.monotonic() + _FOLLOW_SECONDS
    while (status := _of_all(place)) is not None and time.monotonic() < until:
        refused = status["refused"] is not None and status["refused"]["decision"] == decided["number"]
        if refused or status["decision"] >= decided["number"]:
            break
        time.sleep(0.5)
    return status


def _asked(place: str, name: str, arguments: dict[str, Any], here: Callable[[Any], None]) -> dict[str, Any] | None:
    """What the process that owns the ledger answers; without one, `here` is done on the ledger, if there is one."""
    from breakeven.errors import BreakevenError
    from breakeven.ledger.book import open_ledger
    from breakeven.ledger.owner import ask

    for wait in (0.0, 0.1, 0.3, 0.6):  # an owner that starts or stops is neither free nor listening for an instant
        time.sleep(wait)
        try:
            with open_ledger(place, create=False) as ledger:
                here(ledger)
            return None
        except Busy:
            try:
                status: dict[str, Any] | None = ask(Path(place).absolute(), name, arguments)
                return status
            except Busy:
                continue
        except BreakevenError as error:
            if error.code != "ledger-missing":
                raise
            return None
    return None
