"""Load tests of all candidates through the real server: interleaved rounds, comparable sessions, one time budget.

Every candidate's server is started once. In each round each candidate is offered rising rates until it no longer keeps
up, then about 70% of what it held; the whole trail is stored. Figures are over rounds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from breakeven.errors import Finding
from breakeven.measuring import energy
from breakeven.measuring.capacity import DEFAULT_LIMIT_MS, holds, of_trail, over_log_rounds

FORMAT = 1
SPEED = "speed.json"
PAYLOADS = 256
SHARE_OF_CAPACITY = 0.7
MOVED = 0.15  # results whose reference load moved by more are measured again
SLOW_MS = 500.0  # answers slower than this are timed one after another, and four at once
GROW, SLOWER, NEARLY_FULL, CLOSE_ENOUGH = 1.6, 0.7, 0.8, 1.05
SEARCH_STEPS, LEAST_STEP_SECONDS, LEAST_ANSWERS, FIRST_SHARE = 8, 0.25, 20, 0.25
STEADY_TRIES = 3
LATER_ROUNDS = (0.6, 0.85, 1.0, 1.15)
WARM_UP_SECONDS = 0.5
FIGURES = {
    "latency_ms_p50": "ms",
    "latency_ms_p95": "ms",
    "latency_ms_p99": "ms",
    "cpu_seconds_per_answer": "s",
    "memory_mb": "MB",
    "batch_cases": "cases/batch",
    "joules_per_answer": "J",
}


class Served(Protocol):
    """One candidate's running server, and the generator that loads it."""

    start_seconds: float

    def load(self, rate: float, seconds: float) -> dict[str, Any]:
        """One step: `{rate, seconds, answers, answered_per_second, latency_ms_p50, .._p95, .._p99, errors, lagged,
        cpu_seconds_per_answer, memory_mb, batch_cases}`; unknown figures may be absent."""

    def alone(self, connections: int, seconds: float) -> dict[str, Any]:
        """The same for so many clients that each wait for their answer; `rate` is what came of it."""

    def close(self) -> None:
        """Ends the server."""


Opener = Callable[[Path, Sequence[Any]], Served]


@dataclass(frozen=True)
class Plan:
    """How long and how often, and the payloads that are asked."""

    seconds: float
    rounds: int
    payloads: Sequence[Any]


@dataclass
class Session:
    """What was measured, or taken over from a former session that is still comparable."""

    hardware: dict[str, Any]
    versions: dict[str, str]
    reference: dict[str, Any]
    candidates: dict[str, dict[str, Any]] = field(default_factory=dict)
    stale: list[dict[str, Any]] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """The shape of speed.json."""
        from breakeven.artifacts import now

        return {
            "format": FORMAT,
            "session": now(),
            "hardware": self.hardware,
            "threads": 1,
            "versions": self.versions,
            "reference": self.reference,
            "candidates": self.candidates,
            "stale": self.stale,
        }


def measure(
    packages: Mapping[str, Path],
    plan: Plan,
    *,
    former: Mapping[str, Any] | None = None,
    report: Callable[[float, float, str], None] = lambda done, total, what: None,
    opener: Opener | None = None,
    reference: Callable[[], float] | None = None,
) -> Session:
    """Measures every package whose former result cannot be used. `opener` starts a server for a package folder."""
    from breakeven.packaging.package import identity, read_info
    from breakeven.serving.session import hardware, versions

    reference = reference or _reference
    infos = {name: read_info(folder) for name, folder in packages.items()}
    identities = {name: identity(folder) for name, folder in packages.items()}
    session = Session(hardware(), versions(), {"per_second": reference(), "moved": None})
    reasons = _reasons(session, identities, former)
    kept = (former or {}).get("candidates", {})
    for name, reason in reasons.items():
        if reason is None:
            session.candidates[name] = {**kept[name], "reused": True}
        elif name in kept:
            session.stale.append({"candidate": name, "why": reason})
    todo = {name: packages[name] for name, reason in reasons.items() if reason is not None}
    if todo:
        measured = _rounds(todo, infos, plan, opener=opener or _open, report=report, session=session)
        for name, rounds in measured.items():
            figures = _figures(rounds["rounds"], session.hardware.get("key"))
            session.candidates[name] = {
                **figures,
                **_once(rounds),
                "rounds": rounds["rounds"],
                "identity": identities[name],
                "reused": False,
            }
        session.reference["per_second_after"] = reference()
    session.candidates = {name: session.candidates[name] for name in packages if name in session.candidates}
    return session


def _reasons(
    session: Session, identities: Mapping[str, str], former: Mapping[str, Any] | None
) -> dict[str, str | None]:
    """Why each candidate has to be measured; None where its former result still holds."""
    if former is None:
        return dict.fromkeys(identities, "never measured")
    shift = moved(session.reference["per_second"], former["reference"]["per_second"])
    session.reference["moved"] = round(shift, 4)
    every = None
    if former["hardware"].get("key") != session.hardware.get("key"):
        every = "other hardware"
    elif former["versions"] != session.versions:
        every = "other versions"
    elif shift > MOVED:
        every = f"the reference load moved by {100 * shift:.0f}%"
    found: dict[str, str | None] = {}
    for name, identity in identities.items():
        one = former["candidates"].get(name)
        found[name] = "never measured" if one is None else every
        if one is not None and every is None and one.get("identity") != identity:
            found[name] = "another package"
    return found


def _rounds(
    packages: Mapping[str, Path],
    infos: Mapping[str, Mapping[str, Any]],
    plan: Plan,
    *,
    opener: Opener,
    report: Callable[[float, float, str], None],
    session: Session,
) -> dict[str, dict[str, Any]]:
    measured: dict[str, dict[str, Any]] = {}
    share = plan.seconds / (plan.rounds * len(packages))
    with ExitStack() as stack:
        servers: dict[str, Served] = {}
        for name, folder in packages.items():
            report(0, plan.rounds * len(packages), f"start {name}")
            servers[name] = opener(folder, plan.payloads)
            stack.callback(servers[name].close)
            measured[name] = {"start_seconds": servers[name].start_seconds, "rounds": []}
        for number in range(plan.rounds):
            # Forwards, then backwards: a machine that slowly warms or throttles favours nobody.
            order = list(servers) if number % 2 == 0 else list(reversed(servers))
            for place, name in enumerate(order):
                report(number * len(servers) + place, plan.rounds * len(servers), name)
                rounds = measured[name]["rounds"]
                rounds.append(one_round(servers[name], share, first_rate(infos[name]), rounds[-1] if rounds else None))
    for name, one in measured.items():
        lagged = [step for round_ in one["rounds"] for step in round_["trail"] if step.get("lagged")]
        if lagged:
            session.findings.append(
                Finding(
                    "load-lagged",
                    "warning",
                    "evaluate",
                    name,
                    {"candidate": name, "steps": len(lagged), "rate": f"{min(step['rate'] for step in lagged):.0f}"},
                )
            )
    return measured


def first_rate(info: Mapping[str, Any]) -> float:
    """A rate that the server surely holds: a quarter of what its runtime alone did one by one, the wire counted in."""
    chosen = info["runtimes"]["chosen"]
    single = next(
        (tried.get("ms_single") for tried in info["runtimes"].get("tried", []) if tried["runtime"] == chosen), None
    )
    return FIRST_SHARE * 1000 / ((single or 1.0) + 2.0)


def one_round(server: Served, seconds: float, start: float, before: Mapping[str, Any] | None) -> dict[str, Any]:
    """One candidate's share of a round: the search for its capacity, then a steady run at about 70% of it."""
    server.load(start, WARM_UP_SECONDS if before is None else WARM_UP_SECONDS / 2)
    if 1000 / start > SLOW_MS / FIRST_SHARE:
        return _one_by_one(server, seconds)
    known = None if before is None else of_trail(before["trail"], DEFAULT_LIMIT_MS)
    trail = _search(server, 0.6 * seconds, start) if known is None else _around(server, 0.6 * seconds, known)
    capacity = of_trail(trail, DEFAULT_LIMIT_MS) or known or start
    return {"trail": trail, "steady": _steady(server, SHARE_OF_CAPACITY * capacity, 0.4 * seconds)}


def _steady(server: Served, rate: float, seconds: float) -> dict[str, Any]:
    """The run whose latency and CPU seconds are reported; made again, up to twice, where the generator lagged."""
    step: dict[str, Any] = {}
    for _ in range(STEADY_TRIES):
        counter = energy.joules()
        step = _load(server, rate, seconds)
        spent = energy.between(counter, energy.joules())
        if spent is not None and step["answers"]:
            step["joules_per_answer"] = spent / step["answers"]
        if not step.get("lagged"):
            break
    return step


def _load(server: Served, rate: float, seconds: float) -> dict[str, Any]:
    """A step long enough for a few answers, up to twice its share of the time."""
    return server.load(rate, max(LEAST_STEP_SECONDS, seconds, min(LEAST_ANSWERS / rate, 2 * seconds)))


def _one_by_one(server: Served, seconds: float) -> dict[str, Any]:
    """Slow answers: no rate is searched for."""
    single = server.alone(1, seconds / 2)
    return {"trail": [single, server.alone(4, seconds / 2)], "steady": single}


def _search(server: Served, seconds: float, start: float) -> list[dict[str, Any]]:
    """Rising rates until one does not hold, then between; a lower rate first if none held.

    After the first step the CPU seconds of an answer say about where one core is full: the search jumps there.
    """
    step_seconds = max(seconds / SEARCH_STEPS, LEAST_STEP_SECONDS)
    trail: list[dict[str, Any]] = []
    rate, low, high = start, 0.0, float("inf")
    for number in range(max(2, round(seconds / step_seconds))):
        step = _load(server, rate, step_seconds)
        trail.append(step)
        if step.get("lagged"):
            rate *= SLOWER  # it says nothing of the server, but the generator could not do it
            continue
        if holds(step, DEFAULT_LIMIT_MS):
            low = max(low, rate)
        else:
            high = min(high, rate)
        cpu = step.get("cpu_seconds_per_answer")
        if number == 0 and low and cpu:
            rate = max(rate * GROW, NEARLY_FULL / cpu)
        elif high == float("inf"):
            rate = low * GROW
        else:
            rate = (low * high) ** 0.5 if low > 0 else high / 4
        if high < CLOSE_ENOUGH * low:
            break
    return trail


def _around(server: Served, seconds: float, known: float) -> list[dict[str, Any]]:
    """Rates around a capacity that an earlier round found."""
    step_seconds = max(seconds / len(LATER_ROUNDS), LEAST_STEP_SECONDS)
    return [_load(server, factor * known, step_seconds) for factor in LATER_ROUNDS]


def _figures(rounds: Sequence[Mapping[str, Any]], hardware: str | None) -> dict[str, Any]:
    """Quantities over the steady runs of all rounds, as JSON."""
    found: dict[str, Any] = {}
    quiet = [one for one in rounds if not one["steady"].get("lagged")] or list(rounds)
    answers = sum(int(one["steady"].get("answers", 0)) for one in quiet)
    for name, unit in FIGURES.items():
        values = [float(one["steady"][name]) for one in quiet if one["steady"].get(name) is not None]
        if values:
            method = f"at about {100 * SHARE_OF_CAPACITY:.0f}% of capacity"
            blocks = [part[name] for one in quiet for part in one["steady"].get("blocks", []) if name in part]
            found[name] = over_log_rounds(
                values, unit, method=method, blocks=blocks, n=answers, hardware=hardware
            ).as_json()
    return found


def _once(rounds: Mapping[str, Any]) -> dict[str, Any]:
    from breakeven.quantity import Quantity

    start = Quantity(rounds["start_seconds"], "s", "measured", n=1, method="process start until ready")
    return {"start_seconds": start.as_json()}


def _open(folder: Path, payloads: Sequence[Any]) -> Served:
    """The real server and generator."""
    from breakeven.measuring.server import LoadedServer

    return LoadedServer(folder, payloads)


def _reference() -> float:
    """Work units a CPU second of a fixed load: how fast this machine is just now."""
    from breakeven.serving.session import reference_load

    return float(reference_load()["per_second"])


def moved(now: float, then: float) -> float:
    """By which share the reference moved, either way."""
    return max(now, then) / min(now, then) - 1 if min(now, then) > 0 else float("inf")
