"""Present value and rates of return: published figures, two oracles, and what must hold for any flows."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakeven.economics.finance import irr, loan_payment, mirr, npv, payback, xirr, xnpv
from breakeven.errors import UsageError

XIRR = [
    (date(1992, 1, 1), -10000.0),
    (date(1992, 3, 1), 2750.0),
    (date(1992, 10, 30), 4250.0),
    (date(1993, 2, 15), 3250.0),
    (date(1993, 4, 1), 2750.0),
]


def test_npv() -> None:
    """numpy-financial documentation, npv: the first flow undiscounted."""
    assert npv(0.08, [-40000, 5000, 8000, 12000, 30000]) == pytest.approx(3065.22267, abs=5e-6)
    assert npv(0.1, [110], first_period=1) == pytest.approx(100)


@pytest.mark.parametrize(
    ("flows", "rates"),
    [
        ([-100, 39, 59, 55, 20], [0.28095]),
        ([-100, 0, 0, 74], [-0.0955]),
        ([-100, 100, 0, -7], [-0.6789, -0.0833]),
        ([-100, 240, -144], [0.2]),
        ([100, 50], []),
        ([-100], []),
        ([0, -100, 110, 0], [0.1]),
        ([-100, 50, 20], [-0.23765]),
    ],
)
def test_irr(flows: list[float], rates: list[float]) -> None:
    """numpy-financial documentation, irr; [-100, 100, 0, -7] has two roots above -100% and both are returned."""
    assert irr(flows) == pytest.approx(rates, abs=5e-5)


def test_irr_of_a_long_loan() -> None:
    level = loan_payment(200_000, 0.005, 360)
    assert irr([-200_000, *[level] * 360]) == pytest.approx([0.005], abs=1e-9)
    assert loan_payment(100, 0.0, 4) == 25


def test_mirr() -> None:
    """numpy-financial tests, mirr: finance 10%, reinvestment 12%."""
    assert mirr([-100, 50, -60, 70], finance=0.1, reinvest=0.12) == pytest.approx(-0.0390936659, abs=1e-10)


def test_xirr() -> None:
    """Published spreadsheet example of XIRR: ACT/365 from the first date."""
    assert xirr(XIRR) == pytest.approx([0.373363], abs=1e-6)
    assert xnpv(xirr(XIRR)[0], XIRR) == pytest.approx(0.0, abs=1e-8)
    assert xirr([(date(2026, 1, 1), 5.0)]) == []
    assert xirr([(date(2025, 1, 1), -1.0), (date(2026, 1, 1), 1.0)]) == pytest.approx([0.0], abs=1e-9)


def test_xirr_gives_every_root() -> None:
    start = date(2021, 1, 1)
    dated = [(start + timedelta(days=365 * year), flow) for year, flow in enumerate([-100.0, 100.0, 0.0, -7.0])]
    assert xirr(dated) == pytest.approx(irr([-100, 100, 0, -7]), abs=1e-9)


def test_a_root_on_the_grid_is_found() -> None:
    grid = np.linspace(np.log(1e-4), np.log(1e5), 4000)
    dated = [(date(2025, 1, 1), -float(np.exp(grid[2000]))), (date(2026, 1, 1), float(np.exp(grid[2000]) ** 2))]
    assert xirr(dated) == pytest.approx([float(np.expm1(grid[2000]))])


@pytest.mark.parametrize(
    ("flows", "rate", "periods"),
    [
        ([-100, 60, 60], 0.0, 2 - 20 / 60),
        ([-100, 50], 0.0, None),
        ([10, 5], 0.0, 0.0),
        ([-100, 110], 0.1, 1.0),
        ([-100, 200, -150, 100], 0.0, 2.5),
    ],
)
def test_payback(flows: list[float], rate: float, periods: float | None) -> None:
    assert payback(flows, rate=rate) == pytest.approx(periods)


@pytest.mark.parametrize(
    ("work", "said"),
    [
        (lambda: npv(-1.0, [1]), "above -1"),
        (lambda: npv(0.1, []), "at least one"),
        (lambda: irr([float("nan")]), "finite"),
        (lambda: mirr([1, 2], finance=0, reinvest=0), "one sign"),
        (lambda: mirr([-1, -2], finance=0, reinvest=0), "one sign"),
        (lambda: loan_payment(1, 0.1, 0), "at least 1 period"),
        (lambda: npv(float("nan"), [1]), "above -1"),
    ],
)
def test_what_cannot_be_computed(work: object, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        work()  # type: ignore[operator]


@given(st.lists(st.floats(1, 1000), min_size=1, max_size=30), st.floats(10, 5000))
def test_every_rate_makes_the_flows_worth_nothing(gains: list[float], cost: float) -> None:
    flows = [-cost, *gains]
    rates = irr(flows)
    assert len(rates) == 1  # one change of sign, one rate (Descartes)
    size = (cost + sum(gains)) * max(1.0, (1 + rates[0]) ** -len(gains))
    assert npv(rates[0], flows) == pytest.approx(0.0, abs=1e-5 * size)


@given(st.lists(st.floats(-100, 100).map(lambda flow: round(flow, 2)), min_size=2, max_size=12), st.floats(-0.5, 1.0))
def test_agrees_with_numpy_financial(flows: list[float], rate: float) -> None:
    oracle = pytest.importorskip("numpy_financial")
    assert npv(rate, flows) == pytest.approx(float(oracle.npv(rate, flows)), rel=1e-9, abs=1e-7)
    if any(flow > 0 for flow in flows) and any(flow < 0 for flow in flows):
        want = float(oracle.mirr(flows, 0.1, 0.12))
        assert mirr(flows, finance=0.1, reinvest=0.12) == pytest.approx(want, rel=1e-7, abs=1e-7)


@given(st.lists(st.tuples(st.integers(1, 4000), st.floats(1, 100)), min_size=1, max_size=10), st.floats(1, 1000))
def test_agrees_with_pyxirr(later: list[tuple[int, float]], cost: float) -> None:
    oracle = pytest.importorskip("pyxirr")
    start = date(2020, 1, 1)
    dated = [(start, -cost), *((start + timedelta(days=days), flow) for days, flow in later)]
    want = oracle.xirr([day for day, _ in dated], [flow for _, flow in dated])
    if want is not None and -0.999 < want < 1e4:
        assert xirr(dated) == pytest.approx([want], rel=1e-5, abs=1e-6)


def test_a_rate_beyond_all_reason_does_not_overflow() -> None:
    # A tiny outlay and cash from the first period: 1 + rate is about 8e9, and its 36th power no float.
    (rate,) = irr([-1e-8, 80.0] + [100.0] * 35)
    assert rate == pytest.approx(80.0 / 1e-8, rel=1e-6)
