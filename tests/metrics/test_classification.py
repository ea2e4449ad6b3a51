import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakeven.errors import ConfigError
from breakeven.metrics.classification import Classification, threshold
from breakeven.metrics.intervals import Draws
from breakeven.task import Cases

FACTS = {"classes": ["ham", "spam"], "train_rates": {"ham": 0.8, "spam": 0.2}}
THREE = {"classes": ["a", "b", "c"], "train_rates": {"a": 0.5, "b": 0.3, "c": 0.2}}
SCORING = Classification()


def cases(targets: list[str], **more: object) -> Cases:
    return Cases([str(i) for i in range(len(targets))], targets, list(targets), **more)  # type: ignore[arg-type]


def sample(n: int = 400, seed: int = 0) -> tuple[list[np.ndarray], list[str]]:
    rng = np.random.default_rng(seed)
    raw = rng.dirichlet([1, 1, 1], n)
    return list(raw), [THREE["classes"][rng.choice(3, p=row)] for row in raw]


def test_pack_keeps_what_was_answered() -> None:
    raw, _ = sample(10)
    assert np.array(SCORING.unpack(SCORING.pack(raw))) == pytest.approx(np.array(raw), abs=1e-6)


def test_elkan_answers_positive_from_a_sixth_on() -> None:
    """False positive 1, false negative 5, right 0."""
    rule = SCORING.rule({"true_ham_pred_spam": -1, "true_spam_pred_ham": -5}, None, FACTS)
    assert rule["threshold"] == pytest.approx(1 / 6)
    assert SCORING.decide([[0.84, 0.16], [0.83, 0.17]], rule) == ["ham", "spam"]
    swapped = SCORING.rule({"true_ham_pred_spam": -5, "true_spam_pred_ham": -1}, None, FACTS)
    assert swapped["threshold"] == pytest.approx(5 / 6)


def test_elkan_shifts_a_probability_to_another_base_rate() -> None:
    """p .3 at base rate .2 is .08276 at .05, so a threshold at .08276 in the market stands at .3 of the model."""
    market = {"ham": 0.95, "spam": 0.05}
    cost = 0.0827586
    rule = SCORING.rule({"true_ham_pred_spam": -cost, "true_spam_pred_ham": -(1 - cost)}, market, FACTS)
    assert rule["threshold"] == pytest.approx(0.3, abs=1e-4)
    assert SCORING.decide([[0.71, 0.29], [0.69, 0.31]], rule) == ["ham", "spam"]


@given(st.floats(0.01, 10), st.floats(0.01, 10), st.floats(0.05, 0.95), st.floats(0, 1))
def test_two_classes_are_decided_at_the_threshold(cost0: float, cost1: float, base: float, p: float) -> None:
    rule = SCORING.rule(
        {"true_ham_pred_spam": -cost0, "true_spam_pred_ham": -cost1}, {"ham": 1 - base, "spam": base}, FACTS
    )
    if abs(p - rule["threshold"]) > 1e-5:
        assert SCORING.decide([[1 - p, p]], rule) == ["spam" if p > rule["threshold"] else "ham"]


def test_a_threshold_that_never_matters_is_none() -> None:
    assert threshold([[0, 1], [0, 1]], [1, 1]) is None


def test_without_a_payoff_the_likeliest_class_is_answered() -> None:
    raw, _ = sample(50)
    rule = SCORING.rule({}, None, THREE)
    assert SCORING.decide(raw, rule) == [THREE["classes"][int(np.argmax(row))] for row in raw]
    assert SCORING.decide([], rule) == []


def test_equal_gains_are_settled_by_likelihood_not_by_order() -> None:
    rule = SCORING.rule({"correct": 0.0, "wrong": 0.0}, None, THREE)
    assert SCORING.decide([[0.2, 0.3, 0.5]], rule) == ["c"]


@given(st.lists(st.lists(st.floats(-5, 5), min_size=3, max_size=3), min_size=3, max_size=3), st.integers(0, 99))
def test_the_answer_has_the_highest_expected_payoff(gains: list[list[float]], seed: int) -> None:
    payoff = {f"true_{t}_pred_{s}": gains[i][j] for i, t in enumerate("abc") for j, s in enumerate("abc")}
    raw, _ = sample(5, seed)
    answers = SCORING.decide(raw, SCORING.rule(payoff, None, THREE))
    for row, answer in zip(raw, answers, strict=True):
        expected = row @ np.array(gains)
        assert expected["abc".index(answer)] >= expected.max() - 1e-6


def test_refusing_is_chosen_where_it_costs_less_than_an_error() -> None:
    payoff = {"correct": 1, "wrong": -9, "refused": -0.5}
    rule = SCORING.rule(payoff, None, FACTS)
    assert SCORING.decide([[0.9, 0.1], [0.8, 0.2]], rule) == ["ham", None]  # 0.9-0.9=0 > -0.5; 0.8-1.8=-1
    never = SCORING.rule(payoff, None, {**FACTS, "reject": None})
    assert SCORING.decide([[0.8, 0.2]], never) == ["ham"]
    level = SCORING.rule({"correct": 1}, None, {**FACTS, "reject": 0.85})
    assert SCORING.decide([[0.9, 0.1], [0.8, 0.2]], level) == ["ham", None]


def test_a_price_times_a_column_uses_the_column_mean_of_the_true_class() -> None:
    facts = {**FACTS, "columns": {"amount": {"mean": 50.0, "by_class": {"ham": 10.0, "spam": 90.0}}}}
    rule = SCORING.rule({"wrong": "-1.0 * amount"}, None, facts)
    assert rule["gains"] == [[0.0, -10.0], [-90.0, 0.0]] and rule["threshold"] == pytest.approx(0.1)


def test_outcomes_count_every_case_once() -> None:
    answers: list[str | None] = ["ham", "spam", None, "spam"]
    table = SCORING.outcomes(answers, cases(["ham", "ham", "spam", "spam"]), FACTS)
    names = SCORING.outcome_names(FACTS)
    found = dict(zip(names, table.sum(axis=0), strict=True))
    assert found == {
        "true_ham_pred_ham": 1,
        "true_ham_pred_spam": 1,
        "true_spam_pred_ham": 0,
        "true_spam_pred_spam": 1,
        "unseen": 0,
        "refused": 1,
        "correct": 2,
        "wrong": 1,
    }
    assert (table[:, [names.index(n) for n in ("correct", "wrong", "refused")]].sum(axis=1) == 1).all()


def test_a_class_that_training_never_saw_is_always_answered_wrong() -> None:
    given_ = cases(["ham", "eggs"])
    table = dict(
        zip(SCORING.outcome_names(FACTS), SCORING.outcomes(["ham", "ham"], given_, FACTS).sum(axis=0), strict=True)
    )
    assert (table["unseen"], table["wrong"], table["correct"]) == (1, 1, 1)
    assert "unseen" in SCORING.sums(FACTS)["wrong"]
    found = SCORING.metrics(["ham", "ham"], [[0.9, 0.1]] * 2, given_, np.ones((1, 2)), FACTS)
    assert found["accuracy"][0] == 0.5


@pytest.mark.parametrize("key", ["corect", "true_spam_pred_hamm", "true_spam"])
def test_a_payoff_that_names_no_outcome_suggests_one(key: str) -> None:
    with pytest.raises(ConfigError, match="did you mean"):
        SCORING.rule({key: 1}, None, FACTS)


def test_metrics_agree_with_scikit_learn() -> None:
    sk = pytest.importorskip("sklearn.metrics")
    raw, truth = sample(700, 4)
    said = SCORING.decide(raw, SCORING.rule({"correct": 1, "wrong": -1, "true_a_pred_b": -4}, None, THREE))
    rng = np.random.default_rng(0)
    weights = np.vstack([np.ones(700), rng.integers(0, 4, 700)])
    found = SCORING.metrics(said, raw, cases(truth), weights, THREE)
    for row, w in enumerate(weights):
        options = {"sample_weight": w}
        p, r, f, _ = sk.precision_recall_fscore_support(truth, said, labels=THREE["classes"], **options)
        expected = {
            "accuracy": sk.accuracy_score(truth, said, **options),
            "macro_f1": sk.f1_score(truth, said, average="macro", **options),
            "balanced_accuracy": sk.balanced_accuracy_score(truth, said, **options),
            "mcc": sk.matthews_corrcoef(truth, said, **options),
            "log_loss": sk.log_loss(truth, np.array(raw), **options),
            "recall_b": r[1],
            "precision_c": p[2],
            "f1_a": f[0],
        }
        assert {name: found[name][row] for name in expected} == pytest.approx(expected, abs=1e-9)


def test_a_class_that_a_draw_lacks_is_left_out_of_the_average() -> None:
    found = SCORING.metrics(
        ["ham", "spam"], [[0.9, 0.1], [0.2, 0.8]], cases(["ham", "spam"]), np.array([[2.0, 0.0]]), FACTS
    )
    assert found["macro_f1"][0] == 1.0 and np.isnan(found["recall_spam"][0])


def test_a_refused_case_lowers_recall_and_not_precision() -> None:
    found = SCORING.metrics(
        ["ham", None, "spam"], [[0.9, 0.1]] * 3, cases(["ham", "ham", "spam"]), np.ones((1, 3)), FACTS
    )
    values = {name: found[name][0] for name in ("accuracy", "recall_ham", "precision_ham", "coverage")}
    assert values == pytest.approx({"accuracy": 2 / 3, "recall_ham": 0.5, "precision_ham": 1.0, "coverage": 2 / 3})


def test_expected_calibration_error_is_the_mean_gap() -> None:
    raw = [[0.7, 0.3]] * 10
    found = SCORING.metrics(["ham"] * 10, raw, cases(["ham"] * 5 + ["spam"] * 5), np.ones((1, 10)), FACTS)
    assert found["expected_calibration_error"][0] == pytest.approx(0.2)


def test_pictures_hold_the_confusion_and_the_slices() -> None:
    given_ = cases(["ham", "ham", "spam"], slices={"shop": ["x", "y", "x"]})
    found = SCORING.pictures(["ham", "spam", None], [[0.9, 0.1], [0.4, 0.6], [0.5, 0.5]], given_, FACTS)
    assert found["confusion"] == [[1, 1, 0], [0, 0, 1]]
    assert found["per_class"]["ham"]["n"] == 2 and found["per_class"]["spam"]["recall"] == 0.0
    assert found["per_slice"]["shop"]["x"]["n"] == 2 and found["per_slice"]["shop"]["y"]["accuracy"] == 0.0
    assert sum(bin_["n"] for bin_ in found["reliability"]) == 3


def test_an_average_over_classes_is_as_sure_as_its_smallest_class() -> None:
    given_ = cases(["a"] * 90 + ["b"] * 9 + ["c"])
    answers = ["a"] * 95 + ["b"] * 5
    assert SCORING.support("macro_f1", answers, given_, THREE) == (8, False)
    assert SCORING.support("balanced_accuracy", answers, cases(["a"] * 50 + ["b"] * 50), THREE) == (100, False)
    assert SCORING.support("recall_b", answers, given_, THREE) == (9, True)
    assert SCORING.support("precision_a", answers, given_, THREE) == (95, True)
    assert SCORING.support("accuracy", answers, given_, THREE) == (100, True)


def test_calibration_needs_the_order_of_the_classes() -> None:
    raw, truth = sample(600)
    sharp = [row**3 / (row**3).sum() for row in raw]
    fitted = SCORING.calibrate(sharp, truth, THREE)
    assert fitted["temperature"] == pytest.approx(3, rel=0.25)
    assert np.array(SCORING.calibrated(sharp, fitted)).sum(axis=1) == pytest.approx(np.ones(600))
    assert SCORING.calibrated([], fitted) == []


def test_two_thousand_draws_over_two_thousand_rows_take_well_under_a_second() -> None:
    raw, truth = sample(2000)
    said = SCORING.decide(raw, SCORING.rule({}, None, THREE))
    held, draws = cases(truth), list(Draws.over(2000).weights())
    started = time.process_time()
    for weights in draws:
        SCORING.metrics(said, raw, held, weights, THREE)
    assert time.process_time() - started < 1.5
