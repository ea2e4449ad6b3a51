"""Transforms: the same change for a table and for one request, kept as JSON."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakeven import transforms
from breakeven.errors import ConfigError, IntegrityError
from breakeven.task import load_reference
from breakeven.tasks import find
from breakeven.transforms import Chain

TASK = find("text-classification")
BOTH = ["normalise", "mask_personal_data"]


@pytest.mark.parametrize(("text", "normal"), [
    ("  a \t b  ", "a b"), ("e\u0301", "é"), ("a\r\n\r\n b", "a\nb"), ("a\u200bb\ufeff", "ab"), ("a\x07b", "ab"),
    ("书　好", "书 好"), ("a\u202eb", "ab"), ("👨\u200d👩", "👨\u200d👩"), ("", ""),
])  # fmt: skip
def test_the_normal_form(text: str, normal: str) -> None:
    assert Chain.fit(["normalise"], TASK, []).apply(TASK, [text]) == [normal]


@given(st.text())
def test_normalising_twice_changes_nothing_more(text: str) -> None:
    chain = Chain.fit(["normalise"], TASK, [])
    once = chain.apply(TASK, [text])
    assert chain.apply(TASK, once) == once
    assert unicodedata.is_normalized("NFC", once[0])


@given(st.lists(st.text(max_size=40), max_size=8))
def test_a_table_and_single_requests_get_the_same(texts: list[str]) -> None:
    chain = Chain.fit(BOTH, TASK, texts)
    assert chain.apply(TASK, texts) == [chain.apply(TASK, [text])[0] for text in texts]


def test_the_chain_survives_its_file(tmp_path: Path) -> None:
    chain = Chain.fit(["normalise", {"mask_personal_data": {"kinds": ["mail"]}}], TASK, ["a"])
    chain.write(tmp_path / "transforms.json")
    read = Chain.read(tmp_path / "transforms.json")
    assert read.as_json() == chain.as_json()
    assert read.apply(TASK, [" a@b.cn  10.0.0.1 "]) == ["[mail] 10.0.0.1"]


def test_the_order_is_the_declared_one() -> None:
    hidden = "a\u200b@b.cn"
    assert Chain.fit(BOTH, TASK, []).apply(TASK, [hidden]) == ["[mail]"]
    assert Chain.fit(BOTH[::-1], TASK, []).apply(TASK, [hidden]) == ["a@b.cn"]


def test_inputs_are_not_changed_in_place() -> None:
    inputs = [" a "]
    Chain.fit(BOTH, TASK, inputs).apply(TASK, inputs)
    assert inputs == [" a "]


def test_unknown_names_and_newer_files_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"no transform 'normalize'.*did you mean 'normalise'"):
        Chain.fit(["normalize"], TASK, [])
    with pytest.raises(ConfigError, match=r"\['mails'\]|mails is no kind of personal data"):
        Chain.fit([{"mask_personal_data": {"kinds": ["mails"]}}], TASK, [])
    with pytest.raises(IntegrityError, match=r"has format 99"):
        Chain.from_json({"format": 99, "chain": []})
    with pytest.raises(IntegrityError, match=r"kept in version 7"):
        Chain.from_json({"format": 1, "chain": [{"name": "normalise", "version": 7, "settings": {}, "state": {}}]})


def test_settings_a_transform_does_not_have_are_a_config_error() -> None:
    with pytest.raises(ConfigError, match=r"transform .normalise. does not take these settings"):
        Chain.fit([{"normalise": {"speed": 1}}], TASK, [])
    with pytest.raises(ConfigError, match=r"one name and its settings"):
        Chain.fit([{"normalise": {}, "mask_personal_data": {}}], TASK, [])


@pytest.mark.parametrize("name", sorted(transforms.TABLE))
def test_every_entry_of_the_table_loads_and_states_its_version(name: str) -> None:
    assert load_reference(transforms.TABLE[name]).version >= 1
