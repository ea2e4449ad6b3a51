"""Open-loop load that outlives servers: who is killed with a request in hand is asked again under the same name.

Two kinds of customers. Careless ones send no Idempotency-Key: whatever they were answered must be in the ledger.
Careful ones send one and repeat until they are answered: each of their requests must be in the ledger exactly once.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from breakeven.ledger.commands import keys_create
from breakeven.serving.launch import ServerProcess
from tests.serving.lines import BROKEN, Line

CONNECTIONS = 48
HEARD = 12  # answers of either kind that are there before a kill
PATIENCE = 60.0


@dataclass
class Told:
    """What clients know. `answered`: name of a request -> id of its charge; careless requests have numbers."""

    answered: dict[str, str] = field(default_factory=dict)
    careless: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)  # answers that are not what was asked, or changed when repeated
    waiting: deque[str] = field(default_factory=deque)  # careful requests without an answer
    statuses: Counter[int] = field(default_factory=Counter)
    due: int = 0  # requests so far, also those that no client took up before a kill
    sent: int = 0
    loaded: float = 0.0  # seconds under load
    back: list[float] = field(default_factory=list)

    def heard(self, name: str, found: Any) -> None:
        """Notes an answer to a careful request."""
        if found["outputs"] != [{"echo": name}] or self.answered.setdefault(name, found["id"]) != found["id"]:
            self.wrong.append(name)

    def figures(self) -> dict[str, Any]:
        """For the page of figures."""
        back = sorted(self.back)
        return {"sent": self.sent, "sent_per_second": round(self.sent / self.loaded),
                "acknowledged": len(self.careless) + len(self.answered),
                "statuses": dict(self.statuses), "restart_seconds_median": round(back[len(back) // 2], 2),
                "restart_seconds_p95": round(back[int(len(back) * 0.95)], 2),
                "restart_seconds_most": round(back[-1], 2)}  # fmt: skip


class Crowd:
    """Clients of one server (or several) while it lives; requests come at `rate` a second, whatever is answered."""

    def __init__(self, urls: list[str], keys: tuple[str, str], told: Told) -> None:
        self.urls, self.keys, self.told = urls, keys, told
        self.names: asyncio.Queue[str | None] = asyncio.Queue()
        self.dead = asyncio.Event()

    async def arrive(self, rate: float, seconds: float) -> None:
        draw, due = random.Random(), time.monotonic()
        end = due + seconds
        while due < end and not self.dead.is_set():
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            self.told.due += 1
            self.names.put_nowait(f"careful {self.told.due}" if self.told.due % 2 == 0 else None)
            due += draw.expovariate(rate)

    async def client(self, url: str) -> None:
        """Serves the queue on one connection until that breaks."""
        name: str | None = None
        try:
            line = await Line.open(url)
            while not self.dead.is_set():
                name = self.told.waiting.popleft() if self.told.waiting else await self.names.get()
                await self.one(line, name)
                name = None
            line.close()
        except (*BROKEN, asyncio.CancelledError):
            if name is not None:
                self.told.waiting.append(name)

    async def one(self, line: Line, name: str | None) -> None:
        more = {} if name is None else {"Idempotency_Key": name}
        self.told.sent += 1
        heard = await line.ask("POST", "/v1/predict", {"inputs": [name or "x"]}, key=self.keys[name is None], **more)
        self.told.statuses[heard.status] += 1
        if heard.status != 200 and name is not None:
            self.told.waiting.append(name)
            await asyncio.sleep(0.05)
        elif heard.status == 200 and name is not None:
            self.told.heard(name, heard.json)
        elif heard.status == 200:
            self.told.careless.append(heard.json["id"])

    def heard_of(self, wanted: tuple[int, int]) -> bool:
        """Whether so many careless and so many careful requests have been answered."""
        return len(self.told.careless) >= wanted[0] and len(self.told.answered) >= wanted[1]

    async def run(self, rate: float, seconds: float, kill: Any, *, mortal: bool = True) -> None:
        """Load for `seconds`, or until enough is answered, then `kill()` in the midst of it. `mortal`: that breaks
        every connection, by and by.
        """
        clients = [asyncio.ensure_future(self.client(self.urls[n % len(self.urls)])) for n in range(CONNECTIONS)]
        arriving = asyncio.ensure_future(self.arrive(rate, 3600))
        began = time.monotonic()
        wanted = len(self.told.careless) + HEARD, len(self.told.answered) + HEARD
        await asyncio.sleep(seconds)
        while not self.heard_of(wanted) and time.monotonic() < began + PATIENCE:
            await asyncio.sleep(0.01)
        await asyncio.to_thread(kill)
        self.told.loaded += time.monotonic() - began
        if mortal:
            await asyncio.wait(clients, timeout=20)  # each hears what was sent to it before its line broke
        self.dead.set()
        for one in (arriving, *clients):
            one.cancel()
        await asyncio.gather(arriving, *clients, return_exceptions=True)
        while not self.names.empty():  # never sent
            self.names.get_nowait()


def server_at(place: Path, module: str) -> ServerProcess:
    return ServerProcess("nowhere", ledger=place, module=f"tests.serving.{module}")


def kill_often(place: Path, kills: int, *, rate: float, seconds: float, module: str = "echo_server") -> Told:
    """Starts, loads and kills a server `kills` times; then a last one answers what careful clients still wait for."""
    told, keys = Told(), (keys_create(place, "careful")["secret"], keys_create(place, "careless")["secret"])
    for _ in range(kills):
        with server_at(place, module) as server:
            told.back.append(server.start_seconds)
            asyncio.run(Crowd([server.url], keys, told).run(rate, seconds * random.uniform(0.5, 1.5), server.kill))
    with server_at(place, module) as server:
        told.back.append(server.start_seconds)
        asyncio.run(finish([server.url], keys, told))
    return told


async def finish(urls: list[str], keys: tuple[str, str], told: Told) -> None:
    """Repeats what is not answered yet, and some of what was: nothing of it may be charged again."""
    crowd = Crowd(urls, keys, told)
    line = await Line.open(urls[0])
    while told.waiting:
        await crowd.one(line, told.waiting.popleft())
    for name in list(told.answered)[:50]:
        await crowd.one(line, name)
    line.close()


def judged(told: Told, rows: list[tuple[str, str]]) -> dict[str, int]:
    """Compares clients with the ledger's rows (id, customer's name); all figures must be 0."""
    ids = Counter(row[0] for row in rows)
    careful = {charge for charge, customer in rows if customer == "careful"}
    return {"lost": len((set(told.careless) | set(told.answered.values())) - set(ids)),
            "doubled": sum(count - 1 for count in ids.values()),
            "careful requests charged otherwise than once": len(careful ^ set(told.answered.values())),
            "answers mixed up": len(told.wrong)}  # fmt: skip


def rows_of(place: Path) -> list[tuple[str, str]]:
    """(id, customer's name) of every event of an SQLite ledger that nobody has open."""
    with sqlite3.connect(place) as connection:
        names = dict(connection.execute("SELECT id, name FROM customers"))
        return [(row[0], names[row[1]]) for row in connection.execute("SELECT id, customer FROM events")]
