"""Erasing a customer takes their batch files too."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from breakeven.cli.books import customers
from breakeven.ledger import open_ledger
from breakeven.serving.batch_files import Batch, BatchFolder


def kept(place: Path, name: str) -> tuple[str, Path]:
    """(customer's id, folder of a batch of theirs)."""
    with open_ledger(place / "ledger.sqlite") as ledger:
        owner = ledger.customers.add(name).id
    folder = BatchFolder.beside(place / "ledger.sqlite")
    assert folder is not None
    scratch = folder.scratch(owner)
    (scratch / "input.jsonl").write_text('{"input": "private"}\n')
    number = sum(map(ord, name))
    batch = folder.adopt(scratch, Batch(scratch, f"bat_{number:028x}", owner, "k", None, "", 20))
    assert batch is not None
    return owner, batch.folder


@pytest.mark.parametrize("whole", [True, False])
def test_files_go_with_their_customer_and_are_named_for_a_person(
    tmp_path: Path, whole: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BREAKEVEN_FILES", raising=False)
    monkeypatch.delenv("BREAKEVEN_DATABASE_URL", raising=False)
    (_, mine), (_, theirs) = kept(tmp_path, "acme"), kept(tmp_path, "other")
    options = [] if whole else ["--containing", "private"]
    done = CliRunner().invoke(customers, ["erase", "acme", "--yes", "-C", str(tmp_path), "--json", *options])
    assert done.exit_code == 0, (done.output, done.exception)
    found = json.loads(done.output)
    assert mine.exists() != whole and theirs.exists()
    if whole:
        assert found["erased"]["batches"] == 1
    else:
        assert str(mine) in found["copies"]
