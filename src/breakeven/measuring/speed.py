"""Load tests of all candidates through the real server: interleaved rounds, comparable sessions, one time budget.

Every candidate's server is started once. In each round each candidate is offered rising rates until it no longer keeps
up, then about 70% of what it held; the whole trail is stored. Figures are over rounds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from breakeven.errors import Finding
from breakeven.measuring.capacity import over_log_rounds
from breakeven.measuring.rounds import FIRST_SHARE, SHARE_OF_CAPACITY, Clock, Served, Turn

FORMAT = 1
SPEED = "speed.json"
PAYLOADS = 256
MOVED = 0.15  # results whose reference load moved by more are measured again
FIGURES = {
    "latency_ms_p50": "ms",
    "latency_ms_p95": "ms",
    "latency_ms_p99": "ms",
    "cpu_seconds_per_answer": "s",
    "memory_mb": "MB",
    "batch_cases": "cases/batch",
    "joules_per_answer": "J",
}


Opener = Callable[[Path, Sequence[Any]], Served]


@dataclass(frozen=True)
class Plan:
    """How long (wall seconds for all packages) and how often, and the payloads that are asked."""

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
    clock: Clock = time.monotonic,
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
        plan = replace(plan, seconds=plan.seconds * len(todo) / len(packages))  # its own part for each
        measured = _rounds(todo, infos, plan, opener=opener or _open, report=report, session=session, clock=clock)
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
    clock: Clock,
) -> dict[str, dict[str, Any]]:
    measured: dict[str, dict[str, Any]] = {}
    with ExitStack() as stack:
        servers: dict[str, Served] = {}
        stack.callback(_close, servers)
        for name, folder in packages.items():
            report(0, plan.rounds * len(packages), f"start {name}")
            servers[name] = opener(folder, plan.payloads)
            measured[name] = {"start_seconds": servers[name].start_seconds, "rounds": []}
        ends, left = clock() + plan.seconds, plan.rounds * len(packages)
        for number in range(plan.rounds):
            # Forwards, then backwards: a machine that slowly warms or throttles favours nobody.
            order = list(servers) if number % 2 == 0 else list(reversed(servers))
            for place, name in enumerate(order):
                report(number * len(servers) + place, plan.rounds * len(servers), name)
                rounds = measured[name]["rounds"]
                # Every turn runs a little over; what is left is shared anew, so that all together keep to the plan.
                share = max((ends - clock()) / left, plan.seconds / (plan.rounds * len(packages)) / 2)
                turn = Turn(servers[name], share, first_rate(infos[name]), clock)
                rounds.append(turn.run(rounds[-1] if rounds else None))
                left -= 1
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


def _close(servers: Mapping[str, Served]) -> None:
    """Ends all servers at once: each takes a moment to finish what it has."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(max(len(servers), 1)) as pool:
        for closing in [pool.submit(server.close) for server in servers.values()]:
            closing.result()


def first_rate(info: Mapping[str, Any]) -> float:
    """A rate that the server surely holds: a quarter of what its runtime alone did one by one, the wire counted in."""
    chosen = info["runtimes"]["chosen"]
    single = next(
        (tried.get("ms_single") for tried in info["runtimes"].get("tried", []) if tried["runtime"] == chosen), None
    )
    return FIRST_SHARE * 1000 / ((single or 1.0) + 2.0)


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
