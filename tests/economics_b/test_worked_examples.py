"""Every published worked example that the economics must reproduce, and the test that reproduces it.

The table is checked: each test is there, names its source in its docstring, and asserts the figures listed here.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
A, B = "economics_a", "economics_b"

# (what is published, the test, figures that stand in it)
EXAMPLES: list[tuple[str, str, tuple[str, ...]]] = [
    # financing
    ("YC post-money SAFE user guide, example 1", f"{B}/test_rounds.py::test_yc_example_1", ("17_946_424", "4_486_719")),
    ("the same as events of a cap table", f"{B}/test_captable.py::test_a_round_turns_everything_into_shares", ()),
    ("the same, sold at $10M before the round", f"{B}/test_waterfall.py::test_yc_sold_before_the_round", ("500_000",)),
    ("the same, sold at $3M", f"{B}/test_waterfall.py::test_yc_sold_low", ("200_000", "800_000")),
    ("the same, down round", f"{B}/test_rounds.py::test_yc_down_round", ("16_724_684", "590_334", "1_216_360")),
    ("YC guide, example 2: pre-money beside post-money", f"{B}/test_rounds.py::test_yc_example_2", ("17_993_717",)),
    ("original SAFE primer", f"{B}/test_rounds.py::test_original_safe_primer", ("220_000", "220_022")),
    ("Cooley GO: a note, three ways", f"{B}/test_rounds.py::test_convertible_note_three_ways",
     ("1_428_571", "1_521_739", "1_452_830")),
    ("cap or discount, whichever is lower", f"{B}/test_rounds.py::test_cap_or_discount_whichever_is_lower",
     ("6_250", "20_000")),
    ("a note with interest", f"{B}/test_rounds.py::test_a_note_with_interest", ("656_250",)),
    ("interest by day counts", f"{B}/test_proration_revenue.py::test_interest_depends_on_the_day_count", ("12_500",)),
    ("option-pool shuffle", f"{B}/test_rounds.py::test_option_pool_shuffle", ("2_000_000",)),
    ("pro-rata on top of the new money", f"{B}/test_rounds.py::test_pro_rata_on_top_of_the_new_money", ("39",)),
    ("anti-dilution", f"{B}/test_rounds.py::test_anti_dilution", ()),
    ("anti-dilution as events", f"{B}/test_captable.py::test_a_cheaper_round_lowers_protected_conversion_prices", ()),
    ("waterfall: $5M of A on $10M pre", f"{B}/test_waterfall.py::test_one_third_non_participating",
     ()),
    ("waterfall: 25% for $5M, indifferent at $20M", f"{B}/test_waterfall.py::test_a_quarter_for_five_million", ()),
    ("waterfall: participating at $30M", f"{B}/test_waterfall.py::test_participating_takes_both", ()),
    ("waterfall: pari passu", f"{B}/test_waterfall.py::test_pari_passu", ()),
    ("vesting: 18 shares over 4 dates", f"{B}/test_captable.py::test_allocation_of_eighteen_shares", ("5, 4, 5, 4",)),
    # corporate finance and valuation
    ("NPV at 8%", f"{B}/test_finance.py::test_npv", ("3065.22267",)),
    ("IRR, two roots among them", f"{B}/test_finance.py::test_irr", ("28095", "0955", "0833", "6789")),
    ("MIRR", f"{B}/test_finance.py::test_mirr", ("0390936659",)),
    ("XIRR", f"{B}/test_finance.py::test_xirr", ("373363",)),
    ("venture-capital method", f"{B}/test_valuation.py::test_venture_capital_method", ("1_547_771",)),
    ("scorecard", f"{B}/test_valuation.py::test_scorecard", ("3_338_125",)),
    ("risk-factor summation", f"{B}/test_valuation.py::test_risk_factor_summation", ("250_000",)),
    # billing
    ("graduated with flat fees", f"{B}/test_invoice.py::test_graduated_with_flat_fees", ("110", "163")),
    ("volume", f"{B}/test_invoice.py::test_volume", ("210", "101", "200")),
    ("volume: the price falls at an edge", f"{B}/test_plans.py::test_a_volume_price_that_falls_at_an_edge_is_found",
     ()),
    ("package", f"{B}/test_invoice.py::test_package", ("1300", "1200")),
    ("percentage", f"{B}/test_invoice.py::test_percentage", ("18.4", "7.2", "11.15")),
    ("coupon before tax, credits after", f"{B}/test_invoice.py::test_coupon_before_tax_credits_after", ("66", "16")),
    ("rounding once or per line", f"{B}/test_invoice.py::test_rounding_once_or_per_line", ("6527.80", "6527.81")),
    ("upgrade at half the period", f"{B}/test_proration_revenue.py::test_an_upgrade_at_half_the_period", ()),
    ("revenue recognition", f"{B}/test_proration_revenue.py::test_revenue_is_earned_by_days", ("17", "14")),
    # unit economics, customers, risk
    ("$ per million tokens", f"{A}/test_units.py::test_price_of_a_million_tokens", ("6.54", "1.46")),
    ("a cascade is not a router", f"{A}/test_units.py::test_a_cascade_is_not_a_router", ()),
    ("Elkan's threshold", f"{A}/test_answer_rule.py::test_elkans_threshold", ("1 / 6",)),
    ("prior shift", f"{A}/test_answer_rule.py::test_prior_shift", ("08276",)),
    ("energy and carbon", f"{A}/test_ruin_carbon.py::test_energy_and_carbon", ("1531167607", "54.25187")),
    ("Gabor-Granger: the true optimum", f"{B}/test_market_research.py::test_gabor_granger_best_price", ("7.351",)),
    ("the same in a price recommendation",
     f"{A}/test_units.py::test_price_on_a_demand_curve_finds_the_true_optimum", ("7.351",)),
    ("shifted beta-geometric churn, High End: fitted", f"{B}/test_fitting.py::test_high_end_segment", ("378",)),
    ("the same: survival", f"{A}/test_simulation.py::test_shifted_beta_geometric_survival", ("86.9", "49.1")),
    ("the same: constant churn fitted on year one",
     f"{B}/test_fitting.py::test_constant_churn_of_the_first_year_misleads",
     ("185",)),
    ("Bass by least squares", f"{B}/test_market_research.py::test_bass_by_least_squares", ("0626032", "7376636")),
    ("Bass: continuous and discrete peak", f"{B}/test_market_research.py::test_the_two_bass_curves_peak_apart",
     ("12.28", "15")),
    ("LTV, CAC, yearly churn, magic number, quick ratio, NRR, GRR",
     f"{A}/test_simulation.py::test_published_figures", ("2153", "3.5")),
    ("default alive", f"{A}/test_simulation.py::test_default_alive", ("126_157.16", "146_157.16")),
    ("Cramer-Lundberg", f"{A}/test_ruin_carbon.py::test_cramer_lundberg", ("76923", "48486")),
    ("gambler's ruin", f"{A}/test_ruin_carbon.py::test_gamblers_ruin", ("92303",)),
    ("Brownian ruin by formula", f"{A}/test_ruin_carbon.py::test_brownian_ruin", ("29298", "33958")),
    ("Brownian ruin by the engine, at month ends", f"{A}/test_simulation.py::test_brownian_ruin_seen_at_month_ends",
     ("29348",)),
    ("Sobol indices of Ishigami", f"{A}/test_doubt.py::test_sobol_indices_of_ishigami", ()),
]  # fmt: skip


@pytest.mark.parametrize(("published", "test", "figures"), EXAMPLES, ids=[example[0] for example in EXAMPLES])
def test_each_example_has_its_test_with_source_and_figures(published: str, test: str, figures: tuple[str, ...]) -> None:
    file, name = test.split("::")
    text = (TESTS / file).read_text(encoding="utf-8")
    found = [node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef) and node.name == name]
    assert len(found) == 1, f"{test} is not there"
    assert ast.get_docstring(found[0]), f"{test} names no source"
    first = min([found[0].lineno, *(each.lineno for each in found[0].decorator_list)])
    lines = text.splitlines()[first - 1 : found[0].end_lineno]
    body = "\n".join(lines)
    assert [figure for figure in figures if figure not in body] == []
    assert "assert" in body


def test_no_example_is_listed_twice() -> None:
    assert len({example[0] for example in EXAMPLES}) == len(EXAMPLES)
