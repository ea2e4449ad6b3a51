"""How a runtime is tried: batches and threads chosen by measurement, every row answered, everything bounded."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import packaging_toy
import pytest

from breakeven.artifacts import read_json, write_json
from breakeven.packaging import trials
from breakeven.packaging.hardware import cores
from breakeven.packaging.opened import open_package, threads_here
from breakeven.packaging.package import build
from breakeven.packaging.trials import Conditions, Tried
from breakeven.task import Predictor

TASK = packaging_toy.ToyTask()
FACTS = {"classes": packaging_toy.CLASSES}


class Batching(packaging_toy.ToyPredictor):
    """Makes its own batches; `slow_tokens`: a batch of so many costs a wait. `threads`: faster by as many."""

    tokens_per_batch = 1024
    slow_tokens: tuple[int, ...] = ()
    threads = 1
    wait = 0.0

    def predict(self, inputs: list[Any]) -> list[Any]:
        waits = 0.002 * len(inputs) if self.tokens_per_batch in self.slow_tokens else 0.0
        time.sleep(waits + self.wait * len(inputs) / self.threads)
        return super().predict(inputs)


def model(*, slow_tokens: tuple[int, ...] = (), wait: float = 0.0, **settings: Any) -> packaging_toy.Toy:
    class Model(packaging_toy.Toy):
        made: list[Batching] = []  # noqa: RUF012

        def load(self, folder: Path, runtime: str, *, threads: int) -> Predictor:
            found = Batching(packaging_toy.load_file(folder / "weights.safetensors")["w"], runtime, self.options)
            found.slow_tokens, found.wait, found.threads = slow_tokens, wait, threads
            self.made.append(found)
            return found

    return Model(packaging_toy.ToySettings(**settings), TASK)


def built(root: Path, made: packaging_toy.Toy, rows: int = 400, seconds: float = 0.2) -> dict[str, Any]:
    info = build(
        made, trained=packaging_toy.trained(root / "trained"), folder=root / "p", candidate="small", model_name="toy",
        facts=FACTS, chain=None, cases=packaging_toy.cases(rows), task=TASK, seconds=seconds,
    ).info  # fmt: skip
    return info["runtimes"]


def test_the_batch_that_is_fastest_is_taken_and_kept_by_who_opens_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trials, "BUDGETS", (32, 64, 128))
    made = model(offered=("reference", "fast"), reference_ms=5.0, slow_tokens=(64, 128, 1024))
    runtimes = built(tmp_path, made, rows=60, seconds=4.0)
    (fast,) = (one for one in runtimes["tried"] if one["runtime"] == "fast")
    assert runtimes["chosen"] == "fast" and fast["tokens_per_batch"] == 32
    assert [one["tokens"] for one in fast["batches"]] == list(trials.BUDGETS)
    with open_package(tmp_path / "p", task=TASK) as package:
        package.use(Batching(packaging_toy.np.zeros(2), "fast", packaging_toy.ToySettings()), "fast")
        assert package.predictor.tokens_per_batch == 32


@pytest.mark.parametrize(
    ("seconds", "taken"),
    [
        ({512: 1.0, 1024: 1.05}, 1024),
        ({512: 1.0, 1024: 1.2}, 512),
        ({512: 1.0, 1024: 0.5}, 1024),
        ({512: 1.0, 2048: 0.9}, 2048),
    ],
)
def test_what_is_not_clearly_slower_stays(seconds: dict[int, float], taken: int) -> None:
    assert trials.fastest(seconds, 1024) == taken


def test_too_few_rows_to_fill_a_batch_say_nothing_of_batches(tmp_path: Path) -> None:
    runtimes = built(tmp_path, model(offered=("reference", "fast"), slow_tokens=(1024,)), rows=20)
    assert [(one["tokens_per_batch"], one["batches"]) for one in runtimes["tried"]] == [(1024, [])] * 2


def test_who_makes_its_own_batches_gets_everything_at_once(tmp_path: Path) -> None:
    made = model()
    built(tmp_path, made)
    assert max(made.made[0].batches) == 400


def test_more_threads_are_chosen_where_they_are_faster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trials, "cores", lambda: 6)
    found = built(tmp_path, model(wait=0.002), rows=20)["threads"]
    assert [one["threads"] for one in found["tried"]] == [1, 2, 4, 6]
    assert found["chosen"] > 1
    assert found["tried"][-1]["ms_per_case"] < found["tried"][0]["ms_per_case"]


def test_a_machine_with_one_core_tries_no_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trials, "cores", lambda: 1)
    assert built(tmp_path, model(), rows=20)["threads"] == {"chosen": 1, "tried": []}


def test_a_package_is_opened_with_the_threads_measured_here_and_with_all_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trials, "cores", lambda: 2)
    runtimes = built(tmp_path, model(), rows=20)
    info = read_json(tmp_path / "p" / "package.json")
    info["runtimes"]["threads"] = {**runtimes["threads"], "chosen": 1}
    write_json(tmp_path / "p" / "package.json", info)
    with open_package(tmp_path / "p", threads=0, task=TASK) as package:
        assert package.threads == 1
    elsewhere = {**info, "hardware": {**info["hardware"], "key": "another"}}
    assert threads_here(elsewhere) == cores()
    write_json(tmp_path / "p" / "package.json", {**info, "runtimes": {**info["runtimes"], "threads": None}})
    with open_package(tmp_path / "p", threads=0, task=TASK) as package:
        assert package.threads == cores()


def given(rows: int = 60, **changes: Any) -> Conditions:
    inputs = packaging_toy.cases(rows).inputs
    return Conditions(**{"inputs": inputs, "task": TASK, "facts": FACTS, "sample": [], "tolerance": 0.01,
                         "agreement": 0.99, "threads": 1, "seconds": 0.1, **changes})  # fmt: skip


def test_every_row_is_answered_where_only_a_part_is_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One thread times what it can in the time; all cores answer the rest, and the answers are compared."""
    monkeypatch.setattr(trials, "LONG_SECONDS", 0.01)
    monkeypatch.setattr(trials, "cores", lambda: 2)
    made, trained = model(reference_ms=1.0), packaging_toy.trained(tmp_path / "trained")
    found = trials.attempt(made, trained, tmp_path, "reference", reference=None, given=given(200))
    assert len(found.raw) == found.rows == 200 and found.batch_independent
    assert [one.threads for one in made.made] == [1, 1, 1]  # one that is timed, and one a core
    alone = packaging_toy.ToyPredictor(made.made[0]._weights, "reference", packaging_toy.ToySettings())
    assert found.raw == [alone.predict([item])[0] for item in given(200).inputs]


def test_a_runtime_tells_how_far_it_is_from_the_reference(tmp_path: Path) -> None:
    made, trained = model(offered=("reference", "fast"), fast_error=0.2), packaging_toy.trained(tmp_path / "trained")
    tried, chosen = trials.trials(made, trained, tmp_path, ["reference", "fast"], given())
    assert chosen.runtime == "reference"
    assert (tried[0].largest_gap, tried[0].answers_alike) == (0.0, 1.0)
    assert tried[1].largest_gap == pytest.approx(0.2, abs=1e-6)
    assert tried[1].answers_alike is not None and tried[1].answers_alike < 1.0
    assert tried[1].agreement == 0.0 and not tried[1].within


def test_only_what_a_reader_needs_is_on_record() -> None:
    told = Tried("fast", 1, raw=[1], company=[(0, 1)]).as_json()
    assert not {"raw", "company", "spends"} & set(told) and {"load_seconds", "tokens_per_batch"} <= set(told)
