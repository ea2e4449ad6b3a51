"""An invented verdict for tests of the report: realistic shapes, made-up numbers, nothing measured."""

from __future__ import annotations

from typing import Any

HERE = "Example CPU, 2 cores, 8 GB"
CLASSES = ["negative", "positive", "neutral"]


def q(value: float, unit: str, origin: str = "measured", *, spread: float | None = None, **more: Any) -> dict[str, Any]:
    """Quantity JSON; `spread` is half the interval."""
    low, high = (None, None) if spread is None else (value - spread, value + spread)
    return {
        "value": value,
        "low": low,
        "high": high,
        "unit": unit,
        "origin": origin,
        "n": None,
        "method": None,
        "hardware": None,
        "source": None,
        **({"interval": 0.95} if low is not None else {}),
        **more,
    }


LADDER = {
    # name: (metric, spread, p95, marginal, at volume, value, spread, probability of being best)
    "majority": (0.212, 0.004, 0.9, 0.00007, 1.17, -3.41, 0.36, 0.0),
    "linear": (0.784, 0.017, 1.6, 0.00031, 1.19, 9.82, 0.71, 0.93),
    "frozen": (0.801, 0.016, 11.4, 0.0062, 1.31, 10.31, 0.69, 0.05),
    "encoder": (0.829, 0.016, 12.1, 0.0066, 2.94, 11.12, 0.66, 0.02),
}


def candidate(name: str) -> dict[str, Any]:
    """One candidate's entry of verdict.json."""
    metric, spread, p95, marginal, volume, value, doubt, best = LADDER[name]
    money, weak = "USD/1000 answers", {"capacity": "measured", "machine_price": "declared"}
    good = name in ("linear", "frozen", "encoder")
    confusion = (
        [[260, 21, 29, 0], [18, 301, 22, 0], [41, 37, 171, 0]]
        if good
        else [[0, 310, 0, 0], [0, 341, 0, 0], [0, 249, 0, 0]]
    )
    quality = q(metric, "macro_f1", spread=spread, n=900, method="paired bootstrap over rows, 2000 draws")
    return {
        "metric": quality,
        "metrics": {
            "macro_f1": quality,
            "accuracy": q(metric + 0.02, "accuracy", spread=spread, n=900),
            "log_loss": q(0.9 - metric / 2, "nats", spread=0.03, n=900),
        },
        "latency_ms_p95": q(p95, "ms", spread=p95 * 0.06, n=3, hardware=HERE, method="open loop at 70% load, 3 rounds"),
        "marginal_per_1000": q(marginal, money, "declared", spread=marginal * 0.05, inputs=weak),
        "at_volume_per_1000": q(
            volume, money, "declared", spread=0.03, inputs={**weak, "answers_per_month": "assumed"}
        ),
        "cost_parts": {
            "machines": q(volume - 0.02, money, "declared", spread=0.03),
            "training": q(0.02, money, "declared"),
        },
        "machine": {"name": "small", "count": 1, "utilization": 0.0031},
        "value_per_1000": q(
            value, money, "declared", spread=doubt, n=900, inputs={"confusion": "measured", "payoff": "declared"}
        ),
        "value_at_test_rates_per_1000": q(value - 0.4, money, "declared", spread=doubt, n=900),
        "floor_per_1000": q(volume, money, "declared", spread=0.03),
        "ceiling_per_1000": q(max(value, 0), money, "declared", spread=0.5),
        "recommended_per_1000": q(4.6, money, "assumed", spread=0.4),
        "contribution_per_month": q(60 * (4 - volume), "USD/month", "declared", spread=9),
        "point_worth_per_month": q(31.5, "USD/month", "declared", spread=4.0),
        "probability_best": best,
        "probability_pays": 1.0 if good else 0.0,
        "break_even_answers": [[17_500.0, None]] if good else [],
        "gates": [
            {
                "gate": "macro_f1",
                "limit": 0.7,
                "kind": "min",
                "judged": "bound",
                "found": quality,
                "passes": "yes" if good else "no",
            },
            {
                "gate": "latency_ms_p95",
                "limit": 100,
                "kind": "max",
                "judged": "bound",
                "found": q(p95, "ms", spread=p95 * 0.06),
                "passes": "yes",
            },
        ],
        "within_gates": good,
        "pays": good,
        "why_not": None if good else "does not pass its gates: macro_f1",
        "changes": []
        if good
        else [{"kind": "metric", "candidate": name, "found": metric, "needed": 0.7, "unit": "macro_f1"}],
        "still_improving": name == "encoder",
        "rule": {"kind": "argmax", "base_rates": {"negative": 0.3, "positive": 0.4, "neutral": 0.3}},
        "per_class": {},
        "per_slice": {
            "channel": {
                "film": {"n": 420, "macro_f1": q(metric + 0.01, "macro_f1", spread=0.03)},
                "tweet": {"n": 480, "macro_f1": q(metric - 0.01, "macro_f1", spread=0.03)},
            }
        },
        "pictures": {
            "classes": CLASSES,
            "confusion": confusion,
            "reliability": [
                {
                    "from": b / 10,
                    "to": (b + 1) / 10,
                    "n": 20 + 60 * max(b - 4, 0),
                    "confidence": b / 10 + 0.05,
                    "accuracy": min(1.0, b / 10 + 0.03),
                }
                for b in range(3, 10)
            ],
            "per_class": {
                label: {"n": 300, "answered": 310, "precision": 0.8, "recall": 0.79, "f1": 0.795} for label in CLASSES
            },
            "per_slice": {},
        },
    }


def verdict() -> dict[str, Any]:
    """verdict.json."""
    return {
        "format": 1,
        "task": "text-classification",
        "metric": "macro_f1",
        "currency": "USD",
        "n_test": 900,
        "test_looks": 2,
        "basis": "price",
        "demand": {
            "answers_per_month": q(60_000, "answers/month", "assumed", spread=9000),
            "peak_factor": q(3, "peak to mean", "assumed"),
        },
        "price": {"declared": q(4, "USD/1000 answers", "declared")},
        "alternatives": [],
        "base_rates": {"test": {}, "market": None},
        "candidates": {name: candidate(name) for name in LADDER},
        "chosen": "linear",
        "margin": {
            "rival": "encoder",
            "metric_points": 4.5,
            "value_more_per_1000": q(1.3, "USD/1000 answers", "declared", spread=0.5),
            "cost_more_per_1000": q(1.75, "USD/1000 answers", "declared", spread=0.03),
            "pays_from": [[81_000, None]],
            "pays_at_metric": 0.845,
            "probability_chosen_ahead": 0.96,
        },
        "sentence": {
            "code": "example-sentence",
            "fields": {},
            "text": (
                "ship 'linear': 'encoder' is 4.5 points better in macro F1, worth 1.30 USD more per 1,000 answers, "
                "and costs 1.75 USD more; it would pay above 81,000 answers a month, or at a metric of 0.845"
            ),
        },
        "findings": [
            {
                "code": "verdict-still-improving",
                "level": "warning",
                "stage": "evaluate",
                "subject": "encoder",
                "fields": {"candidate": "encoder"},
                "text": "was still improving",
            }
        ],
    }
