"""1,000 keys and 1,000,000 events beside an empty ledger; a release of 100 MB from start to ready, and its memory."""

from __future__ import annotations

import os
import re
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from breakeven.ledger import clock, open_ledger
from breakeven.ledger.events import Charge
from breakeven.serving.launch import ServerProcess
from tests.serving import shelf as shelves
from tests.serving.lines import ask

pytestmark = [pytest.mark.stress, pytest.mark.timeout(3600)]
EVENTS = int(os.environ.get("STRESS_EVENTS", "1000000"))
KEYS = 1000
ROUNDS = 5
SCRIPT = """
local keys = {}
for line in io.lines("%s") do keys[#keys + 1] = "Bearer " .. line end
local n = 0
request = function()
  n = n + 1
  local headers = {["Content-Type"] = "application/json", ["Authorization"] = keys[n %% #keys + 1]}
  return wrk.format("POST", "/v1/predict", headers, '{"inputs":["hello"]}')
end
"""


def filled(place: Path, customers: int, events: int) -> list[str]:
    """A ledger with so many customers, a key each, and events over the last 20 days of them; the secrets."""
    with open_ledger(place) as ledger:
        ids = [ledger.customers.add(f"customer {n}").id for n in range(customers)]
        secrets = [ledger.keys.create(name)[0] for name in ids]
        now, step = clock.now(), 20 * 86_400_000_000 // max(events, 1)
        for first in range(0, events, 50_000):
            some = range(first, min(first + 50_000, events))
            ledger.record([Charge(ids[n % customers], {"answers": 1}, time=now - (events - n) * step) for n in some])
    return secrets


def load(server: ServerProcess, script: Path) -> tuple[float, float]:
    """(requests a second, CPU microseconds of the server a request) of wrk at 64 connections."""
    before = server.cpu_seconds()
    done = subprocess.run(["wrk", "-t1", "-c64", "-d3", "-s", str(script), server.url], capture_output=True, text=True)
    assert done.returncode == 0 and "Non-2xx" not in done.stdout, done.stdout + done.stderr
    requests = int(re.findall(r"(\d+) requests in", done.stdout)[0])
    rate = float(re.findall(r"Requests/sec:\s*([\d.]+)", done.stdout)[0])
    return rate, (server.cpu_seconds() - before) / requests * 1e6


def usage_ms(server: ServerProcess, secret: str) -> float:
    times = []
    for _ in range(30):
        began = time.perf_counter()
        assert ask(server.url, "GET", "/v1/usage", key=secret).status == 200
        times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times)


@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not here")
def test_many_keys_and_events(tmp_path: Path, figures: Callable[..., None]) -> None:
    began = time.monotonic()
    sides: dict[str, Any] = {}
    for name, customers, events in (("empty", 1, 0), ("full", KEYS, EVENTS)):
        place = tmp_path / name / "ledger.sqlite"
        place.parent.mkdir()
        secrets = filled(place, customers, events)
        (tmp_path / f"{name}.keys").write_text("\n".join(secrets))
        (tmp_path / f"{name}.lua").write_text(SCRIPT % (tmp_path / f"{name}.keys"))
        sides[name] = place, secrets[0]
    made = time.monotonic() - began
    found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in sides}
    servers = {name: ServerProcess("nowhere", module="tests.serving.echo_server", ledger=place, cpu=0)
               for name, (place, _) in sides.items()}  # fmt: skip
    with servers["empty"], servers["full"]:
        for number in range(ROUNDS + 1):
            for name, server in servers.items():
                one = (*load(server, tmp_path / f"{name}.lua"), usage_ms(server, sides[name][1]))
                if number:  # the first round warms
                    found[name].append(one)
        memory = {name: round(server.memory_mb()) for name, server in servers.items()}
        starts = {name: round(server.start_seconds, 2) for name, server in servers.items()}
    medians = {name: [round(statistics.median(column), 1) for column in zip(*rows, strict=True)]
               for name, rows in found.items()}  # fmt: skip
    ratios = sorted(full[1] / empty[1] for full, empty in zip(found["full"], found["empty"], strict=True))
    figures("1,000 keys and many events", events=EVENTS, keys=KEYS, rounds=ROUNDS, filled_seconds=round(made),
            per_second_and_cpu_us_and_usage_ms=medians, cpu_ratio=[round(value, 3) for value in ratios],
            memory_mb=memory, start_seconds=starts)  # fmt: skip


@pytest.fixture
def heavy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[shelves.Shelf]:
    """A signed release of 100 MB: a small model beside weights that are checked whenever it is opened."""
    from safetensors.numpy import save_file

    build = shelves.build

    def padded(*arguments: Any, folder: Path, **more: Any) -> Any:
        made = build(*arguments, folder=folder, **more)
        weights = np.random.default_rng(1).standard_normal(25_000_000, dtype=np.float32)
        save_file({"weights": weights}, folder / "reference" / "weights.safetensors")
        return made

    monkeypatch.setattr(shelves, "build", padded)
    yield shelves.Shelf(tmp_path / "project").fill(("red",))


def test_start_of_a_large_release(heavy: shelves.Shelf, tmp_path: Path, figures: Callable[..., None]) -> None:
    heavy.ship("red")
    starts, spent, memory = [], [], 0.0
    for number in range(ROUNDS):
        ledger = tmp_path / f"{number}.sqlite"
        with ServerProcess(heavy.releases, trust=heavy.trust, ledger=ledger) as server:
            starts.append(round(server.start_seconds, 2))
            spent.append(round(server.cpu_seconds(), 2))
            memory = server.memory_mb()
    size = sum(path.stat().st_size for path in heavy.releases.rglob("*") if path.is_file())
    figures("start to ready", release_mb=round(size / 1e6), seconds=starts, cpu_seconds=spent, memory_mb=round(memory))
