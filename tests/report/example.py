"""An invented project for tests of the report: realistic shapes, made-up numbers, nothing measured."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

from breakeven.project import Snapshot
from tests.report.example_plan import plan
from tests.report.example_verdict import HERE, LADDER, q, verdict


def speed() -> dict[str, Any]:
    """speed.json."""
    found = {}
    for name, (_, _, p95, _, _, _, _, _) in LADDER.items():
        capacity = 4100.0 if p95 < 5 else 190.0
        found[name] = {
            "latency_ms_p50": q(p95 * 0.55, "ms", spread=p95 * 0.03, hardware=HERE),
            "latency_ms_p95": q(p95, "ms", spread=p95 * 0.06, hardware=HERE),
            "latency_ms_p99": q(p95 * 1.7, "ms", spread=p95 * 0.1, hardware=HERE),
            "capacity_per_second": q(capacity, "answers/second", spread=capacity * 0.05, hardware=HERE),
            "cpu_seconds_per_answer": q(0.9 / capacity, "s", spread=0.05 / capacity),
            "memory_mb": q(210 + p95 * 40, "MB"),
            "start_seconds": q(1.4, "s"),
            "batch_cases": q(3.2, "cases"),
            "rounds": [],
        }
    return {
        "format": 1,
        "session": "s1",
        "hardware": HERE,
        "threads": 1,
        "versions": {},
        "reference": {},
        "candidates": found,
        "stale": [],
    }


def training() -> dict[str, dict[str, Any]]:
    """training.json by candidate."""
    found = {}
    for name, (metric, *_rest) in LADDER.items():
        steps = 120 if name == "encoder" else 0
        history = [
            {"step": step, "loss": 1.1 * math.exp(-step / 60) + 0.35, "learning_rate": 5e-5}
            for step in range(0, steps, 10)
        ]
        found[name] = {
            "format": 1,
            "candidate": name,
            "model": "minilm-l6" if steps else name,
            "seconds": 58.3 if steps else 0.8,
            "steps": steps,
            "stopped": "budget" if steps else None,
            "still_improving": bool(steps),
            "validation": {"macro_f1": metric - 0.01},
            "history": history,
            "parameters": 22_713_219 if steps else 40_112,
            "hardware": {"cpu": HERE},
            "versions": {},
            "base": {
                "weights": "minilm-l6",
                "revision": "c9745ed1d9f207416be6d2e6f8de32d1f16199bf",
                "licence": "Apache-2.0",
            }
            if steps
            else None,
        }
    return found


COLLECT = {
    "format": 1,
    "rows": 6000,
    "limit": 6000,
    "filtered": {"where": "length(text) > 0", "dropped": 12},
    "columns": [
        {
            "name": "id",
            "kind": "id",
            "dtype": "String",
            "missing": 0,
            "distinct": 6000,
            "examples": ["a1", "b2"],
            "min": None,
            "max": None,
        },
        {
            "name": "text",
            "kind": "text",
            "dtype": "String",
            "missing": 0,
            "distinct": 5950,
            "examples": ["secret words of a person"],
        },
        {
            "name": "channel",
            "kind": "category",
            "dtype": "String",
            "missing": 3,
            "distinct": 2,
            "examples": ["film", "tweet"],
        },
        {
            "name": "stars",
            "kind": "number",
            "dtype": "Float64",
            "missing": 0,
            "distinct": 5,
            "examples": [1.0],
            "min": 1.0,
            "max": 5.0,
        },
    ],
    "sources": [
        {
            "name": "reviews",
            "kind": "csv",
            "location": "reviews.csv",
            "sha256": "9f" * 32,
            "bytes": 812_334,
            "encoding": "utf-8",
            "delimiter": ",",
            "licence": "CC-BY-4.0",
            "rights": "not established",
            "provenance": {"homepage": "https://example.org"},
            "fetched": "2026-01-02T03:04:05+00:00",
        }
    ],
}


PROCESS = {
    "format": 1,
    "rows_in": 6000,
    "dropped": {"duplicate_exact": 31, "duplicate_near": 14, "missing_label": 5},
    "rows_out": 5950,
    "splits": {"train": 4165, "validation": 885, "test": 900},
    "duplicates": {"exact": 31, "near": 14, "across_split": 0},
    "conflicts": 2,
    "classes": {
        "train": {"negative": 1400, "positive": 1500, "neutral": 1265},
        "test": {"negative": 310, "positive": 341, "neutral": 249},
    },
    "personal_data": {"mail": 4, "phone": 2},
    "columns": {"missing": {"channel": 3}, "constant": []},
    "balance": 0.8,
}


DEPLOY = {
    "decision": {
        "format": 1,
        "release": "example-0123456789ab",
        "candidate": "linear",
        "number": 3,
        "verdict": "ab" * 32,
        "rule": {"kind": "argmax"},
    },
    "release": {
        "id": "example-0123456789ab",
        "runtime": "linear",
        "signature": "model.sig",
        "key": "keys/release.pub",
        "task": "text-classification",
    },
    "parity": {"rows": 900, "agreed": 900, "tolerance": 0.001},
}


STEPS = [
    "collect",
    "process",
    *(f"train/{name}" for name in LADDER),
    *(f"evaluate/{name}" for name in LADDER),
    "evaluate/speed",
    "evaluate/verdict",
    "deploy",
    "business",
]


def needs(step: str) -> dict[str, str]:
    """What a step of the example needs."""
    stage, _, name = step.partition("/")
    found = {
        "collect": [],
        "process": ["collect"],
        "train": ["process"],
        "deploy": ["evaluate/verdict"],
        "business": ["evaluate/verdict"],
    }.get(stage)
    if found is None:
        each = [f"evaluate/{other}" for other in LADDER]
        found = (
            each
            if name == "speed"
            else [*each, "evaluate/speed"]
            if name == "verdict"
            else ["process", f"train/{name}"]
        )
    return dict.fromkeys(found, "0" * 64)


def snapshot(**changes: Any) -> Snapshot:
    """The whole example; `changes` replace fields."""
    made = {
        step: {
            "fingerprint": f"{index:x}" * 64,
            "needs": needs(step),
            "created": "2026-01-02T03:04:05+00:00",
            "seconds": 1.5 + index,
            "versions": {"breakeven": "0.0", "python": "3.11"},
        }
        for index, step in enumerate(STEPS)
    }
    held = verdict()
    whole = Snapshot(
        name="example",
        task="text-classification",
        root=Path("example"),
        language="en",
        states=[{"step": step, "state": "fresh", "why": ""} for step in STEPS],
        collect=COLLECT,
        process=PROCESS,
        train=training(),
        quality={},
        packages={
            "linear": {
                "runtimes": {
                    "reference": "linear",
                    "chosen": "linear",
                    "tried": [
                        {
                            "runtime": "linear",
                            "threads": 1,
                            "ms_per_case": 0.2,
                            "agreement": 1.0,
                            "batch_independent": True,
                            "within": True,
                        }
                    ],
                }
            }
        },
        speed=speed(),
        measurements={name: {"latency_ms_p95": q(found[2], "ms")} for name, found in LADDER.items()},
        verdict=held,
        deploy=DEPLOY,
        business=plan(),
        findings=[
            {
                "code": "example-note",
                "level": "info",
                "stage": "process",
                "subject": None,
                "fields": {},
                "text": "two rows have the same text and different labels",
            }
        ],
        counters=dict.fromkeys(STEPS, 1),
        lineage=made,
        config_text="version: 1\nproduct: {name: example}\n",
        versions={"breakeven": "0.0"},
    )
    return replace(whole, **changes)


def empty() -> Snapshot:
    """A project that was never run."""
    return Snapshot(
        name="example",
        task="text-classification",
        root=Path("example"),
        states=[{"step": step, "state": "missing", "why": "never run"} for step in STEPS],
        config_text="version: 1\n",
    )
