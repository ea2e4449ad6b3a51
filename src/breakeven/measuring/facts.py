"""Files into facts: what each candidate measured, as quantities, and as the arithmetic of the verdict takes it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from breakeven.economics.draws import Estimate
from breakeven.economics.drivers import Driver
from breakeven.economics.facts import Alternative, CandidateFacts, Machine, Speed, VerdictPlan
from breakeven.economics.gates import Gate
from breakeven.measuring import settings as declared
from breakeven.measuring.capacity import capacity_within
from breakeven.measuring.market import Business
from breakeven.measuring.worth import Bench, Worth
from breakeven.metrics import payoff as paying
from breakeven.quantity import Quantity

MB_PER_GB = 1000.0
JOULES_PER_KWH = 3.6e6


@dataclass(frozen=True)
class Files:
    """What was found on disk of one candidate: training.json, quality.json, package.json and its part of speed.json."""

    training: Mapping[str, Any]
    quality: Mapping[str, Any]
    package: Mapping[str, Any]
    speed: Mapping[str, Any] | None
    hardware: str | None


def machines(settings: declared.Settings) -> tuple[declared.Machine, ...]:
    """The declared machines, or this one at an assumed price."""
    if settings.machines:
        return settings.machines
    price = Driver.parse({"low": 0.03, "mode": 0.08, "high": 0.25})
    return (declared.Machine(name="this-machine", price_per_hour=price),)


def offers(settings: declared.Settings) -> tuple[Machine, ...]:
    """Machines as the arithmetic takes them: quoted where a source is named, electricity where they are owned."""
    made = []
    for machine in machines(settings):
        price = machine.price_per_hour
        if machine.source is not None:
            price = replace(price, origin="quoted", source=machine.source, as_of=machine.as_of)
        memory = None if machine.memory_gb is None else machine.memory_gb * MB_PER_GB
        made.append(
            Machine(
                machine.name,
                price,
                memory,
                machine.owned,
                settings.power.watts_per_core.mean * machine.cores,
                settings.power.price_per_kwh,
            )
        )
    return tuple(made)


def speeds(files: Files, settings: declared.Settings, limit: float | None) -> tuple[Speed, ...]:
    """What the candidate does on each listed machine; another speed or more cores are assumed to scale."""
    if files.speed is None:
        return ()
    capacity = capacity_within(files.speed["rounds"], limit, hardware=files.hardware)
    if capacity is None:
        return ()
    found = []
    for machine in machines(settings):
        factor = 1.0 if machine.measured == "here" else float(machine.measured)
        scaled = capacity.scaled(factor * machine.cores, capacity.unit)
        latency = _quantity(files.speed, "latency_ms_p95")
        if factor != 1.0 or machine.cores != 1:
            scaled = replace(
                scaled, origin="assumed", method=f"{capacity.method}; times {factor:g} x {machine.cores} cores"
            )
        if latency is not None:
            origin = latency.origin if factor == 1.0 else "assumed"
            latency = replace(latency.scaled(1 / factor, latency.unit), origin=origin, n=None)
        found.append(Speed(machine.name, scaled, latency, _quantity(files.speed, "memory_mb")))
    return tuple(found)


def measurements(files: Files, worth: Worth, settings: declared.Settings, limit: float | None) -> dict[str, Quantity]:
    """Every measured name of a candidate: quality, speed, size, training time, energy."""
    found = dict(worth.metrics)
    for name in (
        "latency_ms_p50",
        "latency_ms_p95",
        "latency_ms_p99",
        "cpu_seconds_per_answer",
        "memory_mb",
        "start_seconds",
        "batch_cases",
        "joules_per_answer",
    ):
        quantity = _quantity(files.speed or files.quality.get("latency_ms") or {}, name)
        if quantity is not None:
            found[name] = quantity
    capacity = capacity_within((files.speed or {}).get("rounds", []), limit, hardware=files.hardware)
    if capacity is not None:
        found["capacity_per_second"] = capacity
    found["package_mb"] = Quantity(files.quality["package_mb"], "MB", "measured", method="files of the package")
    if files.quality.get("agreement") is not None:
        found["runtime_agreement"] = Quantity(files.quality["agreement"], "share", "measured", method="validation rows")
    seconds = files.training.get("machine_seconds")
    if seconds is not None:
        found["training_machine_seconds"] = Quantity(float(seconds), "s", "measured", hardware=files.hardware)
    return {**found, **_energy(found, settings)}


def _energy(found: Mapping[str, Quantity], settings: declared.Settings) -> dict[str, Quantity]:
    """Watt-hours and grams of carbon per 1,000 answers: by counter, else CPU seconds x assumed watts."""
    joules = found.get("joules_per_answer")
    if joules is None:
        cpu = found.get("cpu_seconds_per_answer")
        if cpu is None:
            return {}
        watts = settings.power.watts_per_core
        joules = replace(
            cpu.scaled(watts.mean, "J"),
            origin="assumed",
            method="CPU seconds x watts of a busy core",
            inputs={"cpu_seconds_per_answer": cpu.origin, "watts_per_core": watts.origin},
        )
    grams = settings.power.grams_co2_per_kwh
    return {
        "energy_wh_per_1000": joules.scaled(1000 / 3600, "Wh/1000 answers"),
        "carbon_g_per_1000": replace(
            joules.scaled(1000 / JOULES_PER_KWH * grams.mean, "g CO2/1000 answers"),
            origin="assumed",
            inputs={"energy": joules.origin, "grams_co2_per_kwh": grams.origin},
        ),
    }


def candidate(
    name: str,
    files: Files,
    bench: Bench,
    worth: Worth,
    *,
    settings: declared.Settings,
    business: Business,
    metric: str,
    measured: Mapping[str, Quantity],
) -> CandidateFacts:
    """One candidate as the arithmetic of the verdict takes it."""
    # Requests are counted beside a latency, but more test rows would not make its interval narrower.
    judged = {key: one if key in worth.metrics else replace(one, n=None) for key, one in measured.items()}
    return CandidateFacts(
        name,
        _with_damages(worth.value, business),
        judged,
        speeds(files, settings, latency_limit(settings)),
        _with_damages(worth.value_at_test_rates, business),
        judged.get("latency_ms_p95"),
        api_per_answer=_api(files),
        per_answer=business.per_answer,
        monthly=business.monthly,
        training=_training(files, settings),
        point_worth=bench.point_worth(worth, metric),
        still_improving=bool(files.training.get("still_improving")),
    )


def _with_damages(value: Estimate, business: Business) -> Estimate:
    """Damages that we pay for errors are our cost and no loss of the customer's."""
    return replace(value, point=value.point + business.liability, draws=value.draws + business.liability)


def plan(
    settings: declared.Settings, business: Business, *, metric: str, constant: Estimate | None, seed: int
) -> VerdictPlan:
    """What was declared, as the arithmetic takes it."""
    others = [Alternative(name, other.value, other.price) for name, other in settings.alternatives.items()]
    if paying.ALTERNATIVE in settings.payoff:
        others.append(Alternative("today", paying.read_term(settings.payoff[paying.ALTERNATIVE]).amount))
    return VerdictPlan(
        offers(settings),
        business.currency,
        settings.demand.answers_per_month or business.answers_per_month,
        settings.demand.peak_factor,
        settings.demand.utilization,
        business.price,
        gates(settings),
        metric,
        constant,
        tuple(others),
        settings.switching_cost,
        business.payment,
        minimum_machines=business.minimum_machines,
        training_months=float(settings.amortize_months),
        seed=seed,
        asked=business.asked,
    )


def gates(settings: declared.Settings) -> tuple[Gate, ...]:
    """The declared gates, in the order of the file."""
    return tuple(
        Gate(
            name,
            "min" if gate.min is not None else "max",
            float(gate.min if gate.min is not None else gate.max or 0.0),
            gate.judge,
        )
        for name, gate in settings.gates.items()
    )


def latency_limit(settings: declared.Settings) -> float | None:
    """The latency within which capacity counts: the gate's, in milliseconds at the 95th percentile."""
    gate = settings.gates.get("latency_ms_p95")
    return None if gate is None else gate.max


def _training(files: Files, settings: declared.Settings) -> Driver | None:
    """Money of one training: its machine time at the price of the first machine like this one."""
    seconds = files.training.get("machine_seconds")
    here = next((machine for machine in machines(settings) if machine.measured == "here"), None)
    if seconds is None or here is None:
        return None
    return Driver.of(float(seconds) / 3600 * here.price_per_hour.mean, "money", here.price_per_hour.origin)


def _api(files: Files) -> Driver | None:
    """A remote's quoted price an answer."""
    quoted = files.quality.get("price_per_answer")
    return None if quoted is None else Driver.parse(quoted)


def _quantity(part: Mapping[str, Any], name: str) -> Quantity | None:
    found = part.get(name)
    return None if found is None or not math.isfinite(found["value"]) else Quantity.from_json(found)
