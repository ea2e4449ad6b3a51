"""The few figures a running training needs to choose its best step; the report's metrics are in `metrics`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


def classification(probabilities: np.ndarray, truths: np.ndarray) -> dict[str, float]:
    """Accuracy, macro F1 over the classes that occur, log loss; probabilities [n, classes], truths [n], -1 unseen."""
    import numpy as np

    answers = probabilities.argmax(1)
    scores = []
    for label in sorted(set(truths.tolist()) - {-1}):
        hits = float(np.sum((answers == label) & (truths == label)))
        scores.append(2 * hits / float(np.sum(answers == label) + np.sum(truths == label)))
    given = np.where(truths < 0, 1e-12, probabilities[np.arange(len(truths)), truths])
    return {
        "macro_f1": float(np.mean(scores)) if scores else 0.0,
        "accuracy": float(np.mean(answers == truths)),
        "log_loss": float(-np.log(np.maximum(given, 1e-12)).mean()),
    }
