"""What metering costs an encoder server: CPU a request with and without it, in one process, in short blocks by turns.

    python bench/metering.py [--pairs 40] [--requests 64] [--at-once 16] [--threads 1] [--cpu 0]

Two servers side by side differ by more than is sought, and so do two minutes of one: so one service answers all, over
ASGI, and a pair is a block of requests with metering and one without, a fraction of a second apart, first one then the
other first. Metering works on two threads only, the event loop's and the ledger writer's, the model on others: the CPU
clock of each is read, so the model's own noise stays out of the difference. Printed: microseconds a request with a 95%
interval (bootstrap of the median), their share of a bare request's CPU, and the plain ratio of whole blocks beside it.
No sockets: they would only make the bare request dearer and the share smaller.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import os
import random
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from unmetered_server import unmetered

BOOTSTRAP = 4000


class Clocks:
    """CPU seconds so far: of the two threads that meter, and of the whole process."""

    def __init__(self) -> None:
        writer = next(thread for thread in threading.enumerate() if thread.name == "ledger-writer")
        self._ids = [time.pthread_getcpuclockid(one.ident or 0) for one in (threading.main_thread(), writer)]

    def read(self) -> tuple[float, float]:
        return sum(map(time.clock_gettime, self._ids)), time.process_time()


async def ask(service: Any, body: bytes, secret: str) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()),
               (b"authorization", f"Bearer {secret}".encode())]  # fmt: skip
    scope = {"type": "http", "method": "POST", "path": "/v1/predict", "raw_path": b"/v1/predict", "query_string": b"",
             "headers": headers, "client": ("127.0.0.1", 1)}  # fmt: skip
    status: list[int] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        status.append(message.get("status", 0))

    await service(scope, receive, send)
    assert status[0] == 200, status


async def block(ask_one: Callable[[bytes], Any], bodies: Sequence[bytes], at_once: int) -> None:
    left = iter(bodies)

    async def client() -> None:
        for body in left:
            await ask_one(body)

    await asyncio.gather(*(client() for _ in range(at_once)))


async def pairs(service: Any, secrets: list[str], bodies: list[bytes], chosen: argparse.Namespace) -> list[Any]:
    """[(metering threads with, without, process with, without)], CPU microseconds a request."""
    clocks, found, draw = Clocks(), [], random.Random(1)

    async def spent(some: Sequence[bytes], meter: bool) -> tuple[float, float]:
        with contextlib.nullcontext() if meter else unmetered():
            before = clocks.read()
            await block(lambda body: ask(service, body, draw.choice(secrets)), some, chosen.at_once)
            after = clocks.read()
        return tuple((b - a) / len(some) * 1e6 for a, b in zip(before, after, strict=True))  # type: ignore[return-value]

    for number in range(chosen.pairs + 2):
        some = draw.sample(bodies, chosen.requests)  # the same texts with and without
        order = (True, False) if number % 2 == 0 else (False, True)
        cost = {meter: await spent(some, meter) for meter in order}
        if number >= 2:  # the first two warm
            found.append((cost[True][0], cost[False][0], cost[True][1], cost[False][1]))
    return found


def interval(values: list[float]) -> tuple[float, float, float]:
    """(median, low, high) at 95%."""
    draw = random.Random(2)
    medians = sorted(statistics.median(draw.choices(values, k=len(values))) for _ in range(BOOTSTRAP))
    return statistics.median(values), medians[int(BOOTSTRAP * 0.025)], medians[int(BOOTSTRAP * 0.975)]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, default=40)
    parser.add_argument("--requests", type=int, default=64, help="of a block")
    parser.add_argument("--at-once", type=int, default=16)
    parser.add_argument("--threads", type=int, default=1, help="of the model")
    parser.add_argument("--cpu", type=int, default=0, help="the core all of it is pinned to; -1: none")
    parser.add_argument("--customers", type=int, default=8)
    chosen = parser.parse_args()
    if chosen.cpu >= 0:
        os.sched_setaffinity(0, {chosen.cpu})
    os.environ["OMP_NUM_THREADS"] = str(chosen.threads)
    from serve_encoder import BF16, packages
    from texts import mails

    from breakeven.ledger import open_ledger
    from breakeven.ledger.plans import PricePlan
    from breakeven.packaging.opened import open_package
    from breakeven.serving.app import Limits, create_app
    from breakeven.training.weights import cache_folder

    place = packages(cache_folder() / "bench" / "serve")[BF16]
    bodies = [json.dumps({"inputs": [text]}).encode() for text, _ in mails(1000, seed=7)]
    with tempfile.TemporaryDirectory() as folder, open_ledger(Path(folder) / "ledger.sqlite") as ledger:
        plan = ledger.keep_plan(PricePlan.of({"answers": "0.004"}))
        names = [ledger.customers.add(f"customer {number}").id for number in range(chosen.customers)]
        secrets = [ledger.keys.create(name)[0] for name in names]
        service = create_app(open_package(place, threads=chosen.threads), None, ledger, Limits(), plan=plan)
        gc.collect()
        gc.freeze()
        found = asyncio.run(pairs(service, secrets, bodies, chosen))
        service.close()
    bare = statistics.median(row[3] for row in found)
    cost = interval([row[0] - row[1] for row in found])
    plain = interval([row[2] / row[3] for row in found])
    print(json.dumps({
        "pairs": len(found), "requests_a_block": chosen.requests, "at_once": chosen.at_once,
        "bare_cpu_us": round(bare), "metering_cpu_us": [round(value, 1) for value in cost],
        "metering_share": [round(value / bare, 4) for value in cost],
        "whole_blocks_ratio": [round(value, 4) for value in plain], "load_average": os.getloadavg(),
    }))  # fmt: skip


if __name__ == "__main__":
    main()
