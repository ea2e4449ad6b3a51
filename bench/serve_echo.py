"""What the stack costs when the model costs nothing: an echo task with key check, validation and metering, beside
FastAPI's empty handler on the same core. Rounds take turns; the generator has the other core.

    python bench/serve_echo.py [--rounds 3] [--seconds 3] [--connections 64]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from breakeven.serving.launch import ServerProcess
from breakeven.serving.load import closed_loop

ROOT = Path(__file__).resolve().parent.parent
BODY = ['{"inputs":["hello"]}']
PEER = """
import os, sys
os.sched_setaffinity(0, {0})
import uvicorn
from fastapi import FastAPI
app = FastAPI()
@app.post("/v1/predict")
async def predict():
    return {}
uvicorn.run(app, port=int(sys.argv[1]), access_log=False, log_level="warning")
"""


@contextlib.contextmanager
def bare_fastapi() -> Iterator[tuple[str, int]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen([sys.executable, "-c", PEER, str(port)])
    try:
        for _ in range(200):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}", process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def cpu(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--connections", type=int, default=64)
    options = parser.parse_args()
    os.environ["PYTHONPATH"] = str(ROOT)
    found: dict[str, list[tuple[float, float, float]]] = {"fastapi-empty": [], "breakeven-echo": []}
    ours = ServerProcess(ROOT, module="tests.serving.echo_server", cpu=0, plan={"rates": {"answers": "0.004"}})
    with ours, bare_fastapi() as (url, pid):
        servers = {"fastapi-empty": (url, pid, ""), "breakeven-echo": (ours.url, ours.pid, ours.key)}
        for address, _, key in servers.values():
            closed_loop(address, key, BODY, options.connections, 1.0, cpu=1)
        for _ in range(options.rounds):
            for name, (address, process, key) in servers.items():
                before = cpu(process)
                result = closed_loop(address, key, BODY, options.connections, options.seconds, cpu=1)
                assert not result.errors, result.errors
                found[name].append(
                    (result.achieved, (cpu(process) - before) / result.answers * 1e6, result.p99_ms or 0)
                )
    rows = {}
    for name, rounds in found.items():
        rate, micros, p99 = (statistics.median(values) for values in zip(*rounds, strict=True))
        rows[name] = rate, micros
        print(
            json.dumps(
                {
                    "server": name,
                    "per_second": round(rate),
                    "cpu_us_per_request": round(micros),
                    "p99_ms": round(p99, 1),
                    "rounds": [round(entry[0]) for entry in rounds],
                }
            )
        )
    print(
        json.dumps(
            {
                "ratio_per_second": round(rows["breakeven-echo"][0] / rows["fastapi-empty"][0], 2),
                "ratio_cpu": round(rows["fastapi-empty"][1] / rows["breakeven-echo"][1], 2),
            }
        )
    )


if __name__ == "__main__":
    main()
