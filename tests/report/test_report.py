"""What a report is made of, and how it is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from breakeven import report
from breakeven.errors import EnvironmentFault
from breakeven.report import compose
from breakeven.report.blocks import Findings, Lines, Note, Table
from breakeven.report.origins import MARKS
from breakeven.report.sections import business, cells, process
from breakeven.report.words import Words
from tests.report import example


def test_two_files_are_written_whole(tmp_path):
    written = report.write(example.snapshot(), tmp_path)
    assert [path.name for path in written] == ["report.html", "report.md"]
    assert (tmp_path / "report.html").read_text(encoding="utf-8").endswith("</html>")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "report.md"]


def test_a_folder_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentFault, match="cannot be written"):
        report.write(example.snapshot(), tmp_path / "file")


def test_every_quantity_is_in_the_appendix_once_with_artifact_and_time():
    made = compose.compose(example.snapshot())
    shown = [cell for _, _, cell in made.cells() if cell.quantity is not None]
    assert len(made.entries) == len(shown)
    value = next(entry for entry in made.entries if entry.where.endswith("linear › value/1000"))
    assert value.artifact == "artifacts/evaluate/verdict"
    declared = next(
        entry for entry in made.entries if entry.quantity.origin == "declared" and entry.where.endswith("limit")
    )
    assert declared.when is None


def tables(blocks, title):
    return next(block for block in blocks if isinstance(block, Table) and block.title == title)


def test_dropped_rows_add_up_or_it_is_said():
    words = Words()
    good = tables(process.blocks(example.snapshot(), words), words("drops"))
    assert good.note == words("adds-up")
    assert [row[1].text for row in good.rows] == ["6,000", "31", "14", "5", "5,950"]
    wrong = tables(
        process.blocks(example.snapshot(process={**example.PROCESS, "rows_out": 5949}), words), words("drops")
    )
    assert wrong.note == words("does-not-add-up")


def test_a_finding_is_told_once_and_problems_come_first():
    same = example.verdict()["findings"][0]
    problem = {"code": "p", "level": "problem", "stage": "train", "subject": None, "fields": {}, "text": "worse"}
    found = compose.every_finding(example.snapshot(findings=[same, problem]))
    assert [item["code"] for item in found] == ["p", "verdict-still-improving"]


def test_findings_stand_with_their_stage():
    snapshot = example.snapshot()
    section = compose.section(snapshot, Words(), "process")
    found = [block for block in section.blocks if isinstance(block, Findings)]
    assert [item[2] for item in found[0].items] == ["example-note"]
    assert not [block for block in compose.section(snapshot, Words(), "collect").blocks if isinstance(block, Findings)]


def test_a_withheld_release_is_said_with_its_reasons():
    deploy = {
        "decision": {"decision": "withhold", "release": None, "reasons": ["linear: too slow"]},
        "release": None,
        "parity": None,
    }
    blocks = compose.section(example.snapshot(deploy=deploy), Words(), "deploy").blocks
    assert any(isinstance(block, Note) and "linear: too slow" in block.text for block in blocks)


@pytest.mark.parametrize(
    ("intervals", "said"),
    [
        ([], "at no volume"),
        ([[0.0, 0.0]], "at no volume"),
        ([[17500.0, None]], "from 17,500"),
        ([[1.0, 2.0], [3.0, None]], "1 to 2 and from 3"),
        (None, "n/a"),
    ],
)
def test_break_even_volumes_in_words(intervals, said):
    assert cells.volumes_cell(intervals, "declared", Words()).text == said


def test_what_was_not_measured_is_na():
    verdict = example.verdict()
    verdict["candidates"]["linear"] = {"gates": [], "pays": False}
    made = compose.compose(example.snapshot(verdict=verdict))
    first = next(block for block in made.sections[0].blocks if isinstance(block, Table))
    row = next(row for row in first.rows if row[0].text == "linear")
    assert [cell.text for cell in row] == ["linear", "n/a", "n/a", "n/a", "n/a", "n/a", "none", "best"]


def test_the_page_about_the_report_names_every_column_and_origin():
    page = (Path(__file__).parents[2] / "docs" / "report.md").read_text(encoding="utf-8")
    first = next(block for block in compose.answer(example.snapshot(), Words()) if isinstance(block, Table))
    for head in [*first.heads[:1], *first.heads[2:], *MARKS]:
        assert f"| {head} |" in page or f"| `{MARKS.get(head, '-')}` | {head} |" in page


def test_a_month_beyond_the_plan_is_an_outcome():
    months = tables(business.blocks(example.snapshot(), Words()), "When")
    rows = {row[0].text: row[1] for row in months.rows}
    assert rows["operating break-even"].line == "9 [4, > 24]"
    assert rows["out of cash"].line == "> 24 [> 24, > 24]"
    assert rows["chance of it: operating break-even"].line == "86% [86%, 86%]"


def test_the_plan_says_what_to_measure_next_and_what_the_risks_cost():
    blocks = list(business.blocks(example.snapshot(), Words()))
    lines = next(block for block in blocks if isinstance(block, Lines))
    assert lines.items == ["you sell sorted reviews, to shops"]
    worth = tables(blocks, "What to measure next")
    assert [cell.line for cell in worth.rows[0]] == ["customers.new_per_month", "67%", "$840 [650, 1,030]"]
    assert [row[1].text for row in tables(blocks, "Risks").rows] == ["n/a", "a second provider"]


def test_the_plan_is_drawn():
    keys = [picture.key for picture in business.pictures(example.snapshot(), Words())]
    assert keys == ["unit", "mrr", "cash", "break-even", "tornado"]
    assert list(business.pictures(example.empty(), Words())) == []


def test_what_changed_is_named_and_what_follows_is_counted():
    changed = {"step": "collect", "state": "stale", "why": "collect.limit: 100 -> 200"}
    follow = [
        {"step": f"train/{name}", "state": "stale", "why": "needs process, which changed", "follows": True}
        for name in "abc"
    ]
    note = compose.stale(example.snapshot(states=[changed, *follow]), Words())[0]
    assert note.text.startswith("out of date: collect (collect.limit: 100 -> 200); and 3 more steps.")
    assert note.command == "breakeven run"
    assert compose.stale(example.snapshot(), Words()) == []
