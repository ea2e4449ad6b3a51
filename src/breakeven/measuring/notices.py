"""Findings of an evaluation: what should make a reader careful, each with a code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from breakeven.economics.verdict import Verdict
from breakeven.errors import Finding, Level, term
from breakeven.measuring.settings import Settings
from breakeven.measuring.worth import Bench, Worth
from breakeven.metrics import payoff as paying
from breakeven.quantity import short

FEW_ROWS = 100
FEWEST_OF_A_CLASS = 5
FAR_BELOW = 0.10  # a slice this much below the whole is named
SLICE_ROWS = 30
OFTEN = 20
STAGE = "evaluate"


def _finding(code: str, level: Level, subject: str | None = None, **fields: Any) -> Finding:
    return Finding(code, level, STAGE, subject, fields)


def of_data(bench: Bench) -> list[Finding]:
    """Too few rows, or a class too small to say much of."""
    found = []
    targets = [str(target) for target in bench.cases.targets or []]
    if len(bench.cases) < FEW_ROWS:
        found.append(_finding("test-small", "warning", n=len(bench.cases), wanted=FEW_ROWS))
    known = [str(label) for label in bench.facts.get("classes", [])]
    unseen = sorted(set(targets) - set(known)) if known else []
    if unseen:
        found.append(_finding("class-unseen", "problem", labels=unseen, n=sum(target in unseen for target in targets)))
    for label in known:
        count = targets.count(label)
        if count < FEWEST_OF_A_CLASS:
            found.append(_finding("class-small", "problem", label, label=label, n=count, wanted=FEWEST_OF_A_CLASS))
    return found


def of_payoff(bench: Bench) -> list[Finding]:
    """No payoff, outcomes without a price, market rates that nobody declared."""
    payoff = {key: value for key, value in bench.plan.payoff.items() if key != paying.ALTERNATIVE}
    if not payoff:
        return [_finding("payoff-missing", "problem")]
    found = []
    free = paying.unpriced(payoff, bench.scoring.outcome_names(bench.facts), bench.sums())
    if free:
        found.append(_finding("payoff-unpriced", "info", outcomes=free[:6], count=len(free)))
    if bench.plan.base_rates is None:
        found.append(_finding("base-rates-assumed", "info"))
    return found


def of_settings(settings: Settings, looks: int) -> list[Finding]:
    """An assumed machine price; a test set that was looked at often."""
    found = []
    if not settings.machines:
        found.append(_finding("machine-price-assumed", "warning"))
    if looks >= OFTEN:
        found.append(_finding("test-looks", "warning", looks=looks))
    return found


def of_gates(decided: Verdict) -> list[Finding]:
    """Gates whose limit lies inside the interval, and gates that cannot be told."""
    found = []
    for name, candidate in decided.candidates.items():
        for result in candidate.gates:
            if result.passes == "cannot_tell":
                found.append(_finding("gate-cannot-tell", "warning", name, candidate=name, gate=term(result.gate.name)))
                continue
            quantity = result.found
            if (
                quantity
                and quantity.low is not None
                and quantity.high is not None
                and quantity.low < result.gate.limit < quantity.high
            ):
                found.append(
                    _finding(
                        "gate-straddled-speed" if quantity.n is None else "gate-straddled",
                        "warning",
                        name,
                        candidate=name,
                        gate=term(result.gate.name),
                        limit=result.gate.limit,
                        low=short(quantity.low, 4),
                        high=short(quantity.high, 4),
                        needed=result.cases_needed or "more",
                    )
                )
    return found


def of_slices(bench: Bench, worths: Mapping[str, Worth], chosen: str | None, metric: str) -> list[Finding]:
    """Slices far below the whole, and gaps between declared groups, of the chosen candidate (else of the first)."""
    name = chosen or next(iter(worths))
    worth = worths[name]
    info = bench.task.metrics.get(metric)
    if metric not in worth.metrics or (info is not None and not info.higher_is_better):
        return []
    whole, found = worth.metrics[metric].value, []
    tables = worth.pictures.get("per_slice", {})
    for field, values in tables.items():
        large = {value: row for value, row in values.items() if row["n"] >= SLICE_ROWS and row.get(metric) is not None}
        if field in bench.cases.groups:
            found += _group_gap(name, field, large, metric)
            continue
        found += [
            _finding(
                "slice-below",
                "warning",
                name,
                candidate=name,
                field=field,
                value=value,
                n=row["n"],
                metric=term(metric),
                found=f"{row[metric]:.3f}",
                whole=f"{whole:.3f}",
            )
            for value, row in large.items()
            if row[metric] < whole - FAR_BELOW
        ]
    return found


def _group_gap(name: str, field: str, rows: Mapping[str, Mapping[str, Any]], metric: str) -> list[Finding]:
    if len(rows) < 2:
        return []
    worst, best = (pick(rows, key=lambda value: rows[value][metric]) for pick in (min, max))
    gap = rows[best][metric] - rows[worst][metric]
    if gap <= FAR_BELOW / 2:
        return []
    return [
        _finding(
            "group-gap",
            "warning",
            name,
            candidate=name,
            field=field,
            worst=worst,
            best=best,
            metric=term(metric),
            gap=round(100 * gap, 1),
        )
    ]


def of_files(files: Mapping[str, Any], chosen: str | None) -> list[Finding]:
    """What measuring itself noted: a candidate without a load test, runtimes that were refused."""
    return [
        _finding("speed-missing", "warning", name, candidate=name)
        for name, one in files.items()
        if one.speed is None and not one.quality.get("price_per_answer")
    ]
