"""A package on another machine: checked once, remembered beside the releases, never believed blindly."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import packaging_toy
import pytest

from breakeven.artifacts import hash_tree, read_json, write_json
from breakeven.errors import EnvironmentFault, IntegrityError
from breakeven.packaging import recheck
from breakeven.packaging.opened import Package

TASK = packaging_toy.ToyTask()
Make = Callable[..., Path]


def here(folder: Path, beside: Path | None = None) -> Package:
    return recheck.open_here(folder, beside=beside, task=TASK)


def edit(folder: Path, **changes: Any) -> Path:
    write_json(folder / "package.json", {**read_json(folder / "package.json"), **changes})
    return folder


def elsewhere(folder: Path, **settings: Any) -> Path:
    """As if another machine had measured it; `settings` make the model behave differently here than there."""
    info = read_json(folder / "package.json")
    hardware = {**info["hardware"], "key": "cpu-of-another-make-64c", "isa": ["avx2", "amx_bf16"]}
    return edit(folder, hardware=hardware, settings={**info["settings"], **settings})


@pytest.fixture
def two(make: Make) -> Path:
    """A package with a reference and a chosen runtime."""
    return make(offered=("reference", "fast"), reference_ms=0.5)


@pytest.fixture
def beside(tmp_path: Path) -> Path:
    return tmp_path / "releases" / recheck.HERE


def test_where_it_was_measured_nothing_is_checked_or_kept(two: Path, beside: Path) -> None:
    with here(two, beside) as package:
        assert (package.here, package.runtime) == ({}, "fast")
    assert not beside.exists()


def test_a_runtime_that_holds_here_is_kept_and_the_next_start_checks_nothing(two: Path, beside: Path) -> None:
    elsewhere(two)
    before = hash_tree(two)
    with here(two, beside) as package:
        assert (package.runtime, package.here["fell_back"]) == ("fast", False)
        assert package.here["agree"] == package.here["rows"] == 8
        assert package.here["ms_chosen"] < package.here["ms_reference"]
    assert hash_tree(two) == before  # nothing is written into what was signed
    (kept,) = beside.iterdir()
    assert {"created", "threads", "runtime", "agree", "moved"} <= set(read_json(kept))
    with here(two, beside) as package:
        assert package.here["remembered"] and package.runtime == "fast"
        assert package.predictor.batches == []  # it was asked nothing


def test_a_runtime_that_differs_here_gives_way_to_the_reference_at_every_start(two: Path, beside: Path) -> None:
    elsewhere(two, fast_error=0.2)
    with here(two, beside) as package:
        assert (package.runtime, package.here["fell_back"], package.here["reason"]) == ("reference", True, "parity")
        right = package.raw(["aaaa"])
    with here(two, beside) as package:
        assert (package.runtime, package.here["fell_back"], package.here["remembered"]) == ("reference", True, True)
        assert package.raw(["aaaa"]) == right


def test_a_runtime_that_is_slower_here_gives_way(make: Make, beside: Path) -> None:
    folder = elsewhere(make(offered=("reference", "fast"), reference_ms=1.0), reference_ms=0.0, fast_ms=1.0)
    with here(folder, beside) as package:
        assert (package.runtime, package.here["reason"]) == ("reference", "slower")
        assert package.here["ms_chosen"] > package.here["ms_reference"]


def test_a_runtime_that_cannot_be_loaded_here_gives_way(two: Path, beside: Path) -> None:
    """A machine without the kernels or the library that the chosen one needs."""
    elsewhere(two)
    packaging_toy.save_file({"other": packaging_toy.np.zeros(2)}, two / "fast" / "weights.safetensors")
    for _ in range(2):
        with here(two, beside) as package:
            assert (package.runtime, package.here["reason"]) == ("reference", "unloadable")
            assert "cannot be loaded" in package.here["why"]


def test_a_runtime_that_opens_and_cannot_answer_here_gives_way(two: Path, beside: Path) -> None:
    """A machine whose processor lacks an instruction tells so at the first answer, not at opening."""
    elsewhere(two, fast_raises=True)
    for _ in range(2):
        with here(two, beside) as package:
            assert (package.runtime, package.here["reason"]) == ("reference", "unable")
            assert package.here["why"] == "RuntimeError: no such instruction"
            assert package.here["agree"] == package.here["rows"] == 8
            assert len(package.raw(["aaaa"])) == 1


def test_where_it_was_measured_a_broken_runtime_is_an_error(two: Path, beside: Path) -> None:
    packaging_toy.save_file({"other": packaging_toy.np.zeros(2)}, two / "fast" / "weights.safetensors")
    with pytest.raises(IntegrityError, match="runtime 'fast' cannot be loaded"):
        here(two, beside)


def test_a_reference_that_cannot_be_loaded_is_an_error_anywhere(make: Make, beside: Path) -> None:
    folder = elsewhere(make())
    packaging_toy.save_file({"other": packaging_toy.np.zeros(2)}, folder / "reference" / "weights.safetensors")
    with pytest.raises(IntegrityError, match="runtime 'reference' cannot be loaded"):
        here(folder, beside)


@pytest.mark.parametrize("fast_raises", [False, True])
def test_where_nothing_agrees_it_is_not_served_and_nothing_is_kept(two: Path, beside: Path, fast_raises: bool) -> None:
    elsewhere(two, fast_raises=fast_raises)
    check = read_json(two / "check.json")
    check["outputs"]["p"]["values"] = [[0.5, 0.5] for _ in check["outputs"]["p"]["values"]]
    write_json(two / "check.json", check)
    with pytest.raises(EnvironmentFault, match="gives other answers on this machine"):
        here(two, beside)
    assert not beside.exists()


@pytest.mark.parametrize("change", ["package", "threads", "versions"])
def test_another_package_thread_count_or_version_is_checked_anew(two: Path, beside: Path, change: str) -> None:
    elsewhere(two)
    here(two, beside).close()
    threads = 1
    if change == "package":
        elsewhere(two, weight=1.0001)
    elif change == "versions":
        edit(two, versions={**read_json(two / "package.json")["versions"], "numpy": "1.0"})
    else:
        threads = 2
    with recheck.open_here(two, threads=threads, beside=beside, task=TASK) as package:
        assert "remembered" not in package.here
    assert len(list(beside.iterdir())) == 2


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": 99, "runtime": "fast"}', '{"format": 1}',
                                     '{"format": 1, "runtime": "../../elsewhere"}'])  # fmt: skip
def test_a_record_that_cannot_be_believed_is_made_anew(two: Path, beside: Path, content: str) -> None:
    elsewhere(two)
    here(two, beside).close()
    (kept,) = beside.iterdir()
    kept.write_text(content)
    with here(two, beside) as package:
        assert "remembered" not in package.here and package.runtime == "fast"
    assert read_json(kept)["runtime"] == "fast"


def test_releases_that_cannot_be_written_to_are_checked_and_served(two: Path, beside: Path) -> None:
    elsewhere(two)
    beside.parent.mkdir()
    beside.symlink_to("/proc/nothing")  # where root cannot write either
    for _ in range(2):
        with here(two, beside) as package:
            assert package.here["checked"] and "remembered" not in package.here
