"""An invented plan.json for tests of the report: realistic shapes, made-up numbers, nothing simulated."""

from __future__ import annotations

from typing import Any

from tests.report.example_verdict import LADDER, q

MONTHS = 24
DRIVER = "customers.new_per_month"


def reached(p10: float | None, p50: float | None, p90: float | None, chance: float) -> dict[str, Any]:
    """A month as a distribution; None lies beyond the plan."""
    probability = q(chance, "probability", "assumed", spread=0.004, n=2000)
    return {
        "horizon": MONTHS,
        "base": p50,
        "probability": probability,
        "p10": p10,
        "p50": p50,
        "p90": p90,
        "by_month": [],
    }


def curve(last: float) -> dict[str, Any]:
    """A break-even distribution that reaches `last` by the end."""
    months = list(range(1, MONTHS + 1))
    return {"months": months, "probability": [last * month / MONTHS for month in months], "never": 1 - last}


def unit() -> dict[str, Any]:
    """The unit economics of 1,000 answers; the parts add up to the cost."""

    def money(value: float, origin: str = "measured") -> dict[str, Any]:
        return q(value, "USD/1000 answers", origin, spread=0.1 * value)

    parts = {"machines": money(0.21), "payment": money(0.12, "assumed"), "training": money(0.0000004)}
    return {"basis": "verdict", "value": money(9.82), "ceiling": money(8.1),
            "price": q(4.0, "USD/1000 answers", "declared"),
            "floor": money(0.34), "cost": money(0.3300004, "assumed"), "cost_parts": parts}  # fmt: skip


def cap_table() -> dict[str, Any]:
    """Two steps that happened, one planned round, and an exit that pays all of its value."""
    values, before = [0.0, 1e6, 2e6, 4e6], {"Ann": 0.6, "Bob": 0.3, "pool": 0.1}
    return {
        "founders": ["Ann", "Bob"],
        "steps": [
            {"event": "shares, pool", "date": "2025-01-01", "holders": before, "planned": False},
            {"event": "aunt", "date": "2025-09-01", "holders": before, "planned": False},
            {"event": "seed", "date": "2026-10-01", "holders": {"Ann": 0.4, "Bob": 0.2, "pool": 0.1, "aunt": 0.1,
                                                                 "seed": 0.2}, "planned": True},
        ],
        "rounds": {"seed": 0.74},
        "exit": {
            "date": "2028-01-01", "values": values,
            "payout": {"Ann": [0.45 * v for v in values], "Bob": [0.22 * v for v in values],
                       "seed": [0.22 * v for v in values], "aunt": [0.11 * v for v in values]},
            "founders_share": q(0.67, "share", "assumed", spread=0.05),
            "founders_payout": q(9e5, "USD", "assumed", spread=4e5),
        },
    }  # fmt: skip


def candidate(place: int) -> dict[str, Any]:
    """One candidate's plan; a later candidate earns less."""
    cash = [1000.0 * month * (1 - place / 8) - 6000 for month in range(1, MONTHS + 1)]
    mrr = [125.0 * month for month in range(1, MONTHS + 1)]
    return {
        "npv": q(42_310.0 - 900 * place, "USD", "assumed", spread=21_000.0, interval=0.8),
        "gross_margin": q(0.83, "share", "assumed", spread=0.06, interval=0.8),
        "probability_of_break_even": q(0.86, "probability", "assumed", spread=0.01),
        "mrr_end": q(3000.0, "USD/month", "assumed", spread=900.0, interval=0.8),
        "break_even": {"operating": curve(0.86), "cash": curve(0.8), "payback": curve(0.6)},
        "unit": unit(),
        "cap_table": cap_table(),
        "probability_of_ruin": q(0.07, "probability", "assumed", spread=0.01),
        "break_even_operating": reached(4, 9, None, 0.86),
        "ruin": reached(None, None, None, 0.07),
        "default_alive": 0.9,
        "fans": {"cash": {"base": cash, "mean": cash, "p10": [0.6 * value - 900 for value in cash], "p50": cash,
                          "p90": [1.5 * value + 900 for value in cash]},
                 "mrr": {"base": mrr, "mean": mrr, "p10": [0.5 * value for value in mrr], "p50": mrr,
                         "p90": [1.6 * value for value in mrr]}},
        "inputs": {DRIVER: q(5.7, "", "assumed", spread=3.0), "price.per_answer": q(0.004, "", "declared")},
        "filled": {"costs.serving.machine_per_hour": q(0.096, "USD/hour", "declared")},
        "overruled": {},
        "findings": [],
    }  # fmt: skip


def plan() -> dict[str, Any]:
    """plan.json."""
    return {
        "format": 1, "currency": "USD", "months": MONTHS, "scenarios": 2000, "seed": 0, "random": "pseudo",
        "chosen": "linear", "shown": "linear", "discount_rate": 0.1,
        "summary": [{"code": "example-line", "fields": {}, "text": "you sell sorted reviews, to shops"}],
        "doubt": {
            "tornado": {"base": 42_000.0, "bars": [
                {"driver": DRIVER, "p10": 2.0, "p90": 9.0, "npv_at_p10": 11_000.0, "npv_at_p90": 71_000.0}]},
            "what_to_measure": {
                "best_decision": "linear", "expected_npv": 42_000.0, "changes_decision": True,
                "assumptions": [{"driver": DRIVER, "worth": 840.0, "error": 95.0, "share": 0.67}]},
            "risks": [{"name": "the machine's owner leaves", "likelihood": 0.05, "owner": "Ada", "source": None,
                       "residual": {"npv": -2100.0, "npv_error": 60.0, "ruin": 0.01},
                       "mitigations": [{"name": "a second provider", "chosen": False, "pays": True, "npv": 400.0,
                                        "npv_error": 50.0, "ruin": -0.004}]}],
            "goal": None,
        },
        "candidates": {name: candidate(place) for place, name in enumerate(LADDER)},
    }  # fmt: skip
