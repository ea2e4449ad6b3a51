"""business: the plan simulated month by month for every candidate, at its measured costs and the declared price.

It recomputes no verdict. `simulate_file` does the same from the business section alone, without a model.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from breakeven.artifacts import read_json, write_json
from breakeven.economics.plan import BusinessPlan
from breakeven.errors import Finding, UsageError
from breakeven.pipeline import Context, Setup, Stage, Step, findings_of
from breakeven.stages.declared_files import cap_table, paths, studied

if TYPE_CHECKING:
    from breakeven.economics.actuals import CountedMonths
    from breakeven.economics.measured import Measured
    from breakeven.economics.price_studies import Studied
    from breakeven.economics.results import Plan
    from breakeven.economics.sections import Risk

FORMAT = 1
VERSION = 1
STEP, VERDICT = "business", "evaluate/verdict"
PLAN, SERIES = "plan.json", "series.parquet"


class Settings(BusinessPlan):
    """The business section."""


def steps(setup: Setup) -> list[Step]:
    """One step; it reads the verdict wherever there is a product to judge."""
    settings: Settings | None = setup.config.business
    if settings is None:
        return []
    read = {f"business.{key}": value for key, value in settings.model_dump(mode="json").items()}
    read |= {"seed": setup.seed, "evaluate.machines": _machines(setup)}
    return [Step(STEP, VERSION, _run, settings=read, files=paths(setup.root, settings), needs=(VERDICT,))]


def _machines(setup: Setup) -> Any:
    evaluate = setup.config.evaluate
    return [machine.model_dump(mode="json") for machine in evaluate.machines] if evaluate is not None else []


def _run(context: Context) -> None:
    settings: Settings = context.setup.config.business
    folder = context.need(VERDICT)
    verdict, measurements = read_json(folder / "verdict.json"), read_json(folder / "measurements.json")
    found = candidates(settings, verdict, measurements, context.setup.config.evaluate)
    suggested = {name: suggested_risks(context, name, one) for name, one in verdict["candidates"].items()}
    plans = simulate_all(
        settings,
        found,
        seed=context.setup.seed,
        root=context.setup.root,
        judged=verdict["candidates"],
        suggested=suggested if settings.raised_risks != "ignore" else {},
    )
    plans = {name: with_unit(plan, verdict["candidates"][name]) for name, plan in plans.items()}
    for plan in plans.values():
        for finding in plan.findings:
            context.find(finding)
    write(context.folder, plans, plan_json(plans, verdict, product=product_of(context.setup.config)))


def product_of(config: Any) -> str | None:
    """What the file says is sold; None where it declares no product."""
    product = getattr(config, "product", None)
    return None if product is None else str(product.description or product.name)


def nearest(plans: Mapping[str, Plan], judged: Mapping[str, Any]) -> str:
    """The candidate to show where none is chosen: nearest to paying; without a verdict, the plan of highest NPV."""

    def room(name: str) -> float:
        one = judged.get(name) or {}
        if "ceiling_per_1000" not in one:
            return plans[name].figure("worth").value
        if one.get("floor_per_1000") is None:
            return -math.inf  # nothing serves it, so its cost is unknown
        return float(one["ceiling_per_1000"]["value"] - one["floor_per_1000"]["value"])

    return max(plans, key=room)


def simulate_all(
    settings: BusinessPlan,
    found: Mapping[str, Measured],
    *,
    seed: int,
    root: Path,
    judged: Mapping[str, Any],
    suggested: Mapping[str, Sequence[Risk]] | None = None,
) -> dict[str, Plan]:
    """The plan of every candidate, on the same random numbers; files that the section names lie under `root`."""
    from breakeven.economics.measured import fill
    from breakeven.economics.results import simulate
    from breakeven.economics.risks import uncovered

    plans = {}
    table, findings = cap_table(root, settings)
    answers = studied(root, settings, seed=seed)
    one = None if isinstance(answers, Mapping) else answers
    for name, measured in found.items():
        # What people said they would pay is a better price than half of the room between floor and ceiling.
        asked = one is not None and one.demand is not None
        made = fill(settings, replace(measured, price_per_answer=None) if asked else measured)
        risks = uncovered(settings, (suggested or {}).get(name, ()))
        counts = settings.raised_risks == "count"
        plan = simulate(
            made.plan.model_copy(update={"risks": [*settings.risks, *risks]}) if counts else made.plan,
            seed=settings.seed if settings.seed is not None else seed,
            name=name,
            filled=made.filled,
            overruled=made.overruled,
            table=table,
            studied=answers,
            room=_room(judged[name], settings, one),
        )
        shown = () if counts else tuple(risks)
        plans[name] = replace(plan, findings=(*plan.findings, *findings), suggested=shown)
    return plans


def suggested_risks(context: Context, name: str, judged: Mapping[str, Any]) -> list[Risk]:
    """What findings about the data, a candidate and its verdict suggest may happen to the business that sells it."""
    from breakeven.economics.risks import raised

    found = findings_of(context.store, "collect")  # whatever the source, it is the data of all
    for step in (f"train/{name}", f"evaluate/{name}", VERDICT):
        found += [item for item in findings_of(context.store, step) if item.subject in (None, name)]
    if "api" in (judged.get("cost_parts") or {}):
        found.append(Finding("single-supplier", stage="business", subject=name))
    training = context.store.folder(f"train/{name}") / "training.json"
    base = (read_json(training).get("base") or {}) if training.is_file() else {}
    if base and base.get("licence") in (None, "not stated"):
        found.append(Finding("licence-unknown", stage="train", subject=name))
    return raised(found)


def _room(judged: Mapping[str, Any], settings: BusinessPlan, asked: Studied | None) -> tuple[float, float] | None:
    """Floor and ceiling of the price in the unit that people were asked for, where the verdict knows both."""
    floor, ceiling = judged.get("floor_per_1000"), judged.get("ceiling_per_1000")
    if asked is None or floor is None or ceiling is None:
        return None
    each = settings.customers.answers_each.mean if asked.unit == "per_customer" else 1.0
    return floor["value"] / 1000.0 * each, ceiling["value"] / 1000.0 * each


def with_unit(plan: Plan, judged: Mapping[str, Any]) -> Plan:
    """The plan with what the verdict measured of 1,000 answers beside it."""
    from breakeven.economics.unit_sheet import of_verdict

    price = plan.settings.drivers().get("price.per_answer")
    asked = None if price is None else price.quantity().scaled(1000.0, f"{plan.settings.currency}/1000 answers")
    return replace(plan, unit=of_verdict(judged, asked))


def simulate_file(settings: BusinessPlan, *, seed: int = 0, root: Path | None = None) -> Plan:
    """`breakeven simulate`: the business section as it stands, without a model; files it names lie under `root`."""
    from breakeven.economics.results import simulate

    chosen = settings.seed if settings.seed is not None else seed
    answers = studied(root or Path(), settings, seed=chosen)
    curve = answers is not None and not isinstance(answers, Mapping) and answers.demand is not None
    if settings.price is None and not settings.segments and not curve:
        raise UsageError("plan-price-missing")
    table, findings = cap_table(root or Path(), settings)
    plan = simulate(settings, seed=chosen, table=table, studied=answers)
    return replace(plan, findings=(*plan.findings, *findings))


def simulate_rest(made: Plan, months: CountedMonths, *, root: Path, keep_declared: bool = False) -> Plan:
    """The plan from the counted months on: on what was fitted, or on what was declared, weighed by them."""
    from breakeven.economics.continued import fitted, go_on
    from breakeven.economics.refitting import refit
    from breakeven.economics.results import simulate

    plan, counted = made.settings, months.counted
    missing = sorted(set(plan.segments) - set(months.segments))
    if missing:
        raise UsageError("actuals-segments", found=missing)
    if plan.months <= counted.months:
        raise UsageError("actuals-over", counted=counted.months, months=plan.months)
    if keep_declared:
        rest = refit(plan, counted.history(), {name: each.history() for name, each in months.segments.items()})
    else:
        rest = go_on(
            plan, counted, fitted(counted), {name: (each, fitted(each)) for name, each in months.segments.items()}
        )
    table, _ = cap_table(root, rest)
    return simulate(rest, seed=made.run.seed, table=table)


def candidates(
    settings: BusinessPlan, verdict: Mapping[str, Any], measurements: Mapping[str, Any], evaluate: Any
) -> dict[str, Measured]:
    """What the verdict measured of every candidate, as drivers of a plan."""
    offers = {machine.name: machine for machine in _offers(evaluate)}
    demand = (verdict.get("demand") or {}).get("answers_per_month")
    about = {"offers": offers, "demand": demand, "evaluate": evaluate, "meters": charged_meters(settings)}
    return {
        name: _measured(name, judged, measurements.get(name, {}), **about)
        for name, judged in verdict["candidates"].items()
    }


def _offers(evaluate: Any) -> tuple[Any, ...]:
    from breakeven.measuring.facts import machines

    return machines(evaluate)


def _measured(
    name: str,
    judged: Mapping[str, Any],
    numbers: Mapping[str, Any],
    *,
    offers: Mapping[str, Any],
    demand: Mapping[str, Any] | None,
    evaluate: Any,
    meters: tuple[str, ...] = (),
) -> Measured:
    from breakeven.economics.measured import Measured

    machine = offers.get(str((judged.get("machine") or {}).get("name")))
    capacity = _driver(numbers.get("capacity_per_second"))
    parts, months = judged.get("cost_parts") or {}, float(getattr(evaluate, "amortize_months", 12))
    if machine is not None and capacity is not None:
        capacity = capacity.shifted(machine.cores * (1.0 if machine.measured == "here" else float(machine.measured)))
    training = _driver(parts.get("training"))
    answers = demand["value"] / 1000.0 if demand else None
    return Measured(
        name,
        machine.price_per_hour if machine and capacity else None,
        capacity if machine else None,
        _driver(parts.get("api"), 1e-3),
        training.shifted(answers * months) if training and answers else None,
        _driver(judged.get("recommended_per_1000"), 1e-3),
        evaluate.demand.peak_factor,
        {meter: ratio for meter in meters if (ratio := _driver(numbers.get(f"{meter}_per_answer"))) is not None},
    )


def charged_meters(settings: BusinessPlan) -> tuple[str, ...]:
    """Meters besides answers that a price plan of the section charges for."""
    plans = [part.price.plan for part in settings.parts().values() if part.price is not None]
    names = [getattr(fee, "meter", None) for plan in plans if plan is not None for fee in plan.fees]
    return tuple(dict.fromkeys(name for name in names if name not in (None, "answers")))


def _driver(data: Mapping[str, Any] | None, factor: float = 1.0) -> Any:
    """A driver from quantity JSON, in units of `factor`; None where there is none above zero."""
    from breakeven.economics.drivers import Driver, from_quantity
    from breakeven.economics.forms import AMOUNT
    from breakeven.quantity import Quantity

    if not data or data.get("value") is None or data["value"] <= 0.0:
        return None
    driver = from_quantity(Quantity.from_json(data))
    if driver.support[0] < 0.0:
        driver = Driver.of(data["value"], data["unit"], driver.origin)
    return driver.shifted(factor).checked(AMOUNT)


def write(folder: Path, plans: Mapping[str, Plan], data: Mapping[str, Any] | None = None) -> None:
    """plan.json and series.parquet of every candidate."""
    write_json(folder / PLAN, plan_json(plans) if data is None else data)
    _write_series(folder / SERIES, plans)


def plan_json(
    plans: Mapping[str, Plan], verdict: Mapping[str, Any] | None = None, *, product: str | None = None
) -> dict[str, Any]:
    """What plan.json holds. Summary and doubt are those of the candidate that the verdict chose, or of the nearest to
    paying; every candidate that pays is a decision it could be exchanged for."""
    from breakeven.economics.assessment import assess, summary

    judged: Mapping[str, Any] = (verdict or {}).get("candidates") or {}
    chosen = (verdict or {}).get("chosen")
    shown = chosen or nearest(plans, judged)
    able = [name for name in plans if judged.get(name, {}).get("pays")] or [shown]
    first = plans[shown]
    assessment = assess(first, {name: plans[name].settings for name in able})
    return finite(  # type: ignore[no-any-return]
        {
            "format": FORMAT,
            "currency": first.settings.currency,
            "months": first.settings.months,
            "scenarios": first.run.scenarios,
            "seed": first.run.seed,
            "random": first.settings.random,
            "chosen": chosen,
            "shown": shown,
            "discount_rate": first.settings.discount_rate,
            "summary": [line.as_json() for line in summary(first, assessment, judged.get(shown), product=product)],
            "doubt": assessment.as_json(),
            "research": None if first.studied is None else first.studied.as_json(),
            "research_by_segment": {name: found.as_json() for name, (found, _) in first.by_segment.items()},
            "npv_differences": differences(plans),
            "candidates": {name: plan.as_json() for name, plan in plans.items()},
        }
    )


def differences(plans: Mapping[str, Plan]) -> dict[str, dict[str, Any]]:
    """By how much the NPV of each candidate's plan is more than those of the later ones: mean, p10 and p90 over the
    scenarios, which are the same for all, so that what they share does not blur it."""
    import numpy as np

    found: dict[str, dict[str, Any]] = {}
    names = list(plans)
    for place, one in enumerate(names):
        for other in names[place + 1 :]:
            more = plans[one].run.outcomes["worth"] - plans[other].run.outcomes["worth"]
            low, high = (float(bound) for bound in np.quantile(more, [0.1, 0.9]))
            about = replace(plans[one].figure("worth"), method="paired over the same scenarios, mean and p10 to p90")
            told = replace(about, value=float(more.mean()), low=low, high=high)
            found.setdefault(one, {})[other] = told.as_json()
    return found


def _write_series(path: Path, plans: Mapping[str, Plan]) -> None:
    import polars as pl

    frames = [
        pl.DataFrame(
            plan.series(), schema_overrides={"p10": pl.Float64, "p50": pl.Float64, "p90": pl.Float64}
        ).with_columns(pl.lit(name).alias("candidate"))
        for name, plan in plans.items()
    ]
    pl.concat(frames).write_parquet(path)


def finite(value: Any) -> Any:
    """JSON without NaN and infinities: they become null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return value


STAGE = Stage("business", Settings, steps)
