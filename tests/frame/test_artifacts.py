"""The store: whole or not at all, hashed, and honest about what changed."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from breakeven.artifacts import (
    HashCache,
    Manifest,
    Store,
    fingerprint,
    hash_tree,
    read_json,
    replace_folder,
    verify_tree,
    write_atomic,
    write_json,
)  # fmt: skip
from breakeven.errors import EnvironmentFault, IntegrityError


def test_fingerprints_do_not_depend_on_order_and_refuse_nan() -> None:
    assert fingerprint({"a": 1, "b": [1, 2]}) == fingerprint({"b": [1, 2], "a": 1})
    assert fingerprint({"a": 1}) != fingerprint({"a": 2})
    with pytest.raises(ValueError, match="not JSON compliant"):
        fingerprint({"a": float("nan")})


def test_a_write_is_whole_or_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b.json"
    write_json(path, {"x": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"x": float("inf")})
    assert read_json(path) == {"x": 1}
    assert [item.name for item in path.parent.iterdir()] == ["b.json"]


def test_a_write_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(EnvironmentFault, match="cannot be written"):
        write_atomic(tmp_path / "file" / "below", "x")


def test_modes_hold_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        write_atomic(tmp_path / "secret", b"x", mode=0o600)
    finally:
        os.umask(before)
    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600


def test_broken_json_is_an_integrity_error(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text("[" * 100_000)
    with pytest.raises(IntegrityError, match="not the JSON that was written"):
        read_json(path)


def test_a_block_that_fails_leaves_the_former_artifact(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with store.scratch(store.folder("train/a")) as scratch:
        (scratch / "x").write_text("old")
    with pytest.raises(RuntimeError, match="boom"), store.scratch(store.folder("train/a")) as scratch:
        (scratch / "x").write_text("new")
        raise RuntimeError("boom")
    assert (tmp_path / "train" / "a" / "x").read_text() == "old"
    assert not list((tmp_path / "scratch").iterdir())


def test_a_kill_between_the_two_renames_is_healed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with store.scratch(store.folder("train/a")) as scratch:
        (scratch / "x").write_text("old")
    (tmp_path / "train" / "a").rename(tmp_path / "train" / ".a.old-77")
    store.clean()
    assert (tmp_path / "train" / "a" / "x").read_text() == "old"
    (tmp_path / "train" / ".a.old-78").mkdir()
    store.clean()
    assert [item.name for item in (tmp_path / "train").iterdir()] == ["a"]


def test_a_tree_is_verified_file_by_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "c").write_text("2")
    files = hash_tree(tmp_path)
    assert set(files) == {"a", "b/c"}
    verify_tree(tmp_path, files)
    (tmp_path / "extra").write_text("")
    with pytest.raises(IntegrityError, match="not in the manifest"):
        verify_tree(tmp_path, files)
    (tmp_path / "extra").unlink()
    (tmp_path / "a").write_text("9")
    with pytest.raises(IntegrityError, match="does not have the content"):
        verify_tree(tmp_path, files)
    (tmp_path / "a").unlink()
    with pytest.raises(IntegrityError, match="not on the disk"):
        verify_tree(tmp_path, files)
    (tmp_path / "a").symlink_to("b/c")
    with pytest.raises(IntegrityError, match="link or a device"):
        hash_tree(tmp_path)


def test_a_manifest_of_a_newer_program_is_refused(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps({"format": 99}))
    with pytest.raises(IntegrityError, match="has format 99, this program knows 1"):
        Manifest.read(tmp_path)


def test_a_manifest_of_format_1_stays_readable(tmp_path: Path) -> None:
    # Written by the first version; a later program must keep reading it, and ignore keys it does not know.
    old = {"step": "collect", "fingerprint": "f", "inputs": {}, "needs": {}, "files": {}, "created": "2026-11-22",
           "seconds": 1.0, "versions": {}, "format": 1, "something_else": 1}  # fmt: skip
    (tmp_path / "manifest.json").write_text(json.dumps(old))
    manifest = Manifest.read(tmp_path)
    assert manifest is not None and manifest.step == "collect"


def test_hashes_are_remembered_until_the_file_changes(tmp_path: Path) -> None:
    path, cache = tmp_path / "data.csv", tmp_path / "cache" / "hashes.json"
    path.write_text("one")
    first = HashCache(cache)
    digest = first.hash(path)
    first.save()
    identity = json.loads(cache.read_text())[str(path)]
    cache.write_text(json.dumps({str(path): [*identity[:3], "remembered"]}))
    assert HashCache(cache).hash(path) == "remembered"
    path.write_text("two!")
    assert HashCache(cache).hash(path) not in ("remembered", digest)


def test_replacing_keeps_one_whole(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "old").mkdir()
    (tmp_path / "new" / "x").write_text("new")
    replace_folder(tmp_path / "new", tmp_path / "old")
    assert (tmp_path / "old" / "x").read_text() == "new"
    with pytest.raises(EnvironmentFault, match="cannot be written"):
        replace_folder(tmp_path / "nothing", tmp_path / "old" / "x" / "below")
