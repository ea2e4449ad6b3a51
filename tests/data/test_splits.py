"""Sides by key: even, stable, and the same on every machine."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakeven.data.splits import by_hash, keyed, stratified, temporal


def test_the_hash_is_fixed_forever() -> None:
    expected = [0.566562, 0.407514, 0.349513]
    assert keyed(["1", "abc", "书"], 0).round(6).tolist() == expected


@given(st.lists(st.text(max_size=20), min_size=1, max_size=30), st.integers(0, 2**31))
def test_a_key_is_hashed_alike_in_any_company(keys: list[str], seed: int) -> None:
    together = keyed(keys, seed)
    assert [keyed([key], seed)[0] for key in keys] == together.tolist()
    assert ((together >= 0) & (together < 1)).all()


@pytest.mark.parametrize("keys", [[str(n) for n in range(20_000)], [f"user-{n}" for n in range(20_000)]])
def test_sides_get_their_shares(keys: list[str]) -> None:
    sides = by_hash(keys, 0.2, 0.1, seed=3)
    for side, share in (("train", 0.7), ("validation", 0.2), ("test", 0.1)):
        assert (sides == side).mean() == pytest.approx(share, abs=0.01)


def test_another_seed_is_another_split() -> None:
    keys = [str(n) for n in range(2000)]
    one, other = by_hash(keys, 0.2, 0.2, 0), by_hash(keys, 0.2, 0.2, 1)
    assert 0.3 < (one == other).mean() < 0.6


def test_stratified_keeps_equal_keys_together() -> None:
    keys = [str(n // 2) for n in range(400)]
    sides = stratified(keys, ["a", "b"] * 200, 0.25, 0.25, 0)
    assert all(sides[n] == sides[n + 1] for n in range(0, 400, 2))


def test_equal_times_stay_together() -> None:
    sides = temporal(pl.Series([1, 1, 2, 2, 3, 3, 3, 4]), 0.25, 0.25)
    assert sides.to_list() == ["train"] * 4 + ["validation"] * 3 + ["test"]
