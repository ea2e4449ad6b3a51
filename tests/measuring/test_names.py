"""Names in the evaluate section are checked before anything is trained for them."""

from __future__ import annotations

import pytest

from breakeven.errors import ConfigError
from breakeven.measuring.names import check_columns


def test_a_payoff_on_a_column_that_no_field_plays_is_told_before_anything_runs() -> None:
    check_columns({"correct": 0.02, "wrong": "-1.0 * amount"}, ["amount"])
    with pytest.raises(ConfigError, match="no numeric column 'abc'") as caught:
        check_columns({"correct": 0.02, "wrong": "abc"}, ["amount"])
    assert caught.value.at.field == "evaluate.payoff.wrong"
