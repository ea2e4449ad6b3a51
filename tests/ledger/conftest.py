from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from breakeven.ledger import Ledger, open_ledger
from tests.ledger.cluster import Cluster, programs


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty ledger, made once and copied: making one syncs the disk many times."""
    place = tmp_path_factory.mktemp("empty")
    open_ledger(place / "ledger.sqlite").close()
    return place


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


@pytest.fixture
def ledger(place: Path, empty: Path) -> Iterator[Ledger]:
    for name in ("ledger.sqlite", "private.sqlite"):
        shutil.copy(empty / name, place.with_name(name))
    with open_ledger(place) as opened:
        yield opened


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    where = programs()
    if where is None:
        pytest.skip("PostgreSQL is not installed")
    pytest.importorskip("psycopg")
    with tempfile.TemporaryDirectory(prefix="breakeven-postgres-") as folder:  # pytest closes its own to other users
        made = Cluster(Path(folder), where)
        yield made
        made.stop()


@pytest.fixture
def database(cluster: Cluster) -> Iterator[str]:
    """The URL of a new, empty database."""
    url = cluster.create()
    yield url
    cluster.drop(url)
