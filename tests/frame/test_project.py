"""The project as a whole: what it would take to run again, and what stops it from being looked at."""

from __future__ import annotations

from pathlib import Path

import pytest

from breakeven.artifacts import Manifest
from breakeven.project import Project

FILE = """version: 1
product: {name: tickets, task: text-classification}
collect: {source: rows.csv, fields: {inputs: [text], target: label}}
train: {candidates: [{name: majority, model: majority}]}
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "breakeven.yaml").write_text(FILE)
    (tmp_path / "rows.csv").write_text("text,label\n" + "".join(f"text {i},{'ab'[i % 2]}\n" for i in range(40)))
    return Project(tmp_path)


def stand(project: Project, *names: str, seconds: float = 120.0) -> None:
    """Puts finished artifacts of these steps there, as if they had taken so long."""
    for item in project.plan():
        if item.step.name in names:
            place = project.store.folder(item.step.name)
            place.mkdir(parents=True, exist_ok=True)
            project.store.commit(
                place, Manifest(item.step.name, item.fingerprint, item.inputs, item.needs, {}, "now", seconds)
            )


def test_what_ran_before_takes_as_long_again_where_its_rows_are_the_same(project: Project) -> None:
    stand(project, "collect", "process", "train/majority")
    changed = Project(project.root, overrides=["train.seed=5"])
    rows = {row["step"]: row["minutes"] for row in changed.estimate()}
    assert rows["train/majority"] == 0.0, "its own settings changed"
    stand(project, "evaluate/majority")
    rows = {row["step"]: row["minutes"] for row in changed.estimate()}
    assert rows["evaluate/majority"] == 2.0
    other_rows = Project(project.root, overrides=["collect.limit=20"])
    assert {row["step"]: row["minutes"] for row in other_rows.estimate()}["evaluate/majority"] < 0.1


@pytest.mark.parametrize("step", ["collect", "process", "train/majority", "evaluate/majority", "deploy"])
def test_one_manifest_that_cannot_be_read_does_not_hide_the_others(project: Project, step: str) -> None:
    place = project.store.folder(step)
    place.mkdir(parents=True)
    (place / "manifest.json").write_text("{ cut")
    for name in ("decision.json", "report.json"):
        (place / name).write_text("{ cut")
    states = {item.step.name: item.state for item in project.plan()}
    assert states.pop(step) == "broken" and set(states.values()) <= {"missing", "fresh"}
    assert step in [row["step"] for row in project.estimate()]
