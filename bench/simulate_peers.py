"""One venture's cash over 60 months in modelx and in monaco beside ours: milliseconds of CPU a scenario.

    pip install 'breakeven[peers]' && python bench/simulate_peers.py

in an environment of its own, without constraints.txt: monaco wants an older psutil.

modelx keeps a model as cells that remember what they computed; monaco calls a function once a case. Both run one
scenario at a time by design, ours all of a block together. The three give the same NPV, which is checked first.
"""

from __future__ import annotations

import json
import math
import time
import warnings
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

import numpy as np
from simulate import drawn, machine

from breakeven.economics import simulation
from breakeven.economics.plan import BusinessPlan

MONTHS = 60
PLAN = BusinessPlan.model_validate(
    {
        "months": MONTHS,
        "scenarios": 10_000,
        "cash": 150_000,
        "discount_rate": 0.15,
        "price": {"per_answer": {"low": 0.003, "mode": 0.004, "high": 0.006}},
        "customers": {
            "start": 3,
            "new_per_month": {"low": 2, "mode": 5, "high": 12},
            "churn_per_month": {"mean": 0.04, "sd": 0.015},
            "expansion_per_month": {"mean": 0.01, "sd": 0.004},
            "answers_each": {"median": 20000, "p90": 80000, "each": "once"},
        },
        "costs": {"serving": {"machine_per_hour": {"mean": 0.1, "sd": 0.01}, "capacity_per_second": 20}},
        "team": [{"role": "dev", "salary_per_month": {"mean": 5000, "sd": 500}}],
    }
)
NAMES = {
    "price": "price.per_answer", "new": "customers.new_per_month", "churn": "customers.churn_per_month",
    "expansion": "customers.expansion_per_month", "use": "customers.answers_each",
    "machine": "costs.serving.machine_per_hour", "salary": "team.dev.salary_per_month",
}  # fmt: skip
SOME = 40


def inputs(count: int) -> list[dict[str, float]]:
    """The inputs of the first scenarios, one mapping each."""
    columns = drawn(PLAN, NAMES, count)
    return [{short: float(values[n]) for short, values in columns.items()} for n in range(count)]


def npv(x: Mapping[str, float]) -> float:
    """One scenario in plain Python: what monaco calls, and what modelx is checked against."""
    units, account, total = 3.0, 150_000.0, 0.0
    for month in range(1, MONTHS + 1):
        kept = units * (1.0 - x["churn"])
        units = kept + (kept * x["expansion"] if month > 1 else 0.0) + x["new"]
        answers = units * x["use"]
        machines = max(1.0, math.ceil(answers * 3.0 / (20.0 * 2_628_000.0) * (1 - 1e-12)))
        flow = answers * x["price"] - machines * x["machine"] * 730.0 - 1.2 * x["salary"]
        account += flow
        total += flow * 1.15 ** (-month / 12)
        if account < 0.0:
            break
    return total


# What a modeller would write as functions of the month; the names that are no cells are the inputs.
CELLS = {
    "kept": "lambda month: units(month - 1) * (1.0 - churn)",
    "units": "lambda month: kept(month) + (kept(month) * expansion if month > 1 else 0.0) + new if month else 3.0",
    "answers": "lambda month: units(month) * use",
    "machines": "lambda month: max(1.0, math.ceil(answers(month) * 3.0 / (20.0 * 2628000.0) * (1 - 1e-12)))",
    "flow": "lambda month: answers(month) * price - machines(month) * machine * 730.0 - 1.2 * salary",
    "account": "lambda month: account(month - 1) + flow(month) if month else 150000.0",
    "alive": "lambda month: alive(month - 1) and account(month - 1) >= 0.0 if month else True",
    "worth": "lambda month: worth(month - 1) + alive(month) * flow(month) * 1.15 ** (-month / 12) if month else 0.0",
}


def modelx_model() -> Any:
    """The same as cells of a modelx space."""
    import modelx

    space = modelx.new_model("venture").new_space("cash")
    space.math = math
    for name, formula in CELLS.items():
        space.new_cells(name, formula=formula)
    return space


def by_modelx(space: Any, rows: list[dict[str, float]]) -> list[float]:
    """The NPV of each scenario; changing an input clears what depends on it."""
    found = []
    for row in rows:
        for name, value in row.items():
            setattr(space, name, value)
        found.append(float(space.worth(MONTHS)))
    return found


def by_monaco(rows: list[dict[str, float]]) -> list[float]:
    """The NPV of each scenario as cases of a monaco simulation, without its plots and files."""
    import monaco as mc
    from scipy.stats import randint

    def preprocess(case):  # type: ignore[no-untyped-def]
        return (rows[int(case.invals["row"].val) % len(rows)],)

    def work(row):  # type: ignore[no-untyped-def]
        return (npv(row),)

    def postprocess(case, value):  # type: ignore[no-untyped-def]
        case.addOutVal("npv", value)

    functions = {"preprocess": preprocess, "run": work, "postprocess": postprocess}
    sim = mc.Sim(name="venture", ndraws=len(rows), fcns=functions, singlethreaded=True, verbose=False,
                 usedask=False, savecasedata=False, savesimdata=False, firstcaseismedian=False)  # fmt: skip
    sim.addInVar(name="row", dist=randint, distkwargs={"low": 0, "high": len(rows)})
    sim.runSim()
    return [float(value) for value in sim.outvars["npv"].nums]


def seconds(work: Any) -> float:
    """CPU seconds of one call."""
    start = time.process_time()
    work()
    return time.process_time() - start


def main() -> None:
    """Prints the comparison as JSON."""
    if not all(find_spec(name) for name in ("modelx", "monaco")):
        print("left out: modelx and monaco are not installed; see the top of this file")
        return
    warnings.simplefilter("ignore")
    rows = inputs(SOME)
    plain, space = [npv(row) for row in rows], modelx_model()
    ours = simulation.run(PLAN, seed=0)
    assert np.allclose(ours.outcomes["worth"][:SOME], plain, rtol=1e-9)
    assert np.allclose(by_modelx(space, rows), plain, rtol=1e-9)
    assert set(np.round(by_monaco(rows), 6)) <= set(np.round(plain, 6))  # it draws which rows it takes
    whole = min(seconds(lambda: simulation.run(PLAN, seed=0)) for _ in range(5)) / PLAN.scenarios
    cells = min(seconds(lambda: by_modelx(space, rows)) for _ in range(3)) / SOME
    cases = min(seconds(lambda: by_monaco(rows * 10)) for _ in range(3)) / (10 * SOME)
    per = {"ours": whole, "modelx": cells, "monaco": cases}
    print(json.dumps({
        **machine(), "ms of CPU a scenario of 60 months": {name: round(1e3 * value, 4) for name, value in per.items()},
        "times ours": {name: round(value / whole) for name, value in per.items()},
    }, indent=1))  # fmt: skip


if __name__ == "__main__":
    main()
