"""A release that answers copies of requests beside the one in charge: nobody sees its answers or pays for them.

It works only while nothing else does, a few cases at a time, and copies that it cannot take are dropped and counted. So
the longest that a request can feel of it is one such small batch on another core. Streams and sessions are not copied.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from breakeven.errors import InputError

log = logging.getLogger("breakeven.serving")

Copy = tuple[float, Any, Any, Any]  # when, the parsed input, the raw output in charge, the answer in charge
CASES = 4
WAITING = 256
PATIENCE = 30.0
_LOOK_SECONDS = 0.002


class Shadow:
    """One release in the shadow of another. `idle` says whether the server has nothing else to do; `count(outcome, n)`:
    agree, differ (by the task's own `agree`), same-answer (by the rules in force), refused, failed, dropped.
    """

    def __init__(
        self,
        package: Any,
        rule: Mapping[str, Any] | None,
        *,
        name: str,
        idle: Callable[[], bool],
        count: Callable[[str, int], None],
    ) -> None:
        self.package = package
        self.rule = rule
        self.name = name
        self._idle = idle
        self._count = count
        self.counts: dict[str, int] = {}
        self._waiting: deque[Copy] = deque()
        self._wake = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="shadow", daemon=True)
        self._thread.start()

    def offer(self, inputs: list[Any], raw: list[Any], answers: list[Any]) -> None:
        """Copies of cases just answered; called on the worker's thread, and must cost it nothing."""
        room = WAITING - len(self._waiting)
        moment = time.monotonic()
        self._waiting.extend((moment, *case) for case in zip(inputs[:room], raw, answers, strict=False))
        if len(inputs) > room:
            self.tell("dropped", len(inputs) - max(room, 0))
        self._wake.set()

    def tell(self, outcome: str, cases: int = 1) -> None:
        """Counts an outcome."""
        self.counts[outcome] = self.counts.get(outcome, 0) + cases
        self._count(outcome, cases)

    def close(self) -> None:
        """Ends it; what waits is forgotten."""
        self._closing = True
        self._wake.set()
        self._thread.join(timeout=10)
        if not self._thread.is_alive():
            self.package.close()

    def _run(self) -> None:
        while not self._closing:
            self._wake.wait()
            self._wake.clear()
            while self._waiting and not self._closing:
                if self._idle():
                    self._compare(self._next())
                else:
                    time.sleep(_LOOK_SECONDS)

    def _next(self) -> list[Copy]:
        taken: list[Copy] = []
        oldest = time.monotonic() - PATIENCE
        while self._waiting and len(taken) < CASES:
            copy = self._waiting.popleft()
            if copy[0] < oldest:
                self.tell("dropped")
            else:
                taken.append(copy)
        return taken

    def _compare(self, copies: list[Copy]) -> None:
        try:
            parsed = [(self._parsed(item), raw, answer) for _, item, raw, answer in copies]
            taken = [(item, raw, answer) for item, raw, answer in parsed if item is not None]
            if not taken:
                return
            found = self.package.raw([item for item, _, _ in taken])
            for (_, raw, answer), other, own in zip(taken, found, self.package.answer(found, self.rule), strict=True):
                self.tell("agree" if self._agree(raw, other) else "differ")
                if _equal(answer, own):
                    self.tell("same-answer")
        except Exception as error:  # whatever a release does wrong is what the shadow is there to show
            log.warning("the shadow %s failed: %s: %s", self.name, type(error).__name__, error)
            self.tell("failed", len(copies))

    def _parsed(self, item: Any) -> Any:
        """The case as this release takes it: its own facts may know other classes, columns or limits."""
        try:
            return self.package.parse(self.package.task.payload(item))
        except InputError:
            self.tell("refused")
            return None

    def _agree(self, one: Any, other: Any) -> bool:
        try:
            return bool(self.package.task.agree(one, other, float(self.package.info["tolerance"])))
        except ValueError:  # other classes: their probabilities cannot be compared
            return False


def _equal(one: Any, other: Any) -> bool:
    try:
        return bool(one == other)
    except ValueError:  # arrays
        return False
