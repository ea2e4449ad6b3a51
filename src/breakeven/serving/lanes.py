"""What waits, a line for each key. Keys take turns, case by case, so that one noisy key does not slow the others."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Lanes(Generic[Item]):
    """Several lines before one door. Not safe for threads: whoever has it holds a lock."""

    def __init__(self) -> None:
        self._lines: dict[str, deque[Item]] = {}
        self._turns: deque[str] = deque()
        self._waiting = 0

    def __len__(self) -> int:
        return self._waiting

    @property
    def lanes(self) -> int:
        """Keys that have something waiting."""
        return len(self._lines)

    def put(self, lane: str, items: Iterable[Item]) -> None:
        """Adds items at the end of a key's line."""
        line = self._lines.get(lane)
        if line is None:
            line = self._lines[lane] = deque()
            self._turns.append(lane)
        before = len(line)
        line.extend(items)
        self._waiting += len(line) - before

    def take(self, most: int) -> list[Item]:
        """The next items, one of every key in turn."""
        taken: list[Item] = []
        while self._turns and len(taken) < most:
            lane = self._turns.popleft()
            line = self._lines[lane]
            taken.append(line.popleft())
            if line:
                self._turns.append(lane)
            else:
                del self._lines[lane]
        self._waiting -= len(taken)
        return taken

    def ahead(self, lane: str) -> int:
        """Items that go before one of `lane` that came now: of every other line only as many as this one has already,
        and one.
        """
        mine = len(self._lines.get(lane, ()))
        return sum(len(line) if name == lane else min(len(line), mine + 1) for name, line in self._lines.items())
