"""200 kill -9 of a server under 500 requests a second; 50 of PostgreSQL's postmaster under two servers."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from breakeven.ledger import open_ledger
from tests.ledger.cluster import Cluster, programs
from tests.serving.killing import judged, kill_often, rows_of
from tests.serving.postmaster import kill_database

pytestmark = [pytest.mark.stress, pytest.mark.timeout(3600)]
KILLS = int(os.environ.get("STRESS_KILLS", "200"))
DATABASE_KILLS = int(os.environ.get("STRESS_DATABASE_KILLS", "50"))


def test_server(tmp_path: Path, figures: Callable[..., None]) -> None:
    place = tmp_path / "ledger.sqlite"
    told = kill_often(place, KILLS, rate=500, seconds=1.0)
    wrong = judged(told, rows_of(place))
    with open_ledger(place) as ledger:
        found = ledger.verify()
    figures("kill -9 of the server", kills=KILLS, **told.figures(), events=found["events"], **wrong)
    assert not any(wrong.values()) and found["holds"]
    assert set(told.statuses) <= {200, 503}


def test_broken_writer_is_caught(tmp_path: Path, figures: Callable[..., None]) -> None:
    place = tmp_path / "ledger.sqlite"
    told = kill_often(place, 10, rate=500, seconds=0.5, module="broken_server")
    wrong = judged(told, rows_of(place))
    figures("kill -9 of a server that acknowledges before it commits", kills=10, **told.figures(), **wrong)
    assert wrong["lost"] > 0


def test_postmaster(figures: Callable[..., None]) -> None:
    pytest.importorskip("psycopg")
    found = programs()
    if found is None:
        pytest.skip("no PostgreSQL here")
    with tempfile.TemporaryDirectory(prefix="breakeven-pg-") as folder:
        os.chmod(folder, 0o755)
        cluster = Cluster(Path(folder), found)
        try:
            url = cluster.create()
            told, wrong = kill_database(cluster, url, DATABASE_KILLS, rate=200, seconds=1.0)
            with open_ledger(url) as ledger:
                verified = ledger.verify()
        finally:
            cluster.stop()
    figures("kill -9 of the postmaster, two servers", kills=DATABASE_KILLS, **told.figures(), **wrong,
            events=verified["events"])  # fmt: skip
    assert not any(wrong.values()) and verified["holds"]
    assert set(told.statuses) <= {200, 503}
