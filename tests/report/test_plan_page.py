"""The page of a plan without a model: drawn as the report is, from plan.json alone, with an origin for every number."""

from __future__ import annotations

import pytest

from breakeven.economics.plan import BusinessPlan
from breakeven.report import html, plan_page
from breakeven.report.blocks import Picture
from breakeven.stages import business
from tests.report.test_access import NUMBER
from tests.report.test_html import Page

SECTION = {
    "what": "sorted <reviews>",
    "months": 12,
    "scenarios": 200,
    "cash": 20_000,
    "price": {"per_answer": 0.004},
    "customers": {"start": 3, "new_per_month": {"low": 2, "mode": 5, "high": 12}, "answers_each": 20_000},
    "team": [{"role": "founder", "salary_per_month": 900}],
    "exit": {"arr_multiple": 4},
    "cap_table": {
        "start": "2026-01-01",
        "events": [{"kind": "issue", "date": "2025-01-01", "holder": "Ann", "shares": 1000}],
    },
}


@pytest.fixture(scope="module")
def plan():
    """plan.json of a plan that was really simulated."""
    return business.plan_json({"plan": business.simulate_file(BusinessPlan.model_validate(SECTION))})


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_plan_is_drawn_and_every_number_leads_to_plan_json(plan, language):
    report = plan_page.composed(plan, name="shop", language=language)
    keys = [block.key for part in report.sections for block in part.blocks if isinstance(block, Picture)]
    assert keys == ["unit", "mrr", "cash", "break-even", "tornado", "owners", "exit"]
    assert {entry.artifact for entry in report.entries} == {"plan.json"}
    bare = [cell.text for _, _, cell in report.cells() if cell.quantity is None and NUMBER.fullmatch(cell.text)]
    assert set(bare) <= {str(month) for month in range(1, 13)}  # names of rows: months


def test_the_page_is_one_file_that_says_what_is_sold(plan, tmp_path):
    path = plan_page.write(plan, tmp_path, name="shop <b>")
    assert [item.name for item in tmp_path.iterdir()] == [plan_page.PAGE]
    page = Page(path.read_text(encoding="utf-8"))
    assert "You sell sorted <reviews>" in "".join(page.words)
    assert not {"script", "img", "link"} & {name for name, _ in page.tags}
    assert "shop <b>" in "".join(page.words)
    assert "no model was measured" in "".join(page.words)


def test_a_plan_that_draws_little_is_a_page_all_the_same(plan):
    bare = {**plan, "summary": [], "doubt": {}, "candidates": {"plan": {"findings": []}}}
    page = Page(html.render_report(plan_page.composed(bare, name="shop")))
    assert "None" not in "".join(page.words)
    assert page.all("h1") == [{"class": "missing"}]
