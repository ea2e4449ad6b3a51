from __future__ import annotations

import pytest

from breakeven.artifacts import write_json
from breakeven.errors import ConfigError, IntegrityError
from breakeven.models import create
from breakeven.models.baseline import Majority, MajoritySettings
from breakeven.models.linear import Linear
from breakeven.task import ModelEntry


def test_answers_are_the_training_rates(task, context, reviews, tmp_path):
    model = Majority(MajoritySettings(), task)
    record = model.fit(*reviews, context)
    model.package(context.folder, tmp_path, "reference", [])
    predictor = model.load(tmp_path, "reference", threads=1)
    assert predictor.predict(["x", "y"]) == [[0.5, 0.5], [0.5, 0.5]]
    assert record["still_improving"] is False


def test_rates_that_do_not_add_up_are_refused(task, tmp_path):
    write_json(tmp_path / "majority.json", {"format": 1, "classes": ["a", "b"], "rates": [0.5, 0.7]})
    with pytest.raises(IntegrityError, match="do not sum to 1"):
        Majority(MajoritySettings(), task).load(tmp_path, "reference", threads=1)


@pytest.fixture
def table(task):
    entries = {"linear": ModelEntry("breakeven.models.linear:Linear")}
    task.model = entries.__getitem__
    return task


def test_create_checks_a_candidates_keys(table):
    assert isinstance(create(table, "linear", {"strength": [2]}), Linear)
    with pytest.raises(ConfigError, match=r"unknown key 'strenght'.*did you mean 'strength'"):
        create(table, "linear", {"strenght": [2]})
    with pytest.raises(ConfigError, match="max_features: found 3"):
        create(table, "linear", {"max_features": 3})
