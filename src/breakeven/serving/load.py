"""Load tests through the real server: latency at a steady load, capacity within a latency gate, cost of an answer.

    open_loop(url, key, bodies, rate, seconds, cpu=1) -> LoadResult      arrivals do not wait for answers
    closed_loop(url, key, bodies, connections, seconds, cpu=1) -> LoadResult
    find_capacity(server, bodies, latency_gate_ms, seconds_budget=10, cpu=1) -> Capacity

Arrivals are a Poisson stream; a latency counts from the moment a request was due, so a server that stalls cannot hide
the requests it kept from being sent. The generator is another process on another core (`cpu`; the server is pinned by
its ServerProcess); a run in which it was late itself is refused.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from breakeven.errors import EnvironmentFault

if TYPE_CHECKING:
    from breakeven.serving.launch import ServerProcess

LAG_LIMIT_MS = 5.0
SLOW_SECONDS = 0.5
_GROWTH_SHARE = 0.2  # a queue that grows by more than this share of the gate during a run is no steady state


@dataclass(frozen=True)
class LoadResult:
    """One run. Latencies in ms from when a request was due; `achieved` is answers a second while sending. `lag_ms` and
    `connection_wait_ms` (99th percentiles) are the generator's own share: how late it sent, and how long a request
    waited for a free connection. `examples`: each text of an error, and how often it came.
    """

    rate: float | None
    seconds: float
    sent: int
    answers: int
    errors: dict[str, int]
    achieved: float
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    max_ms: float | None
    growth_ms: float
    lag_ms: float
    refused_p99_ms: float | None = None  # how long a client waited to hear no
    connection_wait_ms: float = 0.0
    examples: dict[str, int] = field(default_factory=dict)
    latencies_ms: list[float] = field(repr=False, default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Everything but the single latencies."""
        data = asdict(self)
        del data["latencies_ms"]
        return data


@dataclass(frozen=True)
class Capacity:
    """Answers a second within the gate, and every probe on the way there. `gate_held`: False when even one by
    one is too slow.
    """

    per_second: float
    gate_held: bool
    slow: bool
    trail: list[dict[str, Any]]


def open_loop(
    url: str,
    key: str,
    bodies: Sequence[str],
    rate: float,
    seconds: float,
    *,
    cpu: int | None = None,
    connections: int = 64,
    drain: float = 5.0,
    seed: int = 1,
    path: str = "/v1/predict",
    lag_limit_ms: float = LAG_LIMIT_MS,
) -> LoadResult:
    """Sends `rate` requests a second for `seconds`, whatever comes back. EnvironmentFault `generator-lagged` if
    it was late.
    """
    job = {"mode": "open", "rate": rate, "seconds": seconds, "connections": connections, "drain": drain, "seed": seed}
    result = _generate(job, url + path, key, bodies, cpu)
    if result.lag_ms > lag_limit_ms:
        raise EnvironmentFault("generator-lagged", lag_ms=round(result.lag_ms, 1), limit_ms=lag_limit_ms)
    return result


def _run_open(server: ServerProcess, bodies: Sequence[str], rate: float, seconds: float, cpu: int | None) -> LoadResult:
    return open_loop(server.url, server.key, bodies, rate, seconds, cpu=cpu, drain=2.0, lag_limit_ms=float("inf"))


def closed_loop(
    url: str,
    key: str,
    bodies: Sequence[str],
    connections: int,
    seconds: float,
    *,
    cpu: int | None = None,
    drain: float = 30.0,
    path: str = "/v1/predict",
) -> LoadResult:
    """`connections` clients, each sending its next request when its last is answered."""
    job = {"mode": "closed", "rate": None, "seconds": seconds, "connections": connections, "drain": drain, "seed": 1}
    return _generate(job, url + path, key, bodies, cpu)


def _generate(job: dict[str, Any], url: str, key: str, bodies: Sequence[str], cpu: int | None) -> LoadResult:
    text = json.dumps({**job, "url": url, "key": key, "bodies": list(bodies), "cpu": cpu})
    patience = job["seconds"] + job["drain"] + 30
    try:
        done = subprocess.run(
            [sys.executable, "-m", "breakeven.serving.generator"],
            input=text,
            capture_output=True,
            text=True,
            timeout=patience,
            check=True,
        )
        found = json.loads(done.stdout)
    except (subprocess.SubprocessError, ValueError) as error:
        reason = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
        raise EnvironmentFault("generator-failed", reason=reason[-1] if reason else "no output") from error
    latency = found["latency_ms"]
    return LoadResult(
        job["rate"],
        found["seconds"],
        found["sent"],
        found["answers"],
        found["errors"],
        found["achieved"],
        latency["p50"],
        latency["p95"],
        latency["p99"],
        latency["max"],
        found["growth_ms"],
        found["lag_ms"]["p99"],
        found["refused_p99_ms"],
        found["connection_wait_ms"],
        found["examples"],
        found["latencies_ms"],
    )


def holds(result: LoadResult, gate_ms: float) -> bool:
    """Whether a run was within the gate and steady: p95 inside, no errors, everything answered, no growing queue."""
    return (
        not result.errors
        and result.p95_ms is not None
        and result.p95_ms <= gate_ms
        and result.growth_ms <= _GROWTH_SHARE * gate_ms
    )


def find_capacity(
    server: ServerProcess,
    bodies: Sequence[str],
    latency_gate_ms: float,
    *,
    seconds_budget: float = 10.0,
    cpu: int | None = None,
    start: float | None = None,
) -> Capacity:
    """The highest arrival rate that keeps p95 within the gate, by bisection over open-loop runs.

    `start`: a rate to look around, from an earlier round; without it a closed-loop run finds the ceiling first. Answers
    slower than 0.5 s are timed one after another, then with four at once, and no rate is searched for.
    """
    deadline = time.monotonic() + seconds_budget
    trail: list[dict[str, Any]] = []
    alone = closed_loop(server.url, server.key, bodies, 1, min(0.5, seconds_budget / 10), cpu=cpu)
    if (alone.p50_ms or 0) > SLOW_SECONDS * 1000:
        return _slow_capacity(server, bodies, latency_gate_ms, alone, cpu)
    if start is None:
        crowd = closed_loop(server.url, server.key, bodies, 32, max(0.5, seconds_budget * 0.12), cpu=cpu)
        ceiling = max(crowd.achieved, 1.0)
        trail.append({"probe": "closed", "connections": 32, **crowd.as_json()})
        low, high, rate = 0.0, ceiling * 1.25, ceiling * 0.8
        probes = 5
    else:
        low, high, rate, probes = 0.0, start * 1.6, start, 3
    seconds = max(0.5, (deadline - time.monotonic()) / probes - 0.25)
    best, doubted = 0.0, set[float]()
    for _ in range(probes + 2):
        if time.monotonic() + seconds * 0.6 > deadline:
            break
        result = _run_open(server, bodies, rate, seconds, cpu)
        # A late generator makes latencies longer, never shorter: what passes passes, what fails is not known
        # to be slow.
        late = result.lag_ms > LAG_LIMIT_MS
        passed = holds(result, latency_gate_ms)
        trail.append({"probe": "open", "holds": passed, "generator_late": late, **result.as_json()})
        if late and not passed and rate not in doubted:
            doubted.add(rate)  # once more before it is believed
            continue
        if passed:
            best = max(best, rate)
            low = rate
        else:
            high = rate
        if high / max(low, 1e-9) < 1.05:
            break
        rate = (low + high) / 2 if low else rate * 0.6
    return Capacity(best, best > 0, False, trail)


def _slow_capacity(
    server: ServerProcess, bodies: Sequence[str], gate_ms: float, alone: LoadResult, cpu: int | None
) -> Capacity:
    trail: list[dict[str, Any]] = [{"probe": "alone", **alone.as_json()}]
    best = alone if (alone.p95_ms or 0) <= gate_ms and not alone.errors else None
    four = closed_loop(server.url, server.key, bodies, 4, alone.seconds, cpu=cpu)
    trail.append({"probe": "four", **four.as_json()})
    if (four.p95_ms or float("inf")) <= gate_ms and not four.errors:
        best = four
    if best is None:
        return Capacity(0.0, False, True, trail)
    return Capacity(best.answers / max(best.seconds, 1e-9), True, True, trail)
