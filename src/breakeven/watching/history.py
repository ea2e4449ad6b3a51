"""What servers counted over time: pages of `/metrics` read, made whole over restarts, kept as long as a window needs.

A counter that starts anew is told by the process's own start time, not guessed from a fall, so a restart that counted
past the old value is seen too. Kept sums never fall: thinning old samples out loses nothing.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from breakeven.errors import EnvironmentFault, Place

Labels = tuple[tuple[str, str], ...]
Series = tuple[str, Labels]

STARTED = "process_start_time_seconds"
_FINE = 20  # samples of age a stand about a / _FINE apart: a window is off by 5% at most
_MOST_SERIES = 20_000
_OLDER = 10  # readings in a row after which an older process is the only one: its machine's clock was set back


@dataclass(frozen=True)
class Page:
    """One reading of `/metrics`. `counters` hold the samples that only grow, buckets of histograms among them."""

    counters: Mapping[Series, float]
    gauges: Mapping[Series, float]

    @property
    def started(self) -> float | None:
        """When the process began, in seconds since 1970; None where its system does not say."""
        return self.gauges.get((STARTED, ()))


def parse(text: str, *, source: str) -> Page:
    """A page of `/metrics`; EnvironmentFault `alerts-page` for what is none of ours."""
    from prometheus_client.parser import text_string_to_metric_families

    counters: dict[Series, float] = {}
    gauges: dict[Series, float] = {}
    try:
        for family in text_string_to_metric_families(text):
            if family.name.startswith(("breakeven_", "process_")):
                place = counters if family.type in ("counter", "histogram") else gauges
                for sample in family.samples:
                    if not sample.name.endswith("_created"):
                        place[sample.name, tuple(sorted(sample.labels.items()))] = float(sample.value)
    except (ValueError, KeyError, IndexError) as error:
        raise EnvironmentFault("alerts-page", at=Place(file=source), reason=str(error)[:200]) from error
    if not any(name.startswith("breakeven_") for name, _ in (*counters, *gauges)) or len(counters) > _MOST_SERIES:
        raise EnvironmentFault("alerts-page", at=Place(file=source), reason=f"{len(counters)} series")
    return Page(counters, gauges)


@dataclass
class History:
    """One server's counters since it was first read: sums that grow over restarts, oldest sample first."""

    times: list[float] = field(default_factory=list)
    sums: list[dict[Series, float]] = field(default_factory=list)
    started: float | None = None
    gauges: Mapping[Series, float] = field(default_factory=dict)
    _raw: Mapping[Series, float] = field(default_factory=dict)
    _older: int = 0

    def add(self, page: Page, now: float, *, longest: float) -> None:
        """Takes a page; samples older than `longest` seconds are dropped but for one. EnvironmentFault `alerts-many`
        where another process answers at the same address.
        """
        began, known = page.started, self.started
        older = began is not None and known is not None and began < known - 1
        self._older = self._older + 1 if older else 0
        if older and self._older < _OLDER:
            raise EnvironmentFault("alerts-many")  # an older process than the one before: no restart
        fresh = began is not None and known is not None and abs(began - known) > 1
        total = dict(self.sums[-1]) if self.sums else {}
        for series, value in page.counters.items():
            before = 0.0 if fresh else self._raw.get(series, 0.0 if self.sums else value)
            grown = value - before if value >= before else value
            total[series] = total.get(series, 0.0) + grown
        self.started, self.gauges, self._raw = began, dict(page.gauges), dict(page.counters)
        self.times.append(now)
        self.sums.append(total)
        self._thin(now, longest)

    def grown(self, window: float, now: float) -> tuple[float, dict[Series, float]]:
        """(seconds covered, growth of every series) over the last `window` seconds, or as much of it as is known; no
        seconds where there is only one sample, or the newest is older than the window.
        """
        if len(self.times) < 2 or now - self.times[-1] > window:
            return 0.0, {}
        first = max(bisect.bisect_right(self.times, now - window) - 1, 0)
        first = min(first, len(self.times) - 2)
        base, last = self.sums[first], self.sums[-1]
        return self.times[-1] - self.times[first], {name: value - base.get(name, 0.0) for name, value in last.items()}

    def _thin(self, now: float, longest: float) -> None:
        """Keeps samples the wider apart the older they are."""
        kept = [len(self.times) - 1]
        for place in range(len(self.times) - 2, -1, -1):
            age = now - self.times[place]
            following = self.times[place - 1] if place else None
            past = age >= longest and now - self.times[kept[-1]] >= longest
            if past:
                break
            if following is None or self.times[kept[-1]] - following > age / _FINE:
                kept.append(place)
        kept.reverse()
        self.times, self.sums = [self.times[place] for place in kept], [self.sums[place] for place in kept]

    def as_json(self) -> dict[str, Any]:
        """What a later process goes on from."""
        names = list(self.sums[-1]) if self.sums else []
        return {
            "started": self.started,
            "series": [[name, list(map(list, labels))] for name, labels in names],
            "raw": [self._raw.get(name) for name in names],
            "times": self.times,
            "sums": [[sums.get(name) for name in names] for sums in self.sums],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any], now: float) -> History:
        """The inverse; what lies after `now` (a clock that was set back) is forgotten."""
        names: list[Series] = [(name, tuple((key, value) for key, value in labels)) for name, labels in data["series"]]
        held = cls(started=data["started"], _raw=_named(names, data["raw"]))
        for moment, sums in zip(data["times"], data["sums"], strict=True):
            if moment <= now:
                held.times.append(float(moment))
                held.sums.append(_named(names, sums))
        return held if held.times and len(held.times) == len(data["times"]) else cls()


def _named(names: Iterable[Series], values: Iterable[float | None]) -> dict[Series, float]:
    return {name: float(value) for name, value in zip(names, values, strict=True) if value is not None}


class View:
    """All servers together at one moment: growths are summed over them, each made whole on its own."""

    def __init__(self, histories: Mapping[str, History], now: float) -> None:
        self.histories = histories
        self.now = now
        self._grown: dict[float, tuple[float, dict[Series, float]]] = {}

    def grown(self, window: float) -> tuple[float, dict[Series, float]]:
        """(the longest stretch covered, growth of every series over all servers)."""
        if window not in self._grown:
            covered, total = 0.0, dict[Series, float]()
            for history in self.histories.values():
                stretch, grown = history.grown(window, self.now)
                covered = max(covered, stretch)
                for series, value in grown.items():
                    total[series] = total.get(series, 0.0) + value
            self._grown[window] = covered, total
        return self._grown[window]

    def total(self, name: str, window: float, **labels: str) -> float | None:
        """Growth of all series of a name with these labels; None where nothing covers the window."""
        return self.total_of(name, window, {key: {value} for key, value in labels.items()})

    def total_of(self, name: str, window: float, labels: Mapping[str, Iterable[str]]) -> float | None:
        """The same, with several values a label."""
        covered, grown = self.grown(window)
        if covered <= 0:
            return None
        return sum(value for (found, having), value in grown.items() if found == name and _fits(dict(having), labels))

    def split(self, name: str, window: float) -> dict[Labels, float]:
        """Growth by labels."""
        return {labels: value for (found, labels), value in self.grown(window)[1].items() if found == name}

    def gauges(self, name: str) -> list[tuple[Labels, float]]:
        """The newest values of a gauge over all servers; a server's are dropped with its last page."""
        return [
            (labels, value)
            for history in self.histories.values()
            for (found, labels), value in history.gauges.items()
            if found == name
        ]


def _fits(having: Mapping[str, str], labels: Mapping[str, Iterable[str]]) -> bool:
    return all(having.get(key, "") in values for key, values in labels.items())


def quantile(share: float, buckets: Mapping[float, float]) -> float | None:
    """The value below which `share` of a histogram's cases lie: linear within a bucket, as Prometheus does it; in the
    last bucket its lower bound. `buckets`: cumulative counts by upper bound. None where it is empty.
    """
    bounds = sorted(buckets)
    if not bounds or buckets[bounds[-1]] <= 0:
        return None
    rank = share * buckets[bounds[-1]]
    lower, below = 0.0, 0.0
    for bound in bounds:
        if buckets[bound] >= rank:
            if bound == float("inf"):
                return lower
            inside = buckets[bound] - below
            return lower + (bound - lower) * ((rank - below) / inside if inside > 0 else 1.0)
        lower, below = bound, buckets[bound]
    return lower
