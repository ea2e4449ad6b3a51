"""Scoring of classes: calibrated probabilities, the answer that pays most, outcomes and metrics.

A raw output is a sequence of K probabilities in the order of `facts["classes"]`; an answer is a label, or None for an
input that was refused. A refused case counts as not correct: recall falls, precision does not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from breakeven.metrics import calibration as calibrating
from breakeven.metrics.counts import metrics_of_counts, reliability
from breakeven.metrics.payoff import Term, check, priced
from breakeven.task import Cases

FloatArray = np.ndarray[Any, np.dtype[np.floating[Any]]]
IntArray = np.ndarray[Any, np.dtype[np.int64]]
Facts = Mapping[str, Any]

REFUSED = -1


class Classification:
    """The Scoring of every task whose answer is one of a fixed list of labels."""

    more_metrics = ("balanced_accuracy", "coverage")
    metric_prefixes = ("f1_", "precision_", "recall_")

    def check_payoff(self, payoff: Mapping[str, Any]) -> None:
        """Raises ConfigError for a key that no data could make an outcome, before the classes are known."""
        pairs = [key for key in payoff if re.fullmatch(r"true_.+_pred_.+", str(key))]
        check([key for key in payoff if key not in pairs], self.outcome_names({"classes": []}))

    def pack(self, raw: list[Any]) -> dict[str, FloatArray]:
        """`{"probabilities": float32 [n, K]}`."""
        return {"probabilities": np.asarray(raw, dtype=np.float32)}

    def unpack(self, arrays: Mapping[str, FloatArray]) -> list[Any]:
        """One row of probabilities a case."""
        return list(np.asarray(arrays["probabilities"], dtype=np.float64))

    def calibrate(self, raw: list[Any], targets: list[Any], facts: Facts) -> dict[str, Any]:
        """Temperature (and class biases where there are rows enough) by likelihood on validation rows."""
        truth = _indices(targets, facts["classes"])
        return calibrating.fit(_matrix(raw)[truth >= 0], truth[truth >= 0])

    def calibrated(self, raw: list[Any], calibration: Mapping[str, Any]) -> list[Any]:
        """Calibrated probabilities; an empty calibration changes nothing."""
        return list(calibrating.apply(_matrix(raw), calibration)) if raw else []

    def rule(self, payoff: Mapping[str, Any], base_rates: Mapping[str, float] | None, facts: Facts) -> dict[str, Any]:
        """Expected payoff under the declared base rates; with two classes this is Elkan's threshold.

        `facts` may carry `reject` (None, "by_payoff" or a smallest probability) and `columns` (a column's mean by true
        class), because at the time of an answer a column's value is not known. No payoff means accuracy.
        """
        classes: list[str] = list(facts["classes"])
        prices = priced(payoff, self.outcome_names(facts), self.sums(facts))
        gains = [[_worth(prices.get(_pair(true, said)), true, facts) for said in classes] for true in classes]
        if not any(key != "alternative" for key in payoff):
            gains = np.eye(len(classes)).tolist()
        train = facts.get("train_rates") or {}
        ratio = [1.0] * len(classes)
        if base_rates:
            ratio = [base_rates.get(label, 0.0) / max(train.get(label, 0.0), 1e-9) for label in classes]
        reject = facts.get("reject", "by_payoff" if "refused" in prices else None)
        return {
            "kind": "expected_payoff",
            "classes": classes,
            "gains": gains,
            "prior_ratio": ratio,
            "refused": _worth(prices.get("refused"), None, facts) if reject == "by_payoff" else None,
            "smallest_probability": reject if isinstance(reject, float) else None,
            "threshold": threshold(gains, ratio) if len(classes) == 2 else None,
        }

    def decide(self, raw: list[Any], rule: Mapping[str, Any]) -> list[Any]:
        """Labels as served, from calibrated probabilities; None where refusing is worth more."""
        if not raw:
            return []
        classes, gains = rule["classes"], np.asarray(rule["gains"], dtype=float)
        shifted = _matrix(raw) * np.asarray(rule["prior_ratio"])
        total = shifted.sum(axis=1, keepdims=True)
        shifted = np.divide(shifted, total, out=np.full_like(shifted, 1 / len(classes)), where=total > 0)
        expected = shifted @ gains
        # Equal gains are settled by the likelier class, not by the order of the labels.
        chosen = (expected + 1e-9 * max(float(np.abs(gains).max()), 1e-12) * shifted).argmax(axis=1)
        refuse = np.zeros(len(chosen), dtype=bool)
        if rule.get("refused") is not None:
            refuse |= expected.max(axis=1) < rule["refused"]
        if rule.get("smallest_probability") is not None:
            refuse |= shifted.max(axis=1) < rule["smallest_probability"]
        return [None if no else classes[index] for index, no in zip(chosen.tolist(), refuse.tolist(), strict=True)]

    def outcome_names(self, facts: Facts) -> tuple[str, ...]:
        """`true_X_pred_Y` for every pair, `unseen` (of a class that training never saw), `refused`, and the sums."""
        classes = facts["classes"]
        pairs = [_pair(true, said) for true in classes for said in classes]
        return (*pairs, "unseen", "refused", "correct", "wrong")

    def sums(self, facts: Facts) -> dict[str, tuple[str, ...]]:
        """The outcomes that are sums of others, so that a price on both is counted once."""
        classes = facts["classes"]
        return {
            "correct": tuple(_pair(label, label) for label in classes),
            "wrong": (*(_pair(true, said) for true in classes for said in classes if true != said), "unseen"),
        }

    def outcomes(self, answers: list[Any], cases: Cases, facts: Facts) -> FloatArray:
        """[n, K*K + 4] zeros and ones in the order of `outcome_names`."""
        classes = facts["classes"]
        size, truth, said = len(classes), _truths(cases, classes), _indices(answers, classes)
        rows, table = np.arange(len(truth)), np.zeros((len(truth), size * size + 4), dtype=np.float32)
        paired = (truth >= 0) & (said >= 0)
        table[rows[paired], truth[paired] * size + said[paired]] = 1
        table[:, -4] = (truth < 0) & (said >= 0)
        table[:, -3] = said == REFUSED
        table[:, -2] = paired & (truth == said)
        table[:, -1] = (said >= 0) & (truth != said)
        return table

    def constants(self, facts: Facts) -> list[Any]:
        """Answers that need no model: the same label for everyone."""
        return list(facts["classes"])

    def metrics(
        self, answers: list[Any], raw: list[Any], cases: Cases, weights: FloatArray, facts: Facts
    ) -> dict[str, FloatArray]:
        """Metric -> values [b]; per class as `f1_LABEL`, `precision_LABEL`, `recall_LABEL`."""
        classes = facts["classes"]
        truth, said = _truths(cases, classes), _indices(answers, classes)
        return metrics_of_counts(truth, said, _matrix(raw), np.atleast_2d(weights), classes)

    def support(self, metric: str, answers: list[Any], cases: Cases, facts: Facts) -> tuple[int, bool]:
        """How many cases a metric rests on, and whether it is a plain share of them.

        An average over K classes is as sure as its smallest classes allow: K * K / (1/n_1 + ... + 1/n_K) cases.
        """
        targets, (kind, _, label) = list(cases.targets or []), metric.partition("_")
        if metric in ("macro_f1", "balanced_accuracy"):
            counts = [count for count in (targets.count(name) for name in facts["classes"]) if count]
            return (round(len(counts) ** 2 / sum(1 / count for count in counts)) if counts else 0), False
        if kind in ("recall", "f1") and label in facts["classes"]:
            return targets.count(label), kind == "recall"
        if kind == "precision" and label in facts["classes"]:
            return answers.count(label), True
        return len(targets), metric in ("accuracy", "coverage")

    def pictures(self, answers: list[Any], raw: list[Any], cases: Cases, facts: Facts) -> dict[str, Any]:
        """`classes`, `confusion` (rows true, last column refused), `reliability` bins, `per_class`, `per_slice`."""
        classes = list(facts["classes"])
        truth, said, p = _truths(cases, classes), _indices(answers, classes), _matrix(raw)
        confusion = np.zeros((len(classes), len(classes) + 1), dtype=int)
        np.add.at(confusion, (truth[truth >= 0], said[truth >= 0]), 1)  # refused is -1: the last column
        return {
            "classes": classes,
            "confusion": confusion.tolist(),
            "reliability": reliability(p, truth),
            "per_class": self._per_class(answers, raw, cases, facts),
            "per_slice": {
                field: self._per_slice(answers, raw, cases, facts, values)
                for field, values in {**cases.slices, **cases.groups}.items()
            },
        }

    def _per_class(self, answers: list[Any], raw: list[Any], cases: Cases, facts: Facts) -> dict[str, dict[str, Any]]:
        values = self.metrics(answers, raw, cases, np.ones((1, len(cases))), facts)
        targets = list(cases.targets or [])
        return {
            label: {
                "n": targets.count(label),
                "answered": answers.count(label),
                **{name: _number(values[f"{name}_{label}"][0]) for name in ("precision", "recall", "f1")},
            }
            for label in facts["classes"]
        }

    def _per_slice(
        self, answers: list[Any], raw: list[Any], cases: Cases, facts: Facts, values: Sequence[Any]
    ) -> dict[str, dict[str, Any]]:
        names = sorted({str(value) for value in values})
        index = {name: place for place, name in enumerate(names)}
        member = np.array([index[str(value)] for value in values])
        weights = (member[None, :] == np.arange(len(names))[:, None]).astype(float)
        found = self.metrics(answers, raw, cases, weights, facts)
        return {
            name: {
                "n": int(weights[place].sum()),
                **{metric: _number(found[metric][place]) for metric in ("accuracy", "macro_f1")},
            }
            for place, name in enumerate(names)
        }


def threshold(gains: Sequence[Sequence[float]], ratio: Sequence[float]) -> float | None:
    """Probability of the second class from which it is answered (Elkan 2001), None where no probability decides.

    gains[true][said]; ratio: base rate over training rate by class.
    """
    (right0, wrong0), (wrong1, right1) = gains
    cost0, cost1 = right0 - wrong0, right1 - wrong1  # what is lost by answering 1 for a 0, and 0 for a 1
    odds0, odds1 = cost0 * ratio[0], cost1 * ratio[1]
    return odds0 / (odds0 + odds1) if cost0 > 0 and cost1 > 0 and odds0 + odds1 > 0 else None


def _worth(price: Term | None, true: str | None, facts: Facts) -> float:
    if price is None:
        return 0.0
    amount = price.amount.mean
    if price.column is None:
        return amount
    means = facts.get("columns", {}).get(price.column, {})
    return amount * float(means.get("by_class", {}).get(true, means.get("mean", 1.0)))


def _pair(true: str, said: str) -> str:
    return f"true_{true}_pred_{said}"


def _matrix(raw: Sequence[Any]) -> FloatArray:
    return np.asarray(raw, dtype=np.float64)


def _indices(labels: Sequence[Any], classes: Sequence[str]) -> IntArray:
    index = {label: place for place, label in enumerate(classes)}
    return np.array([index.get(label, REFUSED) for label in labels], dtype=np.int64)


def _truths(cases: Cases, classes: Sequence[str]) -> IntArray:
    return _indices(cases.targets or [], classes)


def _number(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None
