import json
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from breakeven.economics.cap_events import Issue, Promise, ReservePool
from breakeven.economics.captable import CapTable
from breakeven.economics.ocf_write import Issuer, write_ocf
from breakeven.errors import DataError, EnvironmentFault, UsageError
from breakeven.stages import business, declared_files

DAY = date(2025, 1, 1)
SECTION = {
    "months": 12,
    "scenarios": 100,
    "price": {"per_customer": 49},
    "customers": {"start": 100},
    "exit": {"arr_multiple": 4},
    "cap_table": {"ocf": "cap"},
}


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder of Open Cap Format files with a promise, for which a table has no event."""
    table = CapTable().add(Issue(DAY, "a", "Ann", "common", 900), ReservePool(DAY, 100), Promise(DAY, "p", "hire", 10))
    out = write_ocf(table, Issuer("Acme", DAY), as_of=DAY, generated=datetime(2025, 1, 1, tzinfo=UTC))
    (tmp_path / "cap").mkdir()
    for name, text in out.files.items():
        (tmp_path / "cap" / name).write_text(text)
    return tmp_path


def test_the_declared_files_are_the_table_of_the_plan(files: Path) -> None:
    settings = business.Settings.model_validate(SECTION)
    plan = business.simulate_file(settings, root=files)
    assert plan.ownership is not None and plan.ownership.founders == ("Ann",)
    assert declared_files.paths(files, settings) == (files / "cap",)
    assert declared_files.paths(files / "elsewhere", settings) == ()
    one = business.Settings.model_validate({**SECTION, "cap_table": {"ocf": "cap/Transactions.ocf.json"}})
    table, _ = declared_files.cap_table(files, one)
    assert table is not None and len(table.events) > 0


def test_what_the_files_hold_and_the_table_cannot_is_a_finding(files: Path) -> None:
    issued = {"object_type": "TX_WARRANT_ISSUANCE", "id": "w", "security_id": "w", "date": "2025-02-01"}
    warrant = json.dumps({"file_type": "OCF_TRANSACTIONS_FILE", "items": [issued]})
    (files / "cap" / "More.ocf.json").write_text(warrant)
    plan = business.simulate_file(business.Settings.model_validate(SECTION), root=files)
    assert [found.code for found in plan.findings if found.code.startswith("cap")] == ["cap-table-left-out"]
    assert "w" in str(plan.findings[-1])


def test_without_files_there_is_nothing_to_read(tmp_path: Path) -> None:
    bare = business.Settings.model_validate({**SECTION, "cap_table": None})
    assert declared_files.cap_table(tmp_path, bare) == (None, [])
    assert declared_files.paths(tmp_path, bare) == ()


def test_files_that_cannot_be_read_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = business.Settings.model_validate(SECTION)
    with pytest.raises(EnvironmentFault, match="cap: cannot be read: No such file"):
        declared_files.cap_table(tmp_path, settings)
    folder = tmp_path / "cap"
    folder.mkdir()
    with pytest.raises(DataError, match="no Open Cap Format file was found"):
        declared_files.cap_table(tmp_path, settings)
    (folder / "a.json").write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match=r"a\.json: is not UTF-8 text"):
        declared_files.cap_table(tmp_path, settings)
    (folder / "a.json").write_text("{")
    with pytest.raises(DataError, match="is no Open Cap Format file"):
        declared_files.cap_table(tmp_path, settings)
    monkeypatch.setattr(declared_files, "MAX_MB", 0)
    with pytest.raises(DataError, match="larger than 0 MB"):
        declared_files.cap_table(tmp_path, settings)
    (folder / "a.json").unlink()
    (folder / "a.json").mkdir()
    with pytest.raises(DataError, match="no Open Cap Format file was found"):
        declared_files.cap_table(tmp_path, settings)


def test_the_answers_of_a_study_are_read_strictly_and_change_the_plan(tmp_path: Path) -> None:
    asked = [(price, int(price * 10 + n < 900)) for price in (20, 40, 60, 80) for n in range(0, 600, 20)]
    lines = "\n".join(f"{price};{bought}" for price, bought in asked)
    (tmp_path / "answers.csv").write_text(f"price;bought\n{lines}\n")
    section = {**SECTION, "cap_table": None, "research": {"gabor_granger": "answers.csv"}}
    settings = business.Settings.model_validate(section)
    assert declared_files.paths(tmp_path, settings) == (tmp_path / "answers.csv",)
    plan = business.simulate_file(settings, root=tmp_path)
    assert plan.advice is not None and plan.advice.price.n == len(asked)
    assert business.plan_json({"plan": plan})["research"]["curve"]["study"] == "gabor_granger"
    bare = business.Settings.model_validate({**section, "price": None})
    with pytest.raises(UsageError, match="not said what the asked prices are for"):
        business.simulate_file(bare, root=tmp_path)
    (tmp_path / "answers.csv").unlink()
    with pytest.raises(DataError, match="there is no such file"):
        business.simulate_file(settings, root=tmp_path)
