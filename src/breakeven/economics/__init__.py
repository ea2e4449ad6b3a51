"""The arithmetic of the business: value, cost, price, simulation and doubt. Pure: no file, no clock, no network.

Every public name is loaded on first use; the table says where it lives.
"""

from __future__ import annotations

import importlib
from typing import Any

_PLACES = {
    "drivers": ("Amount", "Count", "CountEach", "Driver", "Growth", "Number", "Price", "Range", "Rate"),
    "draws": ("Estimate", "draw", "stream"),
    "answer_rule": (
        "best_answers",
        "expected_payoffs",
        "fit_rejection",
        "shift_base_rates",
        "shift_probability",
        "threshold",
    ),
    "machines": ("HOURS_PER_MONTH", "SECONDS_PER_MONTH", "break_even_volumes", "cost_per_million", "machines_needed"),
    "units": (
        "cascade_cost",
        "make_or_buy",
        "point_worth",
        "price_ceiling",
        "price_floor",
        "router_cost",
        "value_draws",
    ),
    "gates": ("Gate", "GateResult", "judge"),
    "facts": ("Alternative", "CandidateFacts", "Machine", "Payment", "Speed", "VerdictPlan"),
    "plan": ("BusinessPlan",),
    "assessment": ("assess", "summary"),
    "doubt": ("plan_indices", "sobol_indices", "tornado", "value_of_knowing", "what_to_measure"),
    "goal": ("Goal", "seek"),
    "risks": ("raised", "register"),
    "ruin": ("brownian", "cramer_lundberg", "gamblers_ruin"),
    "carbon": ("footprint", "sci"),
    "figures": ("default_alive",),
    "results": ("Plan", "simulate"),
    "dimensions": ("Unit", "product", "total"),
    "refitting": ("History", "against", "refit"),
    "actuals": ("Counted", "beside", "count"),
    "continued": ("fitted", "go_on"),
    "elapsed": ("advance",),
    "ownership": ("Ownership",),
    "price_studies": ("study",),
    "exits": ("exit_curves",),
    "measured": ("Measured", "fill"),
    "verdict": ("CandidateVerdict", "Change", "Margin", "Verdict", "decide"),
    "money": ("Money",),
    "plans": ("plan_findings", "price_text"),
    "proration": ("Period",),
    "statement": ("itemise",),
    "revenue": ("credit_note", "recognise"),
    "finance": ("irr", "mirr", "npv", "payback", "xirr", "xnpv"),
    "valuation": (
        "by_multiples",
        "discounted_cash_flow",
        "first_chicago",
        "risk_factor_summation",
        "scorecard",
        "venture_capital",
    ),
    "captable": ("CapTable",),
    "securities": ("Note", "Safe", "anti_dilution", "conversion_price"),
    "rounds": ("Capitalization", "Round", "RoundResult", "ShareRounding", "price_round", "pro_rata_dilution"),
    "waterfall": ("Claim", "ExitSafe", "distribute", "indifference", "payout_curve"),
    "vesting": ("Vesting", "allocate"),
    "ocf_read": ("read_ocf",),
    "ocf_write": ("Issuer", "write_ocf"),
    "market": ("Bass", "fit_bass", "market_size", "s_curve"),
    "demand": ("ConstantElasticity", "LogitDemand", "StepDemand", "best_price", "falling", "point_elasticity"),
    "research": ("conjoint", "gabor_granger", "van_westendorp"),
    "fitting": (
        "fit_churn_curve",
        "fit_constant_churn",
        "fit_growth",
        "fit_repeat",
        "fit_spending",
        "fit_survivors",
        "fit_usage",
    ),
}
_HOMES = {name: module for module, names in _PLACES.items() for name in names}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    """A public name or a module of this package."""
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
