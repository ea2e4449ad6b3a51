"""Drift: how far the rows of now are from those of the training snapshot, and whether that is more than chance.

Every distance is judged twice. Chance: what would two samples of these sizes show if nothing had changed (PSI and MMD
by drawing, KS exactly)? Size: is it large enough to matter? Only what passes both is drift. Rows are taken as
independent.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from breakeven.errors import Finding, need_package
from breakeven.watching.features import Array, Features

FEWEST = 100  # rows on either side; below, only a landslide could be told from chance
ALARM = 0.01  # chance of any alarm where nothing changed, shared among the statistics
MATTERS = {"psi": 0.1, "ks": 0.1, "mmd": 0.05}  # PSI: the folklore's "stable"; MMD: a third of reviews against news
_BINS = 10
_DRAWS = 4000
_PLACES = 2000  # texts a side that are dealt anew, drawn from all
_RARE = 5  # a kind that fewer rows than this have is counted with the other rare ones

Verdict = Literal["same", "small", "drift"]


@dataclass(frozen=True)
class Statistic:
    """One comparison. `noise`: the largest distance that chance explains. `small`: beyond it, too small to matter."""

    column: str
    statistic: str
    value: float
    noise: float
    p: float
    verdict: Verdict

    def as_json(self) -> dict[str, Any]:
        """The row that `--json` prints."""
        return asdict(self)


def compare(reference: Features, current: Features, *, seed: int = 0) -> list[Statistic]:
    """All columns that both sides have in FEWEST rows at least: `length`, `script`, `text`, `label`, `probability`."""
    draw = np.random.default_rng(seed)
    numbers = _both(reference.numbers, current.numbers)
    kinds = _both(reference.kinds, current.kinds)
    texts = min(len(reference.places), len(current.places)) >= FEWEST
    level = ALARM / max(2 * len(numbers) + len(kinds) + texts, 1)
    found = []
    for name, (one, other) in numbers.items():
        found += [_psi(name, *_tenths(one, other), level, draw), _ks(name, one, other, level)]
    for name, (one, other) in kinds.items():
        found.append(_psi(name, *_counts(one, other), level, draw))
    if texts:
        found.append(_mmd("text", reference.places, current.places, level, draw))
    return found


def _both(reference: dict[str, Array], current: dict[str, Array]) -> dict[str, tuple[Array, Array]]:
    return {
        name: (values, current[name])
        for name, values in reference.items()
        if name in current and min(len(values), len(current[name])) >= FEWEST
    }


def _tenths(one: Array, other: Array) -> tuple[Array, Array]:
    """Rows between the tenths of `one`, and on each of them: a value that many rows share is a bin of its own."""
    edges = np.unique(np.quantile(one, np.linspace(0, 1, _BINS + 1)[1:-1]))
    sides = [
        np.bincount(np.searchsorted(edges, side) + np.searchsorted(edges, side, "right"), minlength=2 * len(edges) + 1)
        for side in (one, other)
    ]
    filled = sides[0] + sides[1] > 0
    return sides[0][filled], sides[1][filled]


def _counts(one: Array, other: Array) -> tuple[Array, Array]:
    """Rows by kind, on both sides; rare kinds together."""
    names, places = np.unique(np.concatenate([one, other]), return_inverse=True)
    first = np.bincount(places[: len(one)], minlength=len(names))
    second = np.bincount(places[len(one) :], minlength=len(names))
    rare = first + second < _RARE
    if rare.any():
        first, second = (np.append(side[~rare], side[rare].sum()) for side in (first, second))
    return first, second


def psi(one: Array, other: Array) -> Any:
    """The population stability index of counts by bin (last axis); half a row is added to every bin."""
    shares = [(side + 0.5) / (side + 0.5).sum(-1, keepdims=True) for side in (one, other)]
    return ((shares[0] - shares[1]) * np.log(shares[0] / shares[1])).sum(-1)


def _psi(column: str, one: Array, other: Array, level: float, draw: np.random.Generator) -> Statistic:
    """PSI, against pairs of samples of these sizes drawn from what both sides hold together."""
    pooled = (one + other) / (one.sum() + other.sum())
    chance = psi(draw.multinomial(one.sum(), pooled, _DRAWS), draw.multinomial(other.sum(), pooled, _DRAWS))
    return _judged(column, "psi", float(psi(one, other)), chance, level)


def _ks(column: str, one: Array, other: Array, level: float) -> Statistic:
    """The largest gap between the two distribution functions; where values repeat, its p is on the safe side."""
    try:
        from scipy.stats import ks_2samp
    except ModuleNotFoundError as error:
        raise need_package("scipy", "linear", purpose="drift") from error
    found = ks_2samp(one, other)
    noise = float(np.sqrt(-np.log(level / 2) / 2 * (1 / len(one) + 1 / len(other))))  # Smirnov's limit
    value, p = float(found.statistic), float(found.pvalue)
    return Statistic(column, "ks", value, noise, p, _verdict(p < level, value, "ks"))


def _mmd(column: str, one: Array, other: Array, level: float, draw: np.random.Generator) -> Statistic:
    """The distance of both means (maximum mean discrepancy, linear kernel), against rows dealt anew to both sides."""
    one, other = _some(one, draw), _some(other, draw)
    rows, first = np.concatenate([one, other]).astype(np.float32), len(one)
    total = rows.sum(0)

    def distance(sums: Array) -> Array:
        gaps: Array = sums / first - (total - sums) / (len(rows) - first)
        lengths: Array = np.sqrt((gaps**2).sum(-1))
        return lengths

    masks = np.zeros((_DRAWS // 2, len(rows)), np.float32)
    for mask in masks:
        mask[draw.permutation(len(rows))[:first]] = 1.0
    return _judged(column, "mmd", float(distance(one.sum(0))), distance(masks @ rows), level)


def _some(rows: Array, draw: np.random.Generator) -> Array:
    return rows if len(rows) <= _PLACES else rows[draw.choice(len(rows), _PLACES, replace=False)]


def _judged(column: str, name: str, value: float, chance: Array, level: float) -> Statistic:
    noise = float(np.quantile(chance, 1 - level))
    p = float((1 + np.sum(chance >= value)) / (1 + len(chance)))
    return Statistic(column, name, value, noise, p, _verdict(p < level and value > noise, value, name))


def _verdict(beyond: bool, value: float, name: str) -> Verdict:
    return "same" if not beyond else "drift" if value >= MATTERS[name] else "small"


def findings(found: list[Statistic], *, reference: int, current: int) -> list[Finding]:
    """What a reader should know: too few rows, or the columns that drifted."""
    if not found:
        return [Finding("drift-too-few", "info", "watching", fields={"reference": reference, "current": current,
                                                                      "fewest": FEWEST})]  # fmt: skip
    columns = dict.fromkeys(item.column for item in found if item.verdict == "drift")
    return [Finding("drift-found", "warning", "watching", column, {"column": column, "statistics": ", ".join(
        f"{item.statistic} {item.value:.3f}" for item in found if item.column == column and item.verdict == "drift"
    )}) for column in columns]  # fmt: skip
