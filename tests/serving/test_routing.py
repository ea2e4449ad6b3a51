"""Signed changes of what is served: each makes a decision that a server may follow, or says why it cannot."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from breakeven.errors import BreakevenError, Busy, IntegrityError, UsageError
from breakeven.packaging import decisions, signing
from breakeven.packaging.routing import Desk, kept, listed
from breakeven.serving.deployment import in_share
from tests.serving.shelf import Shelf


@pytest.fixture
def shelf(filled: Shelf, tmp_path: Path) -> Shelf:
    """Red was served, green is."""
    found = filled.copy(tmp_path / "project")
    found.ship("red", rule={"kind": "argmax"}, verdict="first")
    found.ship("green", verdict="second")
    return found


@pytest.fixture
def desk(shelf: Shelf) -> Desk:
    return Desk(shelf.releases, shelf.key, "because")


def now(shelf: Shelf) -> decisions.Decision:
    return decisions.open_current(shelf.releases, shelf.trust)[1]


def test_a_rollback_serves_the_former_release_by_its_rule_and_says_who_and_why(shelf: Shelf, desk: Desk) -> None:
    written = desk.rollback()
    found = now(shelf)
    assert (found.number, found.release, found.rule) == (3, shelf.names["red"], {"kind": "argmax"})
    assert (written["action"], written["reason"], written["back_to"], written["verdict"]) == (
        "rollback", "because", 1, "first")  # fmt: skip
    assert written["by"] and written["candidate"] == "red"
    assert desk.rollback()["release"] == shelf.names["green"]


def test_a_rollback_to_a_named_release_needs_one_that_is_kept(shelf: Shelf, desk: Desk) -> None:
    assert desk.rollback(shelf.names["blue"])["release"] == shelf.names["blue"]  # signed, never shipped
    with pytest.raises(UsageError, match=f"no release is called 'demo-gone'.*{shelf.names['blue']}"):
        desk.rollback("demo-gone")
    with pytest.raises(UsageError, match=r"no release is called '\.\./elsewhere"):
        desk.rollback("../elsewhere-0123456789ab")
    with pytest.raises(UsageError, match="is the current release already"):
        desk.rollback(shelf.names["blue"])


def test_a_rollback_with_nothing_to_go_back_to_says_so(filled: Shelf, tmp_path: Path) -> None:
    shelf = filled.copy(tmp_path / "project")
    with pytest.raises(UsageError, match="nothing has been released"):
        Desk(shelf.releases, shelf.key).rollback()
    shelf.ship("red")
    with pytest.raises(UsageError, match="no release served before"):
        Desk(shelf.releases, shelf.key).rollback()


def test_a_release_that_was_changed_is_not_routed_to(shelf: Shelf, desk: Desk) -> None:
    (shelf.releases / shelf.names["red"] / "MODEL_CARD.md").write_text("# better than it is\n")
    for change in (
        desk.rollback,
        lambda: desk.canary(shelf.names["red"], 0.1),
        lambda: desk.shadow(shelf.names["red"]),
    ):
        with pytest.raises(IntegrityError, match="does not have the content"):
            change()
    assert now(shelf).number == 2


def test_canary_shadow_and_beside_are_kept_by_one_another_and_ended_by_a_rollback(shelf: Shelf, desk: Desk) -> None:
    red, blue = shelf.names["red"], shelf.names["blue"]
    desk.canary(blue, 0.25)
    desk.shadow(red)
    desk.beside(red)
    found = now(shelf)
    assert found.release == shelf.names["green"]
    assert found.canary is not None and (found.canary.release, found.canary.share) == (blue, 0.25)
    assert found.shadow is not None and found.shadow.release == red
    assert [one.release for one in found.beside] == [red]
    desk.rollback()
    found = now(shelf)
    assert (found.release, found.canary, found.shadow, found.beside) == (red, None, None, ())


def test_what_is_on_can_be_turned_off(shelf: Shelf, desk: Desk) -> None:
    blue = shelf.names["blue"]
    desk.canary(blue, 0.25)
    desk.shadow(blue)
    desk.beside(blue)
    desk.canary(None)
    desk.shadow(None)
    desk.beside(blue, on=False)
    found = now(shelf)
    assert (found.canary, found.shadow, found.beside) == (None, None, ())
    with pytest.raises(UsageError, match="is not served beside"):
        desk.beside(blue, on=False)


def test_the_canary_is_promoted_and_nothing_else_without_a_name(shelf: Shelf, desk: Desk) -> None:
    with pytest.raises(UsageError, match="no canary is running"):
        desk.promote()
    desk.canary(shelf.names["blue"], 0.25)
    written = desk.promote()
    assert (written["release"], written["canary"], written["candidate"]) == (shelf.names["blue"], None, "blue")


def test_only_the_signing_key_routes(shelf: Shelf, desk: Desk, tmp_path: Path) -> None:
    signing.make_key(tmp_path / "other.key")
    with pytest.raises(IntegrityError, match="sign"):
        Desk(shelf.releases, tmp_path / "other.key").rollback()
    with pytest.raises(BreakevenError, match="key"):
        Desk(shelf.releases, tmp_path / "none.key").rollback()
    assert now(shelf).number == 2


@pytest.mark.parametrize("canary", [
    {"share": 0.0}, {"share": 1.0}, {"share": "0.1"}, {"share": float("nan")}, {"share": True},
    {"release": "../elsewhere-0123456789ab"}, {"package": None}, {"rule": "majority"},
])  # fmt: skip
def test_a_signed_canary_that_is_wrong_is_refused(shelf: Shelf, desk: Desk, canary: dict[str, Any]) -> None:
    desk.canary(shelf.names["blue"], 0.25)
    path = shelf.releases / "decisions" / "3" / "decision.json"
    record = json.loads(path.read_text())
    record["canary"] |= canary
    path.write_text(json.dumps(record))
    signing.sign(path.parent, shelf.key)
    with pytest.raises(IntegrityError, match="'canary' is missing or of another kind"):
        now(shelf)


def test_a_pointer_cannot_move_traffic_back(shelf: Shelf) -> None:
    pointer = shelf.releases / "current.json"
    pointer.write_text(json.dumps({"format": 1, "decision": 1, "release": shelf.names["red"], "withheld": None}))
    assert now(shelf).release == shelf.names["green"]


def test_a_former_record_that_was_exchanged_is_refused(shelf: Shelf, filled: Shelf, tmp_path: Path) -> None:
    path = shelf.releases / "decisions" / "1" / "decision.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"rule": None}))
    signing.sign(path.parent, shelf.key)
    with pytest.raises(IntegrityError, match="does not have the content"):
        now(shelf)


def test_what_is_routed_to_is_never_pruned(shelf: Shelf, desk: Desk) -> None:
    desk.canary(shelf.names["blue"], 0.25)
    desk.shadow(shelf.names["red"])
    assert decisions.prune(shelf.releases, 1) == []
    desk.shadow(None)
    assert decisions.prune(shelf.releases, 1) == [shelf.names["red"]]
    assert kept(shelf.releases) == sorted([shelf.names["green"], shelf.names["blue"]])


def test_the_list_tells_roles_and_decisions(shelf: Shelf, desk: Desk) -> None:
    desk.canary(shelf.names["blue"], 0.25)
    rows = {row["candidate"]: row for row in listed(shelf.releases, shelf.trust)}
    assert [rows[name]["role"] for name in ("red", "green", "blue")] == [None, "current", "canary"]
    assert [rows[name]["decision"] for name in ("red", "green", "blue")] == [1, 3, 3]
    assert rows["blue"]["share"] == 0.25


@given(some.text(max_size=30), some.floats(0.01, 0.98), some.floats(0.001, 0.01))
def test_a_larger_share_keeps_every_customer_of_a_smaller_one(customer: str, share: float, more: float) -> None:
    assert not in_share("demo-1", customer, share) or in_share("demo-1", customer, share + more)


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.9])
def test_a_share_of_the_customers_is_that_share(share: float) -> None:
    count = 20_000
    chosen = sum(in_share("demo-1", f"cus_{number:x}", share) for number in range(count))
    assert abs(chosen - share * count) < 4 * (count * share * (1 - share)) ** 0.5


def test_another_release_draws_other_customers() -> None:
    both = [(in_share("one", f"{n}", 0.5), in_share("two", f"{n}", 0.5)) for n in range(2000)]
    assert 380 < sum(first and second for first, second in both) < 620


def test_what_was_decided_on_a_look_is_not_done_to_another_decision(shelf: Shelf, desk: Desk) -> None:
    """Between a look at a canary and its promotion somebody else ended it and began another one."""
    looked = desk.canary(shelf.names["blue"], 0.1)["number"]
    late = replace(desk, after=looked)
    desk.canary(None)
    other = desk.canary(shelf.names["red"], 0.1)["number"]
    for change in (late.promote, lambda: late.canary(None)):
        with pytest.raises(
            Busy, match=f"decision {other} is in force by now, and what was looked at was decision {looked}"
        ):
            change()
    assert now(shelf).number == other
    assert replace(desk, after=other).promote()["release"] == shelf.names["red"]


def test_a_challenger_never_takes_the_place_of_a_canary_that_somebody_began(shelf: Shelf, desk: Desk) -> None:
    desk.canary(shelf.names["red"], 0.2)
    challenger = desk.named(shelf.names["blue"])
    for share in (0.1, None):
        with pytest.raises(Busy, match=f"a canary is running already: {shelf.names['red']}"):
            desk.introduce(replace(challenger, share=share), "refresh", over=shelf.names["green"], facts={})
    assert now(shelf).canary is not None
