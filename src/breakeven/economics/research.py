"""Price research: van Westendorp, Gabor-Granger and conjoint answers turned into ranges and demand curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from breakeven.economics.demand import LogitDemand
from breakeven.economics.likelihood import Fit, maximise
from breakeven.economics.normal import Floats, floats
from breakeven.errors import DataError


@dataclass(frozen=True)
class PriceSensitivity:
    """Van Westendorp's points. The range has two definitions in use, which differ: both are given.

    `range_original`: too cheap x not cheap, to too expensive x not expensive. `range_common`: too cheap x expensive,
    to too expensive x cheap. `optimal`: too cheap x too expensive. `indifference`: cheap x expensive. A point is None
    where its curves do not cross. `dropped` answers were not in order of price.
    """

    range_original: tuple[float | None, float | None]
    range_common: tuple[float | None, float | None]
    optimal: float | None
    indifference: float | None
    respondents: int
    dropped: int


def van_westendorp(
    too_cheap: Sequence[float], cheap: Sequence[float], expensive: Sequence[float], too_expensive: Sequence[float]
) -> PriceSensitivity:
    """The four prices of every respondent, in the order asked."""
    answers = [floats(column) for column in (too_cheap, cheap, expensive, too_expensive)]
    if len({len(column) for column in answers}) != 1 or not len(answers[0]):
        raise DataError("answers-shape")
    table = np.stack(answers, axis=1)
    if not np.isfinite(table).all() or (table < 0.0).any():
        raise DataError("answers-prices")
    ordered = (np.diff(table, axis=1) >= 0.0).all(axis=1)
    kept = table[ordered]
    if not len(kept):
        raise DataError("answers-order", n=len(table))
    prices = np.unique(kept)
    # The part of respondents for whom a price is too cheap, cheap, expensive, too expensive.
    columns = np.sort(kept, axis=0)
    very_low, low = (1.0 - np.searchsorted(columns[:, n], prices, "left") / len(kept) for n in (0, 1))
    high, very_high = (np.searchsorted(columns[:, n], prices, "right") / len(kept) for n in (2, 3))
    return PriceSensitivity(
        (_crossing(prices, very_low, 1.0 - low), _crossing(prices, 1.0 - high, very_high)),
        (_crossing(prices, very_low, high), _crossing(prices, low, very_high)),
        _crossing(prices, very_low, very_high),
        _crossing(prices, low, high),
        len(kept),
        int((~ordered).sum()),
    )


def _crossing(prices: Floats, falls: Floats, rises: Floats) -> float | None:
    """Where a falling curve meets a rising one, by straight lines; the middle where they lie on each other."""
    gap = falls - rises
    flat = np.flatnonzero(gap == 0.0)
    if len(flat):
        return float((prices[flat[0]] + prices[flat[-1]]) / 2.0)
    turn = np.flatnonzero((gap[:-1] > 0.0) & (gap[1:] < 0.0))
    if not len(turn):
        return None
    first = int(turn[0])
    return float(prices[first] + gap[first] / (gap[first] - gap[first + 1]) * (prices[first + 1] - prices[first]))


def gabor_granger(prices: ArrayLike, bought: ArrayLike, *, ceiling: float = 1.0) -> tuple[LogitDemand, Fit]:
    """A logit demand curve from "would you buy at this price" answers (1 or 0), by maximum likelihood.

    `ceiling` is the part of the people who would ever buy, where the answers are of all and not only of the interested.
    """
    asked, said = floats(prices), floats(bought)
    if len(asked) != len(said) or len(np.unique(asked)) < 2 or not np.isin(said, (0.0, 1.0)).all():
        raise DataError("answers-buy")
    if not 0.0 < ceiling <= 1.0:
        raise DataError("ceiling-share", found=ceiling)
    fit = _binary_logit(np.stack([np.ones_like(asked), -asked], axis=1), said, ceiling)
    return LogitDemand(fit["intercept"], fit["slope"], ceiling), fit


def _binary_logit(columns: Floats, said: Floats, ceiling: float) -> Fit:
    scale = np.abs(columns).max(axis=0)

    def log_likelihood(theta: Floats) -> float:
        utility = np.clip(columns @ (theta / scale), -500.0, 500.0)
        share = np.clip(ceiling / (1.0 + np.exp(-utility)), 1e-300, 1.0 - 1e-15)
        return float(np.sum(np.where(said > 0.5, np.log(share), np.log1p(-share))))

    fit = maximise(log_likelihood, (0.0,) * columns.shape[1], names=("intercept", "slope"), n=len(said), positive=False)
    values = tuple(float(value) for value in np.array(fit.values) / scale)
    covariance = floats(fit.covariance / np.outer(scale, scale))
    return replace(fit, values=values, covariance=covariance)


@dataclass(frozen=True)
class Conjoint:
    """Part-worths of a multinomial logit. Categories sum to zero within their attribute; `price` is a slope."""

    fit: Fit
    levels: Mapping[str, tuple[str, ...]]
    worths: Mapping[str, Mapping[str, float]]
    price: str | None
    hit_rate: float
    questions: int
    importance: Mapping[str, float] = field(default_factory=dict)

    @property
    def price_slope(self) -> float:
        """Utility lost for a unit of money."""
        if self.price is None:
            raise DataError("conjoint-no-price")
        return -self.fit[self.price]

    def worth(self, attribute: str, level: str, against: str) -> float:
        """What a level is worth in money against another one of the same attribute."""
        return (self.worths[attribute][level] - self.worths[attribute][against]) / self.price_slope

    def utility(self, profile: Mapping[str, Any]) -> float:
        """The utility of a profile: a level for every attribute, and the price."""
        total = sum(self.worths[name][str(profile[name])] for name in self.levels)
        return total - (self.price_slope * float(profile[self.price]) if self.price else 0.0)

    def demand(self, profile: Mapping[str, Any], against: Sequence[Mapping[str, Any]]) -> LogitDemand:
        """The demand curve of a profile (its price left open) where these others are on offer."""
        if not against:
            raise DataError("conjoint-no-choice")
        others = float(np.logaddexp.reduce([self.utility(other) for other in against]))
        own = sum(self.worths[name][str(profile[name])] for name in self.levels)
        return LogitDemand(own - others, self.price_slope)


def conjoint(
    rows: Sequence[Mapping[str, Any]],
    *,
    attributes: Sequence[str],
    price: str | None = None,
    question: str = "question",
    chosen: str = "chosen",
) -> Conjoint:
    """A multinomial logit from choices: one row an alternative, `question` says which rows were shown together.

    `attributes` are categories (an opt-out is one more level), `price` a number. One row a question is `chosen`.
    """
    if not rows or not (attributes or price):
        raise DataError("answers-shape")
    levels = {name: tuple(sorted({str(row[name]) for row in rows})) for name in attributes}
    if any(len(found) < 2 for found in levels.values()):
        raise DataError("conjoint-levels", found=[name for name, found in levels.items() if len(found) < 2])
    names = [f"{name}={level}" for name, found in levels.items() for level in found[:-1]] + ([price] if price else [])
    columns = np.array([_coded(row, levels, price) for row in rows])
    groups, picked = _questions(rows, question, chosen)
    beta, information, value = _multinomial(columns, groups, picked)
    strengths = np.linalg.eigvalsh(information / np.sqrt(np.outer(np.diag(information), np.diag(information))))
    identified = bool(strengths.min() > 1e-5)
    covariance = floats(np.linalg.inv(information) if identified else np.full_like(information, np.inf))
    fit = Fit(tuple(names), tuple(float(each) for each in beta), covariance, value, len(picked), False, identified)
    utilities = columns @ beta
    hits = np.mean([int(np.argmax(utilities[group])) == pick for group, pick in zip(groups, picked, strict=True)])
    worths = part_worths(fit, levels)
    return Conjoint(fit, levels, worths, price, float(hits), len(picked), _importance(fit, worths, rows, price))


def _coded(row: Mapping[str, Any], levels: Mapping[str, tuple[str, ...]], price: str | None) -> list[float]:
    """Effects coding: a level is its own column, the last level minus one in all."""
    cells: list[float] = []
    for name, found in levels.items():
        level = str(row[name])
        cells += [-1.0 if level == found[-1] else float(level == each) for each in found[:-1]]
    return [*cells, float(row[price])] if price else cells


def _questions(rows: Sequence[Mapping[str, Any]], question: str, chosen: str) -> tuple[list[Any], list[int]]:
    places: dict[Any, list[int]] = {}
    for number, row in enumerate(rows):
        places.setdefault(row[question], []).append(number)
    picked = []
    for name, group in places.items():
        said = [str(rows[number][chosen]).lower() in ("1", "true", "yes") for number in group]
        marks = [position for position, yes in enumerate(said) if yes]
        if len(marks) != 1 or len(group) < 2:
            raise DataError("conjoint-choice", question=name, chosen=len(marks), alternatives=len(group))
        picked.append(marks[0])
    return [np.array(group) for group in places.values()], picked


def _multinomial(columns: Floats, groups: Sequence[Any], picked: Sequence[int]) -> tuple[Floats, Floats, float]:
    """Newton's method on the concave likelihood: coefficients, information and log-likelihood.

    A weak pull to zero (1e-6 of a standard unit) keeps coefficients finite where answers separate perfectly.
    """
    scale = np.maximum(columns.std(axis=0), 1e-12)
    scaled = columns / scale
    beta = np.zeros(columns.shape[1])
    for _ in range(100):
        gradient, information, value = -1e-6 * beta, 1e-6 * np.eye(len(beta)), 0.0
        for group, pick in zip(groups, picked, strict=True):
            shown = scaled[group]
            utility = shown @ beta
            share = np.exp(utility - np.logaddexp.reduce(utility))
            mean = share @ shown
            gradient = gradient + shown[pick] - mean
            information = information + shown.T @ (share[:, None] * shown) - np.outer(mean, mean)
            value += float(np.log(share[pick]))
        step = np.linalg.lstsq(information, gradient, rcond=None)[0]
        beta = beta + np.clip(step, -2.0, 2.0)
        if np.abs(step).max() < 1e-10:
            break
    return beta / scale, information * np.outer(scale, scale), value


def part_worths(fit: Fit, levels: Mapping[str, tuple[str, ...]]) -> dict[str, dict[str, float]]:
    """Utility by attribute and level from effects coding: those of an attribute add up to zero."""
    worths = {}
    for name, found in levels.items():
        own = {level: fit[f"{name}={level}"] for level in found[:-1]}
        worths[name] = {**own, found[-1]: -sum(own.values())}
    return worths


def _importance(
    fit: Fit, worths: Mapping[str, Mapping[str, float]], rows: Sequence[Mapping[str, Any]], price: str | None
) -> dict[str, float]:
    """Each attribute's range of utility as a part of all ranges."""
    ranges = {name: max(found.values()) - min(found.values()) for name, found in worths.items()}
    if price is not None:
        paid = [float(row[price]) for row in rows]
        ranges[price] = abs(fit[price]) * (max(paid) - min(paid))
    total = sum(ranges.values()) or 1.0
    return {name: found / total for name, found in ranges.items()}
