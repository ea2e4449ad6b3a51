"""How fast a worker answers, by the size of its batches: what the queue promises, and how large a batch may be.

A batch should end soon, so that what came meanwhile does not wait for it; but a model whose batches take long whatever
they hold must be given large ones. So both are measured: sizes are told apart by powers of two, and a smaller one is
taken only where it answers nearly as many a second.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_FADE = 0.8  # what a full batch, or one that takes as long as a batch should, leaves of what was known of its size
_FORGOTTEN = 0.98  # what a batch leaves of what was known of other sizes, so that they are tried again some day
_TOO_LITTLE = 0.5  # cases
_SEED_CASES = 16.0  # what a figure measured elsewhere counts for
_LONGEST = 4.0  # times what was expected: a batch that was held up longer says no more than that
_NOISE_SECONDS = 0.005
_SLOWED = 2.0  # times what was expected, in a batch that replaces much of what was known (leaves less than _TELLING):
_TELLING = 0.75  # the machine, or what is asked, has changed, and what is known of other sizes is of another time
_AS_GOOD = 0.9  # of the best size's answers a second


class Pace:
    """Seconds a case of late. `full`: cases of the largest batch. `batch_seconds`: what a batch should not exceed."""

    def __init__(self, full: int, batch_seconds: float) -> None:
        self._full = full
        self._batch_seconds = batch_seconds
        self._worked: dict[int, tuple[float, float]] = {}  # size -> seconds, cases: both fade
        self.cases = 0  # answered so far
        self.largest = full  # cases that a batch may have now
        self.per_case = 0.0  # seconds, in batches of that size; 0 where nothing is known

    def seed(self, *, single: float, batched: float) -> None:
        """Takes what was measured before the first request: seconds of a case alone, and of one among many."""
        for cases, seconds in ((1, single), (self._full, batched)):
            if seconds > 0:
                self._worked[_size(cases)] = (_SEED_CASES * seconds, _SEED_CASES)
        if self._worked:
            self._settle()

    def learn(self, cases: int, seconds: float) -> None:
        """Takes a batch into account, by cases and seconds: one that came alone and was held up says little of many."""
        size = _size(min(cases, self._full))
        if self.per_case:
            seconds = min(seconds, _LONGEST * self.seconds(cases) + _NOISE_SECONDS)
        kept = _FADE ** max(cases / self._full, seconds / self._batch_seconds)
        before, among = self._worked.get(size, (0.0, 0.0))
        spent, answered = kept * before + seconds, kept * among + cases
        self._worked[size] = (spent, answered)
        self.cases += cases
        if self._full * spent <= self._batch_seconds * answered:  # nearly always: any size is short enough
            self.largest = self._full
            self.per_case = self._at(_size(self._full))
            return
        slowed = seconds * among > _SLOWED * cases * before > 0 and kept < _TELLING
        self._forget(size, 0.0 if slowed else _FORGOTTEN)
        self._settle()

    def seconds(self, cases: int) -> float:
        """What a batch of so many should take; 0 where nothing is known."""
        return cases * self._at(_size(min(max(cases, 1), self._full)))

    def _at(self, size: int) -> float:
        """Seconds a case in batches of a size, or of the nearest one that was tried."""
        found = self._worked.get(size)
        if found is None:
            if not self._worked:
                return 0.0
            found = self._worked[min(self._worked, key=lambda other: (abs(other - size), -other))]
        return found[0] / found[1]

    def _cases(self, size: int) -> int:
        return int(min(1 << size, self._full))

    def _forget(self, size: int, left: float) -> None:
        """Leaves only so much of what is known of sizes other than this one."""
        for other, (spent, cases) in list(self._worked.items()):
            if other != size:
                self._worked[other] = (left * spent, left * cases)
                if left * cases < _TOO_LITTLE:
                    del self._worked[other]

    def _settle(self) -> None:
        """The largest size that is short enough, of those that answer about as many a second as the best does; where
        all of them are too long, the smallest.
        """
        tried = {size: spent / cases for size, (spent, cases) in self._worked.items()}
        good = [size for size, found in tried.items() if _AS_GOOD * found <= min(tried.values())]
        short = [size for size in good if self._cases(size) * tried[size] <= self._batch_seconds]
        size = self._next(max(short, default=min(good)), tried)
        self.largest, self.per_case = self._cases(size), self._at(size)

    def _next(self, size: int, tried: Mapping[int, float]) -> int:
        """`size`, or one beside it that has to be tried first."""
        top, pace = _size(self._full), tried[size]
        if self._cases(size) * pace > self._batch_seconds and size > 0 and size - 1 not in tried:
            return size - 1
        longer = [other for other in range(size + 1, top + 1) if other not in tried]
        safe = [other for other in longer if self._cases(other) * pace <= self._batch_seconds]
        if safe:
            return safe[-1]
        # Too long, if all cases cost alike. Where the last step up has paid, the next may.
        pays = size == 0 or pace < _AS_GOOD * tried.get(size - 1, 0.0)
        return size + 1 if pays and size == max(tried) and size < top else size


def _size(cases: int) -> int:
    """0 for one case, 1 for two, 2 for up to four, 3 for up to eight ..."""
    return (cases - 1).bit_length()


def measured(package: Any) -> dict[str, float]:
    """`{single, batched}`: seconds a case of the runtime that a package answers with, as measured when it was built; 0
    where it was not.
    """
    info: Mapping[str, Any] = getattr(package, "info", {})
    runtimes = info.get("runtimes", {})
    running = getattr(package, "runtime", None) or runtimes.get("chosen")
    found: Mapping[str, Any] = next((item for item in runtimes.get("tried", []) if item.get("runtime") == running), {})
    either = found.get("ms_per_case") or 0.0
    return {
        "single": (found.get("ms_single") or either) / 1000,
        "batched": (found.get("ms_batched") or either) / 1000,
    }
