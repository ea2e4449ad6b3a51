"""Pending, firing, resolved: one word a change, whatever flaps, is missing or stands still."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakeven.watching.alerting import OUTAGE, Alert, Board, Change, holds
from breakeven.watching.measures import CannotTell
from breakeven.watching.settings import Rule, seconds

REPEAT = 3600.0


def rule(**more: Any) -> Rule:
    return Rule.model_validate(
        {"name": "errors", "watch": "error_share", "above": 0.1, "for": "30s", "keep_firing_for": "60s", **more}
    )


def played(
    watched: Rule, values: list[float | None], *, every: float = 15.0, board: Board | None = None, start: float = 1000.0
) -> tuple[Board, list[tuple[float, str]]]:
    """Values one after another (None: cannot tell); (board, what was told and when)."""
    board, told = board or Board(), []
    for place, value in enumerate(values):
        now = start + place * every
        found = CannotTell("alerts-no-history") if value is None else {(): value}
        told += [(now - start, change.status) for change in board.judge(watched, found, now, REPEAT)]
    return board, told


def test_it_fires_once_after_it_held_and_resolves_once() -> None:
    board, told = played(rule(), [0.2] * 4 + [0.0] * 8)
    assert told == [(30.0, "firing"), (105.0, "resolved")]
    assert [alert.shown for alert in board.each()] == ["inactive"]


def test_without_for_the_first_look_fires_and_a_short_peak_is_pending_only() -> None:
    assert played(rule(**{"for": "0s"}), [0.2])[1] == [(0.0, "firing")]
    board, told = played(rule(), [0.2, 0.2])
    assert (told, [alert.shown for alert in board.each()]) == ([], ["pending"])
    assert played(rule(), [0.2, 0.2, 0.0, 0.2, 0.2, 0.0])[1] == []


def test_flapping_is_one_alert() -> None:
    values = [0.2] * 3 + [0.0, 0.2] * 40 + [0.0] * 6
    assert [status for _, status in played(rule(), values)[1]] == ["firing", "resolved"]
    loose = rule(keep_firing_for="0s", **{"for": "0s"})
    assert len(played(loose, values)[1]) > 80  # what the two settings are for


def test_between_threshold_and_clear_nothing_changes() -> None:
    watched = rule(clear=0.05, keep_firing_for="0s")
    assert played(watched, [0.2] * 3 + [0.07] * 50)[1] == [(30.0, "firing")]
    assert played(watched, [0.07] * 50)[1] == []
    assert played(watched, [0.2] * 3 + [0.04])[1][-1] == (45.0, "resolved")
    below = rule(above=None, below=1.0, clear=3.0, keep_firing_for="0s")
    assert [status for _, status in played(below, [0.0] * 3 + [2.0, 2.0, 3.0])[1]] == ["firing", "resolved"]


def test_it_is_said_again_after_the_repeat_interval_and_not_before() -> None:
    _, told = played(rule(), [0.2] * 500)
    assert told == [(30.0, "firing"), (3630.0, "firing"), (7230.0, "firing")]


def test_what_cannot_be_told_is_not_fine_and_ends_nothing() -> None:
    board, told = played(rule(), [None, None])
    assert (told, [alert.shown for alert in board.each()]) == ([], ["cannot-tell"])
    board, told = played(rule(), [0.2] * 3 + [None] * 100)
    assert told == [(30.0, "firing")] and [alert.shown for alert in board.each()] == ["firing"]
    # time in which nothing was told is not time in which the rule held, nor in which it did not
    _, told = played(rule(), [0.2] + [None] * 10 + [0.2, 0.2, 0.2])
    assert told == [(195.0, "firing")]
    _, told = played(rule(keep_firing_for="20s"), [0.2] * 3 + [None] * 10 + [0.0, 0.0, 0.0])
    assert told[-1] == (225.0, "resolved")


def test_a_long_pause_of_the_watcher_is_not_time_that_held() -> None:
    board, _ = played(rule(**{"for": "20m"}), [0.2])
    told = played(rule(**{"for": "20m"}), [0.2], board=board, start=1000.0 + OUTAGE + 3000.0)[1]
    assert told == [] and board.firing() == []


def test_every_set_of_labels_is_an_alert_of_its_own_and_one_that_leaves_is_resolved() -> None:
    board, watched = Board(), rule(**{"for": "0s"}, keep_firing_for="0s")
    names = [(("customer", name),) for name in ("a", "b")]
    first = board.judge(watched, {names[0]: 0.5, names[1]: 0.0}, 1000.0, REPEAT)
    assert [(change.status, change.alert.labels) for change in first] == [("firing", names[0])]
    second = board.judge(watched, {names[1]: 0.5}, 1015.0, REPEAT)
    assert sorted((change.status, change.alert.labels) for change in second) == [
        ("firing", names[1]), ("resolved", names[0])]  # fmt: skip
    assert len(list(board.each())) == 1


def test_a_rule_that_is_taken_away_ends_what_fires() -> None:
    board, _ = played(rule(), [0.2] * 3)
    (change,) = board.forget([rule(name="other")])
    assert (change.status, change.rule.name, list(board.each())) == ("resolved", "errors", [])
    assert board.forget([]) == []


def test_state_survives_as_json() -> None:
    board, _ = played(rule(), [0.2] * 3)
    (alert,) = board.firing()
    again = Alert.from_json(json.loads(json.dumps(alert.as_json())), now=5000.0)
    assert again == alert and again.fingerprint == alert.fingerprint
    assert Alert.from_json(alert.as_json(), now=1001.0).fired == 1001.0  # a clock that was set back
    held = Board({"errors": {(): again}})
    assert played(rule(), [0.2] * 4, board=held, start=1045.0)[1] == []  # it was told before


@given(st.lists(st.sampled_from([0.0, 0.07, 0.2, None]), max_size=120), st.booleans())
def test_firing_and_resolved_alternate(values: list[float | None], hysteresis: bool) -> None:
    watched = rule(clear=0.05) if hysteresis else rule()
    board, told = played(watched, values)
    statuses = [status for _, status in told]
    assert statuses == (["firing", "resolved"] * len(statuses))[: len(statuses)]
    assert bool(board.firing()) == (bool(statuses) and statuses[-1] == "firing")
    ends = [when for when, status in told if status == "resolved"]
    begins = [when for when, status in told if status == "firing"]
    assert all(end - begin >= seconds(watched.keep_firing_for) for begin, end in zip(begins, ends, strict=False))


@pytest.mark.parametrize(("value", "firing", "held"), [(0.1, False, False), (0.11, False, True), (0.1, True, False)])
def test_a_threshold_itself_is_not_beyond_it(value: float, firing: bool, held: bool) -> None:
    assert holds(rule(), value, firing=firing) is held


def test_changes_name_what_changed() -> None:
    board = Board()
    labels, why = (("server", "x"),), {"code": "alerts-no-server", "fields": {}}
    changes: list[Change] = board.judge(rule(**{"for": "0s"}), {labels: 1.0}, 10.0, REPEAT, notes={labels: why})
    assert changes[0].alert.note == why and not changes[0].again
