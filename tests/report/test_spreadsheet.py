"""The workbook, computed by a small evaluator of the few functions that it uses: its formulas give the base case."""

import math
import re

import pytest

from breakeven.economics.results import simulate
from breakeven.report import spreadsheet

openpyxl = pytest.importorskip("openpyxl")
pytest.importorskip("xlsxwriter")

FULL = {
    "months": 20,
    "scenarios": 20,
    "cash": 500_000,
    "price": {"per_answer": {"low": 0.003, "mode": 0.004, "high": 0.006}, "per_customer": 9, "per_new_customer": 50,
              "change_per_year": 0.05},
    "customers": {
        "start": 3, "new_per_month": 5, "new_growth_per_month": 0.02, "growth_per_month": 0.01,
        "churn_per_month": {"mean": 0.04, "sd": 0.015}, "expansion_per_month": 0.01, "answers_each": 20000,
        "seasonality": [0.5, 1.5] * 6, "first_month": 3, "collection_days": 45, "bad_debt": 0.02,
        "channels": {"ads": {"spend_per_month": 800, "cac": 300, "start": 3},
                     "fair": {"spend_per_month": 500, "cac": 100, "saturation_per_month": 4, "end": 9}},
    },
    "costs": {
        "serving": {"machine_per_hour": 0.5, "capacity_per_second": 2, "per_answer": 0.0002, "per_customer": 2,
                    "review_per_answer": 0.0001},
        "payments": {"percentage": 0.03, "per_invoice": 0.3},
        "fixed": [{"name": "rent", "per_month": 500, "growth_per_year": 0.1, "start": 2, "end": 18},
                  {"name": "office", "per_month": 900, "needs": "traction"}],
        "capital": [{"name": "desks", "amount": 3000, "month": 2}],
        "training": {"per_run": 40, "every_months": 3},
    },
    "team": [{"role": "dev", "salary_per_month": 1500, "raise_per_year": 0.1},
             {"role": "support", "salary_per_month": 900, "count": 0, "per_customers": 30, "kind": "support"}],
    "milestones": [{"name": "traction", "metric": "mrr", "value": 3000}, {"name": "far", "metric": "arr", "value": 1e9,
                                                                        "by": 4}],
    "funding": [{"name": "seed", "amount": 9000, "month": 3, "closed": True}, {"name": "own", "amount": 70}],
    "risks": [{"name": "storm", "likelihood": 0.9, "cost": 700, "mitigations": [
        {"name": "roof", "cost_per_month": 12, "chosen": True, "cost": 100}]}],
    "tax": {"rate": 0.25, "losses": 500},
    "interest_on_cash_per_year": 0.02,
    "other_per_month": -20,
}  # fmt: skip


class Workbook:
    """Evaluates formulas of MAX, MIN, SUM, IF, OR, INT, EXP, INDEX and ROUNDUP, cells remembered."""

    def __init__(self, path):
        self.book = openpyxl.load_workbook(path)
        self.known = {}

    def cell(self, sheet, place):
        key = (sheet, place)
        if key not in self.known:
            value = self.book[sheet][place].value
            self.known[key] = self.compute(value[1:], sheet) if str(value).startswith("=") else value
        return self.known[key]

    def cells(self, sheet, first, last):
        return [self.cell(sheet, item.coordinate) for item in self.book[sheet][first:last][0]]

    def compute(self, formula, sheet):
        text = re.sub(r"(?:(\w+)!)?\$?([A-Z]{1,3})\$?(\d+):\$?([A-Z]{1,3})\$?(\d+)",
                      lambda m: f"_cells('{m[1] or sheet}','{m[2]}{m[3]}','{m[4]}{m[5]}')", formula)  # fmt: skip
        text = re.sub(r"(?<![\w'])(?:(\w+)!)?\$?([A-Z]{1,3})\$?(\d+)(?![\w'(])",
                      lambda m: f"_cell('{m[1] or sheet}','{m[2]}{m[3]}')", text)  # fmt: skip
        text = text.replace("^", "**").replace("FALSE", "False")
        text = re.sub(r"\bIF\(", "_if(", text)
        names = {
            "_cell": self.cell, "_cells": self.cells, "_if": lambda c, a, b: a if c else b, "MAX": max,
            "INT": math.floor,
            "MIN": lambda *v: min(v[0] if isinstance(v[0], list) else v), "SUM": sum, "EXP": math.exp,
            "OR": lambda *v: any(v), "INDEX": lambda v, i: v[int(i) - 1],
            "ROUNDUP": lambda v, _: math.ceil(v),
        }  # fmt: skip
        return eval(text, {"__builtins__": {}}, names)

    def row(self, name):
        sheet = self.book["Months"]
        number = next(row for row in range(2, sheet.max_row + 1) if sheet.cell(row, 1).value == name)
        return [self.cell("Months", sheet.cell(number, place).coordinate) for place in range(3, sheet.max_column + 1)]

    def result(self, name):
        sheet = self.book["Result"]
        number = next(row for row in range(1, sheet.max_row + 1) if sheet.cell(row, 1).value == name)
        return self.cell("Result", f"B{number}")


STREAMS = {"customers": "customers", "answers": "answers", "mrr": "mrr", "revenue": "revenue", "collected": "collected",
           "EBITDA": "ebitda", "tax": "tax", "cash flow": "cash_flow", "cash": "cash"}  # fmt: skip


@pytest.fixture
def written(tmp_path):
    def make(section):
        plan = simulate(section)
        spreadsheet.write_plan(tmp_path / "plan.xlsx", plan)
        return plan, Workbook(tmp_path / "plan.xlsx")

    return make


def test_the_formulas_give_the_base_case(written):
    plan, book = written(FULL)
    for row, stream in STREAMS.items():
        assert book.row(row) == pytest.approx(plan.run.base[stream].tolist(), rel=1e-9, abs=1e-6), row
    assert book.result("net present value (no ruin, no exit)") == pytest.approx(plan.run.base_outcomes["worth"])
    assert book.result("lowest cash") == pytest.approx(plan.run.base["cash"].min())
    assert book.result("price per answer") == pytest.approx(plan.settings.price.per_answer.mean)


def test_an_exit_is_a_formula_on_the_last_months_revenue(written):
    plan, book = written({**FULL, "exit": {"arr_multiple": {"low": 3, "mode": 5, "high": 9}}})
    sold = book.result("price of the company, at the end")
    assert sold == pytest.approx(12 * plan.run.base["mrr"][-1] * plan.settings.exit.arr_multiple.mean)
    assert book.result("net present value (no ruin, with the exit)") == pytest.approx(plan.run.base_outcomes["worth"])
    _, plain = written(FULL)
    with pytest.raises(StopIteration):
        plain.result("price of the company, at the end")


def test_changing_an_input_changes_the_plan(written):
    plan, book = written({**FULL, "risks": []})
    sheet = book.book["Inputs"]
    row = next(row for row in range(2, sheet.max_row + 1) if sheet.cell(row, 1).value == "price.per_customer")
    sheet.cell(row, 2).value = 18
    changed = simulate({**FULL, "risks": [], "price": {**FULL["price"], "per_customer": 18}, "cash": 500_000})
    assert book.row("revenue") == pytest.approx(changed.run.base["revenue"].tolist())
    assert book.row("revenue") != pytest.approx(plan.run.base["revenue"].tolist())


@pytest.mark.parametrize(
    "section",
    [
        {"customers": {"start": 50, "churn_curve": {"alpha": 0.7, "beta": 4}}},
        {"customers": {"start": 50, "churn_per_year": 0.3}},
        {
            "price": {"per_customer": 9, "response": {"reference": 10, "curve": [[5, 0.9], [20, 0.1]]}},
            "customers": {"start": 5, "new_per_month": 2},
        },
        {
            "customers": {"start": 50},
            "funding": [{"name": "bank", "kind": "loan", "amount": 900, "closed": True, "month": 2, "months": 4}],
        },
        {"customers": {"start": 5}, "risks": [{"name": "fall", "likelihood": 0.9, "effect": {"price": 0.5}}]},
    ],
)
def test_what_has_no_short_formula_stands_as_simulated(written, section):
    made = {"months": 6, "scenarios": 4, "cash": 9000, "price": {"per_customer": 10}, **section}
    plan, book = written(made)
    for row in ("customers", "revenue", "cash"):
        assert book.row(row) == pytest.approx(plan.run.base[STREAMS[row]].tolist()), row


B2B = {
    "price": {"plan": {"currency": "USD", "trial_days": 10, "coupons": [{"rate": "0.5", "periods": 2}],
                       "fees": [{"kind": "flat", "price": 49}, {"kind": "one_off", "price": 300},
                                {"kind": "per_unit", "price": "0.01", "included": 50}]}},
    "customers": {"start": 5, "new_per_month": 2, "churn_per_year": 0.2, "answers_each": 400, "bad_debt": 0.1},
}  # fmt: skip
B2C = {
    "price": {"per_customer": 9, "response": {"reference": 10, "elasticity": -1.5}},
    "customers": {"start": 50, "new_per_month": 20, "growth_per_month": 0.1, "churn_per_month": 0.1,
                  "collection_days": 20, "channels": {"ads": {"spend_per_month": 90, "cac": 30}}},
    "market": {"customers": 400, "reachable": 0.5, "share": 0.9},
}  # fmt: skip


def test_each_segment_has_formulas_of_its_own(written):
    plan, book = written({"months": 12, "scenarios": 4, "segments": {"b2b": B2B, "b2c": B2C}})
    for row, stream in STREAMS.items():
        if row != "cash":
            assert book.row(row) == pytest.approx(plan.run.base[stream].tolist(), rel=1e-6), row
    sheet = book.book["Inputs"]
    name = "segments.b2c.customers.new_per_month"
    place = next(row for row in range(2, sheet.max_row + 1) if sheet.cell(row, 1).value == name)
    before = book.row("segments.b2c.customers")
    book.known.clear()
    sheet.cell(place, 2).value = 0
    assert book.row("segments.b2c.customers")[-1] < before[-1]


def test_diffusion_and_sellers_limit_who_comes(written):
    section = {"months": 9, "scenarios": 4, "price": {"per_customer": 5, "response": {
        "reference": 5, "demand": {"intercept": 3, "slope": 0.4}}}, "growth_in_month_1": True,
        "customers": {"start": 3, "new_per_month": 1, "churn_per_month": 0.02,
                      "sales": {"role": "seller", "closes_per_month": 4}},
        "market": {"customers": 300, "innovation": 0.02, "imitation": 0.3},
        "team": [{"role": "seller", "salary_per_month": 10, "start": 3, "end": 8}]}  # fmt: skip
    plan, book = written(section)
    assert book.row("customers") == pytest.approx(plan.run.base["customers"].tolist())
    assert book.row("new customers")[:2] == [0, 0] and max(book.row("new customers")) == pytest.approx(4)


def test_segments_without_formulas_stand_as_their_sum(written):
    part = {"price": {"per_customer": 10}, "customers": {"start": 5, "new_per_month": 1}}
    aged = {**part, "customers": {"start": 5, "churn_by_month": [0.5, 0.1]}}
    plan, book = written({"months": 5, "scenarios": 4, "growth_in_month_1": True, "segments": {"a": part, "b": aged}})
    assert book.row("revenue") == pytest.approx(plan.run.base["revenue"].tolist())


def test_a_plan_that_is_ruined_goes_on_in_its_formulas(written):
    section = {"months": 6, "scenarios": 4, "cash": 10, "segments": {"b2b": B2B},
               "team": [{"role": "dev", "salary_per_month": 5000}]}  # fmt: skip
    plan, book = written(section)
    free = simulate({**section, "cash": 10**9})
    assert plan.run.base_outcomes["ruin_month"] == 1
    assert book.row("revenue") == pytest.approx(free.run.base["revenue"].tolist())


def test_inputs_carry_origins_and_scenarios_their_fans(written):
    _, book = written(FULL)
    inputs = {row[0].value: row for row in book.book["Inputs"].iter_rows(min_row=2)}
    assert inputs["customers.churn_per_month"][2].value == "assumed"
    assert inputs["cash"][1].value == 500_000
    assert "cash p10" in [cell.value for cell in book.book["Scenarios"][1]]
    assert spreadsheet.column(1) == "C" and spreadsheet.column(25) == "AA"
