"""One release as it is served: its package, its answer rule, its name on the wire, its price plan and its queue.

A request holds the deployment that answers it (`with deployment:`), so that a swap never takes it away underneath.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from breakeven.errors import BreakevenError
from breakeven.serving import traces
from breakeven.serving.batcher import Batcher
from breakeven.serving.latency import Latencies
from breakeven.serving.pace import measured
from breakeven.serving.parts import Parts

if TYPE_CHECKING:
    from breakeven.ledger.plans import PricePlan
    from breakeven.serving.app import Limits
    from breakeven.serving.shadow import Shadow
    from breakeven.serving.watch import ReleaseFigures

log = logging.getLogger("breakeven.serving")

_LAST_BATCH_SECONDS = 10.0


class Deployment:
    """What answers as `name`. All methods but `answer_now` and `close` run on the event loop.

    `limits`: how the queue is kept, and `max_inputs` and `max_bytes` of a request to this release. `rule` None: the
    task's default.
    """

    def __init__(
        self,
        package: Any,
        rule: Mapping[str, Any] | None,
        *,
        name: str,
        plan: PricePlan,
        limits: Limits,
        figures: ReleaseFigures | None = None,
    ) -> None:
        self.package = package
        self.rule = rule
        self.name = name
        self.plan = plan
        self.limits = limits
        self.figures = figures
        self.shadow: Shadow | None = None
        self.latencies: Latencies | None = None  # while it is a canary, or beside one
        self._before: Mapping[str, int] = {}  # requests by outcome, when that began
        self.running = 0
        self.batcher = Batcher(
            self.answer_now,
            max_cases=limits.max_batch,
            max_queue=limits.max_queue,
            window=limits.window_ms / 1000,
            patience=limits.queue_seconds,
            pace=measured(package),
            **({} if figures is None else {"observe": figures.batch}),
        )

    def __enter__(self) -> Deployment:
        self.running += 1
        return self

    def __exit__(self, *_: object) -> None:
        self.running -= 1

    def answer(self, inputs: list[Any], *, lane: str, seconds: float | None = None) -> asyncio.Future[list[Any]]:
        """Outputs of parsed inputs, through the queue; HttpError 503 at once where it is too long, 504 in the end."""
        trace = traces.current.get()
        if trace is not None:
            trace.model = self.name
        found = self.batcher.submit(inputs, lane=lane, seconds=seconds or self.limits.request_seconds)
        if self.latencies is not None:
            self.latencies.follow(inputs, found)
        return found

    def answer_now(self, inputs: list[Any]) -> list[Any]:
        """Outputs of parsed inputs; called on the worker's thread."""
        raw = self.package.raw(inputs)
        answers = self.package.answer(raw, self.rule)
        outputs: list[Any] = self.package.render(raw, answers)
        if self.shadow is not None:
            self.shadow.offer(inputs, raw, answers)
        return outputs

    def stream(self, make: Callable[[], Iterator[Any]], *, lane: str = "") -> Parts:
        """Runs an iterator on the worker, a step between batches; keys take turns."""
        return self.batcher.stream(make, lane=lane)

    async def on_worker(self, work: Callable[[], Any], *, lane: str = "") -> Any:
        """The result of one call on the worker's thread, between batches."""
        async for value in self.stream(lambda: iter([work()]), lane=lane):
            return value
        raise BreakevenError("internal")

    def count_answered(self) -> None:
        """Counts a request that was answered and charged."""
        if self.figures is not None:
            self.figures.answered.inc()

    def count_failed(self) -> None:
        """Counts a request that this release could not answer."""
        if self.figures is not None:
            self.figures.failed.inc()

    def compare(self, on: bool) -> None:
        """Times and counts from now on what it answers as a canary or beside one, or ends that."""
        self.latencies = Latencies() if on else None
        self._before = self.figures.requests() if on and self.figures is not None else {}

    def tried(self) -> dict[str, int]:
        """Requests by outcome since the comparison began: what it answered before, in any role, is not the canary's."""
        now = {} if self.figures is None else self.figures.requests()
        return {outcome: count - self._before.get(outcome, 0) for outcome, count in now.items()}

    def close(self) -> None:
        """Answers what is queued, ends the worker, closes the package; one whose model hangs is left open."""
        if self.batcher.close(min(_LAST_BATCH_SECONDS, self.limits.shutdown_seconds)):
            self.package.close()
        else:
            log.error("the model of %s hangs: its memory is not given back", self.name)


@dataclass(frozen=True)
class Standing:
    """Who answers whom at one moment; swapped as a whole. `served`: by name, `current` and `canary` included."""

    current: Deployment
    canary: Deployment | None = None
    share: float = 0.0
    served: dict[str, Deployment] = field(default_factory=dict)

    def pick(self, customer: str) -> Deployment:
        """The release that answers a customer: the same one as long as the share is not changed."""
        if self.canary is not None and in_share(self.canary.name, customer, self.share):
            return self.canary
        return self.current


def compare(before: Standing, now: Standing) -> None:
    """Times and counts a canary and the current release from one moment on, and stops where there is no canary."""
    pair = (now.current, now.canary)
    if now.canary is not None and pair == (before.current, before.canary):
        return
    for deployment in {*before.served.values(), *now.served.values()}:
        deployment.compare(now.canary is not None and deployment in pair)


def in_share(release: str, customer: str, share: float) -> bool:
    """Whether a customer is among a canary's. A larger share keeps all that a smaller one had; another release draws
    others.
    """
    digest = hashlib.blake2b(f"{release}\0{customer}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") < share * 2.0**64
