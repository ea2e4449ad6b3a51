"""Classification metrics over many weightings at once: everything follows from a few weighted counts.

All functions take class indices and weights [b, n] and give values [b]; a class that a weighting lacks is left out of
the averages, as it has no rate. Binary or not, the same formulas hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from breakeven.metrics.calibration import log_probabilities

FloatArray = np.ndarray[Any, np.dtype[np.floating[Any]]]
IntArray = np.ndarray[Any, np.dtype[np.integer[Any]]]

BINS = 15


def metrics_of_counts(
    truth: IntArray, said: IntArray, probabilities: FloatArray, weights: FloatArray, classes: Sequence[str]
) -> dict[str, FloatArray]:
    """Every metric of a classification.

    truth, said: [n] indices, -1 for unknown and for refused. probabilities: [n, K]. weights: [b, n].
    """
    size = len(classes)
    true_count, said_count = _per_class(truth, weights, size), _per_class(said, weights, size)
    hits = _per_class(np.where(truth == said, truth, -1), weights, size)
    total = weights.sum(axis=1)
    values = {
        "accuracy": _ratio(hits.sum(axis=1), total),
        "macro_f1": _mean(_f1(hits, true_count, said_count)),
        "balanced_accuracy": _mean(_ratio(hits, true_count)),
        "mcc": matthews(hits.sum(axis=1), true_count, said_count, total),
        "coverage": _ratio(said_count.sum(axis=1), total),
        **_of_probabilities(truth, probabilities, weights),
    }
    f1, precision, recall = _f1(hits, true_count, said_count), _ratio(hits, said_count), _ratio(hits, true_count)
    for place, label in enumerate(classes):
        values[f"f1_{label}"] = f1[:, place]
        values[f"precision_{label}"] = precision[:, place]
        values[f"recall_{label}"] = recall[:, place]
    return values


def matthews(right: FloatArray, true_count: FloatArray, said_count: FloatArray, total: FloatArray) -> FloatArray:
    """Matthews correlation for K classes (Gorodkin 2004); 0 where it is not defined, as usual."""
    above = right * total - (true_count * said_count).sum(axis=1)
    below = np.sqrt(
        np.clip(total**2 - (said_count**2).sum(axis=1), 0, None)
        * np.clip(total**2 - (true_count**2).sum(axis=1), 0, None)
    )
    return np.asarray(np.divide(above, below, out=np.zeros_like(above), where=below > 0))


def reliability(probabilities: FloatArray, truth: IntArray, bins: int = BINS) -> list[dict[str, Any]]:
    """Bins of confidence with their mean confidence, share right and count; empty bins are left out."""
    judged = truth >= 0
    confidence, right = probabilities.max(axis=1)[judged], (probabilities.argmax(axis=1) == truth)[judged]
    place = _bins(confidence, bins)
    return [
        {
            "from": index / bins,
            "to": (index + 1) / bins,
            "n": int(member.sum()),
            "confidence": float(confidence[member].mean()),
            "accuracy": float(right[member].mean()),
        }
        for index in range(bins)
        if (member := place == index).any()
    ]


def _of_probabilities(truth: IntArray, probabilities: FloatArray, weights: FloatArray) -> dict[str, FloatArray]:
    judged = np.flatnonzero(truth >= 0)
    held = weights[:, judged]
    total = held.sum(axis=1)
    loss = -log_probabilities(probabilities[judged])[np.arange(len(judged)), truth[judged]]
    confidence = probabilities[judged].max(axis=1) if len(judged) else np.zeros(0)
    gap = confidence - (probabilities[judged].argmax(axis=1) == truth[judged])
    bins = np.eye(BINS)[_bins(confidence, BINS)] * gap[:, None]
    return {
        "log_loss": _ratio(held @ loss, total),
        "expected_calibration_error": _ratio(np.abs(held @ bins).sum(axis=1), total),
    }


def _bins(confidence: FloatArray, bins: int) -> IntArray:
    return np.asarray(np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1))


def _per_class(index: IntArray, weights: FloatArray, size: int) -> FloatArray:
    """[b, K] weighted counts of an index; a negative index is counted nowhere."""
    known = np.flatnonzero(index >= 0)
    marks = np.zeros((len(known), size), dtype=weights.dtype)
    marks[np.arange(len(known)), index[known]] = 1
    return np.asarray(weights[:, known] @ marks, dtype=np.float64)


def _f1(hits: FloatArray, true_count: FloatArray, said_count: FloatArray) -> FloatArray:
    """[b, K]; a class that is neither true nor answered has no F1."""
    return _ratio(2 * hits, true_count + said_count)


def _ratio(above: FloatArray, below: FloatArray) -> FloatArray:
    return np.asarray(np.divide(above, below, out=np.full(np.shape(above), np.nan), where=below > 0))


def _mean(per_class: FloatArray) -> FloatArray:
    known = np.isfinite(per_class)
    return _ratio(np.where(known, per_class, 0).sum(axis=1), known.sum(axis=1))
