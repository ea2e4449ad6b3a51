"""A real project, served by the real command: what is kept, and the drift that is read from it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from breakeven.errors import IntegrityError, UsageError
from breakeven.packaging.decisions import open_current
from breakeven.project import Project
from breakeven.stages.train import fields_of
from breakeven.watching.reference import read, reference
from tests.small_shop import make, predict, run, served, texts

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = make(tmp_path_factory.mktemp("shop"), rows=900)
    run(root, "run")
    return root


def test_a_deployment_makes_the_reference_from_the_answers_of_the_evaluation(shop: Path, tmp_path: Path) -> None:
    (file,) = (shop / "artifacts" / "watching").iterdir()
    root = tmp_path / "shop"
    shutil.copytree(shop, root)
    shutil.rmtree(root / "artifacts" / "watching")
    project = Project(root)
    release, decision = open_current(root / "releases", root / "keys" / "release.pub")
    anew = reference(project.store, release, decision, task=project.task, fields=fields_of(project.setup()))
    found = read(file)
    assert found.rows == anew.rows > 100
    assert file.name == next((root / "artifacts" / "watching").iterdir()).name
    for name, values in anew.numbers.items():
        assert sorted(found.numbers[name]) == pytest.approx(sorted(values), abs=1e-5)
    assert sorted(found.kinds["label"]) == sorted(anew.kinds["label"])


def test_requests_like_the_training_rows_do_not_drift_and_others_do(shop: Path) -> None:
    run(shop, "customers", "add", "acme", "--consent", "yes")
    key = json.loads(run(shop, "keys", "create", "--customer", "acme", "--json").stdout)["secret"]
    few = json.loads(run(shop, "drift", "--json").stdout)
    assert (few["drift"], [finding["code"] for finding in few["findings"]]) == (False, ["drift-too-few"])
    with served(shop) as server:
        predict(server["url"], key, [text for text, _ in texts(240, 2)])
        predict(server["url"], key, ["kept to the end"])
    like = json.loads(run(shop, "drift", "--json").stdout)
    assert (like["drift"], like["rows"]["rows"]) == (False, 241)
    assert {item["column"] for item in like["statistics"]} == {"length", "probability", "script", "label", "text"}
    (line,) = json.loads(run(shop, "inputs", "--json").stdout)
    assert (line["cases"], line["release"]) == (241, like["release"])

    with served(shop) as server:
        predict(server["url"], key, [f"这部电影非常糟糕 {text}" for text, _ in texts(250, 3, words=14)])
        # While the server owns the ledger, the commands go through it; what it has not written yet is not there.
        while json.loads(run(shop, "inputs", "--json").stdout)[0]["cases"] < 491:
            pass
        gone = run(shop, "drift", code=1)
    assert "length has drifted" in gone.stderr and "text has drifted" in gone.stderr
    kept = run(shop, "inputs", "--out", "-").stdout
    assert len(kept.splitlines()) == 491
    (line,) = json.loads(run(shop, "inputs", "--out", str(shop / "kept.jsonl"), "--json").stdout)
    assert line["cases"] == 491 and (shop / "kept.jsonl").read_text(encoding="utf-8") == kept

    run(shop, "customers", "terms", "acme", "--consent", "no")
    assert "nothing is kept" in run(shop, "inputs").stdout


def test_the_reference_is_made_from_the_releases_own_rows_and_leaves_it_as_it_was(shop: Path, tmp_path: Path) -> None:
    root = tmp_path / "shop"
    shutil.copytree(shop, root)
    shutil.rmtree(root / "artifacts" / "watching", ignore_errors=True)
    project = Project(root)
    fields = fields_of(project.setup())
    before = {path: path.read_bytes() for path in (root / "releases").rglob("*") if path.is_file()}

    def made() -> int:
        release, decision = open_current(root / "releases", root / "keys" / "release.pub")
        return reference(project.store, release, decision, task=project.task, fields=fields).rows

    rows = made()
    assert rows > 100
    assert {path: path.read_bytes() for path in (root / "releases").rglob("*") if path.is_file()} == before
    with (root / "reviews.csv").open("a") as stream:
        stream.writelines(f"{text},{label}\n" for text, label in texts(50, 9))
    run(root, "run", "process")
    assert made() == rows  # kept, though the rows have changed since
    (file,) = (root / "artifacts" / "watching").iterdir()
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(IntegrityError, match="reference of drift"):
        made()
    file.unlink()
    with pytest.raises(UsageError, match="no longer here"):
        made()
