"""kill -9 of PostgreSQL's postmaster while two servers write to it: who was answered is charged, once."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import time

from breakeven.ledger import open_ledger
from breakeven.ledger.commands import keys_create
from breakeven.serving.launch import ServerProcess
from tests.ledger.cluster import Cluster
from tests.serving.killing import Crowd, Told, finish, judged

PATIENCE = 150.0


def kill(cluster: Cluster) -> None:
    """Kills the postmaster; its children notice, and end by themselves."""
    pid = int((cluster.folder / "data" / "postmaster.pid").read_text().splitlines()[0])
    os.kill(pid, signal.SIGKILL)


def start(cluster: Cluster) -> float:
    """Starts it again, once the children of the dead one are gone; the seconds that took."""
    began = time.monotonic()
    while True:
        with contextlib.suppress(subprocess.CalledProcessError):
            cluster.start()
            return time.monotonic() - began
        if time.monotonic() - began > PATIENCE:
            raise TimeoutError((cluster.folder / "log").read_text()[-1000:])
        time.sleep(0.1)


def kill_database(
    cluster: Cluster, url: str, kills: int, *, rate: float, seconds: float
) -> tuple[Told, dict[str, int]]:
    """(what clients know, `judged`) of two servers whose database is killed `kills` times under load."""
    told, keys = Told(), (keys_create(url, "careful")["secret"], keys_create(url, "careless")["secret"])

    def often() -> None:
        for _ in range(kills):
            kill(cluster)
            told.back.append(start(cluster))
            answered, until = len(told.careless) + len(told.answered), time.monotonic() + PATIENCE
            while len(told.careless) + len(told.answered) < answered + 20:  # both servers found it again
                if time.monotonic() > until:
                    raise TimeoutError("nothing is answered any more")
                time.sleep(0.02)
            time.sleep(random.uniform(0, seconds))

    servers = [ServerProcess("nowhere", module="tests.serving.echo_server", ledger=url) for _ in range(2)]
    with servers[0], servers[1]:
        urls = [server.url for server in servers]
        asyncio.run(Crowd(urls, keys, told).run(rate, seconds, often, mortal=False))
        asyncio.run(finish(urls, keys, told))
    with open_ledger(url) as ledger:
        names = {customer.id: customer.name for customer in ledger.customers.list()}
        return told, judged(told, [(row["id"], names[row["customer"]]) for row in ledger.events()])
