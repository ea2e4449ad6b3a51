"""Over HTTP, on one server with SQLite and on two that share PostgreSQL: one charge an Idempotency-Key, a quota that
holds to the last answer, and a database that is killed under load.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from breakeven.ledger import commands, open_ledger
from breakeven.serving.launch import ServerProcess
from tests.ledger.cluster import Cluster, programs
from tests.serving.limits import one_key, quota
from tests.serving.postmaster import kill_database

pytestmark = pytest.mark.slow
USES = 1000
QUOTA = 1000
KILLS = 3


def used(server: ServerProcess, customer: str) -> list[tuple[int, int]]:
    return [(row["quantity"], row["events"]) for row in commands.usage(server.ledger, customer)]


def hold(servers: list[ServerProcess]) -> None:
    """Both proofs, on these servers."""
    found = one_key(servers, USES)
    assert found == {"statuses": {200: USES}, "charges": 1, "replayed": USES - 1}
    assert used(servers[0], "one key") == [(1, 1)]
    told = quota(servers, granted=QUOTA)
    assert told["200"] == QUOTA and set(told) == {"200", "quota-exhausted"}, told
    assert sum(quantity for quantity, _ in used(servers[0], "limited")) == QUOTA


def test_a_thousand_at_once_are_one_charge_and_a_quota_holds_on_sqlite(tmp_path: Path) -> None:
    with ServerProcess("nowhere", module="tests.serving.echo_server", ledger=tmp_path / "ledger.sqlite") as server:
        hold([server])


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    pytest.importorskip("psycopg")
    found = programs()
    if found is None:
        pytest.skip("no PostgreSQL here")
    with tempfile.TemporaryDirectory(prefix="breakeven-pg-") as folder:
        os.chmod(folder, 0o755)
        made = Cluster(Path(folder), found)
        try:
            yield made
        finally:
            made.stop()


def test_a_thousand_at_once_are_one_charge_and_a_quota_holds_on_two_servers_and_postgresql(cluster: Cluster) -> None:
    url = cluster.create()
    first, second = (ServerProcess("nowhere", module="tests.serving.echo_server", ledger=url) for _ in range(2))
    with first, second:
        hold([first, second])


def test_a_database_that_is_killed_under_two_servers_loses_and_doubles_nothing(cluster: Cluster) -> None:
    url = cluster.create()
    told, wrong = kill_database(cluster, url, KILLS, rate=60, seconds=0.7)
    assert not any(wrong.values()), (wrong, told.figures())
    assert len(told.careless) > 10 and len(told.answered) > 10
    assert set(told.statuses) <= {200, 503}, told.statuses
    with open_ledger(url) as ledger:
        assert ledger.verify()["holds"]
