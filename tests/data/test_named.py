"""Persons and places: by presidio over a model made here of a few rules, so that nothing is fetched."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from breakeven.data import named
from breakeven.errors import EnvironmentFault
from tests.data.folder import Folder, csv_of, sentences

NEEDED = importlib.util.find_spec("presidio_analyzer") is not None
needs_presidio = pytest.mark.skipif(not NEEDED, reason="needs the extra pii")


def model(folder: Path, language: str, person: str, place: str) -> str:
    import spacy

    made = spacy.blank(language)
    rules = [{"label": "PERSON", "pattern": person}, {"label": "GPE", "pattern": place}]
    made.add_pipe("entity_ruler").add_patterns(rules)
    made.to_disk(folder / language)
    return str(folder / language)


@pytest.mark.skipif(NEEDED, reason="the extra is installed")
def test_names_need_the_extra() -> None:
    with pytest.raises(EnvironmentFault, match=r"pip install 'breakeven\[pii\]'"):
        named.count(["Bob went to Paris"])


@needs_presidio
def test_persons_and_places_are_counted(tmp_path: Path) -> None:
    texts = ["Bob went to Paris", "Bob again", "nothing here", "王小明去了北京"]
    assert named.count(texts, model(tmp_path, "en", "Bob", "Paris")) == ({"person": 2, "location": 1}, 1)
    assert named.count(texts, model(tmp_path, "zh", "王小明", "北京")) == ({"person": 1, "location": 1}, 3)


@needs_presidio
def test_process_counts_them_and_says_that_they_are_not_masked(tmp_path: Path) -> None:
    rows = [(f"Bob from Paris says {text}", label) for text, label in sentences(60)] + [("王小明 去了", "good")]
    (tmp_path / "data.csv").write_text(csv_of(rows), encoding="utf-8")
    process = {"personal_names": model(tmp_path, "en", "Bob", "Paris")}
    folder = Folder(tmp_path, {"source": "data.csv"}, process).run()
    assert folder.report()["personal_data"] == {"person": 60, "location": 60}
    found = folder.findings("process")
    assert "60 persons; 60 places" in str(found["names-found"]) and "personal-data" not in found
    assert found["names-unread"].fields["texts"] == 1


@needs_presidio
def test_a_model_that_is_not_here_is_named_and_not_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import spacy

    monkeypatch.setattr(spacy.cli, "download", None)
    for wanted in ("xx_none_sm", str(tmp_path)):
        with pytest.raises(EnvironmentFault, match=r"no spaCy model .* is installed here.*python -m spacy download"):
            named.count(["Bob"], wanted)
    if not spacy.util.get_installed_models():
        with pytest.raises(EnvironmentFault, match=r"no spaCy model '-' is installed here"):
            named.count(["Bob"])
