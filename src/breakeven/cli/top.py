"""The live view of running servers: releases, traffic, errors, money, customers and what fires, on one screen."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from breakeven.cli.alerts import STATES, rules_by_name, shown, watched_of
from breakeven.cli.options import answer, console, open_project, project_options
from breakeven.errors import render

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

    from breakeven.watching.overview import Overview
    from breakeven.watching.watcher import Watched

_NARROW = 76  # columns below which only what matters most stands side by side
_TINY = 54
_WIDE = 90
_SHORTEST = 12  # of a release's or customer's name
_ROLES = {"current": "top-role-current", "canary": "top-role-canary", "shadow": "top-role-shadow",
          "beside": "top-role-beside"}  # fmt: skip
_KINDS = {"marginal": "top-kind-marginal", "at_volume": "top-kind-at-volume"}


@click.command()
@click.argument("servers", nargs=-1, metavar="[URL]...")
@click.option("--interval", type=click.FloatRange(0.5, 3600), default=2.0, show_default=True, help="Seconds a frame.")
@click.option("--once", is_flag=True, help="One frame, over one interval; so it is where stdout is no terminal.")
@project_options
def top(
    servers: tuple[str, ...], interval: float, once: bool, folder: str, overrides: tuple[str, ...], as_json: bool
) -> None:
    """Show running servers live until Ctrl-C: those at URL, else those of watching.alerts.servers.

    In a project's folder customers (of the last hour) and alerts are shown too. With --json a frame is an object;
    without --once, one a line.
    """
    watched = _watched(folder, overrides)
    overview = _overview(servers, watched)
    if once or not (as_json or sys.stdout.isatty()):
        overview.look()
        time.sleep(interval)
        overview.look()
        frame = _frame(overview, watched)
        if as_json:
            answer(frame)
        else:
            console().print(drawn(frame, console().width))
    elif as_json:
        _lines(overview, watched, interval)
    else:
        _live(overview, watched, interval)


def _watched(folder: str, overrides: tuple[str, ...]) -> Watched | None:
    """What the project watches; None where the folder holds no project."""
    from breakeven.project import FILE

    if not (Path(folder).expanduser() / FILE).is_file() and folder == "." and not overrides:
        return None
    return watched_of(open_project(folder, overrides), overrides)


def _overview(servers: Sequence[str], watched: Watched | None) -> Overview:
    from breakeven.errors import UsageError
    from breakeven.watching.overview import Overview
    from breakeven.watching.settings import Alerts

    for address in servers:
        if not address.lower().startswith(("http://", "https://")):
            raise UsageError("top-address", found=address)
    known = watched.alerts.servers if watched is not None else Alerts().servers
    return Overview(servers or known, ledger=None if watched is None else watched.ledger)


def _frame(overview: Overview, watched: Watched | None) -> dict[str, Any]:
    return {**overview.frame(), "alerts": None if watched is None else _alerts(watched)}


def _alerts(watched: Watched) -> dict[str, Any] | None:
    from breakeven.watching import overview
    from breakeven.watching.alerting import Alert

    found = overview.alerts(watched.folder)
    if found is None:
        return None
    rules = rules_by_name(watched)
    rows = [shown(Alert.from_json(item, time.time()), rules) for item in found["alerts"]]
    return {**found, "alerts": rows}


def _lines(overview: Overview, watched: Watched | None, interval: float) -> None:
    overview.look()
    while True:
        time.sleep(interval)
        overview.look()
        click.echo(json.dumps(_frame(overview, watched), ensure_ascii=False))
        sys.stdout.flush()


def _live(overview: Overview, watched: Watched | None, interval: float) -> None:
    """Until Ctrl-C; the terminal's own screen comes back however this ends."""
    from rich.live import Live

    overview.look()
    screen = console()
    with Live(console=screen, screen=True, auto_refresh=False) as live:
        while True:
            live.update(drawn(_frame(overview, watched), screen.width), refresh=True)
            time.sleep(interval)
            overview.look()


def drawn(frame: Mapping[str, Any], width: int) -> RenderableType:
    """One frame for a terminal of so many columns."""
    from rich.console import Group

    parts: list[Callable[[Mapping[str, Any], int], RenderableType | None]] = [
        _servers, _firing, _traffic, _releases, _money, _errors, _customers,
    ]  # fmt: skip
    found: list[RenderableType] = []
    for part in parts:
        made = part(frame, width)
        if made is not None:
            found += [made] if not found or part is _firing else ["", made]
    return Group(*found)


def _servers(frame: Mapping[str, Any], width: int) -> RenderableType:
    table = _grid(("server", "left"), ("state", "left"), ("up", "right"), ("memory", "right"), ("cores", "right"),
                  *(() if width < _NARROW else (("decision", "right"),)))  # fmt: skip
    for one in frame["servers"]:
        state = _said("top-ready", "green") if one["ready"] else _plain(one["why"], "bold red")
        cells = [one["server"], state, _span(one["up_seconds"]), _figure(one["memory_mb"], "MB"),
                 _figure(one["cores_busy"])]  # fmt: skip
        decision = _plain("" if one["decision"] is None else str(one["decision"]))
        if one["decision_refused"]:
            decision = _said("top-refused", "bold red")
        _row(table, [*cells, *([] if width < _NARROW else [decision])])
    return table


def _firing(frame: Mapping[str, Any], width: int) -> RenderableType | None:
    found = frame["alerts"]
    if found is None:
        return None
    lines = []
    for row in sorted(found["alerts"], key=lambda row: not row["fires"]):
        about = [*row["labels"].values(), *([row["note"]] if row["note"] else [])]
        said = render("top-alert", {"state": render(STATES[row["state"]], {}), "rule": row["rule"],
                                    "about": render("alert-about", {"labels": about}) if about else ""})  # fmt: skip
        lines.append(_plain(said, "bold red" if row["fires"] else "yellow"))
    if found["stale"]:
        lines.append(_plain(render("top-unwatched", {"time": found["looked"][:19] + "Z"}), "yellow"))
    if not lines:
        return None
    from rich.console import Group

    return Group("", *lines)


def _traffic(frame: Mapping[str, Any], width: int) -> RenderableType:
    found = frame["traffic"]
    figures = [
        (render("top-requests", {}), _figure(found["requests_per_second"], "/s")),
        (render("top-answers", {}), _figure(found["answers_per_second"], "/s")),
        *((name, _time(found[f"{name}_seconds"])) for name in ("p50", "p95", "p99")),
        (render("top-batch", {}), _figure(found["batch_cases"])),
        (render("top-queue", {}), _figure(found["queue_cases"])),
        (render("top-ledger-queue", {}), _figure(found["ledger_queue"])),
        (render("top-refusals", {}), _percent(found["refused_share"])),
    ]
    if found["first_part_p95_seconds"] is not None:
        figures.append((render("top-first-part", {}), _time(found["first_part_p95_seconds"])))
    return _pairs(figures, min(max(width // 19, 1), 5))


def _releases(frame: Mapping[str, Any], width: int) -> RenderableType | None:
    if not frame["releases"]:
        return None
    heads = [("release", "left"), ("role", "left"), ("requests/s", "right"), ("share", "right"), ("failed/s", "right"),
             ("answers/s", "right"), ("ms each", "right"), ("memory", "right")]  # fmt: skip
    shown = len(heads) if width >= _NARROW else 5 if width >= _TINY else 3
    rows = [_release(row, wide=width >= _NARROW)[:shown] for row in frame["releases"]]
    gap = 1 if width < _WIDE else 2
    room = _room(heads[:shown], rows, width, gap)
    table = _grid(*heads[:shown], first=room, gap=gap)
    for cells in rows:
        _row(table, [_shortened(str(cells[0]), room), *cells[1:]])
    return table


def _release(row: Mapping[str, Any], *, wide: bool) -> list[str | Text]:
    role = render(_ROLES[row["role"]], {}) if row["role"] in _ROLES else row["role"]
    if row["shadow_agrees"] is not None and wide:
        role += " " + render("top-agrees", {"share": _percent(row["shadow_agrees"])})
    failed = _plain(_figure(row["failed_per_second"]), "red" if row["failed_per_second"] else "")
    cells = [row["release"], role, _figure(row["requests_per_second"]), _percent(row["share"]), failed]
    more = [_figure(row["answers_per_second"]), _figure(row["ms_per_answer"]), _figure(row["memory_mb"], "MB")]
    return [*cells, *more]


def _money(frame: Mapping[str, Any], width: int) -> RenderableType | None:
    figures = [
        (render("top-units", {"meter": meter}), _figure(rate)) for meter, rate in frame["units_per_minute"].items()
    ]
    for currency, found in frame["money"].items():
        figures.append((render("top-charged", {}), _amount(found["charged_per_minute"], currency)))
        for kind, cost in found["cost_per_minute"].items():
            words = render(_KINDS[kind], {})
            share = found["margin_share"].get(kind)
            figures.append((render("top-cost", {"kind": words}), _amount(cost, currency)))
            if share is not None:
                figures.append((render("top-margin", {"kind": words}), _percent(share)))
    return _pairs(figures, min(max(width // 33, 1), 3)) if figures else None


def _errors(frame: Mapping[str, Any], width: int) -> RenderableType | None:
    if not frame["errors"]:
        return None
    table = _grid(("error", "left"), *(() if width < _NARROW else (("class", "left"),)), ("a minute", "right"))
    for row in frame["errors"][:6]:
        _row(table, [row["code"], *([] if width < _NARROW else [row["type"]]), _figure(row["per_minute"])])
    return table


def _customers(frame: Mapping[str, Any], width: int) -> RenderableType | None:
    if frame["customers"] is None:
        why = frame["customers_why"]
        return None if why is None else _plain(render("top-no-customers", {"why": why}), "dim")
    if not frame["customers"]:
        return None
    heads = [("customer, last hour", "left"), ("price", "right"), ("units", "right"), ("requests", "right")]
    shown = 4 if width >= _TINY else 2
    rows: list[list[str | Text]] = []
    for row in frame["customers"][: 5 if width >= _NARROW else 3]:
        units = ", ".join(f"{count:,} {meter}" for meter, count in row["units"].items())
        price = _amount(row["price"], row["currency"]) if row["currency"] else ""
        rows.append([row["customer"], price, units, _figure(row["requests"])][:shown])
    table = _grid(*heads[:shown], first=_room(heads[:shown], rows, width, 2))
    for cells in rows:
        _row(table, cells)
    return table


def _grid(*columns: tuple[str, str], first: int | None = None, gap: int = 2) -> Table:
    """A table without lines. `first`: the widest that its first column may be, so that a long name takes no figure's
    place; of the others only words are wrapped.
    """
    from rich.table import Table

    from breakeven.cli.options import spoken

    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, gap, 0, 0))
    for place, (head, side) in enumerate(columns):
        justify: Any = side
        widest = first if place == 0 else None
        whole = place == 0 or side == "right"
        table.add_column(spoken(head), justify=justify, overflow="ellipsis", no_wrap=whole, max_width=widest)
    return table


def _room(heads: Sequence[tuple[str, str]], rows: Sequence[Sequence[str | Text]], width: int, gap: int) -> int:
    """The columns that a table's figures, and its longest words, leave to its first column."""
    from rich.cells import cell_len

    from breakeven.cli.options import spoken

    others = []
    for place, (head, side) in enumerate(heads[1:], 1):
        cells = [spoken(head), *(str(row[place]) for row in rows)]
        parts = cells if side == "right" else [word for cell in cells for word in cell.split()]
        others.append(max(map(cell_len, parts), default=0))
    return max(width - sum(others) - gap * len(heads), _SHORTEST)


def _shortened(name: str, room: int) -> str:
    """A release's name in so many columns: its end tells it from others, so the middle goes."""
    if len(name) <= room:
        return name
    end = min(12, (room - 1) * 3 // 4)
    return f"{name[: room - 1 - end]}…{name[-end:]}"


def _row(table: Table, cells: Sequence[str | Text]) -> None:
    """What a server or a customer named is text: no markup in it is obeyed."""
    table.add_row(*(_plain(cell) if isinstance(cell, str) else cell for cell in cells))


def _pairs(figures: Sequence[tuple[str, str]], each: int) -> Table:
    """Names with their values, so many side by side."""
    from rich.table import Table

    table = Table.grid(padding=(0, 2, 0, 0))
    for _ in range(min(each, len(figures))):
        table.add_column(overflow="ellipsis")
        table.add_column(no_wrap=True)
    for start in range(0, len(figures), each):
        cells = [part for name, value in figures[start : start + each]
                 for part in (_plain(name, "dim"), _plain(value, "bold"))]  # fmt: skip
        table.add_row(*cells)
    return table


def _plain(text: str | None, style: str = "") -> Text:
    from rich.text import Text

    return Text(text or "", style=style)


def _said(code: str, style: str) -> Text:
    return _plain(render(code, {}), style)


def _figure(value: float | None, unit: str = "") -> str:
    if value is None:
        return "-"
    said = f"{value:,.0f}" if value >= 1000 or value == int(value) else f"{value:.3g}"
    return f"{said} {unit}".rstrip() if unit != "/s" else f"{said}/s"


def _amount(amount: float, currency: str) -> str:
    return f"{amount:,.0f} {currency}" if amount >= 10_000 else f"{amount:.4g} {currency}"


def _time(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1000:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share * 100:.3g}%"


def _span(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    days, rest = divmod(int(seconds), 86400)
    hours, minutes, left = rest // 3600, rest % 3600 // 60, rest % 60
    code = "top-days" if days else "top-hours" if hours else "top-minutes"
    return render(code, {"days": days, "hours": hours, "minutes": minutes, "seconds": left})
