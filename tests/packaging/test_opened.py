"""Opening a package: checked before it is loaded, and the same answers in any batch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import packaging_toy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakeven.artifacts import read_json, write_json
from breakeven.errors import ConfigError, EnvironmentFault, IntegrityError
from breakeven.packaging.opened import Package, batches, open_package
from breakeven.transforms import Chain

TASK = packaging_toy.ToyTask()


def opened(folder: Path, **keywords: Any) -> Package:
    return open_package(folder, task=TASK, **keywords)


def edit(folder: Path, **changes: Any) -> Path:
    write_json(folder / "package.json", {**read_json(folder / "package.json"), **changes})
    return folder


def test_answers_are_calibrated_decided_and_rendered(make: Callable[..., Path]) -> None:
    with opened(make()) as package:
        raw = package.raw(["aaaa", "zzzz"])
        assert [round(sum(row), 9) for row in raw] == [1.0, 1.0]
        p = 1 / (1 + 2.718281828459045 ** (-1.2))
        assert raw[0][1] == pytest.approx(p**2 / (p**2 + (1 - p) ** 2), abs=1e-6)
        assert package.answer(raw, None) == ["yes", "no"]
        assert package.answer(raw, {"threshold": 0.99}) == ["no", "no"]
        outputs = package.render(raw, package.answer(raw, None))
        assert outputs[0]["label"] == "yes"
        assert package.usage(["aaaa", "zzzz"], outputs) == {"answers": 2}


def test_long_lists_are_answered_in_batches_and_in_order(make: Callable[..., Path]) -> None:
    inputs = packaging_toy.cases(300).inputs
    with opened(make()) as package:
        together = package.raw(inputs)
        assert together == [package.raw([item])[0] for item in inputs]
        assert package.raw([]) == []
        assert package.sizes(["ab", "abcd"]) == [2, 4]


def test_transforms_are_packaged_and_applied_to_requests(make: Callable[..., Path]) -> None:
    chain = Chain.fit(["mask_personal_data"], TASK, ["a"])
    with opened(make(chain=chain)) as package:
        assert package.prepare(["write to me@example.org"]) != ["write to me@example.org"]


def test_the_reference_can_be_asked_for(make: Callable[..., Path]) -> None:
    folder = make(offered=("reference", "fast"), reference_ms=0.5)
    assert opened(folder).runtime == "fast"
    assert opened(folder, runtime="reference").runtime == "reference"
    with pytest.raises(IntegrityError, match="no runtime 'onnx'"):
        opened(folder, runtime="onnx")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"format": 2}, "has format 2, this program knows 1"),
        ({"format": None}, "'format' is missing"),
        ({"model_version": 7}, "made by version 7 of the model 'toy'"),
        ({"task_version": 7}, "made by version 7 of the task"),
        ({"task": "other"}, "is for task 'other'"),
        ({"facts": []}, "'facts' is missing or of another kind"),
        ({"settings": {"unknown": 1}}, "'settings' is missing"),
        ({"runtimes": {"reference": "../..", "chosen": "../.."}}, "'runtimes.reference' is missing"),
    ],
)
def test_a_record_that_does_not_hold_is_refused(make: Callable[..., Path], changes: dict[str, Any], words: str) -> None:
    with pytest.raises(IntegrityError, match=words):
        opened(edit(make(), **changes))


def test_a_task_that_no_table_knows_is_not_imported_on_the_package_s_word(make: Callable[..., Path]) -> None:
    with pytest.raises(ConfigError, match="packaging_toy"):
        open_package(make())


def test_a_folder_that_is_no_package(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match=r"there is no package\.json"):
        opened(tmp_path)


def test_broken_json_and_weights_are_integrity_errors(make: Callable[..., Path]) -> None:
    folder = make()
    weights = folder / "reference" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-3])
    with pytest.raises(IntegrityError, match="is broken"):
        opened(folder)
    (folder / "package.json").write_text("[" * 100_000)
    with pytest.raises(IntegrityError, match="is not the JSON that was written"):
        opened(folder)


def test_what_a_framework_raises_on_a_wrong_file_is_an_integrity_error(make: Callable[..., Path]) -> None:
    folder = make()
    packaging_toy.save_file({"other": packaging_toy.np.zeros(2)}, folder / "reference" / "weights.safetensors")
    with pytest.raises(IntegrityError, match="runtime 'reference' cannot be loaded"):
        opened(folder)


def test_where_it_was_measured_nothing_is_checked_again(make: Callable[..., Path]) -> None:
    result = opened(make()).check_here()
    assert (result["moved"], result["checked"]) == ([], False)


def elsewhere(folder: Path) -> Path:
    info = read_json(folder / "package.json")
    return edit(folder, hardware={**info["hardware"], "key": "another-machine"})


def test_on_other_hardware_a_runtime_that_agrees_and_is_faster_stays(make: Callable[..., Path]) -> None:
    package = opened(elsewhere(make(offered=("reference", "fast"), reference_ms=0.5)))
    result = package.check_here()
    assert result["checked"] and result["agree"] == result["rows"] and not result["fell_back"]
    assert package.runtime == "fast"


def test_on_other_hardware_a_runtime_that_differs_falls_back(make: Callable[..., Path]) -> None:
    folder = elsewhere(make(offered=("reference", "fast"), reference_ms=0.5))
    info = read_json(folder / "package.json")
    package = opened(edit(folder, settings={**info["settings"], "fast_error": 0.2}))
    result = package.check_here()
    assert (result["fell_back"], result["reason"], package.runtime) == (True, "parity", "reference")
    assert package.raw(["aaaa"])[0][1] < 0.95


def test_on_other_hardware_a_runtime_that_is_slower_falls_back(make: Callable[..., Path]) -> None:
    folder = elsewhere(make(offered=("reference", "fast"), reference_ms=1.0))
    info = read_json(folder / "package.json")
    package = opened(edit(folder, settings={**info["settings"], "reference_ms": 0.0}))
    package._predictor = Slow(package._predictor)
    assert package.check_here()["reason"] == "slower"


class Slow(packaging_toy.Predictor):
    """Another predictor's answers, late."""

    def __init__(self, other: Any) -> None:
        self.other = other

    def predict(self, inputs: list[Any]) -> list[Any]:
        packaging_toy.time.sleep(0.002)
        return list(self.other.predict(inputs))


def test_on_hardware_where_nothing_agrees_it_is_not_served(make: Callable[..., Path]) -> None:
    folder = elsewhere(make())
    check = read_json(folder / "check.json")
    check["outputs"]["p"]["values"] = [[0.5, 0.5] for _ in check["outputs"]["p"]["values"]]
    write_json(folder / "check.json", check)
    with pytest.raises(EnvironmentFault, match="gives other answers on this machine"):
        opened(folder).check_here()


def test_where_neither_runtime_agrees_it_is_not_served(make: Callable[..., Path]) -> None:
    folder = elsewhere(make(offered=("reference", "fast"), reference_ms=0.5))
    check = read_json(folder / "check.json")
    check["outputs"]["p"]["values"] = [[0.5, 0.5] for _ in check["outputs"]["p"]["values"]]
    write_json(folder / "check.json", check)
    package = opened(folder)
    with pytest.raises(EnvironmentFault, match="gives other answers on this machine"):
        package.check_here()
    assert package.runtime == "fast"


def test_a_reference_that_differs_does_not_replace_a_runtime_that_agrees(make: Callable[..., Path]) -> None:
    folder = elsewhere(make(offered=("reference", "fast"), reference_ms=0.5))
    weights = folder / "reference" / "weights.safetensors"
    packaging_toy.save_file({"w": packaging_toy.np.array([9, 9], packaging_toy.np.float32)}, weights)
    package = opened(folder)
    package._predictor = Slow(package._predictor)
    assert package.check_here()["fell_back"] is False
    assert package.runtime == "fast"


def test_another_library_version_is_checked_as_another_machine_is(make: Callable[..., Path]) -> None:
    folder = make()
    package = opened(edit(folder, versions={"numpy": "1.0", "breakeven": "0.0.1"}))
    result = package.check_here()
    assert result["checked"] and [entry.split(":")[0] for entry in result["moved"]] == ["breakeven", "numpy"]


@pytest.mark.parametrize("content", [{}, {"inputs": 5, "outputs": {}}, {"inputs": ["a"], "outputs": {"p": 1}}])
def test_a_check_of_another_shape_is_an_integrity_error(make: Callable[..., Path], content: dict[str, Any]) -> None:
    folder = elsewhere(make())
    write_json(folder / "check.json", content)
    with pytest.raises(IntegrityError, match=r"check\.json: is not as a package's record must be"):
        opened(folder).check_here()


@given(st.lists(st.integers(0, 3000), max_size=200), st.integers(1, 64), st.integers(1, 2048))
def test_batches_hold_every_case_once_and_keep_their_limits(sizes: list[int], most: int, size: int) -> None:
    found = batches(sizes, len(sizes), cases=most, size=size)
    assert sorted(index for batch in found for index in batch) == list(range(len(sizes)))
    for batch in found:
        assert len(batch) <= most
        assert len(batch) == 1 or len(batch) * max(sizes[i] for i in batch) <= size


def test_batches_without_sizes_keep_the_order() -> None:
    assert batches(None, 5, cases=2) == [[0, 1], [2, 3], [4]]
