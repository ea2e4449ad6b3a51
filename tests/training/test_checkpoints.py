from __future__ import annotations

import os

import pytest
import torch

from breakeven.errors import IntegrityError
from breakeven.training.checkpoints import Checkpoints


@pytest.fixture
def three(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=3)
    for step in (10, 20, 30):
        checkpoints.save(step, {"w": torch.full((4,), float(step))}, {"seconds": 0.1 * step})
    return checkpoints


def flip(path, at=-1):
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(bytes(data))


def test_the_newest_comes_back_whole(three):
    found = three.newest()
    assert found.step == 30
    assert found.tensors["w"].tolist() == [30.0] * 4
    assert found.facts == {"seconds": 3.0}


def test_order_is_by_step_whatever_the_clock_says(three):
    os.utime(three.folder / "step-000000030", (0, 0))
    os.utime(three.folder / "step-000000010", (2e9, 2e9))
    assert three.newest().step == 30


@pytest.mark.parametrize("file", ["state.safetensors", "state.json"])
@pytest.mark.parametrize("damage", ["flipped", "truncated", "emptied", "removed"])
def test_a_damaged_file_of_the_newest_falls_back_to_the_one_before(three, file, damage):
    path = three.folder / "step-000000030" / file
    if damage == "flipped":
        flip(path, len(path.read_bytes()) // 2)
    elif damage == "truncated":
        path.write_bytes(path.read_bytes()[:-7])
    elif damage == "emptied":
        path.write_bytes(b"")
    else:
        path.unlink()
    assert three.newest().step == 20


def test_all_corrupt_stops_and_deletes_nothing(three):
    for folder in three.folder.iterdir():
        flip(folder / "state.safetensors")
    before = sorted(path for path in three.folder.rglob("*"))
    with pytest.raises(IntegrityError, match=r"none of 3 checkpoints can be trusted.*nothing was deleted"):
        three.newest()
    assert sorted(path for path in three.folder.rglob("*")) == before


def test_what_a_killed_save_left_is_not_a_checkpoint(three):
    aside = three.folder / ".step-000000040.999"
    aside.mkdir()
    (aside / "state.safetensors").write_bytes(b"half")
    assert three.newest().step == 30


def test_only_the_newest_are_kept(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    for step in (1, 2, 3, 10):
        checkpoints.save(step, {"w": torch.zeros(1)}, {})
    assert checkpoints.steps() == [3, 10]


def test_none_is_no_checkpoint(tmp_path):
    assert Checkpoints(tmp_path / "absent").newest() is None
