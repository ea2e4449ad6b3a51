from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from breakeven.training.batches import epoch, sorted_batches
from breakeven.training.schedule import Plan, Speed, affordable, evaluation_count, evaluation_steps, rate, warmup_steps

LENGTHS = st.lists(st.integers(1, 60), min_size=1, max_size=200)


@given(LENGTHS, st.integers(8, 300), st.integers(0, 5))
def test_an_epoch_holds_every_row_once_within_the_budget(lengths, budget, number):
    batches = epoch(lengths, budget, seed=1, number=number)
    assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
    assert all(len(batch) == 1 or sum(lengths[row] for row in batch) <= budget for batch in batches)
    assert batches == epoch(lengths, budget, seed=1, number=number)


def test_epochs_differ_and_batches_are_of_like_length():
    lengths = [4 + place % 60 for place in range(2000)]
    first = epoch(lengths, 512, seed=0, number=0)
    assert first != epoch(lengths, 512, seed=0, number=1)
    assert first != epoch(lengths, 512, seed=1, number=0)
    spread = [max(lengths[row] for row in batch) - min(lengths[row] for row in batch) for batch in first]
    assert sorted(spread)[len(spread) // 2] <= 3
    assert [len(batch) for batch in first] != sorted(len(batch) for batch in first)  # the order is shuffled


@given(LENGTHS, st.integers(8, 300))
def test_sorted_batches_hold_every_row_once(lengths, budget):
    batches = sorted_batches(lengths, budget)
    order = [row for batch in batches for row in batch]
    assert sorted(order) == list(range(len(lengths)))
    assert [lengths[row] for row in order] == sorted(lengths)


def test_a_budget_becomes_steps_after_what_was_spent():
    speed = Speed(per_token=0.001, per_evaluation=2.0, spent=5.0)
    assert affordable([1000] * 100, speed, None, 3) == 100
    assert affordable([1000] * 100, speed, 60.0, 3) == 47  # 0.97 * 60 - 5 - 6 = 47.2 steps of a second
    assert affordable([1000] * 100, speed, 1.0, 3) == 1
    assert affordable([1000] * 10, speed, 60.0, 3) == 10


def test_looks_at_validation_rows_keep_to_their_share():
    assert evaluation_count(3, Speed(0.1, 2.0, 0), None) == 6
    assert evaluation_count(3, Speed(0.1, 2.0, 0), 60.0) == 4
    assert evaluation_count(3, Speed(0.1, 200.0, 0), 60.0) == 1


@given(st.integers(1, 500), st.integers(1, 10))
def test_the_last_step_is_judged(steps, count):
    judged = evaluation_steps(steps, count)
    assert judged[-1] == steps
    assert judged[0] >= 1
    assert len(judged) <= count


def plan(**changes):
    values = {
        "steps": 100,
        "warmup_steps": 10,
        "evaluate_at": (50, 100),
        "checkpoint_every": 20,
        "limited_by": "epochs",
        "precision": "float32",
        "device": "cpu",
        "threads": 1,
        "seed": 0,
        "key": "k",
        "versions": {},
        "speed": {},
    }
    return Plan(**{**values, **changes})


def test_the_rate_rises_and_falls_to_zero():
    rates = [rate(step, plan(), 1.0) for step in range(100)]
    assert rates[0] == 0.1
    assert max(rates) == 1.0 == rates[9]
    assert rates == sorted(rates[:10]) + sorted(rates[10:], reverse=True)
    assert 0 < rates[-1] < 0.02


def test_a_plan_survives_json():
    import json

    assert Plan.from_json(json.loads(json.dumps(plan().as_json()))) == plan()


def test_a_short_run_still_warms_up():
    assert [warmup_steps(steps, 0.06) for steps in (1, 6, 66, 1000)] == [1, 2, 10, 60]
    assert warmup_steps(66, 0.0) == 1
