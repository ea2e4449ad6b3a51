"""Numbers in sentences."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakeven.quantity import short


@pytest.mark.parametrize(("number", "figures", "said"), [
    (1163.7, 3, "1,160"), (999.6, 3, "1,000"), (0.004, 4, "0.004"), (4.44e-7, 3, "0.000000444"), (4e-05, 3, "0.00004"),
    (-12345.6, 4, "-12,350"), (0.0, 3, "0"), (12.0, 3, "12"),
])  # fmt: skip
def test_a_number_in_a_sentence_has_no_exponent(number: float, figures: int, said: str) -> None:
    assert short(number, figures) == said


@given(st.floats(1e-7, 1e12), st.integers(2, 6))
def test_what_is_said_is_the_number_to_its_figures(number: float, figures: int) -> None:
    said = short(number, figures)
    assert "e" not in said
    assert float(said.replace(",", "")) == pytest.approx(number, rel=0.51 * 10.0 ** (1 - figures))
