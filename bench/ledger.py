"""The ledger alone: acknowledgements a second, one by one and by 64 clients at once, on SQLite or PostgreSQL.

    python bench/ledger.py [--url postgresql://...] [--seconds 3]

A client here is an asyncio task that charges, waits until its charge is on the disk, and charges again: what the server
does, without HTTP. A disk whose cache answers a sync before the data is safe flatters both figures alike.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from pathlib import Path

from breakeven.ledger import Ledger, open_ledger
from breakeven.ledger.events import Charge
from breakeven.ledger.writer import Entry


async def clients(ledger: Ledger, count: int, seconds: float) -> dict[str, float]:
    loop = asyncio.get_running_loop()
    latencies: list[float] = []

    def resolve(entries: list[Entry]) -> None:
        for entry in entries:
            entry.token.set_result(None)

    def deliver(entries: list[Entry]) -> None:
        loop.call_soon_threadsafe(resolve, entries)

    async def client(number: int) -> None:
        customer = f"customer {number % 8}"
        while time.perf_counter() < end:
            started = time.perf_counter()
            acknowledged = loop.create_future()
            ledger.settle_soon(
                None, Charge(customer, {"answers": 1}, key=str(number), release="r", plan="p"), deliver, acknowledged
            )
            await acknowledged
            latencies.append(time.perf_counter() - started)

    began, commits, cpu = time.perf_counter(), ledger.writer.commits, time.process_time()
    end = began + seconds
    await asyncio.gather(*(client(number) for number in range(count)))
    spent = time.perf_counter() - began
    latencies.sort()
    return {
        "clients": count,
        "per_second": round(len(latencies) / spent),
        "p50_ms": round(latencies[len(latencies) // 2] * 1e3, 2),
        "p99_ms": round(latencies[int(len(latencies) * 0.99)] * 1e3, 2),
        "cpu_us_per_charge": round((time.process_time() - cpu) / len(latencies) * 1e6, 1),
        "charges_per_commit": round(len(latencies) / max(ledger.writer.commits - commits, 1), 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--url")
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--clients", type=int, nargs="*", default=[1, 64, 512])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, open_ledger(options.url or Path(folder) / "ledger.sqlite") as ledger:
        rows = [asyncio.run(clients(ledger, count, options.seconds)) for count in options.clients]
        holds = ledger.verify()["holds"]
    one = rows[0]["per_second"]
    for row in rows:
        print(json.dumps({**row, "times_one_by_one": round(row["per_second"] / one, 1)}))
    print(json.dumps({"chain_holds": holds}))


if __name__ == "__main__":
    main()
