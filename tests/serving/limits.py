"""One Idempotency-Key asked for by a thousand at once, and a quota that many workers want more of than there is."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from breakeven.ledger.commands import customers_add, keys_create
from breakeven.serving.launch import ServerProcess
from tests.serving.lines import Heard, Line, lines


async def _all_at_once(urls: list[str], key: str, count: int) -> list[Heard]:
    async with lines(urls[0], count, *urls[1:]) as connections:
        gate = asyncio.Event()

        async def one(line: Line) -> Heard:
            await gate.wait()
            while True:
                heard = await line.ask("POST", "/v1/predict", {"inputs": ["once"]}, key=key, Idempotency_Key="one")
                if heard.status != 503:  # overloaded: told to come again
                    return heard
                await asyncio.sleep(0.2)

        asking = [asyncio.ensure_future(one(line)) for line in connections]
        gate.set()
        return list(await asyncio.gather(*asking))


def one_key(servers: list[ServerProcess], count: int) -> dict[str, Any]:
    """`count` requests with one Idempotency-Key, sent at the same moment, spread over the servers."""
    key = str(keys_create(servers[0].ledger, "one key")["secret"])
    heard = asyncio.run(_all_at_once([server.url for server in servers], key, count))
    return {"statuses": dict(Counter(one.status for one in heard)),
            "charges": len({one.json["id"] for one in heard if one.status == 200}),
            "replayed": sum("idempotent-replayed" in one.headers for one in heard)}  # fmt: skip


async def _greedy(urls: list[str], key: str, workers: int, each: int) -> Counter[str]:
    found: Counter[str] = Counter()

    async def worker(line: Line) -> None:
        for _ in range(each):
            heard = await line.ask("POST", "/v1/predict", {"inputs": ["x"]}, key=key)
            found[heard.code or str(heard.status)] += 1

    async with lines(urls[0], workers, *urls[1:]) as connections:
        await asyncio.gather(*(worker(line) for line in connections))
    return found


def quota(servers: list[ServerProcess], *, granted: int, workers: int = 32) -> dict[str, int]:
    """`workers` ask for a quarter more than the quota lets them have; what they were told, by status or code."""
    customers_add(servers[0].ledger, "limited", terms={"quotas": {"answers": granted}})
    key = str(keys_create(servers[0].ledger, "limited")["secret"])
    urls = [server.url for server in servers]
    return dict(asyncio.run(_greedy(urls, key, workers, granted * 5 // 4 // workers + 1)))
