"""Where the doubt of a plan comes from: which assumptions move it, what to measure next, risks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from breakeven.errors import phrased
from breakeven.quantity import Quantity
from breakeven.report import numbers
from breakeven.report import pictures as draw
from breakeven.report.blocks import Block, Cell, Picture, Table
from breakeven.report.sections.cells import judged, said
from breakeven.report.sections.plan_pictures import label_of
from breakeven.report.words import Words

STEP = "business"
SHOWN = 8
TWO_SIGMA = 1.96


def blocks(plan: Mapping[str, Any], words: Words) -> Iterator[Block]:
    """What to measure next, and the risks with their mitigations."""
    doubt, code = plan.get("doubt") or {}, str(plan.get("currency") or "")
    yield from _next(doubt.get("what_to_measure") or {}, code, words)
    yield from _risks(doubt.get("risks") or [], code, words)


def _next(known: Mapping[str, Any], code: str, words: Words) -> Iterator[Block]:
    rows = []
    for item in (known.get("assumptions") or [])[:SHOWN]:
        worth, error = float(item["worth"]), float(item["error"])
        held = Quantity(worth, code, "assumed", method=words("worth-method"))
        if error > 0:
            held = replace(held, low=worth - TWO_SIGMA * error, high=worth + TWO_SIGMA * error)
        rows.append([said(item["driver"], code=True), _share(item.get("share")), Cell(quantity=held)])
    if rows:
        heads = [words("driver"), words("share-of-doubt"), words("worth-of-knowing")]
        note = words("measure-next-note" if known.get("changes_decision") else "measure-next-none")
        yield Table(words("measure-next"), heads, rows, step=STEP, note=note)


def _share(share: Any) -> Cell:
    return judged(share, numbers.percent(share if isinstance(share, (int, float)) else None), "assumed")


def _risks(risks: list[Mapping[str, Any]], code: str, words: Words) -> Iterator[Block]:
    rows = []
    for risk in risks:
        name, owner, chance = (
            said(phrased(str(risk.get("name")), "parts", words.language)),
            said(risk.get("owner")),
            _share(risk.get("likelihood")),
        )
        rows.append([name, said(None), chance, *_effect(risk.get("residual") or {}, code), owner])
        for item in risk.get("mitigations") or []:
            state = said(words("chosen") if item.get("chosen") else words("open"))
            rows.append([name, said(item.get("name")), state, *_effect(item, code), owner])
    if rows:
        heads = [words(name) for name in ("risk", "mitigation", "likelihood", "effect-npv", "effect-ruin", "owner")]
        yield Table(words("risks"), heads, rows, step=STEP, note=words("risks-note"))


def _effect(data: Mapping[str, Any], code: str) -> tuple[Cell, Cell]:
    value, error, ruin = data.get("npv"), data.get("npv_error") or 0.0, data.get("ruin")
    if not isinstance(value, (int, float)):
        return said(None), said(None)
    spread = TWO_SIGMA * float(error)
    held = Quantity(float(value), code, "assumed", value - spread, value + spread)
    points = said(None) if ruin is None else Cell(quantity=Quantity(100.0 * float(ruin), "points", "assumed"))
    return Cell(quantity=held), points


def pictures(plan: Mapping[str, Any], words: Words) -> Iterator[Picture]:
    """The tornado: net present value with each assumption at its p10 and at its p90."""
    tornado = (plan.get("doubt") or {}).get("tornado") or {}
    bars = [
        (str(bar["driver"]), float(bar["npv_at_p10"]), float(bar["npv_at_p90"]))
        for bar in tornado.get("bars") or []
        if bar.get("npv_at_p10") is not None and bar.get("npv_at_p90") is not None
    ]
    if bars and tornado.get("base") is not None:
        names = {
            "title": words("tornado-title"),
            "description": words("tornado-caption"),
            "x": words.term("npv"),
            "low": words("at-p10"),
            "high": words("at-p90"),
        }
        code = str(plan.get("currency") or "")
        drawn = draw.swings("tornado", float(tornado["base"]), bars[:SHOWN], names, label=label_of(plan, words))
        rows = [[said(name, code=True), _worth(low, code), _worth(high, code)] for name, low, high in bars[:SHOWN]]
        heads = [words("driver"), words("at-p10"), words("at-p90")]
        table = Table(names["title"], heads, rows, step=STEP)
        yield Picture("tornado", names["title"], drawn, names["description"], table)


def _worth(value: float, code: str) -> Cell:
    """A net present value of the tornado, at digits that suit a plan: whole money."""
    return Cell(quantity=Quantity(float(round(value)), code, "assumed"))
