"""Load tests through the real server: latency at a steady load, capacity within a latency gate, cost of an answer.

    open_loop(url, key, bodies, rate, seconds, cpu=1) -> LoadResult      arrivals do not wait for answers
    closed_loop(url, key, bodies, connections, seconds, cpu=1) -> LoadResult
    find_capacity(server, bodies, latency_gate_ms, seconds_budget=10, cpu=1) -> Capacity
    measure({name: factory}, bodies, latency_gate_ms=100, seconds_budget=60, cpu=1, rounds=3) -> speed.json

Arrivals are a Poisson stream; a latency counts from the moment a request was due, so a server that stalls
cannot hide the
requests it kept from being sent. The generator is another process on another core (`cpu`; the server is pinned by its
ServerProcess); a run in which it was late itself is refused.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from breakeven.errors import EnvironmentFault

if TYPE_CHECKING:
    from breakeven.serving.launch import ServerProcess

LAG_LIMIT_MS = 5.0
SLOW_SECONDS = 0.5
LOAD_SHARE = 0.7  # of capacity: where CPU seconds and latency of an answer are measured
REFERENCE_LIMIT = 0.15
_GROWTH_SHARE = 0.2  # a queue that grows by more than this share of the gate during a run is no steady state
_T95 = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776}  # Student's t, two-sided 95%, by number of rounds


@dataclass(frozen=True)
class LoadResult:
    """One run. Latencies in ms from when a request was due; `achieved` is answers a second while sending."""

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


def _steady(server: ServerProcess, bodies: Sequence[str], rate: float, seconds: float, cpu: int | None) -> LoadResult:
    """A steady run, made again (twice at most) when the generator was late; the last one is kept and says so."""
    for _ in range(3):
        result = _run_open(server, bodies, rate, seconds, cpu)
        if result.lag_ms <= LAG_LIMIT_MS:
            break
    return result


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


def measure(
    servers: Mapping[str, Callable[[], ServerProcess]],
    bodies: Sequence[str],
    *,
    latency_gate_ms: float = 100.0,
    seconds_budget: float = 60.0,
    cpu: int | None = 1,
    rounds: int = 3,
    progress: Callable[[str, int], None] = lambda name, done: None,
) -> dict[str, Any]:
    """All candidates side by side: started, warmed up, then rounds that take turns, so that a change of the
    machine hits all.

    Returns speed.json: `{format, session, hardware, threads, versions, reference, candidates, stale}`; every figure a
    Quantity as JSON, its interval over rounds. `bodies`: one input each, as JSON texts. Servers are given by
    factories and
    ended here.
    """
    from contextlib import ExitStack

    from breakeven.artifacts import now
    from breakeven.serving.session import hardware, reference_load, versions

    share = 0.85 * seconds_budget / max(len(servers), 1)  # the rest: starting generators and servers, the reference
    before = reference_load()
    with ExitStack() as stack:
        running = {name: stack.enter_context(factory()) for name, factory in servers.items()}
        for server in running.values():
            closed_loop(server.url, server.key, bodies, 4, 0.04 * share, cpu=cpu)
        found: dict[str, list[dict[str, Any]]] = {name: [] for name in running}
        for number in range(rounds):
            for name, server in running.items():
                last = found[name][-1] if found[name] else None
                budget = share * (0.4 if last is None else 0.54 / (rounds - 1))
                found[name].append(_round(server, bodies, latency_gate_ms, last, budget=budget, cpu=cpu))
                progress(name, number + 1)
        about = {name: _about(server, found[name], latency_gate_ms) for name, server in running.items()}
    after = reference_load()
    moved = abs(after["per_second"] / before["per_second"] - 1)
    return {
        "format": 1,
        "session": now(),
        "hardware": hardware(),
        "threads": 1,
        "versions": versions(),
        "reference": {"before": before, "after": after, "moved": round(moved, 4)},
        "candidates": about,
        "stale": _doubts(found, moved),
    }


def _doubts(found: Mapping[str, list[dict[str, Any]]], moved: float) -> list[dict[str, Any]]:
    """Why these figures should be measured again: the machine's pace changed, or the generator was late in most
    rounds.
    """
    doubts = (
        [{"candidate": None, "why": "reference-moved", "moved": round(moved, 3)}] if moved > REFERENCE_LIMIT else []
    )
    for name, rounds in found.items():
        late = sum(1 for entry in rounds if entry["generator_late"])
        if late * 2 > len(rounds):
            doubts.append({"candidate": name, "why": "generator-late", "rounds": late})
    return doubts


def _round(
    server: ServerProcess,
    bodies: Sequence[str],
    gate_ms: float,
    last: dict[str, Any] | None,
    *,
    budget: float,
    cpu: int | None,
) -> dict[str, Any]:
    """One candidate's turn: capacity, then a steady run at 70% of it with the CPU clock read on both sides."""
    start = None if last is None else (last["capacity_per_second"] or None)
    capacity = find_capacity(server, bodies, gate_ms, seconds_budget=budget * 0.6, cpu=cpu, start=start)
    busy = capacity.per_second or last_resort(capacity)
    cpu_before, batches_before, began = server.cpu_seconds(), _batches(server), time.monotonic()
    if capacity.slow or busy <= 0:
        steady = closed_loop(server.url, server.key, bodies, 1, budget * 0.3, cpu=cpu)
    else:
        steady = _steady(server, bodies, busy * LOAD_SHARE, budget * 0.3, cpu)
    cpu_after, batches_after = server.cpu_seconds(), _batches(server)
    cases, batches = batches_after[0] - batches_before[0], batches_after[1] - batches_before[1]
    return {
        "capacity_per_second": capacity.per_second,
        "gate_held": capacity.gate_held,
        "slow": capacity.slow,
        "trail": capacity.trail,
        "steady": steady.as_json(),
        "latencies_ms": steady.latencies_ms,
        "generator_late": steady.lag_ms > LAG_LIMIT_MS,
        "cpu_seconds_per_answer": (cpu_after - cpu_before) / max(cases, 1.0),
        "batch_cases": cases / batches if batches else 1.0,
        "memory_mb": server.memory_mb(),
        "seconds": time.monotonic() - began,
    }


def last_resort(capacity: Capacity) -> float:
    """A rate to run at when nothing held the gate: half of what the closed loop reached."""
    reached = [probe["achieved"] for probe in capacity.trail if probe["probe"] == "closed"]
    return 0.5 * reached[0] if reached else 0.0


def _batches(server: ServerProcess) -> tuple[float, float]:
    """(cases, batches) so far, from the server's own figures."""
    from urllib.request import urlopen

    with urlopen(server.url + "/metrics", timeout=10) as page:  # noqa: S310  our own server on loopback
        figures = dict(line.rsplit(" ", 1) for line in page.read().decode().splitlines() if not line.startswith("#"))
    return float(figures.get("breakeven_batch_cases_sum", 0)), float(figures.get("breakeven_batch_cases_count", 0))


def _about(server: ServerProcess, rounds: list[dict[str, Any]], gate_ms: float) -> dict[str, Any]:
    from breakeven.serving.session import hardware

    machine = hardware()["name"]

    def quantity(values: list[float], unit: str, method: str) -> dict[str, Any]:
        value, low, high = over_rounds(values)
        return {
            "value": value,
            "low": low,
            "high": high,
            "unit": unit,
            "origin": "measured",
            "n": len(values),
            "method": method,
            "hardware": machine,
            "source": None,
            "interval": 0.95,
        }

    steady = f"open loop at {LOAD_SHARE:.0%} of capacity, from when each request was due"
    found = {
        f"latency_ms_{name}": quantity(
            [entry["steady"][f"{name}_ms"] for entry in rounds if entry["steady"][f"{name}_ms"] is not None],
            "ms",
            steady,
        )
        for name in ("p50", "p95", "p99")
    }
    found["capacity_per_second"] = quantity(
        [entry["capacity_per_second"] for entry in rounds],
        "answers/s",
        f"open-loop search, p95 within {gate_ms:g} ms, one core",
    )
    found["cpu_seconds_per_answer"] = quantity(
        [entry["cpu_seconds_per_answer"] for entry in rounds], "s", "CPU clock of the server's processes, " + steady
    )
    found["batch_cases"] = quantity([entry["batch_cases"] for entry in rounds], "cases", "cases a batch, " + steady)
    found["memory_mb"] = quantity([entry["memory_mb"] for entry in rounds], "MB", "resident memory of the server")
    found["start_seconds"] = quantity([server.start_seconds], "s", "process start to first request")
    kept = [{name: value for name, value in entry.items() if name != "latencies_ms"} for entry in rounds]
    return {
        **found,
        "rounds": kept,
        "slow": any(entry["slow"] for entry in rounds),
        "gate_held": all(entry["gate_held"] for entry in rounds),
        "latency_gate_ms": gate_ms,
    }


def over_rounds(values: list[float]) -> tuple[float | None, float | None, float | None]:
    """(value, low, high): geometric mean over rounds with Student's interval on logs; plain mean where a value
    is not positive.
    """
    import math

    if not values:
        return None, None, None
    if len(values) == 1:
        return values[0], None, None
    if min(values) <= 0:
        return statistics.fmean(values), min(values), max(values)
    logs = [math.log(value) for value in values]
    middle = statistics.fmean(logs)
    reach = _T95.get(len(values), 1.96) * statistics.stdev(logs) / math.sqrt(len(values))
    return math.exp(middle), math.exp(middle - reach), math.exp(middle + reach)
