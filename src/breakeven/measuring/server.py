"""One candidate's real server under load: pinned to a core, the generator on another where there is one."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from breakeven.errors import EnvironmentFault

if TYPE_CHECKING:
    from breakeven.serving.launch import ServerProcess
    from breakeven.serving.load import LoadResult

LAG_LIMIT_MS = 10.0  # a generator later than this (p99) measured itself, not the server
DRAIN_SECONDS = 2.0
BLOCKS, LEAST_OF_A_BLOCK = 4, 20


class LoadedServer:
    """A server process on a package, and the prepared bodies that it is asked."""

    def __init__(self, folder: Path, payloads: Sequence[Any]) -> None:
        from breakeven.serving.launch import ServerProcess

        cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]
        self._generator_cpu = cores[1] if len(cores) > 1 else None
        self._bodies = [json.dumps({"inputs": [payload]}, ensure_ascii=False) for payload in payloads]
        self._server: ServerProcess = ServerProcess(folder, cpu=cores[0] if len(cores) > 1 else None)
        try:
            self._server.start()
        except BaseException:
            self._server.stop()
            raise
        self.start_seconds = self._server.start_seconds

    def load(self, rate: float, seconds: float) -> dict[str, Any]:
        """One open-loop step at a rate, as `Served.load` says."""
        from breakeven.serving.load import open_loop

        before = self._counters()
        result = open_loop(self._server.url, self._server.key, self._bodies, rate, seconds, cpu=self._generator_cpu,
                           drain=DRAIN_SECONDS, lag_limit_ms=float("inf"))  # fmt: skip
        return self._step(result, rate, before)

    def alone(self, connections: int, seconds: float) -> dict[str, Any]:
        """One closed-loop step: so many clients, each asking when its last answer came."""
        from breakeven.serving.load import closed_loop

        before = self._counters()
        result = closed_loop(
            self._server.url, self._server.key, self._bodies, connections, seconds, cpu=self._generator_cpu
        )
        return self._step(result, result.achieved, before)

    def _step(self, result: LoadResult, rate: float, before: tuple[float, float, float]) -> dict[str, Any]:
        if not result.answers:
            raise EnvironmentFault("load-refused", errors=result.errors, said=self._server.stderr())
        cpu, cases, batches = (after - earlier for after, earlier in zip(self._counters(), before, strict=True))
        return {
            "rate": rate, "seconds": result.seconds, "answers": result.answers,
            "offered_per_second": result.sent / max(result.seconds, 1e-9), "answered_per_second": result.achieved,
            "latency_ms_p50": result.p50_ms, "latency_ms_p95": result.p95_ms, "latency_ms_p99": result.p99_ms,
            "errors": sum(result.errors.values()), "lagged": result.lag_ms > LAG_LIMIT_MS,
            "lag_ms": result.lag_ms, "growth_ms": result.growth_ms,
            "cpu_seconds_per_answer": cpu / max(result.answers, 1), "batch_cases": cases / batches if batches else None,
            "memory_mb": self._server.memory_mb(), "blocks": blocks(result.latencies_ms),
        }  # fmt: skip

    def _counters(self) -> tuple[float, float, float]:
        """CPU seconds, cases and batches so far."""
        return self._server.cpu_seconds(), *self._server.batches()

    def close(self) -> None:
        """Ends the server."""
        self._server.stop()


def blocks(latencies_ms: Sequence[float], count: int = BLOCKS) -> list[dict[str, float]]:
    """Latency quantiles of equal parts of a run, in the order of sending; none where a part would hold too few."""
    import numpy as np

    if len(latencies_ms) < count * LEAST_OF_A_BLOCK:
        return []
    parts = np.array_split(np.asarray(latencies_ms), count)
    return [{f"latency_ms_p{share}": float(np.percentile(part, share)) for share in (50, 95, 99)} for part in parts]
