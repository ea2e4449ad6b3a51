import json
import subprocess
from pathlib import Path

import pytest

from tests.inprocess import breakeven

SECTION = """version: 1
business:
  months: 12
  what: advice
  scenarios: 200
  cash: 20000
  price: {per_customer: 49}
  customers: {start: 3, new_per_month: {low: 2, mode: 5, high: 9}, churn_per_month: 0.04}
  team: [{role: founder, salary_per_month: 1000}]
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "breakeven.yaml").write_text(SECTION)
    return tmp_path


def run(folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return breakeven("simulate", *more, cwd=folder)


def test_a_section_alone_becomes_a_plan_that_one_can_read(project: Path) -> None:
    done = run(project, "--write", "out", "--xlsx", "plan.xlsx")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "you sell advice"
    assert any(line.startswith("operating break-even within 12 months in ") for line in lines)
    assert any(line.startswith("1. customers.new_per_month: ") for line in lines)
    assert {path.name for path in (project / "out").iterdir()} == {
        "plan.json",
        "series.parquet",
        "series.csv",
        "plan.html",
    }
    assert (project / "plan.xlsx").stat().st_size > 5000


def test_what_the_figures_rest_on_is_told_by_origin_and_no_costs_are_not_believed(project: Path) -> None:
    done = run(project)
    lines = done.stdout.splitlines()
    assumed = next(line for line in lines if line.startswith("assumed ("))
    assert "customers.new_per_month" in assumed and "price.per_customer" not in assumed
    assert "price.per_customer" in next(line for line in lines if line.startswith("declared ("))
    assert not [line for line in lines if line.startswith(("measured (", "quoted ("))]
    assert "no cost is declared" not in done.stderr
    (project / "breakeven.yaml").write_text("\n".join(SECTION.splitlines()[:-1]) + "\n")
    assert "no cost is declared: every figure is what comes in" in run(project).stderr


def test_json_is_the_plan(project: Path) -> None:
    done = run(project, "--json", "--set", "business.price.per_customer=60")
    data = json.loads(done.stdout)
    assert data["candidates"]["plan"]["inputs"]["price.per_customer"]["value"] == 60
    assert data["summary"][0]["code"] == "summary-what-alone"


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("49", "-1", "breakeven.yaml:7:25: business.price.per_customer: found -1; expected a price of at least 0"),
        ("months: 12", "months: 0", "breakeven.yaml:3:11: business.months: found 0"),
        ("churn_per_month: 0.04", "churn_per_month: 1.2", "found 1.2; expected a rate of at most 1"),
        ("low: 2", "low: 7", "expected low <= mode <= high"),
        ("price: {per_customer: 49}", "buyers: somebody", "a plan without a model needs a price"),
    ],
)
def test_what_cannot_be_meant_is_exit_2_with_its_place(project: Path, before: str, after: str, message: str) -> None:
    (project / "breakeven.yaml").write_text(SECTION.replace(before, after))
    done = run(project)
    assert done.returncode == 2
    assert message in done.stderr and "Traceback" not in done.stderr
