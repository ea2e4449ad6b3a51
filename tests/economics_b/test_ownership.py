from datetime import date
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

import breakeven.economics as economics
from breakeven.economics.cap_events import IssueConvertible
from breakeven.economics.cap_sections import CapTableSettings
from breakeven.economics.captable import CapTable
from breakeven.economics.exits import exit_curves, open_safes
from breakeven.economics.ownership import Planned, of_run
from breakeven.economics.plan import BusinessPlan
from breakeven.economics.securities import Safe
from breakeven.economics.waterfall import Claim, ExitSafe, distribute
from breakeven.errors import UsageError

M = 1_000_000
DAY = date(2025, 1, 1)
EVENTS = [
    {"kind": "issue", "date": "2025-01-01", "holder": "Ann", "shares": 6 * M},
    {"kind": "issue", "date": "2025-01-01", "holder": "Bob", "shares": 3 * M},
    {"kind": "pool", "date": "2025-01-01", "shares": M},
]
SEED = {"kind": "priced", "pre_money": 8 * M}
PLAN = {
    "months": 12,
    "scenarios": 200,
    "cash": 10_000_000,
    "price": {"per_customer": 100},
    "customers": {"start": 1000, "new_per_month": {"low": 0, "high": 40}},
    "exit": {"arr_multiple": 20},
    "cap_table": {"start": "2026-01-01", "events": EVENTS},
}


def planned(*funding, **more):
    return {**PLAN, **more, "funding": list(funding)}


def test_without_rounds_the_founders_get_what_their_shares_do():
    owned = economics.simulate(PLAN).ownership
    assert owned.founders == ("Ann", "Bob") and owned.exit_day == date(2027, 1, 1)
    # The free pool gets nothing at an exit, so the two share all of it.
    assert owned.share().value == pytest.approx(1.0)
    assert [step.event for step in owned.steps] == ["shares, pool"]
    assert owned.steps[0].holders == {"Ann": 0.6, "Bob": 0.3, "pool": 0.1}


def test_a_round_that_closes_dilutes_and_its_money_reaches_the_cash():
    seed = {"name": "seed", "amount": 2 * M, "month": 4, "closed": True, "terms": SEED}
    plan, bare = economics.simulate(planned(seed)), economics.simulate(PLAN)
    assert plan.run.mean["cash"][4] - bare.run.mean["cash"][4] == pytest.approx(2 * M)
    owned = plan.ownership
    # 2 on 8 pre-money is a fifth of everything; of the issued shares 9/11.5.
    assert owned.steps[-1].holders["seed"] == pytest.approx(0.2)
    assert owned.steps[-1].date == date(2026, 4, 1) and owned.steps[-1].planned
    assert owned.share().value == pytest.approx(9 / 11.5)
    assert owned.chances == {"seed": 1.0}


def test_in_each_scenario_only_the_rounds_that_close_there_count():
    """Every scenario against its own table, computed alone and exactly."""
    angel = {"name": "angel", "amount": M, "month": 2, "probability": 0.5, "terms": {"kind": "safe", "cap": 5 * M}}
    seed = {"name": "seed", "amount": 3 * M, "month": 6, "probability": 0.4, "terms": {**SEED, "pool_target": 0.1}}
    loan = {"name": "bridge", "amount": 500_000, "month": 3, "probability": 0.5}
    note = {**loan, "terms": {"kind": "note", "maturity_months": 24, "rate": 0.06, "discount": 0.2}}
    plan = economics.simulate(planned(seed, angel, note))
    owned, made = plan.ownership, plan.run.outcomes
    ahead = Planned(plan.settings, plan.settings.cap_table.table())
    patterns = made["rounds_closed"].astype(int)
    assert set(patterns) == set(range(8))
    for n in range(40):
        state = ahead.table(int(patterns[n])).state()
        exact = state.exit(Fraction(made["exit_value"][n]), owned.exit_day)
        paid = float(exact.of("Ann") + exact.of("Bob"))
        assert owned.founders_payout[n] == pytest.approx(paid, rel=1e-9)
    assert 0.3 < owned.chances["angel"] < 0.7


def test_a_round_behind_a_milestone_closes_where_it_was_met():
    gate = {"name": "traction", "metric": "customers", "value": 1080, "by": 5}
    seed = {"name": "seed", "amount": 2 * M, "month": 6, "needs": "traction", "terms": SEED}
    plan = economics.simulate(planned(seed, milestones=[gate]))
    closed = plan.run.outcomes["rounds_closed"] == 1.0
    share = plan.ownership.founders_share
    assert 0.1 < closed.mean() < 0.9
    assert np.allclose(share[closed], 9 / 11.5) and np.allclose(share[~closed], 1.0)
    beyond = economics.simulate(planned({**seed, "month": 30, "needs": None, "closed": True}))
    assert beyond.ownership.chances == {"seed": 0.0}


def test_ruin_leaves_the_founders_nothing():
    plan = economics.simulate({**PLAN, "cash": 1000, "other_per_month": -200_000})
    assert plan.run.probability("ruin_month")[0] == 1.0
    assert plan.ownership.payout().value == 0.0 and plan.ownership.share() is None
    assert not any(line.code == "summary-exit" for line in economics.summary(plan, economics.assess(plan)))


def test_without_an_exit_the_table_is_shown_and_no_share():
    plan = economics.simulate({key: value for key, value in PLAN.items() if key != "exit"})
    data = plan.as_json()["cap_table"]
    assert data["exit"]["founders_share"] is None and data["exit"]["founders_payout"] is None
    assert len(data["exit"]["values"]) == len(data["exit"]["payout"]["Ann"]) == 41


def test_the_payouts_of_the_picture_add_up_to_the_exit_and_the_plan_says_the_share():
    seed = {"name": "seed", "amount": 2 * M, "month": 4, "closed": True, "terms": {**SEED, "participates": True}}
    plan = economics.simulate(planned(seed))
    data = plan.as_json()["cap_table"]["exit"]
    assert np.allclose(np.sum(list(data["payout"].values()), axis=0), data["values"])
    line = next(line for line in economics.summary(plan, economics.assess(plan)) if line.code == "summary-exit")
    assert "sold after 12 months, the founders get" in str(line)


def test_every_kind_of_event_stands_in_the_file():
    told = [
        *EVENTS,
        {"kind": "class", "date": "2025-01-02", "name": "P", "multiple": 2, "seniority": 1},
        {"kind": "issue", "date": "2025-01-02", "holder": "aunt", "shares": 100, "stock_class": "P", "price": "1.50"},
        {"kind": "promise", "date": "2025-01-03", "holder": "hire", "shares": 1000, "id": "p"},
        {"kind": "grant", "date": "2025-01-04", "holder": "hire", "shares": 400, "promise": "p", "id": "g"},
        {"kind": "grant", "date": "2025-01-04", "holder": "cto", "shares": 4800, "vesting": {"cliff": 0}},
        {"kind": "exercise", "date": "2025-02-01", "security": "g", "shares": 100},
        {"kind": "transfer", "date": "2025-02-01", "security": "issue-2", "to": "trust", "shares": 1000},
        {"kind": "cancel", "date": "2025-02-02", "security": "p"},
        {"kind": "safe", "date": "2025-02-02", "investor": "angel", "amount": 10000, "cap": 4 * M},
        {"kind": "note", "date": "2025-02-02", "id": "n", "amount": 10000, "maturity_months": 12},
        {"kind": "split", "date": "2025-02-03", "numerator": 2},
        {"kind": "priced", "date": "2025-06-01", "name": "Seed", "pre_money": 8 * M, "amount": 2 * M},
    ]
    vested = {"kind": "issue", "date": "2025-01-01", "holder": "Eve", "shares": 48, "vesting": {"start": "2024-01-01"}}
    table = CapTableSettings.model_validate({"events": [vested, *told], "founders": ["Ann"]}).table()
    held = table.state().by_holder()
    assert held["trust"] == 2000 and held["hire"] == 800 and held["aunt"] == 200
    assert held["angel"] > 0 and held["n"] > 0 and held["Seed"] > 0
    assert table.state(date(2025, 1, 31)).grants["grant-9"].vested(date(2025, 3, 1)) == 100


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({}, "events or ocf, one of them"),
        ({"events": EVENTS, "ocf": "x"}, "events or ocf, one of them"),
        ({"events": [{**EVENTS[0], "shares": 0}]}, "greater than 0"),
        ({"events": [*EVENTS, {**EVENTS[0], "date": "2024-01-01"}]}, "events that can have happened, not"),
        ({"events": EVENTS, "start": "2024-01-01"}, "start on or after the last event"),
        ({"events": [{"kind": "exercise", "date": "2025-01-01", "security": "a"}]}, "shares in exercise"),
        ({"events": [{"kind": "cancel", "date": "2025-01-01", "security": "a", "to": "b"}]}, "and only there"),
        ({"events": [{"kind": "split", "date": "2025-13-01", "numerator": 2}]}, "date"),
    ],
)
def test_a_table_that_cannot_be_meant_is_refused(section, said):
    with pytest.raises(ValidationError, match=said):
        CapTableSettings.model_validate(section)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"funding": [{"name": "x", "amount": 1, "terms": SEED}], "cap_table": None}, "a cap_table where a round"),
        ({"funding": [{"name": "x", "amount": {"low": 1, "high": 2}, "terms": SEED}]}, "one certain amount"),
        ({"funding": [{"name": "x", "kind": "loan", "amount": 1, "terms": SEED}]}, "one certain amount"),
        ({"funding": [{"name": "x", "amount": 1, "terms": {"kind": "safe", "discount": 2}}]}, "discount"),
    ],
)
def test_terms_that_cannot_be_meant_are_refused(changes, said):
    with pytest.raises(ValidationError, match=said):
        BusinessPlan.model_validate({**PLAN, **changes})


def test_files_that_were_not_read_and_founders_who_hold_nothing_are_told():
    with pytest.raises(UsageError, match="declared and not read"):
        economics.simulate({**PLAN, "cap_table": {"ocf": "folder"}})
    with pytest.raises(UsageError, match="founders who hold nothing: Zoe"):
        economics.simulate({**PLAN, "cap_table": {"events": EVENTS, "founders": ["Zoe"]}})
    read = CapTableSettings.model_validate({"events": EVENTS}).table()
    plan = economics.simulate({**PLAN, "cap_table": {"ocf": "folder"}}, table=read)
    assert plan.ownership.share().value == pytest.approx(1.0)
    with pytest.raises(UsageError, match="0 or more"):
        economics.simulate({**PLAN, "cap_table": {"ocf": "folder"}}, table=CapTable())
    assert of_run(economics.simulate({**PLAN, "cap_table": None}).run) is None


# ------------------------------------------------------------------ open SAFEs at an exit


def test_a_safe_without_a_cap_gets_its_money_or_its_shares_at_the_liquidity_price():
    """Y Combinator's post-money SAFE, discount only, v1.1, section 1(b): amount / (price x 80%) shares at the price."""
    table = CapTable().add(
        *(CapTableSettings.model_validate({"events": EVENTS}).table().events),
        IssueConvertible(DAY, Safe("s", 100_000, discount="0.2")),
    )
    state = table.state()
    assert state.exit(10 * M, DAY).of("s") == 125_000
    assert state.exit(50_000, DAY).of("s") == 50_000
    # Its shares rank with common shares: what is above the money comes before they get anything only while they get 0.
    assert state.exit(110_000, DAY).of("s") == 110_000
    plain = CapTable(table.events[:-1]).add(IssueConvertible(DAY, Safe("s", 100_000)))
    assert plain.state().exit(10 * M, DAY).of("s") == 100_000


def test_an_mfn_safe_takes_the_best_later_terms_at_an_exit():
    mfn = Safe("mfn", 100, mfn=True, issued=date(2025, 1, 1))
    later = [
        Safe("a", 100, cap=1000, issued=date(2025, 2, 1)),
        Safe("b", 100, cap=900, money="pre", issued=date(2025, 3, 1)),
    ]
    claims, capped = open_safes([mfn, *later])
    assert claims == [] and capped[0] == ExitSafe("mfn", 100, 900, post=False)
    claims, capped = open_safes([mfn, Safe("early", 100, cap=500)])
    assert [claim.preference for claim in claims] == [100] and capped[0].holder == "early"
    claims, _ = open_safes([mfn, Safe("c", 100, discount="0.5", issued=date(2025, 3, 1))])
    assert sum(claim.preference for claim in claims if claim.holder == "mfn") == 200


whole = st.integers(min_value=0, max_value=50)


@given(
    preferred=st.lists(st.tuples(whole, whole, st.integers(0, 2), st.booleans()), max_size=3),
    options=st.lists(st.tuples(whole, st.integers(0, 5)), max_size=2),
    safes=st.lists(st.tuples(st.integers(1, 40), st.integers(30, 200), st.booleans()), max_size=3),
    values=st.lists(st.integers(0, 2000), min_size=1, max_size=6),
)
def test_the_curves_are_the_exact_waterfall_for_every_holder(preferred, options, safes, values):
    claims = [Claim("common", 100)]
    claims += [
        Claim(f"p{n}", shares, paid, rank, participates, paid * 2 if participates and n else None)
        for n, (shares, paid, rank, participates) in enumerate(preferred)
    ]
    claims += [Claim(f"o{n}", shares, strike=strike) for n, (shares, strike) in enumerate(options)]
    open_ = [ExitSafe(f"s{n}", amount, cap, post) for n, (amount, cap, post) in enumerate(safes)]
    curves = exit_curves(claims, open_)
    holders = dict.fromkeys(curves.holders)
    for value in values:
        exact = distribute(value, claims, open_)
        for holder in holders:
            assert curves.at([float(value)], (holder,))[0] == pytest.approx(float(exact.of(holder)), abs=1e-6)
    together = sum(curves.at(values, (holder,)) for holder in holders)
    assert together == pytest.approx(np.array(values, dtype=float), abs=1e-6)


def test_safes_that_together_would_own_everything_do_not_all_convert():
    claims = [Claim("common", 100)]
    open_ = [ExitSafe("a", 60, 100), ExitSafe("b", 66, 110)]
    curves = exit_curves(claims, open_)
    assert len(curves.sets) == 2  # one or none of them converts
    for value in (50.0, 1000.0):
        exact = distribute(int(value), claims, open_)
        assert curves.at([value], ("a",))[0] == pytest.approx(float(exact.of("a")))


def test_a_table_of_a_declared_safe_names_it_among_the_steps():
    safe = {"kind": "safe", "date": "2025-06-01", "investor": "aunt", "amount": 1000, "cap": M}
    done = {"kind": "priced", "date": "2025-09-01", "name": "Seed", "pre_money": 8 * M, "amount": M}
    section = {**PLAN, "cap_table": {"events": [*EVENTS, safe, done]}}
    steps = economics.simulate(section).ownership.steps
    assert [step.event for step in steps] == ["shares, pool", "aunt", "Seed"]
