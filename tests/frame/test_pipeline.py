"""Steps: what is fresh or stale and why, in which order, and what runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from breakeven.artifacts import HashCache, Store
from breakeven.errors import Finding, UsageError
from breakeven.pipeline import Context, Quiet, Setup, Step, counters, findings_of, order, plan, run, wanted


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
