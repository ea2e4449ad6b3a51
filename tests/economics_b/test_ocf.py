"""Open Cap Format: a table survives the way out and back, and what the format cannot carry is named.

Every file is checked against the published JSON schemas: those of 28 June 2026 (commit d5226fb of
github.com/Open-Cap-Table-Coalition/Open-Cap-Format-OCF, unmodified, with their licence, in the archive beside this
file), or the copy whose `schema` folder BREAKEVEN_OCF_SCHEMAS names.
"""

from __future__ import annotations

import json
import os
import tarfile
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakeven.economics.cap_declared import declared
from breakeven.economics.cap_events import (
    AddClass,
    Cancel,
    Event,
    Exercise,
    Grant,
    Issue,
    IssueConvertible,
    PricedRound,
    Promise,
    ReservePool,
    Split,
    StockClass,
    Transfer,
)
from breakeven.economics.cap_sections import CapTableSettings
from breakeven.economics.captable import CapTable, State
from breakeven.economics.ocf_read import read_ocf
from breakeven.economics.ocf_write import Issuer, OcfFiles, write_ocf
from breakeven.economics.rounds import Round, ShareRounding
from breakeven.economics.securities import Note, Safe
from breakeven.economics.vesting import Vesting
from breakeven.errors import DataError

DAY, LATER = date(2024, 1, 1), date(2025, 1, 1)
FOUR = Vesting(DAY)
NOTE = Note("n", 100_000, DAY, date(2026, 1, 1), rate="0.1", holder="bank", discount="0.2", day_count="30/360")
BASE: tuple[Event, ...] = (
    Issue(DAY, "f", "founders", "common", 9_250_000, "0.0001"),
    Issue(DAY, "c", "cto", "common", 480, vesting=FOUR),
    AddClass(DAY, StockClass("seed", True, multiple="1.5", seniority=1, participates=True)),
    Issue(DAY, "s", "angel", "seed", 1000, 2),
    ReservePool(DAY, 750_000),
    Grant(DAY, "o", "staff", 300_000),
    Grant(DAY, "g", "engineer", 480, "0.5", FOUR),
    IssueConvertible(DAY, NOTE),
    IssueConvertible(DAY, Safe("A", 200_000, cap=4_000_000, holder="angel", pro_rata=True)),
    IssueConvertible(DAY, Safe("P", 50_000, discount="0.15", money="pre", mfn=True, issued=DAY)),
)
MORE: tuple[Event, ...] = (
    Transfer(DAY, "t", "f", "heir", 1000),
    Cancel(DAY, "t", 50),
    Cancel(DAY, "t"),
    Exercise(LATER, "x", "g", 20),
    Split(LATER, 2),
    Cancel(LATER, "g", 100),
    Cancel(LATER, "o"),
    Cancel(LATER, "n"),
    ReservePool(LATER, 5),
    PricedRound(
        LATER,
        Round(15_000_000, 5_000_000, pool_target="0.1", pro_rata="inside", rounding=ShareRounding(4)),
        StockClass("A1", True, seniority=2, participates=True, participation_cap=3),
        {"lead": 3, "fund": 1},
    ),
)
FILES = {
    "OCF_MANIFEST_FILE": "OCFManifestFile",
    "OCF_STAKEHOLDERS_FILE": "StakeholdersFile",
    "OCF_STOCK_CLASSES_FILE": "StockClassesFile",
    "OCF_STOCK_PLANS_FILE": "StockPlansFile",
    "OCF_STOCK_LEGEND_TEMPLATES_FILE": "StockLegendTemplatesFile",
    "OCF_VESTING_TERMS_FILE": "VestingTermsFile",
    "OCF_VALUATIONS_FILE": "ValuationsFile",
    "OCF_TRANSACTIONS_FILE": "TransactionsFile",
}


def written(*events: Event, as_of: date = LATER) -> OcfFiles:
    return write_ocf(
        CapTable(events),
        Issuer("Acme", DAY),
        as_of=as_of,
        generated=datetime(2025, 1, 1, tzinfo=UTC),
        institutions=["bank", "lead", "fund"],
    )


@pytest.mark.parametrize("events", [BASE, BASE + MORE], ids=["before the round", "after it"])
def test_out_and_back_is_the_same_table(events: tuple[Event, ...]) -> None:
    out = written(*events)
    back = read_ocf(out.files)
    before, after = CapTable(events).state(), back.table.state()
    assert (out.left_out, back.left_out) == ((), ())
    assert after.by_holder() == before.by_holder()
    assert (after.raised, after.pool, after.classes.keys()) == (before.raised, before.pool, before.classes.keys())
    assert after.convertibles.keys() == before.convertibles.keys()
    for value in (1_000_000, 30_000_000):
        assert dict(after.exit(value, LATER).payouts) == dict(before.exit(value, LATER).payouts)


def test_terms_survive() -> None:
    after = read_ocf(written(*BASE).files).table.state()
    safe, note = after.convertibles["P"], after.convertibles["n"]
    assert isinstance(safe, Safe)
    assert isinstance(note, Note)
    assert (safe.money, safe.mfn, safe.discount, safe.cap, safe.issued) == ("pre", True, "0.15", None, DAY)
    assert (note.maturity, note.day_count, note.owed(LATER)) == (NOTE.maturity, "30/360", NOTE.owed(LATER))
    assert after.grants["g"].grant.vesting == FOUR
    assert after.holdings["c"].vesting == FOUR


def test_only_what_had_happened_is_written() -> None:
    out = written(*BASE, *MORE, as_of=DAY)
    assert read_ocf(out.files).table.state().rounds == []
    assert "2025" not in out.files["Transactions.ocf.json"].replace("2026", "")


def test_what_the_format_cannot_carry_is_named() -> None:
    out = written(
        Issue(DAY, "f", "founders", "common", 8000, "1"),
        AddClass(DAY, StockClass("A", True, protection="broad")),
        Issue(DAY, "a", "lead", "A", 4000, 2),
        ReservePool(DAY, 100),
        Promise(DAY, "p", "hire", 10),
        Cancel(DAY, "p"),
        Grant(DAY, "g", "staff", 24, "0.123456789012", Vesting(DAY, months=24, cliff=5, every=3)),
        IssueConvertible(DAY, Note("n", 9, DAY, LATER, cap=90, day_count="ACT/ACT", method="pre_money")),
        Cancel(DAY, "n"),
        PricedRound(LATER, Round(12_000, 5_000), StockClass("B", True), {"next": 1}),
    )
    said = "\n".join(out.left_out)
    for part in (
        "10 options promised",
        "broad anti-dilution of class A",
        "digits of",
        "cliff at month 5",
        "ACT/ACT",
        "pre_money method",
        "conversion ratio",
    ):
        assert part in said


SAFE_ROW = json.loads(written(*BASE).files["Transactions.ocf.json"])["items"][-1]


def transactions(*rows: dict[str, Any], **files: list[dict[str, Any]]) -> dict[str, str]:
    texts = {"t": json.dumps({"file_type": "OCF_TRANSACTIONS_FILE", "items": rows})}
    return {**texts, **{kind: json.dumps({"file_type": kind, "items": items}) for kind, items in files.items()}}


def issue(name: str = "s1", **more: Any) -> dict[str, Any]:
    return {
        "object_type": "TX_STOCK_ISSUANCE",
        "id": "i",
        "date": "2024-01-01",
        "security_id": name,
        "custom_id": "1",
        "stakeholder_id": "x",
        "stock_class_id": "common",
        "share_price": {"amount": "1", "currency": "USD"},
        "quantity": "100",
        **more,
    }


def test_files_of_others_may_say_less_or_other_things() -> None:
    note = {
        **SAFE_ROW,
        "convertible_type": "NOTE",
        "security_id": "m",
        "conversion_triggers": [
            {
                "trigger_date": "2026-05-05",
                "conversion_right": {
                    "conversion_mechanism": {
                        "type": "CONVERTIBLE_NOTE_CONVERSION",
                        "interest_rates": [],
                        "day_count_convention": "ACTUAL_365",
                        "compounding_type": "COMPOUNDING",
                    }
                },
            }
        ],
    }
    odd = {
        **SAFE_ROW,
        "security_id": "odd",
        "conversion_triggers": [{"conversion_right": {"conversion_mechanism": {"type": "CUSTOM_CONVERSION"}}}],
    }
    terms = {"id": "milestone", "vesting_conditions": [{"trigger": {"type": "VESTING_EVENT"}}]}
    found = read_ocf(
        transactions(
            issue("s1", vesting_terms_id="milestone"),
            note,
            odd,
            {"object_type": "TX_WARRANT_ISSUANCE", "id": "w", "date": "2024-01-02"},
            {"object_type": "TX_STOCK_ACCEPTANCE", "id": "a", "date": "2024-01-02"},
            OCF_VESTING_TERMS_FILE=[terms],
        )
    )
    state = found.table.state()
    assert state.holdings["s1"].vesting is None
    assert state.convertibles["m"].maturity == date(2026, 5, 5)  # type: ignore[union-attr]
    said = "\n".join(found.left_out)
    for part in ("vesting terms milestone", "compounding of note m", "CUSTOM_CONVERSION", "WARRANT_ISSUANCE w"):
        assert part in said
    assert "ACCEPTANCE a" not in said
    assert read_ocf({}).table.events == ()


def test_shares_cut_in_two_are_not_paid_twice() -> None:
    found = read_ocf(
        transactions(
            issue("s1"),
            issue("s2"),
            issue("s3", quantity="60", stakeholder_id="y"),
            issue("s4", quantity="40"),
            {
                "object_type": "TX_STOCK_CONVERSION",
                "id": "c",
                "date": "2024-01-02",
                "security_id": "s1",
                "resulting_security_ids": ["s2"],
            },
            {
                "object_type": "TX_STOCK_TRANSFER",
                "id": "d",
                "date": "2024-01-03",
                "security_id": "s2",
                "quantity": "60",
                "resulting_security_ids": ["s3"],
                "balance_security_id": "s4",
            },
            {
                "object_type": "TX_STOCK_CANCELLATION",
                "id": "e",
                "date": "2024-01-04",
                "security_id": "s4",
                "quantity": "10",
            },
            {
                "object_type": "TX_PLAN_SECURITY_ISSUANCE",
                "id": "g",
                "date": "2024-01-01",
                "security_id": "o1",
                "quantity": "9",
                "stakeholder_id": "y",
            },
            {
                "object_type": "TX_PLAN_SECURITY_ISSUANCE",
                "id": "h",
                "date": "2024-01-05",
                "security_id": "o2",
                "quantity": "5",
                "stakeholder_id": "y",
            },
            {
                "object_type": "TX_PLAN_SECURITY_CANCELLATION",
                "id": "j",
                "date": "2024-01-05",
                "security_id": "o1",
                "quantity": "4",
                "balance_security_id": "o2",
            },
            OCF_STOCK_PLANS_FILE=[{"id": "p", "initial_shares_reserved": "20"}],
        )
    )
    state = found.table.state()
    assert {name: int(shares) for name, shares in state.by_holder().items()} == {"x": 30, "y": 65, "pool": 15}
    assert state.raised == 100


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"t": "{"}, "no Open Cap Format file"),
        ({"t": "[]"}, "no Open Cap Format file"),
        ({"t": '{"items": []}'}, "file_type"),
        (transactions(issue(quantity="1.5")), "whole number"),
        (transactions(issue(), issue()), "used twice: s1"),
        (transactions(issue(share_price={})), "KeyError"),
        (transactions(issue(date="soon")), "object 'i'"),
        (
            transactions(
                {
                    **SAFE_ROW,
                    "convertible_type": "NOTE",
                    "conversion_triggers": [
                        {
                            "conversion_right": {
                                "conversion_mechanism": {
                                    "type": "CONVERTIBLE_NOTE_CONVERSION",
                                    "interest_rates": [],
                                    "day_count_convention": "ACTUAL_365",
                                    "compounding_type": "SIMPLE",
                                }
                            }
                        }
                    ],
                }
            ),
            "CONVERTIBLE",
        ),
    ],
)
def test_files_that_cannot_be_meant(files: dict[str, str], said: str) -> None:
    with pytest.raises(DataError, match=said):
        read_ocf(files)


def published() -> list[dict[str, Any]]:
    if "BREAKEVEN_OCF_SCHEMAS" in os.environ:
        folder = Path(os.environ["BREAKEVEN_OCF_SCHEMAS"])
        return [json.loads(path.read_text()) for path in folder.rglob("*.schema.json")]
    with tarfile.open(Path(__file__).with_name("ocf-schema-d5226fb.tar.gz")) as archive:
        names = [name for name in archive.getnames() if name.endswith(".schema.json")]
        return [json.loads(archive.extractfile(name).read()) for name in names]  # type: ignore[union-attr]


@pytest.mark.parametrize("events", [BASE, BASE + MORE], ids=["before the round", "after it"])
def test_files_are_what_the_published_schemas_ask(events: tuple[Event, ...]) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    referencing = pytest.importorskip("referencing")
    schemas = published()
    assert len(schemas) >= 175
    registry = referencing.Registry().with_resources(
        [(schema["$id"], referencing.Resource.from_contents(schema)) for schema in schemas]
    )
    by_name = {schema["$id"].rsplit("/", 1)[1]: schema for schema in schemas}
    for text in written(*events).files.values():
        data = json.loads(text)
        check = jsonschema.Draft7Validator(
            by_name[f"{FILES[data['file_type']]}.schema.json"],
            registry=registry,
            format_checker=jsonschema.Draft7Validator.FORMAT_CHECKER,
        )
        assert [error.message for error in check.iter_errors(data)] == []
        for item in data.get("items", [])[:1]:  # the schemas do look at items
            assert list(check.iter_errors({**data, "items": [{**item, "id": None}]}))


def test_a_day_count_of_others_is_refused_by_name() -> None:
    rows = json.loads(written(*BASE).files["Transactions.ocf.json"].replace("30_360", "LUNAR"))["items"]
    with pytest.raises(DataError, match="LUNAR"):
        read_ocf(transactions(*[row for row in rows if row["object_type"] == "TX_CONVERTIBLE_ISSUANCE"]))


# ------------------------------------------------------------------ any table: out, back, and into a file

MONEY = st.decimals(0, 10, places=4, allow_nan=False)
SHARES = st.integers(1, 10**9)
VESTINGS = st.none() | st.builds(
    Vesting,
    st.dates(date(2020, 1, 1), date(2024, 1, 1)),
    st.sampled_from([12, 48]),
    st.sampled_from([0, 12]),
    st.sampled_from([1, 3, 12]),
    st.sampled_from(["CUMULATIVE_ROUNDING", "CUMULATIVE_ROUND_DOWN", "FRONT_LOADED", "BACK_LOADED_TO_SINGLE_TRANCHE"]),
)


@st.composite
def logs(draw: st.DrawFn) -> list[Event]:
    """A table and what became of some of it."""
    classes = draw(st.lists(st.sampled_from(["A", "B"]), unique=True))
    log: list[Event] = []
    for rank, name in enumerate(classes):
        multiple, cap = draw(st.sampled_from(["1", "1.5"])), draw(st.sampled_from([None, "2"]))
        participates = cap is not None or draw(st.booleans())
        log.append(AddClass(DAY, StockClass(name, True, multiple, rank, participates, cap)))
    for number in range(draw(st.integers(1, 4))):
        kind = "common" if number == 0 else draw(st.sampled_from(["common", *classes]))
        holder = draw(st.sampled_from(["Ann", "Bob", "Cy"]))
        log.append(Issue(DAY, f"i{number}", holder, kind, draw(SHARES), str(draw(MONEY)), draw(VESTINGS)))
    pool = draw(st.integers(0, 10**6))
    if pool:
        log.append(ReservePool(DAY, pool))
        log.append(Grant(DAY, "g", "Dee", draw(st.integers(1, pool)), str(draw(MONEY)), draw(VESTINGS)))
    for number in range(draw(st.integers(0, 2))):
        amount, discount = draw(st.integers(1, 10**6)), draw(st.sampled_from(["0", "0.2"]))
        cap = draw(st.none() | st.integers(10**6, 10**8))
        money, mfn = draw(st.sampled_from(["post", "pre"])), draw(st.booleans())
        log.append(IssueConvertible(DAY, Safe(f"s{number}", amount, cap, discount, money, mfn, mfn, DAY, "Eve")))
    if draw(st.booleans()):
        due = draw(st.dates(date(2024, 2, 1), date(2030, 1, 1)))
        note = Note("n", draw(st.integers(1, 10**6)), DAY, due, str(draw(MONEY)), day_count="30/360", holder="Fay")
        log.append(IssueConvertible(DAY, note))
    if draw(st.booleans()):
        log.append(Split(LATER, draw(st.integers(1, 5))))
    if draw(st.booleans()):
        shares = CapTable(tuple(log)).state().holdings["i0"].shares
        log.append(Transfer(LATER, "t", "i0", "Gus", draw(st.integers(1, shares))))
    return log


def same(one: State, other: State) -> None:
    assert {name: shares for name, shares in one.by_holder().items() if shares} == {
        name: shares for name, shares in other.by_holder().items() if shares
    }
    assert (one.pool, one.raised) == (other.pool, other.raised)
    assert one.convertibles.keys() == other.convertibles.keys()
    for value in (10_000, 50_000_000):
        assert dict(one.exit(value, LATER).payouts) == dict(other.exit(value, LATER).payouts)


@given(logs())
def test_any_table_survives_the_way_out_back_and_into_a_file(log: list[Event]) -> None:
    before = CapTable(tuple(log)).state()
    back = read_ocf(written(*log).files)
    assert back.left_out == () and back.currencies in ((), ("USD",))
    same(back.table.state(), before)
    settings_ = CapTableSettings.model_validate({"events": [declared(event) for event in back.table.events]})
    same(settings_.table().state(), before)


def test_every_form_of_an_event_is_read_again_as_it_was() -> None:
    log = (*BASE, *MORE[:-1])
    again = CapTableSettings.model_validate({"events": [declared(event) for event in log]})
    same(again.table().state(), CapTable(log).state())
    assert declared(Issue(DAY, "s", "a", "common", 5, raises=False))["paid"] is False
    odd = Exercise(DAY, "x", "g", 1, "B")
    assert declared(odd) | {"date": ""} == {
        "kind": "exercise", "date": "", "id": "x", "security": "g", "shares": 1, "stock_class": "B"
    }  # fmt: skip
    for wrong in ({"maturity": "2027-01-01", "maturity_months": 3}, {}):
        note = {"kind": "note", "date": "2025-01-01", "amount": 5, **wrong}
        with pytest.raises(ValueError, match="maturity_months or maturity, one of them"):
            CapTableSettings.model_validate({"events": [note]})
