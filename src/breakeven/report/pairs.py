"""One candidate in full, and two side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from breakeven.quantity import Quantity
from breakeven.report import numbers
from breakeven.report.blocks import Block, Cell, Facts, Note, Table
from breakeven.report.origins import counted, measured, quantity
from breakeven.report.sections import business
from breakeven.report.sections.cells import cell, in_percent
from breakeven.report.sections.evaluate import MONEY, gates_cell, pays_cell
from breakeven.report.words import Words

if TYPE_CHECKING:
    from breakeven.project import Snapshot

SHORT = ("latency_ms_p95", "marginal_per_1000", *MONEY)


def candidate(snapshot: Snapshot, words: Words, name: str) -> list[Block]:
    """Everything that is known of one candidate: training, package, measurements, verdict."""
    blocks: list[Block] = []
    record = snapshot.train.get(name)
    if record:
        blocks.append(Facts(words("training"), list(_training(record, words)), step=f"train/{name}"))
    found = ((snapshot.verdict or {}).get("candidates") or {}).get(name)
    if found:
        pairs = [
            (words("pays"), pays_cell(name, snapshot.verdict or {}, words)),
            (words("gates"), gates_cell(found, words)),
        ]
        pairs += [(words.term(key), cell(found[key])) for key in SHORT if quantity(found.get(key))]
        if found.get("why_not"):
            pairs.append((words("why-not"), Cell(words.why_not(found))))
        blocks.append(Facts(words("verdict"), pairs, step="evaluate/verdict"))
        blocks.append(
            Table(
                words("metrics"),
                [words("metric"), name],
                [[Cell(words.term(key)), cell(value)] for key, value in (found.get("metrics") or {}).items()],
                step="evaluate/verdict",
            )
        )
    measured_too = snapshot.measurements.get(name) or {}
    rows = [
        [Cell(words.term(key)), cell(value)]
        for key, value in measured_too.items()
        if key not in ((found or {}).get("metrics") or {})
    ]
    if rows:
        blocks.append(Table(words("measurements"), [words("measured-thing"), name], rows, step="evaluate"))
    return blocks or [Note(words("missing", stage=name), command=f"breakeven run train/{name}")]


def _training(record: Mapping[str, Any], words: Words) -> Iterator[tuple[str, Cell]]:
    for key in ("model", "parameters", "seconds", "cpu_seconds", "steps", "stopped", "still_improving"):
        value = record.get(key)
        if value is None or value == "":
            continue
        if isinstance(value, bool):
            yield words.term(key), Cell(words("yes" if value else "no"))
        elif isinstance(value, (int, float)):
            held = measured(value, "s") if "seconds" in key else counted(value, "")
            yield words.term(key), Cell(quantity=held)
        else:
            yield words.term(key), Cell(words.term(f"stopped-{value}") if key == "stopped" else str(value))
    base = record.get("base") or {}
    if base:
        yield (
            words("weights"),
            Cell(
                f"{base.get('weights')} @ {base.get('revision')} ({base.get('licence') or words('no-licence')})",
                code=True,
            ),
        )


def compare(snapshot: Snapshot, words: Words, one: str, other: str) -> list[Block]:
    """Two candidates' numbers in one table with their difference; an interval only where a paired one was computed."""
    found: Mapping[str, Mapping[str, Any]] = (snapshot.verdict or {}).get("candidates") or {}
    paired = _paired(snapshot.verdict or {}, one, other)
    rows = []
    for key, left, right in _both(found[one], found[other]):
        rows.append(
            [
                Cell(words.term(key)),
                cell(left),
                cell(right),
                _difference(quantity(left), quantity(right), paired.get(key)),
            ]
        )
    verdict = snapshot.verdict or {}
    rows.append([Cell(words("gates")), gates_cell(found[one], words), gates_cell(found[other], words), Cell("")])
    rows.append([Cell(words("pays")), pays_cell(one, verdict, words), pays_cell(other, verdict, words), Cell("")])
    heads = [words("figure"), one, other, words("difference", one=one, other=other)]
    first: list[Block] = [Table("", heads, rows, step="evaluate/verdict", note=words("difference-note"))]
    return [*first, *_plans(snapshot, words, one, other)]


FIGURES = ("npv", "mrr_end", "funding_need", "probability_of_break_even", "probability_of_ruin")


def _plans(snapshot: Snapshot, words: Words, one: str, other: str) -> Iterator[Block]:
    """What each would make of the business: the same simulated figures as the plan's own tables show."""
    plan = snapshot.business or {}
    found: Mapping[str, Mapping[str, Any]] = plan.get("candidates") or {}
    if one not in found or other not in found:
        return
    worth = _more(plan.get("npv_differences") or {}, one, other)
    rows = []
    for key in FIGURES:
        left, right = (_shown(found[name].get(key)) for name in (one, other))
        if left or right:
            cells = [Cell(quantity=held) if held else cell(None) for held in (left, right)]
            rows.append([Cell(words.term(key)), *cells, _difference(left, right, worth if key == "npv" else None)])
    for key in business.MONTHS:
        if isinstance(found[one].get(key), Mapping):
            months = [business.month(found[name].get(key)) for name in (one, other)]
            rows.append([Cell(words.term(key)), *months, Cell("")])
    heads = [words("figure"), one, other, words("difference", one=one, other=other)]
    yield Table(words("plan"), heads, rows, step=business.STEP, note=words("plan-note"))


def _shown(data: Any) -> Quantity | None:
    held = quantity(data)
    return None if held is None else in_percent(held)


def _more(stated: Mapping[str, Mapping[str, Any]], one: str, other: str) -> Quantity | None:
    """By how much the plan of one is worth more, paired over the scenarios; stated once for each pair."""
    held = quantity((stated.get(one) or {}).get(other))
    if held is not None:
        return held
    turned = quantity((stated.get(other) or {}).get(one))
    return None if turned is None else turned.scaled(-1.0, turned.unit)


def _both(one: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    metrics, others = one.get("metrics") or {}, other.get("metrics") or {}
    for key in dict.fromkeys([*metrics, *others]):
        yield key, metrics.get(key), others.get(key)
    for key in SHORT:
        if quantity(one.get(key)) or quantity(other.get(key)):
            yield key, one.get(key), other.get(key)


def _paired(verdict: Mapping[str, Any], one: str, other: str) -> dict[str, Quantity]:
    """Paired differences (one - other) that the verdict states: pairs by name, and the margin of the chosen one."""
    found: dict[str, Quantity] = {}
    margin = verdict.get("margin") or {}
    if {verdict.get("chosen"), margin.get("rival")} == {one, other}:
        sign = -1.0 if verdict.get("chosen") == one else 1.0  # the margin is rival - chosen
        for key, stated in (("value_per_1000", "value_more_per_1000"), ("at_volume_per_1000", "cost_more_per_1000")):
            held = quantity(margin.get(stated))
            if held:
                found[key] = held.scaled(sign, held.unit)
    return found


def _difference(left: Quantity | None, right: Quantity | None, paired: Quantity | None) -> Cell:
    if paired is not None:
        return Cell(quantity=paired)
    if left is None or right is None:
        return Cell(numbers.MISSING, tone="quiet")
    # Of the numbers as they are shown, so that the row adds up for whoever checks it.
    places = numbers.places(left), numbers.places(right)
    code, _ = numbers.currency_of(left.unit)
    text = numbers.plain(round(left.value, places[0]) - round(right.value, places[1]), max(places))
    if float(text.replace(",", "")) > 0:
        text = f"+{text}"
    return Cell((text if code is None else numbers.with_sign(text, code)) + numbers.suffix(left))
