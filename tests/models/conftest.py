"""Fixtures of the models' tests."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))  # the tiny BERT

from model_fakes import Fitting, cases, context, plain_task, reviews, task  # noqa: F401
from tiny_weights import opinions, tiny_bert


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bert(tmp_path_factory.mktemp("weights") / "tiny")


@pytest.fixture(scope="session")
def trained(tmp_path_factory, tiny):
    """(folder, model) of a small encoder; nobody writes to them."""
    from breakeven.models.encoder import Encoder, EncoderSettings

    options = {"epochs": 6, "batch_tokens": 64, "learning_rate": 5e-3, "bf16": False, "max_length": 32}
    made = Fitting(tmp_path_factory.mktemp("trained"))
    model = Encoder(EncoderSettings(weights=str(tiny), **options), plain_task())
    model.fit(cases(*opinions(150)), cases(*opinions(60, seed=1)), made)
    return made.folder, model
