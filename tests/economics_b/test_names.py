"""The public names of the documents load from the package itself."""

from __future__ import annotations

import pytest

from breakeven import economics


@pytest.mark.parametrize("name", ["Money", "CapTable", "price_round", "distribute", "irr", "fit_survivors"])
def test_names_load_on_first_use(name: str) -> None:
    assert getattr(economics, name).__name__ == name
    assert set(economics.__all__) <= set(economics._HOMES)
