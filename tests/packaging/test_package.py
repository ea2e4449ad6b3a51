"""Building a package: which runtime is chosen, what is refused, what stays on record."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import packaging_toy
import pytest

from breakeven.artifacts import read_json, write_json
from breakeven.errors import BreakevenError, DataError, IntegrityError
from breakeven.packaging.package import build, identity, open_package
from breakeven.packaging.trials import Tried, choose
from breakeven.task import Cases, Predictor

BOTH = ("reference", "fast")


def tried(folder: Path) -> dict[str, dict[str, object]]:
    return {item["runtime"]: item for item in read_json(folder / "package.json")["runtimes"]["tried"]}


def test_the_record_says_what_was_packaged(make: Callable[..., Path]) -> None:
    info = read_json(make() / "package.json")
    assert (info["format"], info["candidate"], info["model"], info["model_version"]) == (1, "small", "toy", 1)
    assert info["task"] == "packaging_toy:ToyTask"
    assert info["calibration"] == {"power": 2.0, "fitted_on": 40}
    assert info["limits"] == {"max_inputs": 256, "max_bytes": 1_000_000}
    assert info["hardware"]["key"] and info["versions"]["breakeven"]
    assert isinstance(info["example"], str)


def test_a_faster_runtime_that_agrees_is_chosen_and_the_reference_stays(make: Callable[..., Path]) -> None:
    folder = make(offered=BOTH, reference_ms=0.5)
    runtimes = read_json(folder / "package.json")["runtimes"]
    assert (runtimes["reference"], runtimes["chosen"]) == ("reference", "fast")
    assert (folder / "reference").is_dir() and (folder / "fast").is_dir()
    found = tried(folder)
    assert found["fast"]["ms_per_case"] < found["reference"]["ms_per_case"]
    assert (found["fast"]["agreement"], found["fast"]["within"], found["fast"]["batch_independent"]) == (
        1.0,
        True,
        True,
    )


def test_a_faster_runtime_that_differs_is_dropped_and_its_record_kept(make: Callable[..., Path]) -> None:
    folder = make(offered=BOTH, reference_ms=0.5, fast_error=0.05)
    assert read_json(folder / "package.json")["runtimes"]["chosen"] == "reference"
    assert not (folder / "fast").exists()
    assert tried(folder)["fast"]["within"] is False and tried(folder)["fast"]["agreement"] < 0.99


def test_a_difference_within_the_tolerance_agrees(make: Callable[..., Path]) -> None:
    folder = make(offered=BOTH, reference_ms=0.5, fast_error=0.05, tolerance=0.06)
    assert read_json(folder / "package.json")["runtimes"]["chosen"] == "fast"


def test_a_runtime_whose_answers_depend_on_the_batch_is_dropped(make: Callable[..., Path]) -> None:
    folder = make(offered=BOTH, reference_ms=0.5, batch_error={"fast": 0.004})
    assert tried(folder)["fast"]["batch_independent"] is False
    assert read_json(folder / "package.json")["runtimes"]["chosen"] == "reference"


def test_a_runtime_that_fails_in_other_company_alone_is_dropped(make: Callable[..., Path]) -> None:
    folder = make(offered=BOTH, reference_ms=0.5, unsorted_error={"fast": 0.2})
    assert (tried(folder)["fast"]["within"], tried(folder)["fast"]["batch_independent"]) == (True, False)
    assert read_json(folder / "package.json")["runtimes"]["chosen"] == "reference"


def test_a_reference_whose_answers_depend_on_the_batch_is_refused(make: Callable[..., Path]) -> None:
    with pytest.raises(IntegrityError, match="depend on who else is in the batch"):
        make(batch_error={"reference": 0.004})


def test_a_runtime_that_cannot_be_exported_says_why_and_costs_nothing(make: Callable[..., Path]) -> None:
    folder = make(offered=BOTH, fast_broken=True)
    assert tried(folder)["fast"]["failed"] == "the exporter gave up"
    assert not (folder / "fast").exists()


def test_a_reference_that_cannot_be_exported_is_an_error(make: Callable[..., Path]) -> None:
    with pytest.raises(RuntimeError, match="the exporter gave up"):
        make(offered=("fast",), fast_broken=True)


def test_weights_that_are_not_finite_are_refused(make: Callable[..., Path]) -> None:
    with pytest.raises(IntegrityError, match="tensor 'w' holds a number that is infinite") as caught:
        make(diverged=True)
    assert caught.value.exit_code == 4


def test_weights_that_are_not_finite_may_be_allowed(make: Callable[..., Path]) -> None:
    assert (make(diverged=True, allow_not_finite=True, rows=1) / "package.json").is_file()


def test_answers_that_are_not_finite_are_refused(make: Callable[..., Path]) -> None:
    with pytest.raises(IntegrityError, match="answers that are infinite or not a number"):
        make(answer_nan=True)


@pytest.mark.parametrize(
    "name", ["model.pkl", "model.pth", "model.h5", "model.keras", "model.json", "model.npz", "run.py"]
)
def test_formats_that_can_run_code_are_refused(make: Callable[..., Path], name: str) -> None:
    with pytest.raises(IntegrityError, match="is of a kind that is not taken"):
        make(extra_file=name)


def test_no_validation_rows_is_a_data_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no validation rows"):
        build(
            packaging_toy.toy(), trained=tmp_path, folder=tmp_path / "p", candidate="small", model_name="toy", facts={},
            chain=None, cases=Cases([], []), task=packaging_toy.ToyTask(),
        )  # fmt: skip


def test_one_row_is_enough(make: Callable[..., Path]) -> None:
    assert tried(make(rows=1))["reference"]["agreement"] == 1.0


@pytest.mark.parametrize(
    ("reference_ms", "other_ms", "chosen"), [(1.0, 0.95, "reference"), (1.0, 0.5, "fast"), (1.0, 1.5, "reference")]
)
def test_a_difference_that_may_be_noise_keeps_the_reference(reference_ms: float, other_ms: float, chosen: str) -> None:
    found = choose(
        [
            Tried("reference", 1, ms_per_case=reference_ms, within=True, batch_independent=True),
            Tried("fast", 1, ms_per_case=other_ms, within=True, batch_independent=True),
        ]
    )
    assert found.runtime == chosen


def test_what_was_answered_while_building_is_what_the_opened_package_answers(tmp_path: Path) -> None:
    held = packaging_toy.cases(60)
    built = build(
        packaging_toy.toy(offered=BOTH, reference_ms=0.5), trained=packaging_toy.trained(tmp_path / "trained"),
        folder=tmp_path / "p", candidate="small", model_name="toy", facts={"classes": packaging_toy.CLASSES},
        chain=None, cases=held, task=packaging_toy.ToyTask(), seconds=0.02,
    )  # fmt: skip
    assert built.info["runtimes"]["chosen"] == "fast"
    with open_package(tmp_path / "p", task=packaging_toy.ToyTask()) as package:
        assert built.raw == package.raw(held.inputs)
        assert built.raw != package.predictor.predict(held.inputs)  # the calibration is in it


def test_identity_does_not_depend_on_when_or_how_fast_it_was_measured(make: Callable[..., Path]) -> None:
    first, second = make("one"), make("two")
    assert identity(first) == identity(second)
    info = read_json(second / "package.json")
    info["runtimes"]["tried"][0]["ms_per_case"] = 99.0
    info["hardware"]["key"] = "another"
    write_json(second / "package.json", info)
    assert identity(first) == identity(second)


def test_identity_depends_on_weights_and_calibration(make: Callable[..., Path]) -> None:
    first, second = make("one"), make("two", weight=1.01)
    assert identity(first) != identity(second)
    before = identity(first)
    info = read_json(first / "package.json")
    info["calibration"]["power"] = 3.0
    write_json(first / "package.json", info)
    assert identity(first) != before


def test_a_failed_build_names_a_place(make: Callable[..., Path]) -> None:
    with pytest.raises(BreakevenError) as caught:
        make(extra_file="weights.bin")
    assert caught.value.at.file is not None and caught.value.at.file.endswith("weights.bin")


class Appending:
    """A chain whose second application changes the input again."""

    def __init__(self, ending: str) -> None:
        self.ending = ending

    def apply(self, task: object, inputs: list[str]) -> list[str]:
        return [text + self.ending for text in inputs]

    def as_json(self) -> dict[str, object]:
        return {"format": 1, "chain": []}


@pytest.mark.parametrize(("ending", "kept"), [("", True), ("!", False)])
def test_rows_to_recheck_are_kept_only_where_a_second_transform_changes_nothing(
    make: Callable[..., Path], ending: str, kept: bool
) -> None:
    assert (make(chain=Appending(ending)) / "check.json").is_file() is kept


def test_a_model_whose_calls_cost_money_is_asked_once_a_row(tmp_path: Path) -> None:
    class Paid(packaging_toy.ToyPredictor):
        spends = True

    made: list[Paid] = []

    class PaidModel(packaging_toy.Toy):
        def load(self, folder: Path, runtime: str, *, threads: int) -> Predictor:
            weights = packaging_toy.load_file(folder / "weights.safetensors")["w"]
            made.append(Paid(weights, runtime, self.options))
            return made[-1]

    model = PaidModel(packaging_toy.ToySettings(), packaging_toy.ToyTask())
    built = build(
        model, trained=packaging_toy.trained(tmp_path / "trained"), folder=tmp_path / "p", candidate="small",
        model_name="toy", facts={"classes": packaging_toy.CLASSES}, chain=None, cases=packaging_toy.cases(30),
        task=packaging_toy.ToyTask(),
    )  # fmt: skip
    assert sum(sum(one.batches) for one in made) == 30
    assert built.info["runtimes"]["tried"][0]["batch_independent"]
    assert built.info["runtimes"]["threads"] == {"chosen": 1, "tried": []}
