"""One release as it is served: its package, its answer rule, its name on the wire, its price plan and its queue.

A request holds the deployment that answers it (`with deployment:`), so that a swap never takes it away underneath.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from breakeven.serving.batcher import Batcher, Parts

if TYPE_CHECKING:
    from breakeven.ledger.plans import PricePlan
    from breakeven.serving.app import Limits


class Deployment:
    """What answers as `name`. All methods but `answer_now` run on the event loop.

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
        observe: Callable[[int, float], None] = lambda cases, seconds: None,
    ) -> None:
        self.package = package
        self.rule = rule
        self.name = name
        self.plan = plan
        self.limits = limits
        self.running = 0
        self.batcher = Batcher(
            self.answer_now,
            max_cases=limits.max_batch,
            max_queue=limits.max_queue,
            window=limits.window_ms / 1000,
            patience=limits.queue_seconds,
            pace=_measured_pace(package),
            observe=observe,
        )

    def __enter__(self) -> Deployment:
        self.running += 1
        return self

    def __exit__(self, *_: object) -> None:
        self.running -= 1

    def answer(self, inputs: list[Any], *, lane: str, seconds: float | None = None) -> asyncio.Future[list[Any]]:
        """Outputs of parsed inputs, through the queue; HttpError 503 at once where it is too long, 504 in the end."""
        return self.batcher.submit(inputs, lane=lane, seconds=seconds or self.limits.request_seconds)

    def answer_now(self, inputs: list[Any]) -> list[Any]:
        """Outputs of parsed inputs; called on the worker's thread."""
        raw = self.package.raw(inputs)
        outputs: list[Any] = self.package.render(raw, self.package.answer(raw, self.rule))
        return outputs

    def stream(self, make: Callable[[], Iterator[Any]]) -> Parts:
        """Runs an iterator on the worker, a step between batches."""
        return self.batcher.stream(make)

    def close(self) -> None:
        """Answers what is queued, ends the worker, closes the package."""
        self.batcher.close()
        self.package.close()


def _measured_pace(package: Any) -> float:
    """Seconds a case of the chosen runtime, as the package was measured; 0 where it was not."""
    runtimes = getattr(package, "info", {}).get("runtimes", {})
    found = [item.get("ms_per_case") for item in runtimes.get("tried", []) if item["runtime"] == runtimes.get("chosen")]
    return (found[0] or 0.0) / 1000 if found else 0.0
