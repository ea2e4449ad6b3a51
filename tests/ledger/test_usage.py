from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakeven.errors import InputError
from breakeven.ledger import Ledger, clock, open_ledger
from breakeven.ledger.events import Charge

HOURS = 4
TIMES = st.integers(0, HOURS * clock.HOUR)


customers = (f"customer {number}" for number in itertools.count())


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    with open_ledger(Path(tmp_path_factory.mktemp("usage")) / "ledger.sqlite") as opened:
        yield opened


@given(times=st.lists(TIMES, max_size=30), stretches=st.lists(st.tuples(TIMES, TIMES), min_size=1, max_size=5))
def test_any_stretch_of_time_is_the_sum_of_its_events(
    shared: Ledger, times: list[int], stretches: list[tuple[int, int]]
) -> None:
    customer = shared.customers.add(next(customers)).id
    shared.record([Charge(customer, {"answers": 1 + number}, time=time) for number, time in enumerate(times)])
    for start, end in stretches:
        expected = sum(1 + number for number, time in enumerate(times) if start <= time < end)
        assert sum(row["quantity"] for row in shared.usage(customer, start, end)) == expected


def test_times_are_read_as_people_write_them(ledger: Ledger) -> None:
    ledger.record([Charge("c", {"answers": 1}, time=clock.moment("2026-03-01T00:30:00+01:00", "t") or 0)])
    assert sum(row["quantity"] for row in ledger.usage(None, "2026-02-28", "2026-03-01")) == 1
    assert ledger.usage(None, "2026-03-01", None) == []
    with pytest.raises(InputError, match="ISO 8601"):
        ledger.usage(None, "yesterday")


@pytest.mark.parametrize(("period", "days"), [("2028-02", 29), ("2026-02", 28), ("2026-12", 31)])
def test_months_have_their_days(period: str, days: int) -> None:
    start, end = clock.month_bounds(period)
    assert (end - start) / clock.DAY == days
    assert clock.month(start) == clock.month(end - 1) == period
