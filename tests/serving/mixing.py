"""Many customers ask at once, on many connections, with texts of their own: whose answer came to whom."""

from __future__ import annotations

import asyncio
import json
import random
import sqlite3
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from breakeven.ledger.commands import keys_create
from breakeven.serving.launch import ServerProcess
from tests.serving.lines import Line


@dataclass
class Mixed:
    """What the clients saw. `charged`: charge -> (customer's name, answers) as the answers say."""

    answers: int = 0
    requests: int = 0
    wrong: list[Any] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    charged: dict[str, tuple[str, int]] = field(default_factory=dict)


def mixed_up(server: ServerProcess, *, answers: int, connections: int, customers: int) -> Mixed:
    """Asks until that many answers came."""
    keys = {f"tenant {n}": str(keys_create(server.ledger, f"tenant {n}")["secret"]) for n in range(customers)}
    seen = Mixed()

    async def client(number: int) -> None:
        name, draw = f"tenant {number % customers}", random.Random(number)
        line = await Line.open(server.url)
        while seen.answers < answers:
            await one(line, name, [f"{name}/{number}/{draw.random()}" for _ in range(draw.choice((1, 1, 2, 3, 8)))])
        line.close()

    async def one(line: Line, name: str, texts: list[str]) -> None:
        heard = await line.ask("POST", "/v1/predict", {"inputs": texts}, key=keys[name])
        seen.statuses[heard.status] += 1
        if heard.status == 503:
            seen.refusals[heard.code] += 1
            await asyncio.sleep(0.05)
            return
        found = heard.json
        if heard.status != 200 or found["outputs"] != [{"echo": text} for text in texts]:
            seen.wrong.append((texts, heard))
        seen.answers += len(texts)
        seen.requests += 1
        seen.charged[found["id"]] = (name, len(texts))

    async def everybody() -> None:
        await asyncio.gather(*(client(number) for number in range(connections)))

    asyncio.run(everybody())
    return seen


def prices_of(connection: sqlite3.Connection) -> dict[str, tuple[str, int]]:
    """Charge -> (customer's name, answers) as an SQLite ledger has it."""
    names = dict(connection.execute("SELECT id, name FROM customers"))
    rows = connection.execute("SELECT id, customer, quantities FROM events")
    return {row[0]: (names[row[1]], json.loads(row[2])["answers"]) for row in rows}
