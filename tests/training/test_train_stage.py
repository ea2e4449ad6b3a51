"""The train stage over a table of rows on disk, with the real cases and transforms."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from pydantic import ValidationError

from breakeven import pipeline
from breakeven.artifacts import HashCache, Store, read_json, write_json
from breakeven.errors import ConfigError, DataError
from breakeven.stages import train
from breakeven.tasks import find
from breakeven.transforms import Chain


def processed(folder: Path, *, splits=("train", "validation", "test")) -> None:
    import polars as pl

    rows = []
    for split in splits:
        for number in range(30):
            label = "good" if number % 2 else "bad"
            word = "love" if number % 2 else "hate"
            rows.append(
                {
                    "_id": f"{split}{number}",
                    "_split": split,
                    "_unit": str(number),
                    "text": f"I {word}  THIS {number}",
                    "label": label,
                }
            )
    folder.mkdir(parents=True, exist_ok=True)
    pl.DataFrame(rows).write_parquet(folder / "rows.parquet")
    task = find("text-classification")
    write_json(folder / "transforms.json", Chain.fit(["normalise"], task, [row["text"] for row in rows]).as_json())


def setup_of(root: Path, *candidates, **section):
    settings = train.Settings.model_validate({"candidates": list(candidates), **section})
    collect = SimpleNamespace(fields={"inputs": ["text"], "target": "label"}, limit=1000)
    return pipeline.Setup(root, SimpleNamespace(train=settings, collect=collect), find("text-classification"), 3)


def execute(setup, root):
    store = Store(root / "artifacts")
    process = pipeline.Step("process", 1, lambda context: processed(context.folder))
    steps = [process, *train.STAGE.steps(setup)]
    planned = pipeline.plan(steps, store, HashCache(root / "hashes.json"))
    ran = pipeline.run(planned, setup, store, pipeline.Quiet())
    return store, ran, pipeline.plan(steps, store, HashCache(root / "hashes.json"))


MAJORITY = {"name": "majority", "model": "majority"}
LINEAR = {"name": "linear", "model": "linear", "strength": [4.0]}


def test_each_candidate_leaves_a_record(tmp_path):
    store, ran, planned = execute(setup_of(tmp_path, MAJORITY, LINEAR), tmp_path)
    assert ran == ["process", "train/majority", "train/linear"]
    assert {item.state for item in planned} == {"fresh"}
    record = read_json(store.folder("train/linear") / "training.json")
    assert record["validation"]["accuracy"] == 1.0
    assert {"candidate", "model", "seconds", "steps", "stopped", "still_improving", "history", "base", "parameters",
            "hardware", "versions", "machine_seconds"} <= set(record)  # fmt: skip
    assert record["versions"]["scikit-learn"]


def test_models_see_transformed_text(tmp_path):
    store, _, _ = execute(setup_of(tmp_path, LINEAR), tmp_path)
    words = read_json(store.folder("train/linear") / "vocabulary.json")[0]
    assert "i love" in words
    assert not [word for word in words if "  " in word]


def test_only_what_a_candidate_reads_makes_it_stale(tmp_path):
    execute(setup_of(tmp_path, MAJORITY, LINEAR), tmp_path)
    _, ran, _ = execute(setup_of(tmp_path, MAJORITY, {**LINEAR, "strength": [1.0]}), tmp_path)
    assert ran == ["train/linear"]
    _, ran, _ = execute(
        setup_of(tmp_path, MAJORITY, {**LINEAR, "strength": [1.0]}, {**MAJORITY, "name": "again"}), tmp_path
    )
    assert ran == ["train/again"]
    _, ran, _ = execute(setup_of(tmp_path, MAJORITY, budget={"minutes": 5}), tmp_path)
    assert ran == []  # neither of them trains by steps


def test_the_budget_is_divided_by_shares_among_those_that_train_by_steps():
    full = SimpleNamespace(trains_by_steps=lambda: True)
    quick = SimpleNamespace(trains_by_steps=lambda: False)
    names = [{**MAJORITY, "name": name} for name in ("a", "b", "c")]
    settings = train.Settings.model_validate({"candidates": names, "budget": {"minutes": 4, "shares": {"b": 3}}})
    assert train.budgets(settings, {"a": full, "b": full, "c": quick}) == {"a": 60.0, "b": 180.0, "c": None}
    free = train.Settings.model_validate({"candidates": names, "budget": {"minutes": None}})
    assert train.budgets(free, {"a": full, "b": full, "c": quick}) == dict.fromkeys("abc")


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"candidates": [MAJORITY, MAJORITY]}, "used twice: majority"),
        ({"candidates": [{**MAJORITY, "name": "A b"}]}, "pattern"),
        ({"candidates": []}, "at least 1"),
        ({"candidates": [MAJORITY], "budget": {"shares": {"linear": 2}}}, "unknown: linear"),
        ({"candidates": [MAJORITY], "budget": {"shares": {"majority": 0}}}, "above 0"),
        ({"candidates": [MAJORITY], "budget": {"minutes": 0}}, "greater than 0"),
    ],
)
def test_settings_that_cannot_be_meant(section, words):
    with pytest.raises(ValidationError, match=words):
        train.Settings.model_validate(section)


def test_a_wrong_key_of_a_candidate_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"unknown key 'strenght'.*did you mean 'strength'"):
        train.STAGE.steps(setup_of(tmp_path, {**LINEAR, "strenght": 1}))


def test_no_validation_rows_is_said(tmp_path):
    setup = setup_of(tmp_path, MAJORITY)
    store = Store(tmp_path / "artifacts")
    process = pipeline.Step("process", 1, lambda context: processed(context.folder, splits=("train",)))
    planned = pipeline.plan([process, *train.STAGE.steps(setup)], store, HashCache(tmp_path / "h.json"))
    with pytest.raises(DataError, match="no rows are left in the split 'validation'"):
        pipeline.run(planned, setup, store, pipeline.Quiet())
    assert not store.folder("train/majority").exists()


def test_checkpoints_go_only_when_their_artifact_is_committed(tmp_path):
    store, _, planned = execute(setup_of(tmp_path, MAJORITY), tmp_path)
    digest = planned[-1].fingerprint
    done, unfinished = store.root / "checkpoints" / "done", store.root / "checkpoints" / "unfinished"
    other = store.root / "checkpoints" / "other"
    for folder, mark in ((done, digest), (other, "f" * 64)):
        write_json(folder / train.FINISHED, {"step": "train/majority", "fingerprint": mark, "at": "now"})
    unfinished.mkdir()
    execute(setup_of(tmp_path, MAJORITY, LINEAR), tmp_path)
    assert not done.exists()
    assert unfinished.is_dir()
    assert other.is_dir()


def test_the_estimate_states_every_candidate(tmp_path):
    rows = train.estimate(setup_of(tmp_path, MAJORITY, LINEAR))
    assert [row["step"] for row in rows] == ["train/majority", "train/linear"]
    assert all({"minutes", "memory_gb", "download_mb", "money"} <= set(row) for row in rows)
    assert rows[1]["minutes"] > rows[0]["minutes"]
