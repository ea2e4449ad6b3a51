"""More requests than a server can answer: who is answered, who is refused, and who is charged."""

from __future__ import annotations

from typing import Any

from breakeven.ledger import commands
from breakeven.serving.launch import ServerProcess
from breakeven.serving.load import closed_loop, open_loop

BODIES = ['{"inputs":["hello"]}', '{"inputs":["world"]}']


def charged(server: ServerProcess) -> int:
    return sum(row["quantity"] for row in commands.usage(server.ledger))


def overloaded(server: ServerProcess, *, rate: float, seconds: float, connections: int = 1000) -> dict[str, Any]:
    """Sends `rate` a second; what came of it. `astray`: charges without an answer, or answers without a charge."""
    before, spent = charged(server), server.cpu_seconds()
    found = open_loop(server.url, server.key, BODIES, rate, seconds, connections=connections, drain=30,
                      lag_limit_ms=float("inf"))  # fmt: skip
    return {"rate": round(rate), "seconds": seconds, "sent": found.sent, "answered": found.answers,
            "errors": found.errors, "goodput": round(found.achieved, 1),
            "answers_a_cpu_second": round(found.answers / (server.cpu_seconds() - spent), 1),
            "answered_p99_ms": _tenths(found.p99_ms),
            "refused_p99_ms": _tenths(found.refused_p99_ms), "generator_late_ms": _tenths(found.lag_ms),
            "unaccounted": found.sent - found.answers - sum(found.errors.values()),
            "astray": charged(server) - before - found.answers}  # fmt: skip


def capacity(server: ServerProcess, seconds: float, connections: int = 32) -> tuple[float, float]:
    """(answers a second, answers a CPU second of the server) with clients that wait for their answers."""
    spent = server.cpu_seconds()
    found = closed_loop(server.url, server.key, BODIES, connections, seconds)
    return found.achieved, found.answers / (server.cpu_seconds() - spent)


def _tenths(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
