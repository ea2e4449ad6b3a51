"""`breakeven captable`: who owns the company, and the way out to and in from the Open Cap Format."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from breakeven.cli.captable import captable
from breakeven.economics.cap_sections import CapTableSettings
from breakeven.economics.plan import BusinessPlan
from breakeven.errors import BreakevenError, DataError, EnvironmentFault, UsageError
from breakeven.stages.declared_files import cap_table
from breakeven.yaml12 import parse

FILE = """version: 1
business:
  currency: EUR
  price: {per_customer: 50}
  cap_table:
    events:
      - {kind: issue, date: 2025-01-01, holder: Ann, shares: 6000000}
      - {kind: issue, date: 2025-01-01, holder: Bob, shares: 3000000, vesting: {months: 48, cliff: 12}}
      - {kind: pool, date: 2025-01-01, shares: 1000000}
      - {kind: grant, date: 2025-06-01, holder: staff, shares: 200000, strike: 0.01, vesting: {months: 48, cliff: 12}}
      - {kind: promise, date: 2025-06-02, holder: hire, shares: 1000}
      - {kind: safe, date: 2025-09-01, investor: aunt, amount: 50000, cap: 2000000}
      - {kind: note, date: 2025-09-02, investor: bank, amount: 50000, maturity_months: 24, rate: 0.06, discount: 0.2}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "breakeven.yaml").write_text(FILE)
    return tmp_path


Command = Callable[..., Result]


@pytest.fixture
def run(project: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.chdir(project)

    def call(*arguments: str) -> Result:
        done = CliRunner().invoke(captable, arguments)
        if isinstance(done.exception, BreakevenError):
            raise done.exception
        return done

    return call


def test_who_holds_what_is_shown_on_any_day(run: Command) -> None:
    shown = run("show").stdout
    assert "Ann" in shown and "6,000,000" in shown and "60.00%" in shown
    assert "aunt" in shown and "SAFE" in shown and "2,000,000" in shown and "20%" in shown
    data = json.loads(run("show", "--on", "2025-01-01", "--json").stdout)
    assert {row["holder"]: row["share"] for row in data["holders"]} == {"Ann": 0.6, "Bob": 0.3, "pool": 0.1}
    assert data["convertibles"] == []


def test_a_table_goes_out_and_comes_back_as_events(run: Command, project: Path) -> None:
    out = run("export", "--ocf", "out", "--legal-name", "Acme SE", "--country", "de", "--institution", "bank")
    assert "wrote out" in out.stdout and "1000 options promised to hire" in out.stderr
    manifest = json.loads((project / "out" / "Manifest.ocf.json").read_text())
    assert manifest["issuer"] | {"id": ""} == {
        "object_type": "ISSUER", "id": "", "legal_name": "Acme SE", "formation_date": "2025-01-01",
        "country_of_formation": "DE",
    }  # fmt: skip
    holders = json.loads((project / "out" / "Stakeholders.ocf.json").read_text())["items"]
    assert [each["id"] for each in holders if each["stakeholder_type"] == "INSTITUTION"] == ["bank"]
    assert '"currency": "EUR"' in (project / "out" / "Transactions.ocf.json").read_text()
    back = run("import", "--ocf", "out", "--write", "events.yaml")
    assert "Bob" in back.stdout and "wrote events.yaml" in back.stdout
    read = parse((project / "events.yaml").read_text(), file="events.yaml")[0]["cap_table"]
    (project / "breakeven.yaml").write_text(FILE.split("  cap_table:")[0] + "  cap_table: {ocf: out}\n")
    files = json.loads(run("show", "--json").stdout)
    again = CapTableSettings.model_validate(read).table().state()
    # The promise is not carried: it is in the pool again.
    assert {row["holder"]: int(row["shares"]) for row in files["holders"]} == {
        name: int(shares) for name, shares in again.by_holder().items()
    }
    assert again.by_holder()["pool"] == 800_000 and again.convertibles.keys() == {"aunt", "bank"}


def test_the_events_of_an_import_are_json_too(run: Command) -> None:
    run("export", "--ocf", "out")
    data = json.loads(run("import", "--ocf", "out", "--json").stdout)
    assert data["currencies"] == ["EUR"] and data["written"] is None and data["left_out"] == []
    assert data["events"][-1] | {"maturity": ""} == {
        "kind": "note", "date": "2025-09-02", "id": "bank", "investor": "bank", "discount": "0.2", "amount": "50000",
        "maturity": "", "rate": "0.06", "day_count": "ACT/365",
    }  # fmt: skip
    exported = json.loads(run("export", "--ocf", "more", "--as-of", "2025-01-02", "--json").stdout)
    assert len(exported["written"]) == 8 and exported["left_out"] == []


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        (("export", "--ocf", "out"), UsageError, "nothing is written over"),
        (("import", "--ocf", "out", "--write", "breakeven.yaml"), UsageError, "breakeven.yaml: is there already"),
        (("import", "--ocf", "nowhere"), EnvironmentFault, "nowhere: cannot be read"),
        (("export", "--ocf", "x", "--country", "Germany"), UsageError, "two letters"),
        (("export", "--ocf", "x", "--institution", "Zed"), UsageError, "Zed.* hold nothing; expected holders"),
    ],
)
def test_what_cannot_be_done_says_why_and_writes_nothing(
    run: Command, project: Path, arguments: tuple[str, ...], error: type[Exception], said: str
) -> None:
    run("export", "--ocf", "out")
    before = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
    with pytest.raises(error, match=said):
        run(*arguments)
    assert {path: path.read_bytes() for path in project.rglob("*") if path.is_file()} == before


def test_a_file_without_a_cap_table_says_where_one_stands(run: Command, project: Path) -> None:
    (project / "breakeven.yaml").write_text(FILE.split("  cap_table:")[0])
    with pytest.raises(UsageError, match=r"declares no cap table; expected business\.cap_table"):
        run("show")


def test_money_of_another_currency_is_refused(run: Command, project: Path) -> None:
    run("export", "--ocf", "out")
    plan: dict[str, Any] = {"price": {"per_customer": 5}, "cap_table": {"ocf": "out"}, "currency": "USD"}
    with pytest.raises(DataError, match=r"money is in EUR|money is in \['EUR'\]"):
        cap_table(project, BusinessPlan.model_validate(plan))
    assert cap_table(project, BusinessPlan.model_validate({**plan, "currency": "EUR"}))[0] is not None
    file = project / "out" / "Transactions.ocf.json"
    file.write_text(file.read_text().replace('"EUR"', '"USD"', 1))
    with pytest.raises(DataError, match="all of it in EUR"):
        run("import", "--ocf", "out")


@pytest.mark.skipif("BREAKEVEN_OCF_SCHEMAS" not in os.environ, reason="BREAKEVEN_OCF_SCHEMAS names no schema folder")
def test_the_formats_own_samples_are_read_or_refused_in_words(run: Command) -> None:
    samples = Path(os.environ["BREAKEVEN_OCF_SCHEMAS"]).parent / "samples"
    found = sorted({path.parent for path in samples.rglob("*.ocf.json")})
    assert found
    for folder in found:
        try:
            assert json.loads(run("import", "--ocf", str(folder), "--json").stdout)
        except DataError as error:
            assert str(folder) in str(error) or error.code == "ocf-object"
