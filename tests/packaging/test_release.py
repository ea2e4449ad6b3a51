"""Releases and decisions: everything is checked before anything is loaded, and nothing is overwritten."""

from __future__ import annotations

import contextlib
import os
import resource
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import packaging_toy
import pytest

from breakeven.artifacts import hash_tree, read_json, write_json
from breakeven.errors import Busy, EnvironmentFault, IntegrityError, UsageError
from breakeven.packaging import decisions, release, signing

TASK = packaging_toy.ToyTask()


def trust(key: Path) -> Path:
    return signing.public_path(key)


def test_a_release_opens_and_answers(make_release: Callable[..., Path], key: Path) -> None:
    opened = release.open_release(make_release(), trust(key))
    assert opened.id == f"toy-{opened.package[:12]}"
    with opened.open(task=TASK) as package:
        assert package.answer(package.raw(["aaaa"]), None) == ["yes"]


def test_a_release_holds_the_reference_and_the_chosen_runtime(make_release: Callable[..., Path]) -> None:
    folder = make_release(offered=("reference", "fast"), reference_ms=0.5)
    found = {path.name for path in (folder / "model").iterdir()}
    assert found == {"package.json", "check.json", "reference", "fast"}


def resigned(folder: Path, key: Path) -> None:
    files = hash_tree(folder, leave_out=("manifest.json", "model.sig"))
    write_json(folder / "manifest.json", {"format": 1, "files": files})
    signing.sign(folder, key)


def edit(folder: Path, name: str, **changes: Any) -> None:
    write_json(folder / name, {**read_json(folder / name), **changes})


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("release.json", {"format": 2}, "has format 2, this program knows 1"),
        ("release.json", {"format": "1"}, "'format' is missing"),
        ("release.json", {"id": None}, "'id' is missing"),
        ("release.json", {"package": "0" * 64}, "another package"),
        ("parity.json", {"agree": 7}, "7 of 8 rows agree"),
        ("parity.json", {"rows": 0, "agree": 0}, "0 of 0 rows agree"),
        ("parity.json", {"package": "0" * 64}, "receipt does not hold"),
        ("parity.json", {"release": "toy-000000000000"}, "receipt does not hold"),
    ],
)
def test_a_signed_release_whose_parts_do_not_fit_is_refused(
    make_release: Callable[..., Path], key: Path, name: str, changes: dict[str, Any], words: str
) -> None:
    folder = make_release()
    edit(folder, name, **changes)
    resigned(folder, key)
    with pytest.raises(IntegrityError, match=words):
        release.open_release(folder, trust(key))


@pytest.mark.parametrize("part", ["release.json", "MODEL_CARD.md", "parity.json", "manifest.json"])
def test_a_signed_release_that_lacks_a_part_is_refused(make_release: Callable[..., Path], key: Path, part: str) -> None:
    folder = make_release()
    (folder / part).unlink()
    signing.sign(folder, key)
    with pytest.raises(IntegrityError, match=f"{part}: is in the manifest and not on the disk"):
        release.open_release(folder, trust(key))


def test_a_signed_file_that_the_manifest_lacks_is_refused(make_release: Callable[..., Path], key: Path) -> None:
    folder = make_release()
    (folder / "model" / "added.json").write_text("{}")
    signing.sign(folder, key)
    with pytest.raises(IntegrityError, match=r"added\.json: is not in the manifest"):
        release.open_release(folder, trust(key))


def test_a_manifest_that_lies_is_refused(make_release: Callable[..., Path], key: Path) -> None:
    folder = make_release()
    manifest = read_json(folder / "manifest.json")
    manifest["files"]["MODEL_CARD.md"]["sha256"] = "0" * 64
    write_json(folder / "manifest.json", manifest)
    signing.sign(folder, key)
    with pytest.raises(IntegrityError, match=r"MODEL_CARD\.md: does not have the content"):
        release.open_release(folder, trust(key))


@pytest.mark.parametrize("files", [None, [], {"MODEL_CARD.md": "text"}])
def test_a_manifest_of_another_shape_is_refused(make_release: Callable[..., Path], key: Path, files: Any) -> None:
    folder = make_release()
    write_json(folder / "manifest.json", {"format": 1, "files": files})
    signing.sign(folder, key)
    with pytest.raises(IntegrityError, match="'files' is missing or of another kind"):
        release.open_release(folder, trust(key))


def test_an_unsigned_or_changed_release_is_refused_before_anything_is_loaded(
    make_release: Callable[..., Path], key: Path
) -> None:
    folder = make_release()
    weights = folder / "model" / "reference" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x00")
    with pytest.raises(IntegrityError, match=r"weights\.safetensors: does not have the content"):
        release.open_release(folder, trust(key))
    (folder / "model.sig").unlink()
    with pytest.raises(IntegrityError, match="is not signed"):
        release.open_release(folder, trust(key))


def test_an_archive_is_not_a_release(tmp_path: Path, key: Path) -> None:
    archive = tmp_path / "release.zip"
    archive.write_bytes(b"PK\x03\x04")
    with pytest.raises(IntegrityError, match="is not a folder"):
        release.open_release(archive, trust(key))


def test_a_package_with_links_is_not_copied_into_a_release(make: Callable[..., Path], tmp_path: Path) -> None:
    package = make()
    os.link(package / "reference" / "weights.safetensors", tmp_path / "same")
    with pytest.raises(IntegrityError, match="is a hard link"):
        release.copy_package(package, tmp_path / "release")


@contextlib.contextmanager
def files_no_larger_than(limit: int) -> Iterator[None]:
    """As on a full disk: a write beyond `limit` bytes fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_is_named_and_nothing_is_published(make: Callable[..., Path], tmp_path: Path, key: Path) -> None:
    package, releases = make(), tmp_path / "releases"
    with (
        pytest.raises(EnvironmentFault, match="cannot be written"),
        decisions.publishing(releases) as scratch,
        files_no_larger_than(64),
    ):
        release.copy_package(package, scratch / "release")
    assert not [path for path in releases.iterdir() if path.name != ".lock"]


def test_a_version_is_never_overwritten(tmp_path: Path) -> None:
    first, second, place = tmp_path / "1", tmp_path / "2", tmp_path / "releases" / "toy-0123456789ab"
    for folder in (first, second):
        folder.mkdir()
        (folder / "who").write_text(folder.name)
    release.publish(first, place)
    with pytest.raises(Busy, match="never overwritten") as caught:
        release.publish(second, place)
    assert caught.value.exit_code == 6
    assert (place / "who").read_text() == "1"


def test_of_two_publishers_one_wins(tmp_path: Path) -> None:
    inside, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with decisions.publishing(tmp_path / "releases"):
            inside.set()
            leave.wait(60)

    first = threading.Thread(target=hold)
    first.start()
    inside.wait(60)
    try:
        with pytest.raises(Busy, match="somebody else is publishing"), decisions.publishing(tmp_path / "releases"):
            pass
    finally:
        leave.set()
        first.join()
    with decisions.publishing(tmp_path / "releases") as scratch:
        assert scratch.is_dir()


def test_what_a_killed_publisher_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".new-left").mkdir()
    with decisions.publishing(tmp_path) as scratch:
        assert [path.name for path in tmp_path.glob(".new-*")] == [scratch.name]
    assert not list(tmp_path.glob(".new-*"))


class Publisher:
    """Publishes toy releases into one folder."""

    def __init__(self, root: Path, make_release: Callable[..., Path], key: Path) -> None:
        self.releases, self.make_release, self.key = root / "releases", make_release, key
        self.count = 0

    def ship(self, weight: float, **record: Any) -> str:
        self.count += 1
        folder = self.make_release(f"release-{self.count}", weight=weight)
        info = read_json(folder / "release.json")
        with decisions.publishing(self.releases) as scratch:
            if not (self.releases / info["id"]).exists():
                release.publish(folder, self.releases / info["id"])
            given = {"release": info["id"], "package": info["package"], "rule": {"threshold": 0.5}, **record}
            decisions.decide(self.releases, scratch, given, key=self.key)
        return str(info["id"])

    def withhold(self) -> None:
        with decisions.publishing(self.releases) as scratch:
            given = {"release": None, "package": None, "rule": None, "reasons": ["none pays"]}
            decisions.decide(self.releases, scratch, given, key=self.key)


@pytest.fixture
def publisher(tmp_path: Path, make_release: Callable[..., Path], key: Path) -> Publisher:
    return Publisher(tmp_path, make_release, key)


def test_the_newest_decision_is_current(publisher: Publisher, key: Path) -> None:
    first, second = publisher.ship(1.0), publisher.ship(1.1)
    found, decision = decisions.open_current(publisher.releases, trust(key))
    assert (found.id, decision.number, decision.rule) == (second, 2, {"threshold": 0.5})
    assert first != second
    former = publisher.releases / "decisions" / "1" / "decision.json"
    assert decision.info["previous"] == {"number": 1, "sha256": decisions.file_hash(former)}


def test_withholding_is_recorded_and_leaves_what_is_served(publisher: Publisher, key: Path) -> None:
    shipped = publisher.ship(1.0)
    publisher.withhold()
    assert decisions.open_current(publisher.releases, trust(key))[0].id == shipped
    assert read_json(publisher.releases / "current.json")["withheld"] == 2
    assert decisions.open_decision(publisher.releases, 2, trust(key)).release is None


def test_nothing_released_is_said(tmp_path: Path, publisher: Publisher, key: Path) -> None:
    with pytest.raises(UsageError, match="nothing has been released"):
        decisions.open_current(tmp_path / "releases", trust(key))
    publisher.withhold()
    with pytest.raises(UsageError, match="nothing has been released"):
        decisions.open_current(tmp_path / "releases", trust(key))


def test_a_changed_rule_is_refused(publisher: Publisher, key: Path) -> None:
    publisher.ship(1.0)
    edit(publisher.releases / "decisions" / "1", "decision.json", rule={"threshold": 0.0})
    with pytest.raises(IntegrityError, match=r"decision\.json: does not have the content"):
        decisions.open_current(publisher.releases, trust(key))


def test_an_old_decision_under_a_new_number_is_refused(publisher: Publisher, key: Path) -> None:
    publisher.ship(1.0)
    os.rename(publisher.releases / "decisions" / "1", publisher.releases / "decisions" / "9")
    edit(publisher.releases, "current.json", decision=9)
    with pytest.raises(IntegrityError, match="is decision 1 under the number 9"):
        decisions.open_current(publisher.releases, trust(key))


def test_another_release_under_the_decided_name_is_refused(publisher: Publisher, key: Path) -> None:
    first, second = publisher.ship(1.0), publisher.ship(1.1)
    os.rename(publisher.releases / second, publisher.releases / "aside")
    os.rename(publisher.releases / first, publisher.releases / second)
    with pytest.raises(IntegrityError, match="another package"):
        decisions.open_current(publisher.releases, trust(key))


@pytest.mark.parametrize("pointer", [{"decision": "../../1"}, {"decision": True, "format": 9}])
def test_a_pointer_that_points_nowhere_is_refused(publisher: Publisher, key: Path, pointer: dict[str, Any]) -> None:
    publisher.ship(1.0)
    edit(publisher.releases, "current.json", **pointer)
    with pytest.raises(IntegrityError, match=r"current\.json"):
        decisions.open_current(publisher.releases, trust(key))


@pytest.mark.parametrize("changes", [{"rule": "majority"}, {"release": None}, {"decision": "withhold"}])
def test_a_signed_decision_that_contradicts_itself_is_refused(
    publisher: Publisher, key: Path, changes: dict[str, Any]
) -> None:
    publisher.ship(1.0)
    folder = publisher.releases / "decisions" / "1"
    edit(folder, "decision.json", **changes)
    signing.sign(folder, key)
    with pytest.raises(IntegrityError, match="'release' is missing or of another kind"):
        decisions.open_decision(publisher.releases, 1, trust(key))


def test_a_release_name_that_leads_outside_is_refused(publisher: Publisher, key: Path) -> None:
    publisher.ship(1.0)
    folder = publisher.releases / "decisions" / "1"
    edit(folder, "decision.json", release="../elsewhere-0123456789ab")
    signing.sign(folder, key)
    with pytest.raises(IntegrityError, match="'release' is missing or of another kind"):
        decisions.open_current(publisher.releases, trust(key))


def test_old_releases_are_pruned_and_never_the_current(publisher: Publisher, key: Path) -> None:
    shipped = [publisher.ship(weight) for weight in (1.0, 1.1, 1.2)]
    publisher.ship(1.0)
    assert decisions.prune(publisher.releases, 2) == [shipped[1]]
    assert decisions.prune(publisher.releases, 1) == [shipped[2]]
    assert decisions.open_current(publisher.releases, trust(key))[0].id == shipped[0]
    assert decisions.numbers(publisher.releases) == [1, 2, 3, 4]


def test_pruning_takes_no_folder_that_is_no_release(publisher: Publisher) -> None:
    first, _ = publisher.ship(1.0), publisher.ship(1.1)
    (publisher.releases / first / "release.json").unlink()
    (publisher.releases / "mine").mkdir()
    assert decisions.prune(publisher.releases, 1) == []
    assert (publisher.releases / "mine").is_dir() and (publisher.releases / first).is_dir()


def test_the_page_on_releases_names_every_part_and_kind() -> None:
    from breakeven.packaging.contents import KINDS
    from breakeven.packaging.opened import SHAPE

    page = (Path(__file__).parents[2] / "docs" / "releases.md").read_text(encoding="utf-8")
    shown = {"meters", "candidate"}  # what package.json repeats from the task and the file
    missing = [name for name in (*release.PARTS, *KINDS, *(set(SHAPE) - shown)) if name not in page]
    assert missing == []
    for part in (*release.PARTS, *decisions.DECISIONS.split(), decisions.CURRENT, decisions.DECISION):
        assert part in page
