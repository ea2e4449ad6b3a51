"""Which answer to give: the one with the highest expected payoff, under the market's base rates.

`payoff[j][i]` is the customer's gain when the truth is class j and the answer is class i, against acting without an
answer. Probabilities are calibrated; the shift of base rates takes P(input | class) as unchanged.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from breakeven.economics.normal import Floats, floats


def shift_base_rates(probabilities: ArrayLike, trained: ArrayLike, market: ArrayLike) -> Floats:
    """Calibrated probabilities [..., k] moved from the base rates they were fitted at to the market's.

    p'_j is proportional to p_j market_j / trained_j. A class that training never saw has no likelihood to reweigh.
    """
    p, old, new = (floats(part) for part in (probabilities, trained, market))
    if np.any((old <= 0.0) & (new > 0.0)):
        raise ValueError("a class has a market rate and no training rows: its probability cannot be shifted")
    moved = p * np.divide(new, old, out=np.zeros_like(new), where=old > 0.0)
    total = moved.sum(axis=-1, keepdims=True)
    # An input whose whole probability lies on classes the market lacks is as good as unknown.
    return floats(np.where(total > 0.0, moved / np.where(total > 0.0, total, 1.0), new / new.sum()))


def shift_probability(p: ArrayLike, trained: float, market: float) -> Floats:
    """The two-class form: the probability of the positive class at base rate `market`."""
    positive = floats(p)
    both = np.stack([1.0 - positive, positive], axis=-1)
    moved: Floats = shift_base_rates(both, [1.0 - trained, trained], [1.0 - market, market])[..., 1]
    return moved


def expected_payoffs(probabilities: ArrayLike, payoff: ArrayLike) -> Floats:
    """[..., answers]: what each answer is expected to bring, from probabilities [..., k] and payoff [k, answers]."""
    return floats(floats(probabilities) @ floats(payoff))


def best_answers(probabilities: ArrayLike, payoff: ArrayLike) -> NDArray[np.int64]:
    """The answer with the highest expected payoff; the first of equals."""
    answers: NDArray[np.int64] = np.argmax(expected_payoffs(probabilities, payoff), axis=-1)
    return answers


def threshold(payoff: ArrayLike) -> float:
    """Elkan's threshold for two classes: answer 1 when P(class 1) is at least this. `payoff` is [true][predicted].

    0 or 1 where one answer is at least as good whatever the truth is.
    """
    (right0, false1), (false0, right1) = floats(payoff)
    loss_of_false1, loss_of_false0 = right0 - false1, right1 - false0
    if loss_of_false1 <= 0.0:
        return 0.0
    if loss_of_false0 <= 0.0:
        return 1.0
    return float(loss_of_false1 / (loss_of_false1 + loss_of_false0))


@dataclass(frozen=True)
class Rejection:
    """The level below which the expected payoff of the best answer sends a case to a human, and what that brings."""

    level: float  # expected payoff below which a case is handed over; -inf: never
    share: float  # part of the cases handed over
    value: float  # mean value per case with the hand-over, review paid
    value_without: float  # mean value per case with every case answered


def fit_rejection(expected: ArrayLike, realised: ArrayLike, *, reviewed: ArrayLike, review_cost: float) -> Rejection:
    """The hand-over level that earned most on validation cases.

    expected: the best answer's expected payoff per case. realised: what that answer brought. reviewed: what a human's
    answer would bring. review_cost: per handed-over case. Every level between two cases is tried.
    """
    score, got = floats(expected), floats(realised)
    human = np.broadcast_to(floats(reviewed), got.shape) - review_cost
    order = np.argsort(score, kind="stable")
    gains = np.concatenate([[0.0], np.cumsum((human - got)[order])])
    # A level cannot separate cases that scored alike.
    ordered = score[order]
    possible = np.concatenate([[True], np.diff(ordered) > 0.0, [True]])
    count = int(np.argmax(np.where(possible, gains, -np.inf)))
    level = -np.inf if count == 0 else np.inf if count == len(score) else 0.5 * (ordered[count - 1] + ordered[count])
    without = float(got.mean())
    return Rejection(float(level), count / len(score), without + float(gains[count]) / len(score), without)
