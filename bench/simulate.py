"""The simulation beside a plain NumPy program of the same model, written without it; figures for docs/benchmarks.md.

    python bench/simulate.py            # all measurements; best of several runs each, one process, threads as they are

The plain program keeps whole arrays [months, scenarios] and knows this one plan only. Both get the same drawn inputs
for the comparison of results; for the comparison of time (CPU seconds) each draws its own.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import time
from collections.abc import Callable, Mapping

import numpy as np

from breakeven.economics import doubt, normal, simulation
from breakeven.economics.plan import BusinessPlan
from breakeven.economics.sampling import Sampler

SECTION = {
    "months": 60,
    "scenarios": 10_000,
    "cash": 150_000,
    "discount_rate": 0.15,
    "price": {"per_answer": {"low": 0.003, "mode": 0.004, "high": 0.006}},
    "customers": {
        "start": 3,
        "new_per_month": {"low": 2, "mode": 5, "high": 12},
        "new_growth_per_month": {"mean": 0.01, "sd": 0.005},
        "churn_per_month": {"mean": 0.04, "sd": 0.015},
        "expansion_per_month": {"mean": 0.01, "sd": 0.004},
        "answers_each": {"median": 20000, "p90": 80000, "each": "once"},
        "channels": {"ads": {"spend_per_month": {"mean": 800, "sd": 100}, "cac": {"mean": 300, "sd": 80}}},
        "collection_days": 30.4166666666666667,
        "bad_debt": {"mean": 0.02, "sd": 0.01},
    },
    "costs": {
        "serving": {
            "machine_per_hour": {"mean": 0.1, "sd": 0.01},
            "capacity_per_second": {"mean": 20, "sd": 2},
            "per_answer": 0.0002,
            "per_customer": {"mean": 3, "sd": 1},
        },
        "payments": {"percentage": 0.03},
        "fixed": [{"name": "rent", "per_month": {"mean": 500, "sd": 100}}],
        "capital": [{"name": "office", "amount": {"mean": 9000, "sd": 2000}}],
    },
    "team": [
        {"role": "dev", "salary_per_month": {"mean": 5000, "sd": 500}},
        {"role": "support", "salary_per_month": 2500, "count": 0, "per_customers": 80, "kind": "support"},
    ],
    "tax": {"rate": 0.25},
}
HEADLINE = ("customers", "mrr", "revenue", "ebitda", "cash_flow", "cash")


def plain(x: dict[str, np.ndarray], months: int, cash: float) -> dict[str, np.ndarray]:
    """The same plan as a founder's data scientist would write it: every stream a whole array."""
    n = len(x["price"])
    time_ = np.arange(1, months + 1)[:, None]
    offered = x["new"] * (1 + x["new_growth"]) ** (time_ - 1) + x["spend"] / x["cac"]
    active, new, churned = np.empty((months, n)), offered, np.empty((months, n))
    units = np.empty((months, n))
    a, u = np.full(n, 3.0), np.full(n, 3.0)
    for m in range(months):
        churned[m] = a * x["churn"]
        kept = u * (1 - x["churn"])
        u = kept + (kept * x["expansion"] if m else 0.0) + new[m]
        a = a - churned[m] + new[m]
        active[m], units[m] = a, u
    answers = units * x["use"]
    revenue = answers * x["price"]
    bad = revenue * x["bad_debt"]
    collected = np.vstack([np.zeros(n), (revenue - bad)[:-1]])
    machines = np.maximum(1.0, np.ceil(answers * 3.0 / (x["capacity"] * 2_628_000.0) * (1 - 1e-12)))
    machine_cost = machines * x["machine"] * 730.0
    variable, care, fees = answers * 0.0002, active * x["care"], revenue * 0.03
    support = np.ceil(active / 80 * (1 - 1e-12)) * 2500 * 1.2
    serving = machine_cost + variable + care + fees + support
    gross = revenue - serving - bad
    marketing = np.broadcast_to(x["spend"], revenue.shape)
    payroll = x["salary"] * 1.2
    ebitda = gross - marketing - payroll - x["rent"]
    depreciation = np.where(time_ <= 36, x["office"] / 36, 0.0)
    summed = np.cumsum(ebitda - depreciation, axis=0)
    tax = 0.25 * np.diff(np.maximum(np.maximum.accumulate(summed, axis=0), 0.0), axis=0, prepend=0.0)
    flow = ebitda - (revenue - bad - collected) - tax
    account = cash - x["office"] + np.cumsum(flow, axis=0)
    broke = account < 0
    ruin = np.where(broke.any(axis=0), broke.argmax(axis=0) + 1.0, np.inf)
    alive = time_ <= ruin
    good = (ebitda >= 0) & alive
    three = good[:-2] & good[1:-1] & good[2:]
    streams = {
        "customers": active, "new_customers": new, "churned_customers": churned, "answers": answers, "mrr": revenue,
        "revenue": revenue.copy(), "bad_debt": bad, "collected": collected, "machines": machines,
        "machine_cost": machine_cost, "serving_variable": variable, "customer_cost": care, "payment_cost": fees,
        "payroll_support": support, "cost_of_serving": serving, "gross_profit": gross, "ebitda": ebitda, "tax": tax,
        "cash_flow": flow, "cash": account,
    }  # fmt: skip
    npv = -x["office"] + ((1.15 ** (-time_ / 12)) * np.where(alive, flow, 0.0)).sum(axis=0)
    for stream in streams.values():
        stream *= alive
    return {
        "ruin": ruin,
        "break_even": np.where(three.any(axis=0), three.argmax(axis=0) + 1.0, np.inf),
        "npv": npv,
        **{f"mean {name}": stream.mean(axis=1) for name, stream in streams.items()},
        **{f"quantiles {name}": np.quantile(streams[name], [0.1, 0.5, 0.9], axis=1) for name in HEADLINE},
    }


NAMES = {
    "price": "price.per_answer", "new": "customers.new_per_month", "new_growth": "customers.new_growth_per_month",
    "churn": "customers.churn_per_month", "expansion": "customers.expansion_per_month",
    "use": "customers.answers_each", "spend": "customers.channels.ads.spend_per_month",
    "cac": "customers.channels.ads.cac", "bad_debt": "customers.bad_debt",
    "machine": "costs.serving.machine_per_hour", "capacity": "costs.serving.capacity_per_second",
    "care": "costs.serving.per_customer", "rent": "costs.fixed.rent.per_month",
    "office": "costs.capital.office.amount", "salary": "team.dev.salary_per_month",
}  # fmt: skip


def drawn(plan: BusinessPlan, names: Mapping[str, str], scenarios: int) -> dict[str, np.ndarray]:
    """The inputs of the first scenarios by their short names, as ours draws them."""
    blocks = list(Sampler.of(plan, 0).blocks(scenarios))
    return {short: np.concatenate([block[name] for block in blocks]) for short, name in names.items()}


def machine() -> dict[str, object]:
    """What a figure was measured on."""
    return {"machine": platform.processor() or platform.machine(), "cores": os.cpu_count(), "numpy": np.__version__}


def plain_draws(scenarios: int) -> dict[str, np.ndarray]:
    """The plain program's own draws, in the same families."""
    rng = np.random.default_rng(0)

    def pert(low: float, mode: float, high: float) -> np.ndarray:
        rise = 4 * (mode - low) / (high - low)
        return low + (high - low) * rng.beta(1 + rise, 5 - rise, scenarios)

    def positive(mean: float, sd: float) -> np.ndarray:
        s2 = np.log1p((sd / mean) ** 2)
        return rng.lognormal(np.log(mean) - s2 / 2, np.sqrt(s2), scenarios)

    def rate(mean: float, sd: float) -> np.ndarray:
        total = mean * (1 - mean) / sd**2 - 1
        return rng.beta(mean * total, (1 - mean) * total, scenarios)

    return {
        "price": pert(0.003, 0.004, 0.006), "new": pert(2, 5, 12), "new_growth": positive(1.01, 0.005) - 1,
        "churn": rate(0.04, 0.015), "expansion": positive(1.01, 0.004) - 1,
        "use": 20000 * np.exp(np.log(4) / 1.2815515655446004 * rng.standard_normal(scenarios)),
        "spend": positive(800, 100), "cac": positive(300, 80), "bad_debt": rate(0.02, 0.01),
        "machine": positive(0.1, 0.01), "capacity": positive(20, 2), "care": positive(3, 1), "rent": positive(500, 100),
        "office": positive(9000, 2000), "salary": positive(5000, 500),
    }  # fmt: skip


def difference(plan: BusinessPlan) -> float:
    """The largest relative difference between ours and the plain program on the same inputs."""
    ours = simulation.run(plan, seed=0)
    theirs = plain(drawn(plan, NAMES, plan.scenarios), plan.months, 150_000.0)
    pairs = [(ours.outcomes["worth"], theirs["npv"])]
    for name in ("ruin_month", "operating_month"):
        assert np.array_equal(ours.outcomes[name], theirs["ruin" if name == "ruin_month" else "break_even"]), name
    pairs += [(ours.mean[key[5:]], value) for key, value in theirs.items() if key.startswith("mean ")]
    pairs += [(ours.quantiles[key[10:]], value) for key, value in theirs.items() if key.startswith("quantiles ")]
    return max(float(np.max(np.abs(a - b) / np.maximum(1.0, np.abs(b)))) for a, b in pairs)


def best_of(times: int, *functions: Callable[[], object]) -> list[float]:
    """CPU seconds of each function, the best of `times` rounds in turn."""
    found = [np.inf] * len(functions)
    for _ in range(times):
        for place, function in enumerate(functions):
            start = time.process_time()
            function()
            found[place] = min(found[place], time.process_time() - start)
    return found


def ishigami_14(z: np.ndarray, _: bool) -> np.ndarray:
    x = (2 * normal.cdf(z[:3]) - 1) * np.pi
    found: np.ndarray = np.sin(x[0]) + 7 * np.sin(x[1]) ** 2 + 0.1 * x[2] ** 4 * np.sin(x[0])
    return found


def main() -> None:
    plan = BusinessPlan.model_validate(SECTION)
    worst = difference(plan)
    assert worst < 1e-9, worst
    ours, theirs = best_of(7, lambda: simulation.run(plan, seed=0), lambda: plain(plain_draws(10_000), 60, 150_000.0))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    (many,) = best_of(2, lambda: simulation.run(plan, seed=0, scenarios=100_000))
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    (sobol,) = best_of(3, lambda: doubt.plan_indices(plan, runs=1024))
    four = best_of(3, lambda: [simulation.run(BusinessPlan.model_validate({**SECTION, "months": 36}), seed=0)
                               for _ in range(4)])  # fmt: skip
    print(json.dumps({
        **machine(), "largest relative difference": worst, "10,000 x 60 ours s": round(ours, 3),
        "10,000 x 60 plain s": round(theirs, 3), "ratio": round(ours / theirs, 2), "100,000 x 60 s": round(many, 2),
        "peak MB after 10,000": round(before), "peak MB after 100,000": round(after),
        "Sobol 15 inputs, 17,408 runs s": round(sobol, 2), "four candidates, 10,000 x 36 s": round(four[0], 2),
    }, indent=1))  # fmt: skip


if __name__ == "__main__":
    main()
