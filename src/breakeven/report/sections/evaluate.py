"""The table of candidates and the evaluate section: gates, money, what the values rest on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from breakeven.quantity import Quantity
from breakeven.report import numbers
from breakeven.report.blocks import Block, Cell, Facts, Note, Table, Tone
from breakeven.report.origins import measured, quantity
from breakeven.report.sections import gallery, quality
from breakeven.report.sections.cells import candidates, cell, judged, loose, number, origin_of, said, volumes_cell
from breakeven.report.words import Words

if TYPE_CHECKING:
    from breakeven.project import Snapshot

STEP = "evaluate/verdict"
MARKS: dict[str, Tone] = {"yes": "good", "no": "bad", "cannot_tell": "unsure"}
MONEY = (
    "value_per_1000",
    "value_at_test_rates_per_1000",
    "at_volume_per_1000",
    "floor_per_1000",
    "recommended_per_1000",
    "ceiling_per_1000",
    "contribution_per_month",
    "surplus_per_month",
    "point_worth_per_month",
    "point_worth_at_our_share_per_month",
)


def main_table(snapshot: Snapshot, words: Words) -> Table:
    """The table of the first screen: metric, speed, both costs, value, gates, and whether it pays."""
    verdict = snapshot.verdict or {}
    heads = [
        words("candidate"),
        words.term(str(verdict.get("metric", "metric"))),
        words("p95"),
        words("marginal"),
        words("at-volume"),
        words("value"),
        words("gates"),
        words("pays"),
    ]
    rows = []
    for name, found in candidates(snapshot).items():
        rows.append(
            [
                Cell(name, tone="good" if name == verdict.get("chosen") else ""),
                cell(found.get("metric")),
                cell(found.get("latency_ms_p95"), bare=True),
                cell(found.get("marginal_per_1000")),
                cell(found.get("at_volume_per_1000")),
                cell(found.get("value_per_1000")),
                gates_cell(found, words),
                pays_cell(name, verdict, words),
            ]
        )
    note = (
        words("still-improving-note")
        if any(found.get("still_improving") for found in candidates(snapshot).values())
        else ""
    )
    return Table("", heads, rows, step=STEP, note=note, main=True)


def gates_cell(found: Mapping[str, Any], words: Words) -> Cell:
    """`ok`, or which gates did not pass."""
    gates = found.get("gates") or []
    if not gates:
        return Cell(words("no-gates"), tone="quiet")
    refused = [words.term(str(gate["gate"])) for gate in gates if gate.get("passes") == "no"]
    unsure = [words.term(str(gate["gate"])) for gate in gates if gate.get("passes") == "cannot_tell"]
    if refused:
        return Cell(f"x {', '.join(refused)}", tone="bad")
    return Cell(f"? {', '.join(unsure)}", tone="unsure") if unsure else Cell("ok", tone="good")


def pays_cell(name: str, verdict: Mapping[str, Any], words: Words) -> Cell:
    """`best: 97%` for the chosen one, else yes or no; a candidate that was still improving is marked `+`."""
    found = verdict["candidates"][name]
    mark = " +" if found.get("still_improving") else ""
    share, chosen = found.get("probability_best"), name == verdict.get("chosen")
    if not chosen and not found.get("pays"):
        return Cell(words("no") + mark, tone="bad")
    key = "best" if chosen else "yes"
    text = words(key) if share is None else words(f"{key}-share", share=numbers.percent(share))
    origin, method = origin_of(found, "value_per_1000"), words("best-method")
    return judged(share, text + mark, origin, tone="good" if chosen else "", method=method)


def blocks(snapshot: Snapshot, words: Words) -> list[Block]:
    """Everything that was measured and judged."""
    if not candidates(snapshot):
        return []
    after = (_parts, _rests)
    found: list[Block] = list(_margin(snapshot, words))
    if (snapshot.verdict or {}).get("chosen"):  # where none pays this is the answer and stands with it
        found += obstacles(snapshot, words)
    found += [_gates(snapshot, words), _money(snapshot, words)]
    found += [block for part in after for block in part(snapshot, words)]
    return [*found, *gallery.blocks(snapshot, words), *quality.blocks(snapshot, words)]


def obstacles(snapshot: Snapshot, words: Words) -> list[Block]:
    """Why the others were not chosen, and what would have to change."""
    return [*_reasons(snapshot, words), *_changes(snapshot, words)]


def _margin(snapshot: Snapshot, words: Words) -> Iterator[Block]:
    """The chosen candidate against its strongest rival."""
    verdict = snapshot.verdict or {}
    margin = verdict.get("margin")
    if not isinstance(margin, Mapping):
        return
    rival, chosen = str(margin.get("rival")), str(verdict.get("chosen"))
    origin = origin_of(candidates(snapshot).get(rival, {}), "value_per_1000")
    ahead, volumes = margin.get("probability_chosen_ahead"), margin.get("pays_from")
    share = numbers.percent(ahead) if isinstance(ahead, (int, float)) else numbers.MISSING
    pairs = [
        (words("points-more", rival=rival, chosen=chosen), loose(margin.get("metric_points"), "points")),
        (words("value-more", rival=rival, chosen=chosen), cell(margin.get("value_more_per_1000"))),
        (words("cost-more", rival=rival, chosen=chosen), cell(margin.get("cost_more_per_1000"))),
        (words("ahead", chosen=chosen), judged(ahead, share, origin, method=words("best-method"))),
        (words("rival-from", rival=rival), volumes_cell(volumes, origin, words)),
        (words("rival-at", rival=rival), loose(margin.get("pays_at_metric"), "", origin)),
    ]
    yield Facts(words("margin", chosen=chosen, rival=rival), pairs, step=STEP)


def _reasons(snapshot: Snapshot, words: Words) -> Iterator[Block]:
    pairs = [(name, said(words.why_not(found))) for name, found in candidates(snapshot).items() if found.get("why_not")]
    if pairs:
        title = "why-not" if (snapshot.verdict or {}).get("chosen") else "why-none"
        yield Facts(words(title), pairs, step=STEP)


def _changes(snapshot: Snapshot, words: Words) -> Iterator[Block]:
    """What would have to change for those that do not pay."""
    rows = []
    for name, found in candidates(snapshot).items():
        gates = {gate["gate"]: gate for gate in found.get("gates") or []}
        for change in found.get("changes") or []:
            kind, unit = str(change.get("kind")), str(change.get("unit", ""))
            if kind == "gate" and unit in gates:
                what, now, needed = words.term(unit), cell(gates[unit].get("found")), _wanted(gates[unit], words)
            else:
                what, unit = (words.term(unit), "") if kind == "metric" else (words.term(kind), unit)
                now, needed = (
                    loose(change.get("found"), unit),
                    loose(change.get("needed"), unit, origin_of(found, "value_per_1000")),
                )
            rows.append([Cell(name), Cell(what), now, needed])
    if rows:
        yield Table(
            words("changes"), [words("candidate"), words("what"), words("now"), words("needed")], rows, step=STEP
        )


def _wanted(gate: Mapping[str, Any], words: Words) -> Cell:
    """What a gate asks for, in words, with its limit as the number."""
    held = quantity(gate.get("found"))
    limit = Quantity(float(gate["limit"]), held.unit if held else "", "declared")
    asked = words(
        "gate-asks",
        judged=words(f"judged-{gate.get('judged', 'bound')}"),
        kind=words.term(str(gate.get("kind"))),
        limit=numbers.amount(limit) + numbers.suffix(limit),
    )
    needed = gate.get("cases_needed")
    return Cell(words("cases-needed", said=asked, n=numbers.count(needed)) if needed else asked, limit)


def _gates(snapshot: Snapshot, words: Words) -> Block:
    rows = []
    for name, found in candidates(snapshot).items():
        for gate in found.get("gates") or []:
            held = quantity(gate.get("found"))
            limit = gate.get("limit")
            bound = (
                quantity(limit) or Quantity(float(limit), held.unit if held else "", "declared")
                if limit is not None
                else None
            )
            passes = str(gate.get("passes"))
            rows.append(
                [
                    Cell(name),
                    Cell(words.term(str(gate["gate"]))),
                    Cell(words.term(str(gate.get("kind", "")))),
                    Cell(quantity=bound),
                    cell(gate.get("found")),
                    Cell(words(f"judged-{gate.get('judged', 'bound')}")),
                    Cell(_passes(gate, words), tone=MARKS.get(passes, "")),
                ]
            )
    if not rows:
        return Note(words("no-gates-declared"), tone="quiet")
    heads = [words(name) for name in ("candidate", "gate", "kind", "limit", "found", "judged", "passes")]
    return Table(words("gates-title"), heads, rows, step=STEP, note=words("gates-note"))


def _passes(gate: Mapping[str, Any], words: Words) -> str:
    passes = words(f"passes-{gate.get('passes')}")
    needed = gate.get("cases_needed")
    return words("cases-needed", said=passes, n=numbers.count(needed)) if needed else passes


def _money(snapshot: Snapshot, words: Words) -> Block:
    found = candidates(snapshot)
    shown = [name for name in MONEY if any(quantity(item.get(name)) for item in found.values())]
    rows = [[Cell(words.term(name)), *(cell(item.get(name)) for item in found.values())] for name in shown]
    rows.append([Cell(words("machine")), *(_machine(item) for item in found.values())])
    rows.append([Cell(words("utilization")), *(_busy(item) for item in found.values())])
    return Table(words("money"), [words("figure"), *found], rows, step=STEP, note=words("money-note"))


def _machine(found: Mapping[str, Any]) -> Cell:
    machine = found.get("machine") or {}
    return said(f"{machine.get('count', '?')} × {machine['name']}" if machine.get("name") else None)


def _busy(found: Mapping[str, Any]) -> Cell:
    used = (found.get("machine") or {}).get("utilization")
    share = numbers.percent(used) if isinstance(used, (int, float)) else numbers.MISSING
    return judged(used, share, origin_of(found, "at_volume_per_1000"))


def _parts(snapshot: Snapshot, words: Words) -> Iterator[Block]:
    found = {name: item.get("cost_parts") or {} for name, item in candidates(snapshot).items()}
    names = list(dict.fromkeys(part for parts in found.values() for part in parts))
    if names:
        rows = [[Cell(name), *(cell(parts.get(part)) for part in names)] for name, parts in found.items()]
        yield Table(words("cost-parts"), [words("candidate"), *(words.term(part) for part in names)], rows, step=STEP)


def _rests(snapshot: Snapshot, words: Words) -> Iterator[Block]:
    """Base rates and the customer's alternatives that the values were reckoned with."""
    verdict = snapshot.verdict or {}
    demand, price = verdict.get("demand") or {}, (verdict.get("price") or {}).get("declared")
    pairs = [
        (words("declared-price"), cell(price)),
        (words.term("answers_per_month"), cell(demand.get("answers_per_month"))),
    ]
    pairs += [(words.term("peak_factor"), cell(demand.get("peak_factor")))]
    pairs += [
        (words("test-rows"), number(verdict.get("n_test"))),
        (words("test-looks"), number(verdict.get("test_looks"), "")),
    ]
    yield Facts(words("rests-on"), pairs, step=STEP)
    rates = verdict.get("base_rates") or {}
    test, market = rates.get("test") or {}, rates.get("market") or {}
    if test:
        rows = [
            [
                Cell(str(label)),
                Cell(quantity=measured(share, "share")),
                Cell(quantity=Quantity(float(market[label]), "share", "declared"))
                if label in market
                else Cell(words("as-test"), tone="quiet"),
            ]
            for label, share in test.items()
        ]
        yield Table(
            words("base-rates"),
            [words("class"), words("rate-test"), words("rate-market")],
            rows,
            step=STEP,
            note=words("base-rates-note"),
        )
    others = verdict.get("alternatives") or {}
    if isinstance(others, Mapping) and others:
        rows = [
            [
                Cell(words.term(f"alternative-{name}") if name in ("constant", "today") else str(name)),
                loose(item.get("value"), ""),
                loose(item.get("price"), ""),
            ]
            for name, item in others.items()
        ]
        yield Table(
            words("alternatives"), [words("alternative"), words("value-each"), words("price-each")], rows, step=STEP
        )
