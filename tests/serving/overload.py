"""More requests than a server can answer: who is answered, who is refused, and who is charged."""

from __future__ import annotations

import os
from typing import Any

from breakeven.ledger import commands
from breakeven.serving.launch import ServerProcess
from breakeven.serving.load import LAG_LIMIT_MS, LoadResult, closed_loop, open_loop

BODIES = ['{"inputs":["hello"]}', '{"inputs":["world"]}']
OTHER_CORE = 1 if (os.cpu_count() or 1) > 1 else None  # the server's is 0


def charged(server: ServerProcess) -> int:
    return sum(row["quantity"] for row in commands.usage(server.ledger))


def overloaded(
    server: ServerProcess, *, rate: float, seconds: float, connections: int | None = None, attempts: int = 1
) -> dict[str, Any]:
    """Sends `rate` a second; what came of it. `astray`: charges without an answer, or answers without a charge.

    A round in which the generator was late measures the generator: it is made again, `attempts` times in all. `judged`:
    whether the last one was punctual, so that its times say something of the server. Counts are summed over all rounds.
    `connections` None: each is used often enough that the server does not close it for being idle.
    """
    connections = connections or int(min(1000, max(100, 5 * rate)))
    before, sent, answered, errors, late = charged(server), 0, 0, dict[str, int](), list[float]()
    for _ in range(attempts):
        spent = server.cpu_seconds()
        found = open_loop(server.url, server.key, BODIES, rate, seconds, connections=connections, drain=30,
                          cpu=OTHER_CORE, lag_limit_ms=float("inf"))  # fmt: skip
        spent = server.cpu_seconds() - spent
        sent, answered = sent + found.sent, answered + found.answers
        for name, count in found.errors.items():
            errors[name] = errors.get(name, 0) + count
        if found.lag_ms <= LAG_LIMIT_MS:
            break
        late.append(round(found.lag_ms, 1))
    return {"rate": round(rate), "seconds": seconds, "judged": found.lag_ms <= LAG_LIMIT_MS, **_times(found),
            "answers_a_cpu_second": round(found.answers / spent, 1), "late_rounds_ms": late,
            "sent": sent, "answered": answered, "errors": errors, "texts": found.examples,
            "unaccounted": sent - answered - sum(errors.values()), "astray": charged(server) - before - answered,
            }  # fmt: skip


def _times(found: LoadResult) -> dict[str, Any]:
    return {"goodput": round(found.achieved, 1), "answered_p50_ms": _tenths(found.p50_ms),
            "answered_p99_ms": _tenths(found.p99_ms), "answered_max_ms": _tenths(found.max_ms),
            "refused_p99_ms": _tenths(found.refused_p99_ms), "generator_late_ms": _tenths(found.lag_ms),
            "waited_for_a_connection_ms": _tenths(found.connection_wait_ms)}  # fmt: skip


def capacity(server: ServerProcess, seconds: float, connections: int = 32) -> tuple[float, float]:
    """(answers a second, answers a CPU second of the server) with clients that wait for their answers."""
    spent = server.cpu_seconds()
    found = closed_loop(server.url, server.key, BODIES, connections, seconds, cpu=OTHER_CORE)
    return found.achieved, found.answers / (server.cpu_seconds() - spent)


def _tenths(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
