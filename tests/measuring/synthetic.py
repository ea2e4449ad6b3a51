"""Synthetic candidates on disk-less files: what `measuring` reads, without training or serving anything."""

from __future__ import annotations

from typing import Any

import numpy as np

from breakeven.measuring.facts import Files
from breakeven.measuring.market import Business
from breakeven.measuring.settings import Settings
from breakeven.measuring.verdict import Result, bench_of, conclude
from breakeven.task import Cases
from breakeven.tasks.text_classification import TextClassification

CLASSES = ["bad", "good"]
PAYOFF = {"correct": 0.02, "wrong": -0.10, "alternative": 0}
MACHINE = {"name": "small", "price_per_hour": 0.1, "memory_gb": 8}


def cases(n: int = 400, seed: int = 0) -> Cases:
    rng = np.random.default_rng(seed)
    targets = [CLASSES[int(i)] for i in rng.random(n) < 0.6]
    return Cases(
        [f"r{i}" for i in range(n)],
        [f"text {i}" for i in range(n)],
        targets,
        slices={"shop": [("east", "west")[i % 2] for i in range(n)]},
        columns={"amount": [float(1 + i % 5) for i in range(n)]},
        units=[f"r{i}" for i in range(n)],
    )


def raw(held: Cases, accuracy: float, seed: int = 1) -> list[Any]:
    """Calibrated-looking probabilities that are right at about the given rate."""
    rng = np.random.default_rng(seed)
    rows = []
    for target in held.targets or []:
        right = rng.random() < accuracy
        said = target if right else CLASSES[1 - CLASSES.index(target)]
        rows.append([accuracy, 1 - accuracy] if said == "bad" else [1 - accuracy, accuracy])
    return rows


def step(rate: float, capacity: float) -> dict[str, Any]:
    """One step of a made-up load test: latency rises towards the capacity, beyond it nothing keeps up."""
    busy = min(rate / capacity, 0.999)
    return {
        "rate": rate,
        "seconds": 1.0,
        "answers": int(rate),
        "answered_per_second": min(rate, capacity),
        "errors": 0,
        "lagged": False,
        "latency_ms_p50": 2 / (1 - busy),
        "latency_ms_p95": 5 / (1 - busy),
        "latency_ms_p99": 9 / (1 - busy),
        "cpu_seconds_per_answer": 1 / capacity,
        "memory_mb": 200.0,
    }


def files(held: Cases, *, capacity: float = 500.0, seconds: float = 10.0, **training: Any) -> Files:
    from breakeven.measuring.speed import _figures

    rounds = [
        {
            "trail": [step(share * capacity * wobble, capacity) for share in (0.3, 0.6, 0.9, 1.2)],
            "steady": step(0.7 * capacity * wobble, capacity),
        }
        for wobble in (0.98, 1.0, 1.02)
    ]
    counts = {label: (held.targets or []).count(label) for label in CLASSES}
    facts = {"classes": CLASSES, "train_rates": {label: counts[label] / len(held) for label in CLASSES}}
    quality = {"facts": facts, "columns": {}, "package_mb": 1.5, "agreement": 1.0}
    return Files(
        {"machine_seconds": seconds, **training},
        quality,
        {"facts": facts},
        {**_figures(rounds, "test-box"), "rounds": rounds},
        "test-box",
    )


def verdict(
    accuracies: dict[str, float],
    *,
    n: int = 400,
    capacities: dict[str, float] | None = None,
    business: Business | None = None,
    still_improving: tuple[str, ...] = (),
    **settings: Any,
) -> Result:
    """The verdict over candidates that are right at the given rates."""
    held = cases(n)
    found = {
        name: files(held, capacity=(capacities or {}).get(name, 500.0), still_improving=name in still_improving)
        for name in accuracies
    }
    options: dict[str, Any] = {"payoff": PAYOFF, "machines": [MACHINE], "draws": 400, **settings}
    checked = Settings.model_validate(options)
    bench = bench_of(TextClassification(), held, found, checked, 0)
    answers = {name: raw(held, accuracy) for name, accuracy in accuracies.items()}
    return conclude(bench, found, answers, settings=checked, business=business or Business(), looks=1)
