"""Hot swaps, rollbacks and a canary under keep-alive load, on real signed releases in a real server.

    python -m tests.serving.swaps --swaps 50 --clients 32

Every release answers with its own label, so an answer of one release under the name of another is seen.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from breakeven.ledger.commands import keys_create
from breakeven.ledger.owner import ask
from breakeven.packaging.routing import Desk
from breakeven.serving.launch import ServerProcess
from breakeven.serving.orders import FOLLOW, STATUS, summary
from tests.serving.shelf import Shelf


@dataclass
class Seen:
    """What the clients were told. `mixed`: answers that are not of the release they name."""

    statuses: Counter[int] = field(default_factory=Counter)
    models: Counter[str] = field(default_factory=Counter)
    mixed: list[Any] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    swaps: int = 0  # so far
    changes: int = 0  # between two answers on one connection
    slowest: float = 0.0


async def client(server: ServerProcess, labels: dict[str, str], seen: Seen, stop: asyncio.Event) -> None:
    """Asks on one connection until told to stop; a connection that breaks is an error."""
    address, draw = urlsplit(server.url), random.Random(id(stop))
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    before = None
    while not stop.is_set():
        body = json.dumps({"inputs": ["text"] * draw.choice((1, 1, 1, 2, 7, 40))}).encode()
        head = (f"POST /v1/predict HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {server.key}\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n").encode()  # fmt: skip
        began = time.perf_counter()
        try:
            writer.write(head + body)
            answered = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(answered.split(b"content-length: ")[1].split(b"\r\n")[0])
            found = json.loads(await reader.readexactly(length))
        except (OSError, asyncio.IncompleteReadError) as error:
            seen.broken.append(repr(error))
            return
        seen.slowest = max(seen.slowest, time.perf_counter() - began)
        status = int(answered.split()[1])
        seen.statuses[status] += 1
        if status != 200:
            seen.broken.append(f"{status} from swap {seen.swaps}: {found}")
            continue
        model = found["model"]
        seen.models[model] += 1
        seen.changes += before is not None and before != model
        before = model
        if {output["label"] for output in found["outputs"]} != {labels.get(model)}:
            seen.mixed.append(found)
    writer.close()


def follow(server: ServerProcess, record: dict[str, Any]) -> dict[str, Any]:
    """Tells the running server of a decision, as the command line does; its status."""
    status: dict[str, Any] = ask(Path(server.ledger), FOLLOW, {"decided": summary(record)})
    return status


def status_of(server: ServerProcess) -> dict[str, Any]:
    found: dict[str, Any] = ask(Path(server.ledger), STATUS, {})
    return found


async def swap_under_load(server: ServerProcess, shelf: Shelf, swaps: int, clients: int, pause: float) -> Seen:
    """Ships one release after the other and rolls back, `swaps` times in all, while clients ask."""
    seen, stop, desk = Seen(), asyncio.Event(), Desk(shelf.releases, shelf.key)
    labels = {name: label for label, name in shelf.names.items()}
    running = [asyncio.ensure_future(client(server, labels, seen, stop)) for _ in range(clients)]
    shipped = list(shelf.names)
    for turn in range(swaps):
        await asyncio.sleep(pause)
        if turn % 3 == 2:
            record = await asyncio.to_thread(desk.rollback)
        else:
            number = await asyncio.to_thread(shelf.ship, shipped[(turn + 1) % len(shipped)])
            record = json.loads((shelf.releases / "decisions" / str(number) / "decision.json").read_text())
        status = await asyncio.to_thread(follow, server, record)
        assert status["decision"] == record["number"] and status["refused"] is None, status
        assert status["current"] == record["release"]
        seen.swaps += 1
    await asyncio.sleep(pause)
    stop.set()
    await asyncio.gather(*running)
    return seen


def canary_share(server: ServerProcess, shelf: Shelf, share: float, customers: int) -> dict[str, list[str]]:
    """Which releases each of many new customers meets, asked twice, with a canary at `share`."""
    follow(server, Desk(shelf.releases, shelf.key).canary(shelf.names["blue"], share))
    return asyncio.run(_customers(server, customers))


async def _customers(server: ServerProcess, customers: int) -> dict[str, list[str]]:
    address, met = urlsplit(server.url), dict[str, list[str]]()
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    body = b'{"inputs":["text"]}'
    for number in range(customers):
        key = (await asyncio.to_thread(keys_create, server.ledger, f"customer {number}"))["secret"]
        for _ in range(2):
            writer.write((f"POST /v1/predict HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Type: "
                          f"application/json\r\nContent-Length: {len(body)}\r\n\r\n").encode() + body)  # fmt: skip
            answered = (await reader.readuntil(b"\r\n\r\n")).lower()
            found = json.loads(await reader.readexactly(int(answered.split(b"content-length: ")[1].split(b"\r\n")[0])))
            met.setdefault(f"customer {number}", []).append(found["model"])
    writer.close()
    return met


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--swaps", type=int, default=50)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--pause", type=float, default=0.3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        shelf = Shelf(Path(scratch) / "project").fill()
        shelf.ship("red")
        ledger = Path(scratch) / "ledger.sqlite"
        with ServerProcess(shelf.releases, trust=shelf.trust, ledger=ledger) as server:
            before, began = server.memory_mb(), time.monotonic()
            seen = asyncio.run(swap_under_load(server, shelf, options.swaps, options.clients, options.pause))
            took, after = time.monotonic() - began, server.memory_mb()
    found = {"swaps": options.swaps, "clients": options.clients, "seconds": round(took, 1),
             "answers": sum(seen.models.values()), "statuses": dict(seen.statuses), "broken": seen.broken[:3],
             "mixed": len(seen.mixed), "releases": dict(seen.models), "changes_seen_on_a_connection": seen.changes,
             "slowest_seconds": round(seen.slowest, 3), "memory_mb": [round(before), round(after)]}  # fmt: skip
    sys.stdout.write(json.dumps(found, indent=1) + "\n")
    return 1 if seen.broken or seen.mixed else 0


if __name__ == "__main__":
    sys.exit(main())
