from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakeven.measuring import energy, speed
from breakeven.measuring.capacity import capacity_within, of_trail
from breakeven.measuring.rounds import Turn
from breakeven.measuring.settings import Load
from breakeven.measuring.speed import moved
from breakeven.models.baseline import Majority, MajoritySettings
from breakeven.packaging.package import build
from breakeven.tasks.text_classification import TextClassification

from .synthetic import cases, step

OVERHEAD = 0.1  # seconds that starting a generator takes


class FakeServer:
    """A server of a known capacity that remembers what it was asked."""

    start_seconds = 1.5

    def __init__(self, capacity: float, log: list[str], name: str) -> None:
        self.capacity, self.log, self.name, self.closed, self.spent = capacity, log, name, False, 0.0

    def load(self, rate: float, seconds: float) -> dict[str, Any]:
        self.log.append(self.name)
        self.spent += seconds + OVERHEAD
        return {**step(rate, self.capacity), "seconds": seconds}

    def alone(self, connections: int, seconds: float) -> dict[str, Any]:
        self.log.append(f"{self.name} x{connections}")
        return step(min(connections, 2) * self.capacity / 2, 2 * self.capacity)

    def close(self) -> None:
        self.closed = True


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    task, held = TextClassification(), cases(40)
    found = {}
    for name in ("one", "two"):
        root = tmp_path_factory.mktemp(name)
        (root / "majority.json").write_text('{"format": 1, "classes": ["bad", "good"], "rates": [0.4, 0.6]}')
        build(
            Majority(MajoritySettings(), task),
            trained=root,
            folder=root / "package",
            candidate=name,
            model_name="majority",
            facts=task.facts(held),
            chain=None,
            cases=held,
            task=task,
            seconds=0.05,
        )
        found[name] = root / "package"
    return found


class Bed:
    """Opens fake servers, one a package, and keeps them for the test to look at."""

    def __init__(self, capacities: Mapping[str, float], kind: type[FakeServer] = FakeServer) -> None:
        self.capacities, self.servers, self.log, self.kind = capacities, {}, [], kind  # type: ignore[var-annotated]

    def clock(self) -> float:
        """Time passes while a server is loaded, and only then."""
        return sum(server.spent for server in self.servers.values())

    def __call__(self, folder: Path, payloads: Sequence[Any]) -> FakeServer:
        name = "one" if "one" in str(folder) else "two"
        self.servers[name] = self.kind(self.capacities[name], self.log, name)
        return self.servers[name]


def run(
    packages: dict[str, Path], bed: Bed, former: Any = None, reference: float = 100.0, seconds: float = 30.0
) -> Any:
    plan = speed.Plan(seconds, 3, payloads=["a", "b"])
    return speed.measure(
        packages, plan, former=former, opener=bed, reference=lambda: reference, clock=bed.clock
    ).as_json()


def test_capacity_is_found_from_far_below_and_from_far_above(packages: dict[str, Path]) -> None:
    bed = Bed({"one": 2000.0, "two": 12.0})
    found = run(packages, bed)
    assert {name: one["rounds"][0]["trail"][0]["rate"] for name, one in found["candidates"].items()}["two"] > 12
    for name, capacity in bed.capacities.items():
        measured = capacity_within(found["candidates"][name]["rounds"], None)
        assert measured is not None and measured.value == pytest.approx(capacity, rel=0.15)
    assert all(server.closed for server in bed.servers.values())


def test_rounds_are_interleaved_and_keep_to_the_time_budget(packages: dict[str, Path]) -> None:
    bed = Bed({"one": 300.0, "two": 300.0})
    run(packages, bed, seconds=30.0)
    turns = [name for index, name in enumerate(bed.log) if index == 0 or bed.log[index - 1] != name]
    assert turns == ["one", "two", "one", "two"]  # forwards, backwards, forwards
    assert 28.0 <= bed.clock() <= 30.0 * 1.1


def test_turns_that_run_over_take_from_those_that_follow(packages: dict[str, Path]) -> None:
    class Slow(FakeServer):
        def load(self, rate: float, seconds: float) -> dict[str, Any]:
            found = super().load(rate, seconds)
            self.spent += 0.4 * seconds
            return found

    bed = Bed({"one": 300.0, "two": 300.0}, kind=Slow)
    run(packages, bed, seconds=30.0)
    assert 28.0 <= bed.clock() <= 30.0 * 1.1


def test_figures_are_quantities_over_rounds(packages: dict[str, Path]) -> None:
    one = run(packages, Bed({"one": 300.0, "two": 300.0}))["candidates"]["one"]
    assert len(one["rounds"]) == 3 and one["start_seconds"]["value"] == 1.5
    assert one["latency_ms_p95"]["low"] <= one["latency_ms_p95"]["value"] <= one["latency_ms_p95"]["high"]
    assert one["latency_ms_p95"]["n"] > 100 and "3 rounds" in one["latency_ms_p95"]["method"]
    assert one["cpu_seconds_per_answer"]["value"] == pytest.approx(1 / 300)


def test_blocks_of_a_run_narrow_the_interval_and_keep_the_value() -> None:
    from breakeven.measuring.capacity import over_log_rounds
    from breakeven.measuring.server import blocks

    parts = [blocks([base + index % 7 for index in range(200)]) for base in (10.0, 11.0, 12.0)]
    assert [len(part) for part in parts] == [4, 4, 4] and blocks([1.0] * 79) == []
    values = [14.0, 15.0, 16.0]
    plain = over_log_rounds(values, "ms", method="x")
    split = over_log_rounds(values, "ms", method="x", blocks=[one["latency_ms_p95"] for part in parts for one in part])
    assert split.value == plain.value and plain.low < split.low < split.value < split.high < plain.high  # type: ignore[operator]
    assert "3 rounds in 12 blocks" in (split.method or "")


def test_nothing_is_measured_again_while_the_session_is_comparable(packages: dict[str, Path]) -> None:
    first = run(packages, Bed({"one": 300.0, "two": 200.0}))
    bed = Bed({"one": 1.0, "two": 1.0})
    again = run(packages, bed, former=first, reference=110.0)
    assert bed.log == [] and again["candidates"]["one"]["reused"]
    assert again["candidates"]["one"]["latency_ms_p95"] == first["candidates"]["one"]["latency_ms_p95"]


def test_a_moved_reference_measures_everything_again_and_says_why(packages: dict[str, Path]) -> None:
    first = run(packages, Bed({"one": 300.0, "two": 200.0}))
    bed = Bed({"one": 300.0, "two": 200.0})
    again = run(packages, bed, former=first, reference=70.0)
    assert set(bed.log) == {"one", "two"}
    assert all("reference load moved by 43%" in stale["why"] for stale in again["stale"])


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"hardware": {"key": "another"}}, "other hardware"),
        ({"versions": {"python": "2.7"}}, "other versions"),
    ],
)
def test_other_hardware_or_versions_are_not_comparable(
    packages: dict[str, Path], change: dict[str, Any], why: str
) -> None:
    first = {**run(packages, Bed({"one": 300.0, "two": 200.0})), **change}
    again = run(packages, Bed({"one": 300.0, "two": 200.0}), former=first)
    assert [stale["why"] for stale in again["stale"]] == [why, why]


def test_only_the_changed_package_is_measured_again(packages: dict[str, Path]) -> None:
    first = run(packages, Bed({"one": 300.0, "two": 200.0}))
    first["candidates"]["two"]["identity"] = "something else"
    bed = Bed({"one": 300.0, "two": 200.0})
    again = run(packages, bed, former=first)
    assert set(bed.log) == {"two"} and again["stale"] == [{"candidate": "two", "why": "another package"}]
    assert 13.5 <= bed.clock() <= 15.0 * 1.1, "one of two takes its own half of the 30 seconds"


def test_load_tests_take_their_time_from_the_number_of_candidates_where_none_is_declared() -> None:
    assert (Load().seconds_for(2), Load().seconds_for(5), Load(seconds=30).seconds_for(5)) == (24.0, 60.0, 30.0)


def test_a_server_that_breaks_is_closed(packages: dict[str, Path]) -> None:
    bed = Bed({"one": 300.0, "two": 200.0})

    class Broken(FakeServer):
        def load(self, rate: float, seconds: float) -> dict[str, Any]:
            raise RuntimeError("gone")

    def opener(folder: Path, payloads: Sequence[Any]) -> FakeServer:
        bed.servers[str(folder)] = Broken(1.0, [], "x")
        return bed.servers[str(folder)]

    with pytest.raises(RuntimeError, match="gone"):
        speed.measure(packages, speed.Plan(5, 1, payloads=["a"]), opener=opener, reference=lambda: 1.0)
    assert len(bed.servers) == 2 and all(server.closed for server in bed.servers.values())


def test_a_lagging_generator_is_a_finding_and_its_steps_do_not_count(packages: dict[str, Path]) -> None:
    class Lagging(FakeServer):
        def load(self, rate: float, seconds: float) -> dict[str, Any]:
            return {**step(rate, self.capacity), "lagged": rate > 100}

    found = speed.measure(
        packages,
        speed.Plan(20, 2, payloads=["a"]),
        reference=lambda: 1.0,
        opener=lambda folder, payloads: Lagging(1000.0, [], "x"),
    )
    assert {finding.code for finding in found.findings} == {"load-lagged"}
    capacity = capacity_within(found.candidates["one"]["rounds"], None)
    assert capacity is not None and capacity.value <= 100


def test_slow_answers_are_timed_one_after_another_and_four_at_once() -> None:
    server = FakeServer(0.5, [], "slow")
    found = Turn(server, 20.0, 0.25 * 1000 / 1500, lambda: server.spent).run(None)
    assert server.log == ["slow", "slow x1", "slow x4"] and found["steady"] == found["trail"][0]


def test_capacity_is_interpolated_where_only_the_latency_fails() -> None:
    trail = [{**step(10, 1000), "latency_ms_p95": 10.0}, {**step(100, 1000), "latency_ms_p95": 40.0}]
    assert of_trail(trail, 20.0) == pytest.approx(55.0)
    assert of_trail(trail, 40.0) == 100.0
    assert of_trail(trail, 5.0) is None


def test_a_rate_with_errors_or_that_is_not_kept_does_not_count() -> None:
    good, late, failing = (
        step(10, 1000),
        {**step(20, 1000), "answered_per_second": 12.0},
        {**step(20, 1000), "errors": 1},
    )
    assert of_trail([good, late], 1000) == 10 and of_trail([good, failing], 1000) == 10
    assert capacity_within([{"trail": [failing], "steady": failing}], 1000) is None


@given(st.lists(st.floats(1, 1000), min_size=1, max_size=8, unique=True), st.floats(1, 900), st.floats(6, 1000))
def test_capacity_rises_with_the_limit(rates: list[float], capacity: float, limit: float) -> None:
    trail = [step(rate, capacity) for rate in rates]
    low, high = of_trail(trail, limit) or 0.0, of_trail(trail, 2 * limit) or 0.0
    assert 0 <= low <= high <= max(rates)


def test_a_reference_moves_alike_both_ways() -> None:
    assert moved(115, 100) == pytest.approx(0.15) == moved(100, 115)
    assert moved(0, 1) == float("inf")


def test_energy_is_read_from_counters_and_unwrapped(tmp_path: Path) -> None:
    assert energy.joules(tmp_path / "absent") is None
    for zone, value in (("intel-rapl:0", 90), ("intel-rapl:1", 10), ("intel-rapl:0:0", 5)):
        (tmp_path / zone).mkdir()
        (tmp_path / zone / "energy_uj").write_text(f"{value}000000\n")
        (tmp_path / zone / "max_energy_range_uj").write_text("100000000\n")
    before = energy.joules(tmp_path)
    assert before == {"intel-rapl:0": (90.0, 100.0), "intel-rapl:1": (10.0, 100.0)}
    (tmp_path / "intel-rapl:0" / "energy_uj").write_text("15000000")
    assert energy.between(before, energy.joules(tmp_path)) == pytest.approx(25.0)
    assert energy.between(None, before) is None
    (tmp_path / "intel-rapl:1" / "energy_uj").write_text("unreadable")
    assert energy.joules(tmp_path) is None
