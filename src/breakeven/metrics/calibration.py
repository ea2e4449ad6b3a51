"""Calibration of class probabilities: temperature, and a bias per class where there is enough to fit one.

Fitted on validation rows by negative log-likelihood. Both are monotone in a class's own probability and small enough
(1 or K numbers) to be stored as JSON with the package.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

FloatArray = np.ndarray[Any, np.dtype[np.floating[Any]]]
IntArray = np.ndarray[Any, np.dtype[np.integer[Any]]]

SMALLEST = 1e-9  # a probability below this says no more than this
ENOUGH_FOR_BIAS = 100  # validation rows a class before its own bias is fitted
BETAS = (0.05, 20.0)  # inverse temperatures searched
ROUNDS = 8


def log_probabilities(probabilities: FloatArray) -> FloatArray:
    """Logarithms [n, K], with zeros lifted to a stated smallest probability."""
    return np.asarray(np.log(np.clip(np.asarray(probabilities, dtype=np.float64), SMALLEST, None)))


def softmax(scores: FloatArray) -> FloatArray:
    """Probabilities [n, K] of scores."""
    shifted = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))


def negative_log_likelihood(probabilities: FloatArray, truth: IntArray) -> float:
    """Mean of -log p(true class)."""
    return float(-log_probabilities(probabilities)[np.arange(len(truth)), truth].mean())


def fit(probabilities: FloatArray, truth: IntArray) -> dict[str, Any]:
    """`{temperature, bias, nll_before, nll_after, rows}`, or {} where it would not lower the likelihood.

    probabilities: [n, K] on validation rows; truth: [n] class indices.
    """
    if len(truth) < 2 or len(np.unique(truth)) < 2:
        return {}
    scores = log_probabilities(probabilities)
    classes = scores.shape[1]
    bias = np.zeros(classes)
    beta = temperature(scores, truth, bias)
    if np.bincount(truth, minlength=classes).min() >= ENOUGH_FOR_BIAS:
        for _ in range(ROUNDS):  # the loss is convex in both, so taking turns ends at its minimum
            bias = _bias(beta * scores, truth)
            beta = temperature(scores, truth, bias)
    before = negative_log_likelihood(probabilities, truth)
    after = negative_log_likelihood(softmax(beta * scores + bias), truth)
    if not after < before - 1e-9:
        return {}
    return {
        "temperature": 1 / beta,
        "bias": bias.tolist(),
        "nll_before": before,
        "nll_after": after,
        "rows": len(truth),
    }


def apply(probabilities: FloatArray, calibration: Mapping[str, Any]) -> FloatArray:
    """Calibrated probabilities [n, K]; an empty calibration changes nothing."""
    if not calibration:
        return np.asarray(probabilities, dtype=np.float64)
    scores = log_probabilities(probabilities) / calibration["temperature"]
    return softmax(scores + np.asarray(calibration["bias"]))


def temperature(scores: FloatArray, truth: IntArray, bias: FloatArray) -> float:
    """The inverse temperature that minimises the loss: its slope rises with it, so bisection finds the zero."""
    own = scores[np.arange(len(truth)), truth].mean()

    def slope(beta: float) -> float:
        return float((softmax(beta * scores + bias) * scores).sum(axis=1).mean() - own)

    low, high = BETAS
    if slope(low) >= 0:
        return low
    if slope(high) <= 0:
        return high
    for _ in range(60):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    return float((low * high) ** 0.5)


def _bias(scores: FloatArray, truth: IntArray, rounds: int = 50) -> FloatArray:
    """A bias per class by Newton steps on the convex loss; the first class is the fixed point of reference."""
    classes = scores.shape[1]
    bias, observed = np.zeros(classes), np.bincount(truth, minlength=classes) / len(truth)
    for _ in range(rounds):
        p = softmax(scores + bias)
        mean = p.mean(axis=0)
        curvature = np.diag(mean) - p.T @ p / len(p)
        step = np.linalg.lstsq(curvature[1:, 1:] + 1e-9 * np.eye(classes - 1), (observed - mean)[1:], rcond=None)[0]
        bias[1:] += np.clip(step, -1, 1)
        if np.abs(step).max() < 1e-9:
            break
    return bias
