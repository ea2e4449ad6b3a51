"""Steps: what is fresh or stale and why, in which order, and what runs."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from breakeven.artifacts import HashCache, Store, read_json, write_json
from breakeven.changes import differences
from breakeven.errors import Finding, IntegrityError, UsageError, render
from breakeven.pipeline import (
    Context,
    Quiet,
    Setup,
    Step,
    counters,
    findings_of,
    order,
    plan,
    run,
    wanted,
)


class Line:
    """A small project: a -> b -> c, where c also reads a file."""

    def __init__(self, root: Path) -> None:
        self.root, self.store = root, Store(root / "artifacts")
        self.data = root / "data.csv"
        self.data.write_text("1")
        self.settings: dict[str, Any] = {"a": {"rows": 1}, "b": {"rate": 0.1}, "c": {}}

    def steps(self) -> list[Step]:
        return [
            Step("c/x", 1, self._write, self.settings["c"], needs=("b/y",), files=(self.data,), exports=("out.txt",)),
            Step("b/y", 1, self._write, self.settings["b"], needs=("a",)),
            Step("a", 1, self._write, self.settings["a"]),
        ]

    @staticmethod
    def _write(context: Context) -> None:
        (context.folder / "out.txt").write_text(context.step.name)
        context.find(Finding("still-improving", subject=context.step.name))

    def plan(self, steps: list[Step] | None = None) -> list[Any]:
        return plan(steps or self.steps(), self.store, HashCache(self.root / "h.json"))

    def run(self) -> list[str]:
        setup = Setup(self.root, SimpleNamespace(), SimpleNamespace(), 0)
        self.store.root.mkdir(exist_ok=True)
        return run(self.plan(), setup, self.store, Quiet())

    def states(self) -> dict[str, str]:
        return {item.step.name: item.state for item in self.plan()}


@pytest.fixture
def line(tmp_path: Path) -> Line:
    return Line(tmp_path)


def test_everything_runs_once_in_order_then_nothing(line: Line) -> None:
    assert set(line.states().values()) == {"missing"}
    assert line.run() == ["a", "b/y", "c/x"]
    assert line.run() == []
    assert counters(line.store) == {"a": 1, "b/y": 1, "c/x": 1}
    assert (line.store.root / "c" / "out.txt").read_text() == "c/x", "exports stand in the stage's folder"
    assert findings_of(line.store, "a")[0].code == "still-improving"


def test_a_setting_makes_its_step_and_what_follows_stale_and_says_why(line: Line) -> None:
    line.run()
    line.settings["b"] = {"rate": 0.2}
    planned = {item.step.name: item for item in line.plan()}
    assert (planned["a"].state, planned["b/y"].state, planned["c/x"].state) == ("fresh", "stale", "stale")
    assert planned["b/y"].why == "rate: 0.1 -> 0.2"
    assert planned["c/x"].why == "needs b/y, which changed"
    assert line.run() == ["b/y", "c/x"]
    assert counters(line.store)["a"] == 1


def test_the_content_of_a_file_counts_not_its_date(line: Line) -> None:
    line.run()
    line.data.write_text("1")
    assert line.states()["c/x"] == "fresh"
    line.data.write_text("2")
    assert line.states() == {"a": "fresh", "b/y": "fresh", "c/x": "stale"}


def test_a_new_version_of_a_step_makes_it_stale(line: Line) -> None:
    line.run()
    steps = [replace(step, version=2) if step.name == "a" else step for step in line.steps()]
    assert line.plan(steps)[0].why == "version: 1 -> 2"


def test_going_back_to_old_settings_is_not_fresh_until_run_again(line: Line) -> None:
    line.run()
    line.settings["a"] = {"rows": 2}
    line.run()
    line.settings["a"] = {"rows": 1}
    assert line.run() == ["a", "b/y", "c/x"]


def test_targets_take_what_they_need(line: Line) -> None:
    names = [item.step.name for item in wanted(line.plan(), ["b"])]
    assert names == ["a", "b/y"]


def test_circles_and_unknown_needs_are_named() -> None:
    def nothing(context: Context) -> None:
        raise AssertionError

    with pytest.raises(UsageError, match="in a circle: p -> q -> p"):
        order([Step("p", 1, nothing, needs=("q",)), Step("q", 1, nothing, needs=("p",))])
    with pytest.raises(UsageError, match="'p' needs 'r', and there is no such step"):
        order([Step("p", 1, nothing, needs=("r",))])


def test_a_failing_step_leaves_the_former_artifact_and_stops(line: Line) -> None:
    line.run()

    def broken(context: Context) -> None:
        (context.folder / "out.txt").write_text("half")
        raise UsageError("no-stream")

    steps = [replace(step, run=broken, version=2) if step.name == "b/y" else step for step in line.steps()]
    setup = Setup(line.root, SimpleNamespace(), SimpleNamespace(), 0)
    with pytest.raises(UsageError, match="does not stream"):
        run(line.plan(steps), setup, line.store, Quiet())
    assert (line.store.folder("b/y") / "out.txt").read_text() == "b/y"
    assert counters(line.store)["c/x"] == 1


def test_a_step_reads_only_what_it_declares(line: Line) -> None:
    step = line.steps()[0]
    context = Context(Setup(line.root, None, None, 0), line.store, step, line.root, "f", Quiet())
    assert context.need("b/y") == line.store.folder("b/y")
    with pytest.raises(UsageError, match="does not declare as needed"):
        context.need("a")


def test_shared_artifacts_are_built_once(line: Line) -> None:
    built: list[Path] = []

    def build(folder: Path) -> None:
        built.append(folder)
        (folder / "x").write_text("1")

    context = Context(Setup(line.root, None, None, 0), line.store, line.steps()[0], line.root, "f", Quiet())
    first = context.shared({"weights": "w", "rows": "r"}, build)
    again = context.shared({"rows": "r", "weights": "w"}, build)
    assert first == again and len(built) == 1 and (first / "x").read_text() == "1"
    assert context.shared({"weights": "other"}, build) != first


def test_a_manifest_that_cannot_be_read_concerns_its_step_alone(line: Line) -> None:
    line.run()
    (line.store.folder("b/y") / "manifest.json").write_text("{ cut")
    planned = {item.step.name: item for item in line.plan()}
    assert [planned[name].state for name in ("a", "b/y", "c/x")] == ["fresh", "broken", "stale"]
    assert planned["b/y"].why == "b/y/manifest.json cannot be read: run again"
    assert line.run() == ["b/y", "c/x"]
    assert set(line.states().values()) == {"fresh"}


def test_a_manifest_with_parts_of_another_shape_is_broken(line: Line) -> None:
    line.run()
    place = line.store.folder("a") / "manifest.json"
    write_json(place, {**read_json(place), "files": ["out.txt"]})
    assert line.states()["a"] == "broken"
    write_json(place, {"format": 1})
    assert line.states()["a"] == "broken"


def test_the_artifact_of_a_newer_program_is_shown_and_never_overwritten(line: Line) -> None:
    line.run()
    place = line.store.folder("b/y") / "manifest.json"
    write_json(place, {**read_json(place), "format": 99})
    planned = {item.step.name: item for item in line.plan()}
    assert planned["b/y"].why == "b/y/manifest.json was made by a newer breakeven (format 99, this one knows 1)"
    with pytest.raises(IntegrityError, match="has format 99, this program knows 1"):
        line.run()
    assert read_json(place)["format"] == 99


@pytest.mark.parametrize("edited", ["b/y/out.txt", "c/out.txt"])
def test_an_edit_of_the_same_size_is_noticed_before_it_is_used(line: Line, edited: str) -> None:
    line.run()
    path = line.store.root / edited
    path.write_text("?" * len(path.read_text()))
    (item,) = [item for item in line.plan() if item.state == "broken"]
    assert item.why == f"{edited} was changed after it was written: run again"
    assert item.step.name in line.run()
    assert "?" not in path.read_text() and set(line.states().values()) == {"fresh"}


def test_planning_reads_an_artifact_only_where_something_moved(line: Line, tmp_path: Path) -> None:
    hashes = HashCache(line.root / "h.json")
    line.store.root.mkdir()
    setup = Setup(line.root, SimpleNamespace(), SimpleNamespace(), 0)
    run(plan(line.steps(), line.store, hashes), setup, line.store, Quiet(), hashes)
    path = line.store.folder("a") / "out.txt"
    status = path.stat()
    path.write_text("A")  # behind the back of size, time and inode
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert line.states()["a"] == "fresh"
    with pytest.raises(IntegrityError, match="wrote something else here"):
        line.store.verify("a")
    os.utime(path, ns=(1, 1))
    assert line.states()["a"] == "broken"


def test_what_is_verified_must_be_there(line: Line) -> None:
    with pytest.raises(IntegrityError, match="is in the manifest and not on the disk"):
        line.store.verify("a")
    line.run()
    line.store.verify("a")
    (line.store.folder("a") / "more.txt").write_text("x")
    with pytest.raises(IntegrityError, match="wrote something else here"):
        line.store.verify("a")


def test_a_counter_line_that_a_kill_cut_short_is_passed_over(line: Line) -> None:
    line.run()
    with (line.store.root / "runs.jsonl").open("a") as stream:
        stream.write('{"step": "a", "at\n[1]\n')
    assert counters(line.store) == {"a": 1, "b/y": 1, "c/x": 1}


MACHINES = [{"name": "small", "price": 0.05, "memory": None}, {"name": "fast", "price": 0.4, "memory": 16}]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (MACHINES, [{**MACHINES[0], "price": 0.06}, MACHINES[1]], "machines.small.price: 0.05 -> 0.06"),
        (MACHINES, [MACHINES[1]], "machines.small removed"),
        (MACHINES, [*MACHINES, {"name": "big", "price": 1}], "machines.big added"),
        (0.05, {"low": 1, "mode": 2.5, "high": 3}, "machines: 0.05 -> {low: 1, mode: 2.5, high: 3}"),
        ([{"a": None}], [{"a": True}], "machines.1.a: null -> true"),
        (["text"], ["text", "more"], "machines: [text] -> [text, more]"),
        (None, 2, "machines: null -> 2"),
        ("x" * 80, "y", f"machines: {'x' * 57}... -> y"),
        ("0" * 64, "1a" * 32, "machines: 00000000 -> 1a1a1a1a"),
    ],
)
def test_changes_are_told_by_name(old: Any, new: Any, said: str) -> None:
    (found,) = differences({"machines": old}, {"machines": new})
    assert render(found["code"], found["fields"], language="en") == said
