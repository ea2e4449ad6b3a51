"""Three times the sustainable load for 60 s, on an echo task that spends 5 ms of CPU a case, pinned to one core."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from breakeven.serving.launch import ServerProcess
from tests.serving.overload import capacity, overloaded

pytestmark = [pytest.mark.stress, pytest.mark.timeout(3600)]
SECONDS = float(os.environ.get("STRESS_OVERLOAD_SECONDS", "60"))
ROUNDS = 3  # at most, where the generator was late


def test_overload(monkeypatch: pytest.MonkeyPatch, figures: Callable[..., None]) -> None:
    """About two minutes, up to five where the generator is late. Asserts on counts; of times the figures tell."""
    monkeypatch.setenv("ECHO_WORK", "0.005")
    with ServerProcess("nowhere", module="tests.serving.echo_server", cpu=0) as server:
        before = capacity(server, SECONDS / 6)
        found = overloaded(server, rate=3 * before[0], seconds=SECONDS, attempts=ROUNDS)
        after = capacity(server, SECONDS / 6)
        alive = server.alive()
    wall, cpu = ((one + other) / 2 for one, other in zip(before, after, strict=True))
    figures("overload", capacity_before=round(before[0], 1), capacity_after=round(after[0], 1),
            goodput_share=round(found["goodput"] / wall, 3), answers_a_cpu_second_at_capacity=round(cpu, 1),
            goodput_share_by_cpu_seconds=round(found["answers_a_cpu_second"] / cpu, 3), **found)  # fmt: skip
    assert found["unaccounted"] == found["astray"] == 0 and alive
    assert set(found["errors"]) <= {"503"}
