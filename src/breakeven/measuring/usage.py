"""What an answer uses of every meter: counted over the test answers as the server would count and charge them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from breakeven.metrics.intervals import percentile
from breakeven.quantity import Quantity

if TYPE_CHECKING:
    from breakeven.measuring.worth import Bench, Worth
    from breakeven.task import Task

ANSWERS = "answers"
SUFFIX = "_per_answer"


def names_of(task: Task) -> tuple[str, ...]:
    """The measured names of a task's meters; answers are what the others are counted against."""
    return tuple(f"{meter}{SUFFIX}" for meter in task.meters if meter != ANSWERS)


def per_answer(bench: Bench, worth: Worth) -> dict[str, Quantity]:
    """`<meter>_per_answer` of every meter but answers, with its interval over resampled test rows.

    The mean over rows: a month's sum divided by its answers. The intervals use the draws of the metrics.
    """
    import numpy as np

    if not names_of(bench.task):
        return {}
    counted = {name: np.asarray(values, dtype=float) for name, values in _counted(bench, worth).items()}

    def means(weights: Any) -> dict[str, Any]:
        total = weights.sum(axis=1)
        return {name: weights @ values / total for name, values in counted.items()}

    drawn = bench.draws.of(means)
    found = {}
    for name, values in counted.items():
        interval, mean = percentile(drawn[name]), float(values.mean())
        unit = f"{name.removesuffix(SUFFIX)}/answer"
        low, high = (None, None) if math.isnan(interval.low) else (interval.low, interval.high)
        about: dict[str, Any] = {"n": len(values), "method": f"test answers; {interval.method}"}
        found[name] = Quantity(mean, unit, "measured", low, high, **about)
    return found


def _counted(bench: Bench, worth: Worth) -> dict[str, list[int]]:
    """Measured name -> usage of each row, of the outputs as they are rendered under the verdict's rule."""
    task = bench.task
    counted: dict[str, list[int]] = {name: [] for name in names_of(task)}
    for item, raw, answer in zip(bench.cases.inputs, worth.raw, worth.answers, strict=True):
        used = task.usage(item, task.render(raw, answer, bench.facts))
        for name, values in counted.items():
            values.append(used.get(name.removesuffix(SUFFIX), 0))
    return counted
