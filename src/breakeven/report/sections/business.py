"""The business section: every candidate's plan side by side, break-even, cash over time, and what it all rests on."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from breakeven.quantity import Quantity
from breakeven.report import numbers
from breakeven.report.blocks import Block, Cell, Facts, Lines, Picture, Table
from breakeven.report.origins import quantity
from breakeven.report.sections import doubt, plan_pictures
from breakeven.report.sections.cells import candidates, cell, in_percent, number, origin_of, volumes_cell
from breakeven.report.words import Words

if TYPE_CHECKING:
    from breakeven.project import Snapshot

STEP = "business"
MONTHS = ("break_even_operating", "break_even_cash", "payback", "ruin")
FIRST = ("npv", "probability_of_break_even", "probability_of_ruin")
Plans = Mapping[str, Mapping[str, Any]]


def blocks(snapshot: Snapshot, words: Words) -> Iterator[Block]:
    """The plan in short, months, volumes, figures, owners, doubt, and the inputs with their origins."""
    plan = snapshot.business
    if plan is None:
        yield from _volumes(snapshot, words)
        return
    shown = _shown(snapshot, plan.get("candidates") or {})
    yield from in_short(plan, shown, words)
    yield from how(plan, words)
    yield from months(plan, words)
    yield from _volumes(snapshot, words)
    yield from details(plan, shown, words)


def in_short(plan: Mapping[str, Any], shown: str | None, words: Words) -> Iterator[Block]:
    """What a founder reads in a minute."""
    said = [words.finding(line) for line in plan.get("summary") or []]
    if said:
        yield Lines(words("plan-summary", candidate=shown), said)


def how(plan: Mapping[str, Any], words: Words) -> Iterator[Block]:
    """How many scenarios of how many months."""
    size, horizon = number(plan.get("scenarios"), "scenarios"), number(plan.get("months"), "months")
    yield Facts(words("plan-how"), [(words("scenarios"), size), (words("horizon"), horizon)], step=STEP)


def details(plan: Mapping[str, Any], shown: str | None, words: Words) -> Iterator[Block]:
    """Figures, owners and exit, where the doubt comes from, what it all rests on."""
    found: Plans = plan.get("candidates") or {}
    yield from _figures(found, words)
    yield from plan_pictures.owners(plan, shown, words)
    yield from doubt.blocks(plan, words)
    yield from _inputs(found, shown, words)


def months(plan: Mapping[str, Any], words: Words) -> Iterator[Block]:
    """When things happen: median month with p10 and p90, and how probable it is within the plan."""
    found: Plans = plan.get("candidates") or {}
    names = [name for name in MONTHS if any(isinstance(item.get(name), Mapping) for item in found.values())]
    rows = []
    for name in names:
        rows.append([Cell(words.term(name)), *(month(item.get(name)) for item in found.values())])
        chances = [cell((item.get(name) or {}).get("probability")) for item in found.values()]
        rows.append([Cell(words("probability-of", what=words.term(name))), *chances])
    if rows:
        yield Table(words("plan-months"), [words("figure"), *found], rows, step=STEP, note=words("plan-months-note"))


def month(reached: Any) -> Cell:
    """A month as median [p10, p90]; beyond the horizon is an outcome and is shown as `> 36`."""
    if not isinstance(reached, Mapping) or not reached.get("horizon"):
        return cell(None)
    horizon = int(reached["horizon"])

    def shown(value: float | None) -> str:
        return f"> {horizon}" if value is None else numbers.count(value)

    low, middle, high = (reached.get(name) for name in ("p10", "p50", "p90"))
    known = quantity(reached.get("probability"))
    bounds = [math.inf if value is None else float(value) for value in (low, middle, high)]
    held = Quantity(bounds[1], "months", known.origin if known else "assumed", bounds[0], bounds[2], 0.8)
    if known:
        held = replace(held, n=known.n, method="median and p10 to p90 of the scenarios")
    return Cell(shown(middle), held, range=f"[{shown(low)}, {shown(high)}]")


def _figures(found: Plans, words: Words) -> Iterator[Block]:
    keys = dict.fromkeys(key for item in found.values() for key, value in item.items() if quantity(value))
    names = [*(name for name in FIRST if name in keys), *(name for name in keys if name not in FIRST)]
    if names:
        rows = [[Cell(words.term(name)), *(_figure(item.get(name)) for item in found.values())] for name in names]
        yield Table(words("plan"), [words("figure"), *found], rows, step=STEP, note=words("plan-note"))


def _figure(data: Any) -> Cell:
    held = quantity(data)
    return cell(None) if held is None else Cell(quantity=in_percent(held))


def _inputs(found: Plans, name: str | None, words: Words) -> Iterator[Block]:
    """What the plan of the shown candidate rests on; what was measured and filled in, and what it would overrule."""
    if name is None:
        return
    for part in ("inputs", "filled", "overruled"):
        pairs = [
            (key, Cell(quantity=held))
            for key, data in (found[name].get(part) or {}).items()
            if (held := quantity(data))
        ]
        if pairs:
            yield Facts(words(f"plan-{part}", candidate=name), pairs, step=STEP)


def _shown(snapshot: Snapshot, found: Plans) -> str | None:
    plan = snapshot.business or {}
    wanted = (plan.get("shown"), plan.get("chosen"), (snapshot.verdict or {}).get("chosen"))
    return next((str(name) for name in wanted if name in found), next(iter(found), None))


def _volumes(snapshot: Snapshot, words: Words) -> Iterator[Table]:
    """From which monthly volume each candidate breaks even, by the verdict."""
    rows = []
    for name, found in candidates(snapshot).items():
        intervals = found.get("break_even_answers")
        if isinstance(intervals, list):
            rows.append([Cell(name), volumes_cell(intervals, origin_of(found, "at_volume_per_1000"), words)])
    if rows:
        heads = [words("candidate"), words("pays-between")]
        yield Table(words("break-even-volume"), heads, rows, step="evaluate/verdict", note=words("break-even-note"))


def pictures(snapshot: Snapshot, words: Words) -> list[Picture]:
    """What a reader looks at first, of the candidate shown."""
    plan = snapshot.business or {}
    return first_pictures(plan, _shown(snapshot, plan.get("candidates") or {}), words)


def first_pictures(plan: Mapping[str, Any], shown: str | None, words: Words) -> list[Picture]:
    """Unit economics, revenue and cash over the months, break-even, the tornado."""
    parts = (plan_pictures.unit, plan_pictures.growth, plan_pictures.break_even)
    return [*(picture for part in parts for picture in part(plan, shown, words)), *doubt.pictures(plan, words)]
