"""`breakeven actuals`: counted months from the ledger or a table, beside the plan, and the plan refitted."""

import datetime
import json
import subprocess
import sys
from pathlib import Path

import pytest

from breakeven.cli.counted import from_ledger, from_table, label, month_of, number, segments_of
from breakeven.economics.plan import BusinessPlan
from breakeven.errors import BreakevenError, DataError, UsageError
from breakeven.ledger.book import open_ledger
from breakeven.ledger.clock import moment_of
from breakeven.ledger.events import Charge
from breakeven.yaml12 import parse

SECTION = """version: 1
business:
  months: 24
  scenarios: 200
  what: advice
  cash: 20000
  price: {per_answer: 0.01, per_customer: 5}
  customers: {start: 2, new_per_month: {low: 2, mode: 5, high: 9}, churn_per_month: 0.04, answers_each: 1000}
"""
HISTORY = """month,new,lost,answers
2026-01,4,0,6000
2026-02,5,1,11000
2026-03,6,1,14000
"""
PLAN = BusinessPlan.model_validate({"price": {"per_answer": 0.01, "per_customer": 5}, "customers": {"start": 0}})


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "breakeven.yaml").write_text(SECTION)
    (tmp_path / "months.csv").write_text(HISTORY)
    return tmp_path


def run(folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "breakeven.cli", "actuals", *more]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=240)


@pytest.fixture
def ledger(tmp_path: Path) -> tuple[str, int]:
    """A ledger whose customers come this month and use in the next ones, and the number of this month."""
    place = str(tmp_path / "ledger.sqlite")
    today = datetime.datetime.now(datetime.UTC)
    now = number((today.year, today.month))
    with open_ledger(place) as book:
        ids = {name: book.customers.add(name).id for name in ("ann", "bob", "cy")}
        seen = [("ann", 1, 100), ("ann", 2, 50), ("ann", 4, 10), ("bob", 1, 7), ("cy", 4, 3), ("cy", 5, 9)]
        for name, month, units in seen:
            when = datetime.datetime.fromisoformat(f"{label(now + month)}-15T12:00:00+00:00")
            book.settle(None, Charge(ids[name], {"answers": units, "input_tokens": 3 * units}, time=moment_of(when)))
    return place, now


def day_in(month: int) -> datetime.date:
    return datetime.date.fromisoformat(f"{label(month)}-20")


def test_complete_months_of_the_ledger_are_counted(ledger: tuple[str, int]) -> None:
    place, now = ledger
    found = from_ledger(place, PLAN, start=None, lapse=2, today=day_in(now + 5))
    counted = found.counted
    assert found.labels == tuple(label(now + month) for month in (1, 2, 3, 4))  # the fifth is not over
    assert (counted.new, counted.lost) == ((2, 0, 0, 1), (0, 1, 0, 0))
    assert counted.meters == {"answers": (107, 50, 0, 13), "input_tokens": (321, 150, 0, 39)}
    assert counted.revenue == pytest.approx((1.07 + 10, 0.5 + 5, 0, 0.13 + 10))
    later = from_ledger(place, PLAN, start=label(now + 2), lapse=2, today=day_in(now + 5)).counted
    assert (later.opening, later.new, later.lost) == (1, (0, 0, 1), (0, 0, 0))


def test_a_ledger_without_a_complete_month_says_so(ledger: tuple[str, int], tmp_path: Path) -> None:
    place, now = ledger
    with pytest.raises(DataError, match="nothing was used in a complete month up to"):
        from_ledger(place, PLAN, start=None, lapse=2, today=day_in(now + 1))
    with pytest.raises(UsageError, match="the last complete month is"):
        from_ledger(place, PLAN, start=label(now + 9), lapse=2, today=day_in(now + 5))
    empty = str(tmp_path / "empty.sqlite")
    open_ledger(empty).close()
    with pytest.raises(DataError, match="nothing was used"):
        from_ledger(empty, PLAN, start=None, lapse=2, today=day_in(now))


def test_a_table_is_counted_by_its_own_months(project: Path) -> None:
    found = from_table(project, "months.csv", PLAN, None)
    assert found.labels == ("2026-01", "2026-02", "2026-03") and found.counted.new == (4, 5, 6)
    assert from_table(project, "months.csv", PLAN, "2025-11").labels == ("2025-11", "2025-12", "2026-01")
    (project / "bare.csv").write_text("new,lost\n1,0\n")
    assert from_table(project, "bare.csv", PLAN, None).labels == ("1",)
    (project / "bare.csv").write_text("new,lost\n1,9\n")
    with pytest.raises(BreakevenError, match=r"bare\.csv: more customers were lost"):
        from_table(project, "bare.csv", PLAN, None)
    with pytest.raises(UsageError, match="--start soon is no month"):
        month_of("soon")


@pytest.mark.slow
def test_what_happened_stands_beside_the_plan_and_the_rest_is_refitted(project: Path) -> None:
    done = run(project, "--history", "months.csv", "--refit")
    assert done.returncode == 0, done.stderr
    assert "2026-02" in done.stdout and "11,000 (" in done.stdout
    assert "counted churn_per_month: " in done.stdout and "declared 0.04" in done.stdout
    assert "from here on, after 3 months, the 21 that are left:" in done.stdout
    data = json.loads(run(project, "--history", "months.csv", "--refit", "--keep-declared", "--json").stdout)
    assert data["refit"]["months"] == 21 and data["months"][0] == "2026-01"
    assert data["streams"]["customers"][2]["actual"] == 15.0
    assert data["fitted"]["new_per_month"]["value"] == 5.0 and data["fitted"]["new_per_month"]["low"] < 5.0
    assert json.loads(run(project, "--history", "months.csv", "--json").stdout)["refit"] is None


@pytest.mark.slow
def test_without_a_ledger_the_next_command_is_told(project: Path) -> None:
    done = run(project)
    assert done.returncode == 5 and "there is no ledger here yet" in done.stderr
    over = run(project, "--history", "months.csv", "--refit", "--keep-declared", "--set", "business.months=3")
    assert over.returncode == 2 and "nothing of it is left" in over.stderr
    segments = project / "segments"
    segments.mkdir()
    (segments / "breakeven.yaml").write_text(
        "version: 1\nbusiness:\n  scenarios: 50\n  segments: {a: {price: {per_customer: 5}, customers: {start: 9}}}\n"
    )
    (segments / "months.csv").write_text(HISTORY)
    for more in ((), ("--keep-declared",)):
        refused = run(segments, "--history", "months.csv", "--refit", *more)
        assert refused.returncode == 2 and "which customer is of which segment" in refused.stderr
    assert run(segments, "--history", "months.csv").returncode == 0


# ------------------------------------------------------------------ segments

SEGMENTS = """version: 1
business:
  months: 12
  scenarios: 100
  segments:
    b2b:
      price: {per_customer: 99}
      customers: {start: 2, new_per_month: {low: 1, mode: 2, high: 5}, churn_per_month: 0.02}
    b2c: {price: {per_answer: 0.01}, customers: {start: 9, new_per_month: 5, churn_per_month: 0.1, answers_each: 100}}
"""
ROWS = "month,segment,new,lost,answers\n" + "".join(f"2026-0{n},b2b,2,0,0\n2026-0{n},b2c,4,1,900\n" for n in (1, 2, 3))
SPLIT = BusinessPlan.model_validate(parse(SEGMENTS, file="x")[0]["business"])


def test_a_table_is_counted_by_segment(project: Path) -> None:
    (project / "parts.csv").write_text(ROWS)
    found = from_table(project, "parts.csv", SPLIT, None)
    assert found.segments["b2b"].new == (2, 2, 2) and found.segments["b2c"].lost == (1, 1, 1)
    assert (found.counted.opening, found.counted.new, found.labels) == (
        11,
        (6, 6, 6),
        ("2026-01", "2026-02", "2026-03"),
    )
    for wrong, said in (
        (ROWS.replace("b2c", "b2x"), "row 2: 'b2x' is no segment of the plan; expected one of"),
        (ROWS + "2026-04,b2b,1,0,0\n", "segment b2c has 3 months, b2b has 4"),
    ):
        (project / "parts.csv").write_text(wrong)
        with pytest.raises(DataError, match=f"parts.csv: {said}"):
            from_table(project, "parts.csv", SPLIT, None)
    (project / "parts.csv").write_text("new,lost\n1,0\n")
    assert from_table(project, "parts.csv", SPLIT, None).segments == {}


def test_the_ledgers_customers_are_told_apart_by_a_table(project: Path, ledger: tuple[str, int]) -> None:
    place, now = ledger
    (project / "who.csv").write_text("customer,segment\nann,b2b\nbob,b2c\ncy,b2c\nnobody,b2c\n")
    about = {"start": None, "lapse": 2, "today": day_in(now + 5)}
    found = from_ledger(place, SPLIT, **about, segment_of=segments_of(project, "who.csv", SPLIT))
    assert found.segments["b2b"].new == (1, 0, 0, 0) and found.segments["b2c"].new == (1, 0, 0, 1)
    assert found.counted.new == (2, 0, 0, 1)
    # ann at 99 a month wherever she used, the others by the answer.
    assert found.counted.revenue == pytest.approx((99 + 0.07, 99, 0, 99 + 0.03))
    with pytest.raises(DataError, match="of no segment: bob, cy; expected every customer with use"):
        from_ledger(place, SPLIT, **about, segment_of={"ann": "b2b"})


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("customer\nann\n", "no column 'segment'; expected customer and segment"),
        ("customer,segment\nann,b2x\n", "row 1: 'b2x' is no segment"),
        ("customer,segment\nann,b2b\nann,b2c\n", "row 2: ann is of b2b and of b2c"),
    ],
)
def test_a_table_of_segments_that_cannot_be_meant(project: Path, table: str, said: str) -> None:
    (project / "who.csv").write_text(table)
    with pytest.raises(DataError, match=f"who.csv: {said}"):
        segments_of(project, "who.csv", SPLIT)
    with pytest.raises(UsageError, match="the plan has no segments"):
        segments_of(project, "who.csv", PLAN)


def test_use_that_was_imported_from_before_its_customer_is_counted(tmp_path: Path) -> None:
    place = str(tmp_path / "ledger.sqlite")
    rows = [{"id": f"e{n}", "source": "old", "time": f"2024-0{n}-15T12:00:00Z", "subject": "ann",
             "data": {"quantities": {"answers": 5}}} for n in (3, 4)]  # fmt: skip
    (tmp_path / "old.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with open_ledger(place) as book:
        book.customers.add("ann")
    done = subprocess.run([sys.executable, "-m", "breakeven", "ledger", "import", "old.jsonl"],
                          cwd=tmp_path, capture_output=True, text=True, timeout=240)  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = from_ledger(place, PLAN, start=None, lapse=2, today=datetime.date(2024, 7, 2))
    assert found.labels == ("2024-03", "2024-04", "2024-05", "2024-06")
    assert (found.counted.new, found.counted.lost) == ((1, 0, 0, 0), (0, 0, 1, 0))


@pytest.mark.slow
def test_each_segment_is_shown_and_refitted_apart(project: Path) -> None:
    (project / "breakeven.yaml").write_text(SEGMENTS)
    (project / "parts.csv").write_text(ROWS)
    done = run(project, "--history", "parts.csv", "--refit")
    assert done.returncode == 0, done.stderr
    assert "segment b2b" in done.stdout and "segment b2c" in done.stdout
    data = json.loads(run(project, "--history", "parts.csv", "--refit", "--keep-declared", "--json").stdout)
    assert data["segments"]["b2b"]["fitted"]["new_per_month"]["value"] == 2.0
    assert data["refit"]["months"] == 9
