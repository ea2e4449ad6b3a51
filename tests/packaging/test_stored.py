"""What an earlier program released stays what a later one can verify, open and answer with.

`stored/format-1` was written by version 0.1.0: a release, and the decision that ships it. It is never written again; a
new format gets a folder of its own beside it.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from breakeven.artifacts import read_json, write_json
from breakeven.errors import IntegrityError
from breakeven.packaging.decisions import open_current
from breakeven.packaging.recheck import from_json

STORED = Path(__file__).parent / "stored"
FORMATS = sorted(path.name for path in STORED.iterdir() if path.is_dir())


@pytest.mark.parametrize("name", FORMATS)
def test_a_stored_release_is_verified_opened_and_answers_as_it_did(name: str) -> None:
    release, decision = open_current(STORED / name, STORED / f"{name}.pub")
    assert (release.info["product"], decision.release) == ("stored", release.id)
    check = read_json(release.model / "check.json")
    with release.open() as package:
        answered = package.predictor.predict(package.prepare([package.parse(one) for one in check["inputs"]]))
        expected = from_json(package.scoring, check["outputs"])
        assert all(package.task.agree(one, other, 1e-6) for one, other in zip(answered, expected, strict=True))
        assert set(package.answer(package.raw(check["inputs"]), decision.rule)) <= {"good", "bad"}


@pytest.mark.parametrize(
    "part", ["release.json", "parity.json", "manifest.json", "model/package.json", "MODEL_CARD.md"]
)
def test_a_stored_release_with_one_part_changed_is_refused(tmp_path: Path, part: str) -> None:
    shutil.copytree(STORED / "format-1", tmp_path / "releases")
    (folder,) = (tmp_path / "releases").glob("stored-*")
    path = folder / part
    if path.suffix == ".json":
        write_json(path, {**read_json(path), "format": 99})
    else:
        path.write_text(path.read_text() + " ")
    with pytest.raises(IntegrityError, match="releases"):
        open_current(tmp_path / "releases", STORED / "format-1.pub")
