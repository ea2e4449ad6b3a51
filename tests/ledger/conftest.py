from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from breakeven.ledger import Ledger, open_ledger


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
