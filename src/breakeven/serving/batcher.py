"""Inference off the event loop: one thread a package answers whatever queued while it was busy, together.

Nothing waits while nothing runs. Only right after a batch of several cases does the worker wait, at most `window`
seconds, for the company that those callers are about to send. Keys take turns (`lanes`); a batch ends soon (`pace`).
The package cuts it into parts of like length itself; handing these back one by one gained nothing. What may wait (batch
files) goes when nobody else waits, a little at a time.
"""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from breakeven.serving import traces
from breakeven.serving.lanes import Lanes
from breakeven.serving.pace import Pace
from breakeven.serving.parts import Parts
from breakeven.serving.wire import HttpError

log = logging.getLogger("breakeven.serving")

Answer = Callable[[list[Any]], list[Any]]
_BATCH_SECONDS = 0.5  # of work that is taken at once: who comes meanwhile waits no longer before it is looked at
_BATCHES_AHEAD = 2  # the one that runs, and one that waits
_PATIENT = 2.0  # times the usual patience, for a full batch's cases, and while little is known of the pace
_UNKNOWN = MappingProxyType({"single": 0.0, "batched": 0.0})
_LANES_LOOKED_AT = 256
_LAST_BATCH_SECONDS = 10.0
_LATER_SECONDS = 0.025  # of work that may wait, at most, before somebody who waits is looked for again
_LATER_EVERY = 1.0  # seconds after which it gets a turn though others wait, so that it ends some day


class Job:
    """The cases of one request on their way through the worker."""

    __slots__ = ("deadline", "error", "future", "inputs", "missing", "outputs", "timer", "trace")

    def __init__(self, inputs: list[Any], future: asyncio.Future[list[Any]], deadline: float) -> None:
        self.inputs = inputs
        self.outputs: list[Any] = [None] * len(inputs)
        self.missing = len(inputs)
        self.future = future
        self.deadline = deadline
        self.error: Exception | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.trace = traces.current.get()
        if self.trace is not None:
            self.trace.mark("queued")
            self.trace.cases = len(inputs)


Case = tuple[Job, int]  # a request and the place of one of its inputs


class Batcher:
    """A bounded queue before one worker thread. All its methods but the worker's run on the event loop.

    `pace`: `{single, batched}` seconds a case, where they were measured before; see `pace.measured`.
    """

    def __init__(
        self,
        answer: Answer,
        *,
        max_cases: int = 64,
        max_queue: int = 2048,
        window: float = 0.002,
        patience: float = 1.0,
        pace: Mapping[str, float] = _UNKNOWN,
        observe: Callable[[int, float], None] = lambda cases, seconds: None,
    ) -> None:
        self._answer = answer
        self._max_cases = max_cases
        self._max_queue = max_queue
        self._window = window
        self._patience = patience
        self._observe = observe
        self._lanes: Lanes[Case] = Lanes()
        self._later: deque[Case] = deque()
        self._later_at = 0.0
        self._streams: list[Parts] = []
        self._wake = threading.Condition()
        self._closing = False
        self._last: tuple[float, int] = (0.0, 0)  # when answers last went out, and how many
        self._free_at = 0.0  # when the batch that runs should end
        self._pace = Pace(max_cases, _BATCH_SECONDS)
        self._pace.seed(**pace)
        self.busy_since: float | None = None
        self._thread = threading.Thread(target=self._run, name="inference", daemon=True)
        self._thread.start()

    @property
    def queued(self) -> int:
        """Cases that wait."""
        return len(self._lanes)

    @property
    def pace(self) -> float:
        """Seconds a case of late; 0 where nothing is known yet."""
        return self._pace.per_case

    def learn(self, cases: int, seconds: float) -> None:
        """Takes into account a batch that was answered elsewhere, before the first request comes."""
        self._pace.learn(cases, seconds)

    def wait_seconds(self, lane: str | None = None) -> float:
        """How long a case of `lane` that came now would wait, by the pace of late; None: behind everybody.

        Lanes take turns, so of every other lane only as many cases go first as this one has already.
        """
        running = max(0.0, self._free_at - time.monotonic())
        if lane is None or self._lanes.lanes > _LANES_LOOKED_AT:
            return running + len(self._lanes) * self._pace.per_case
        with self._wake:
            ahead = self._lanes.ahead(lane)
        return running + ahead * self._pace.per_case

    def check(self, cases: int, seconds: float, *, lane: str | None = None) -> None:
        """HttpError 503 when `cases` more of a lane would wait too long, or could hardly be answered in `seconds`.

        A queue that is longer than it needs to be serves nobody: it only makes everybody late. See `room`.
        """
        room = self.room(seconds)
        wait = self.wait_seconds()  # at most: who goes first is counted only where it matters
        if wait > room:
            wait = self.wait_seconds(lane)
        if self._closing or wait > room or len(self._lanes) + cases > self._max_queue:
            raise HttpError(503, "overloaded", retry_after=max(1, math.ceil(wait)))

    def room(self, seconds: float) -> float:
        """Seconds of work that may wait: `patience`; two batches where they take longer; `max_cases` up to twice
        `patience`, and that much as well before as many cases were answered, while the pace is hearsay. Never more
        than half of `seconds`.
        """
        full = self._max_cases * self._pace.per_case if self._pace.cases >= self._max_cases else math.inf
        batch = self._pace.largest * self._pace.per_case
        return min(0.5 * seconds, max(self._patience, _BATCHES_AHEAD * batch, min(full, _PATIENT * self._patience)))

    def submit(self, inputs: list[Any], *, lane: str, seconds: float) -> asyncio.Future[list[Any]]:
        """The outputs of some cases, in order. HttpError 503 at once when they could not be answered within
        `seconds`.
        """
        self.check(len(inputs), seconds, lane=lane)
        job = Job(inputs, asyncio.get_running_loop().create_future(), time.monotonic() + seconds)
        job.timer = job.future.get_loop().call_later(seconds, _expire, job)
        with self._wake:
            self._lanes.put(lane, ((job, index) for index in range(len(inputs))))
            self._wake.notify()
        return job.future

    def submit_later(self, inputs: list[Any]) -> asyncio.Future[list[Any]]:
        """The outputs of some cases that may wait as long as it takes. HttpError 503 when the worker ends first."""
        job = Job(inputs, asyncio.get_running_loop().create_future(), math.inf)
        with self._wake:
            if self._closing:
                raise HttpError(503, "shutting-down")
            self._later.extend((job, index) for index in range(len(inputs)))
            self._wake.notify()
        return job.future

    def stream(self, make: Callable[[], Iterator[Any]], *, lane: str = "") -> Parts:
        """Runs an iterator on the worker, a step between batches. One key's streams take at most half of the places and
        share one turn, so that they leave room and time for those of others. HttpError 503 where there is no place.
        """
        mine = sum(parts.lane == lane for parts in self._streams)
        if self._closing or len(self._streams) >= self._max_cases or mine >= max(1, self._max_cases // 2):
            raise HttpError(503, "overloaded", retry_after=1)
        parts = Parts(make, asyncio.get_running_loop(), lane)
        with self._wake:
            self._streams.append(parts)
            self._wake.notify()
        return parts

    @property
    def idle(self) -> bool:
        """Whether nothing is being answered and nothing waits."""
        return self.busy_since is None and not (len(self._lanes) or self._later or self._streams)

    def close(self, seconds: float = _LAST_BATCH_SECONDS) -> bool:
        """Answers what is queued, cuts streams, ends the worker. False: the model hangs longer than `seconds`."""
        with self._wake:
            self._closing = True
            for parts in self._streams:
                parts.tell("error", HttpError(503, "shutting-down"))
                parts.left = True
            self._wake.notify()
        self._thread.join(timeout=seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while True:
            with self._wake:
                while not (len(self._lanes) or self._later or self._ready_streams() or self._closing):
                    self._wake.wait(0.01 if self._streams else None)
                if self._closing:
                    self._give_up_later()
                    if not len(self._lanes) and not self._streams:
                        return
                self._gather()
                batch = self._take()
            self.busy_since = time.monotonic()
            if batch:
                self._work(batch)
            self._step_streams()
            self.busy_since = None

    def _ready_streams(self) -> bool:
        return any(parts.ready for parts in self._streams)

    def _step_streams(self) -> None:
        """A part of one stream of every lane that has one to go on with; who had a turn goes to the back."""
        if not self._streams:
            return
        with self._wake:
            turns: dict[str, Parts] = {}
            for parts in self._streams:
                if parts.ready:
                    turns.setdefault(parts.lane, parts)
            chosen = list(turns.values())
            self._streams = [parts for parts in self._streams if parts not in chosen] + chosen
        for parts in chosen:
            if not parts.step():
                with self._wake:
                    self._streams.remove(parts)

    def _gather(self) -> None:
        ended, cases = self._last
        until = ended + self._window
        if cases < 2 or self._streams or self._closing:
            return
        while len(self._lanes) < min(cases, self._pace.largest):
            left = until - time.monotonic()
            if left <= 0 or not self._wake.wait(left):
                return

    def _give_up_later(self) -> None:
        left = list(self._later)
        self._later.clear()
        for job, _ in left:
            job.error = HttpError(503, "shutting-down")
        self._hand_back(left)

    def _take(self) -> list[Case]:
        if self._later and (not len(self._lanes) or time.monotonic() - self._later_at > _LATER_EVERY):
            return self._take_later()
        return self._lanes.take(self._pace.largest)

    def _take_later(self) -> list[Case]:
        """As many as take a moment, so that who comes meanwhile hardly waits."""
        self._later_at = time.monotonic()
        fitting = int(_LATER_SECONDS / self._pace.per_case) if self._pace.per_case else 1
        count = min(len(self._later), self._max_cases, max(2, fitting))
        return [self._later.popleft() for _ in range(count)]

    def _work(self, batch: list[Case]) -> None:
        started = time.monotonic()
        live = []
        for job, index in batch:
            if started > job.deadline and job.error is None:
                job.error = HttpError(504, "deadline-passed")
            if job.error is None:
                live.append((job, index))
        self._free_at = started + self._pace.seconds(len(live))
        with traces.batch([job.trace for job, _ in live if job.trace is not None]):
            outputs = self._outputs(live)
        for (job, index), output in zip(live, outputs, strict=True):
            if isinstance(output, Exception):
                job.error = job.error or output
            else:
                job.outputs[index] = output
        ended = time.monotonic()
        self._free_at = 0.0
        if live:
            self._pace.learn(len(live), ended - started)
            self._observe(len(live), ended - started)
        if batch[0][0].deadline != math.inf:  # who may wait sends no company
            self._last = (ended, len(live))
        self._hand_back(batch)

    def _outputs(self, live: list[Case]) -> list[Any]:
        inputs = [job.inputs[index] for job, index in live]
        if not inputs:
            return []
        try:
            outputs = self._answer(inputs)
            if len(outputs) != len(inputs):
                raise ValueError(f"{len(inputs)} cases in, {len(outputs)} outputs out")
            return outputs
        except Exception as error:
            if len(inputs) == 1:
                return [error]
            log.warning("a batch of %d cases failed (%s); answering one by one", len(inputs), type(error).__name__)
        # One bad case must not fail its neighbours.
        return [self._outputs([place])[0] for place in live]

    def _hand_back(self, batch: list[Case]) -> None:
        finished: dict[asyncio.AbstractEventLoop, list[Job]] = {}
        for job, _ in batch:
            job.missing -= 1
            if not job.missing:
                finished.setdefault(job.future.get_loop(), []).append(job)
        for loop, jobs in finished.items():
            try:
                loop.call_soon_threadsafe(_finish, jobs)
            except RuntimeError:  # the loop is closed: nobody waits any more
                log.warning("%d answers had nobody left to take them", len(jobs))


def _expire(job: Job) -> None:
    """A model that hangs holds its thread, not its callers."""
    if not job.future.done():
        job.future.set_exception(HttpError(504, "deadline-passed"))


def _finish(jobs: list[Job]) -> None:
    for job in jobs:
        if job.timer is not None:
            job.timer.cancel()
        if not job.future.done():
            if job.error is not None:
                job.future.set_exception(job.error)
            else:
                job.future.set_result(job.outputs)
