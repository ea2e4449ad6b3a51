"""The verdict's two files, `measurements.json` and `verdict.json`, from facts: nothing is measured or timed here."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from breakeven.economics.verdict import Verdict, decide
from breakeven.errors import Finding
from breakeven.measuring import facts as facts_of
from breakeven.measuring import names
from breakeven.measuring.facts import Files
from breakeven.measuring.market import Business
from breakeven.measuring.settings import Settings
from breakeven.measuring.usage import per_answer
from breakeven.measuring.worth import Bench, Plan, Worth, enough_draws
from breakeven.metrics import payoff as paying
from breakeven.quantity import Quantity
from breakeven.task import Cases, Task

FORMAT = 1


@dataclass(frozen=True)
class Result:
    """Both files as JSON, and what a reader should know."""

    measurements: dict[str, Any]
    verdict: dict[str, Any]
    findings: list[Finding]


def bench_of(task: Task, cases: Cases, files: Mapping[str, Files], settings: Settings, seed: int) -> Bench:
    """The test rows with what is the same for all candidates; the payoff, base rates and columns are checked here."""
    first = next(iter(files.values()))
    facts = first.quality["facts"]
    draws = enough_draws(settings.draws, len(cases))
    plan = Plan(settings.payoff, settings.base_rates, settings.reject, draws, seed)
    bench = Bench(task, cases, facts, plan, first.quality.get("columns", {}))
    names.check_rates(settings.base_rates, facts, cases)
    paying.check(settings.payoff, bench.scoring.outcome_names(facts))
    for share in bench.shares():
        paying.column(share, cases.columns, len(cases))
    return bench


def conclude(
    bench: Bench,
    files: Mapping[str, Files],
    raw: Mapping[str, list[Any]],
    *,
    settings: Settings,
    business: Business,
    looks: int,
) -> Result:
    """Judges every candidate's stored answers and decides; pure."""
    metric = metric_name(settings, bench.task)
    limit = facts_of.latency_limit(settings)
    worths = {name: bench.judge(answers) for name, answers in raw.items()}
    measured = {
        name: {**facts_of.measurements(files[name], worths[name], settings, limit), **per_answer(bench, worths[name])}
        for name in files
    }
    names.check_measured(settings.gates, measured)
    known = {
        name: facts_of.candidate(
            name,
            files[name],
            bench,
            worths[name],
            settings=settings,
            business=business,
            metric=metric,
            measured=measured[name],
        )
        for name in files
    }
    constant = bench.best_constant()
    plan = facts_of.plan(
        settings, business, metric=metric, constant=constant[1] if constant else None, seed=bench.plan.seed
    )
    decided = decide(known, plan)
    alternatives = {
        other.name: {"value": _shown(other.value), "price": _shown(other.price)} for other in plan.alternatives
    }
    if constant is not None:
        alternatives["constant"] = {
            "answer": constant[0],
            "value": constant[1].quantity("per answer").as_json(),
            "price": None,
        }
    shown = _verdict(decided, bench, worths, measured, metric=metric)
    shown |= {"alternatives": alternatives, "test_looks": looks}
    found = findings(bench, files, worths, decided, settings=settings, metric=metric, looks=looks)
    shown["findings"] = [item.as_json() for item in [*decided.findings, *found]]
    return Result(
        {name: {key: quantity.as_json() for key, quantity in every.items()} for name, every in measured.items()},
        finite(shown),
        [*decided.findings, *found],
    )


def _verdict(
    decided: Verdict,
    bench: Bench,
    worths: Mapping[str, Worth],
    measured: Mapping[str, Mapping[str, Quantity]],
    *,
    metric: str,
) -> dict[str, Any]:
    shown = decided.as_json()
    for name, worth in worths.items():
        pictures = worth.pictures
        entry = shown["candidates"][name]
        entry |= {
            "metric": worth.metrics[metric].as_json() if metric in worth.metrics else None,
            "metrics": {key: quantity.as_json() for key, quantity in worth.metrics.items()},
            "per_class": pictures.get("per_class", {}),
            "per_slice": _per_slice(bench, worth, metric),
            "pictures": {key: value for key, value in pictures.items() if key not in ("per_class", "per_slice")},
            "rule": worth.rule,
        }
        if entry.get("latency_ms_p95") is None and "latency_ms_p95" in measured[name]:
            entry["latency_ms_p95"] = measured[name]["latency_ms_p95"].as_json()
    return {
        "format": FORMAT,
        "task": bench.task.name,
        "metric": metric,
        "n_test": len(bench.cases),
        **shown,
        "base_rates": {"test": _rates(bench.cases), "market": bench.plan.base_rates},
    }


def _per_slice(bench: Bench, worth: Worth, metric: str) -> dict[str, Any]:
    """The metric of every slice and group, with an interval, where it can be computed."""
    import numpy as np

    from breakeven.metrics.intervals import percentile

    found: dict[str, Any] = {}
    for field, values in {**bench.cases.slices, **bench.cases.groups}.items():
        found[field] = {}
        for value in sorted({str(item) for item in values}):
            mine = [index for index, item in enumerate(values) if str(item) == value]
            part = bench.cases.take(mine)
            answers, raw = [worth.answers[i] for i in mine], [worth.raw[i] for i in mine]

            def measure(weights: Any, part: Cases = part, answers: list[Any] = answers, raw: list[Any] = raw) -> Any:
                return {metric: bench.scoring.metrics(answers, raw, part, weights, bench.facts)[metric]}

            point = float(measure(np.ones((1, len(part))))[metric][0])
            small = Bench(bench.task, part, bench.facts, bench.plan, bench.columns)
            interval = percentile(small.draws.of(measure)[metric])
            if math.isfinite(point):
                quantity = Quantity(
                    point,
                    bench.unit(metric),
                    "measured",
                    interval.low,
                    interval.high,
                    n=len(part),
                    method=interval.method,
                )
                found[field][value] = {"n": len(part), metric: quantity.as_json()}
    return found


def metric_name(settings: Settings, task: Task) -> str:
    """The declared metric, or the task's first."""
    return settings.metric or next(iter(task.metrics))


def findings(
    bench: Bench,
    files: Mapping[str, Files],
    worths: Mapping[str, Worth],
    decided: Verdict,
    *,
    settings: Settings,
    metric: str,
    looks: int,
) -> list[Finding]:
    """What a reader of the verdict should know beside the numbers."""
    from breakeven.measuring import notices

    return [
        *notices.of_data(bench),
        *notices.of_payoff(bench),
        *notices.of_settings(settings, looks),
        *notices.of_gates(decided),
        *notices.of_slices(bench, worths, decided.chosen, metric),
        *notices.of_files(files, decided.chosen),
    ]


def _rates(cases: Cases) -> dict[str, float]:
    targets = [str(target) for target in cases.targets or []]
    return {label: targets.count(label) / len(targets) for label in sorted(set(targets))}


def _shown(value: Any) -> Any:
    return value.quantity("per answer").as_json()


def finite(value: Any) -> Any:
    """The JSON with every number that is not finite as null: a report can show an absence, not an infinity."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, (str, bytes)):
        return [finite(item) for item in value]
    return value.item() if hasattr(value, "item") else value
