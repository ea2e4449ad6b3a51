"""Names in the evaluate section that must name something: gates, outcomes, classes. Checked before anything runs where
the task alone can tell, and again where the data decides."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from breakeven.errors import ConfigError, Place
from breakeven.measuring.usage import names_of
from breakeven.metrics.payoff import term
from breakeven.task import Cases, Task

MEASURED = (
    "latency_ms_p50", "latency_ms_p95", "latency_ms_p99", "capacity_per_second", "cpu_seconds_per_answer", "memory_mb",
    "start_seconds", "package_mb", "runtime_agreement", "training_machine_seconds", "energy_wh_per_1000",
    "carbon_g_per_1000", "cost_per_1000", "marginal_per_1000",
)  # fmt: skip


def check_settings(settings: Any, task: Task, columns: Sequence[str] = ()) -> None:
    """Raises ConfigError for a gate, metric or price that cannot name anything, as far as the task alone can tell.

    `columns`: the fields that a payoff may multiply, as collect.fields.columns declares them.
    """
    scoring: Any = task.scoring()
    quality = (*task.metrics, *getattr(scoring, "more_metrics", ()))
    prefixes: tuple[str, ...] = getattr(scoring, "metric_prefixes", ())
    for name in settings.gates:
        if not name.startswith(prefixes):
            _known(name, (*quality, *MEASURED, *names_of(task)), "gate-unknown", f"evaluate.gates.{name}")
    if settings.metric is not None and not settings.metric.startswith(prefixes):
        _known(settings.metric, quality, "metric-unknown", "evaluate.metric")
    check_payoff = getattr(scoring, "check_payoff", None)
    if check_payoff is not None:
        check_payoff(settings.payoff)
    check_columns(settings.payoff, columns)


def check_columns(payoff: Mapping[str, Any], columns: Sequence[str]) -> None:
    """A price that multiplies a column which no field plays: told before anything is trained for it."""
    for outcome, declared in payoff.items():
        column = term(declared, outcome).column
        if column is not None and column not in columns:
            at = Place(field=f"evaluate.payoff.{outcome}")
            raise ConfigError("payoff-unknown-column", at=at, column=column, allowed=list(columns) or ["none"])


def check_measured(gates: Iterable[str], measured: Mapping[str, Mapping[str, Any]]) -> None:
    """A gate on a name that nothing measured, such as the recall of a class that the data lacks."""
    known = sorted({name for every in measured.values() for name in every} | set(MEASURED))
    for name in gates:
        _known(name, known, "gate-unknown", f"evaluate.gates.{name}")


def check_rates(rates: Mapping[str, float] | None, facts: Mapping[str, Any], cases: Cases) -> None:
    """Market rates of classes that the data does not have, or that no test row has."""
    for name, rate in (rates or {}).items():
        field = f"evaluate.base_rates.{name}"
        _known(name, list(facts.get("classes", [])), "base-rate-unknown", field)
        if rate > 0 and name not in (cases.targets or []):
            raise ConfigError("base-rate-no-cases", at=Place(field=field), name=name)


def _known(name: str, allowed: Sequence[str], code: str, field: str) -> None:
    if name not in allowed:
        nearest = difflib.get_close_matches(name, allowed, 1, 0.3)
        raise ConfigError(code, at=Place(field=field), name=name, allowed=list(allowed),
                          nearest=nearest[0] if nearest else next(iter(allowed), ""))  # fmt: skip
