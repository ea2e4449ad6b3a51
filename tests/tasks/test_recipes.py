"""Recipes write a whole project and never touch what is there."""

from __future__ import annotations

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from breakeven import recipes
from breakeven.errors import UsageError
from breakeven.stages import collect, process
from breakeven.tasks import find


@pytest.mark.parametrize("name", recipes.names())
def test_every_recipe_fits_the_schema_and_its_task(name: str, tmp_path: Path) -> None:
    written = recipes.write(name, tmp_path / "project")
    assert {path.name for path in written} == {"breakeven.yaml", "README.md", "README.zh-CN.md", ".gitignore"}
    data = YAML(typ="safe").load(tmp_path / "project" / "breakeven.yaml")
    assert recipes.has_model(name) == ("product" in data)
    if not recipes.has_model(name):
        assert set(data) == {"version", "business"}
        return
    task = find(data["product"]["task"])
    settings = collect.Settings(**data["collect"])
    collect.checked_roles(settings.fields.roles(), task)
    process.Settings(**data["process"])
    assert all(source.sha256 and source.kind == "package" for source in settings.named().values())
    assert settings.rights == "not established"
    assert [task.model(item["model"]) for item in data["train"]["candidates"]]


def test_describe_gives_name_title_and_summary() -> None:
    rows = recipes.describe()
    assert [row["name"] for row in rows] == recipes.names() == ["plan", "sentiment", "sentiment-zh"]
    assert all(row["title"] and row["summary"] for row in rows)


def test_recipes_are_described_in_the_language_of_the_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    english = recipes.describe()
    monkeypatch.setenv("BREAKEVEN_LANG", "zh")
    chinese = recipes.describe()
    assert [row["name"] for row in chinese] == [row["name"] for row in english]
    assert "35,000 条真实的中文购物评论" in chinese[2]["summary"] and "行" in chinese[1]["summary"]


def test_a_project_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    recipes.write("sentiment", tmp_path)
    assert (tmp_path / "README.md").read_text() == "mine"
    with pytest.raises(UsageError, match=r"there is a project already"):
        recipes.write("sentiment", tmp_path)


def test_an_unknown_recipe_suggests_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no recipe 'sentimnt'.*did you mean 'sentiment'"):
        recipes.write("sentimnt", tmp_path)


def test_an_unknown_recipe_that_is_near_none_suggests_none(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"one of plan, sentiment, sentiment-zh") as caught:
        recipes.write("regression", tmp_path)
    assert "did you mean" not in str(caught.value)
