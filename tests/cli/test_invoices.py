"""Drafts, invoices, credit notes, buyers and margins as a person meets them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from breakeven.cli.invoices import invoice, margin
from breakeven.errors import BreakevenError, ConfigError, Refused, UsageError
from tests.billing.conftest import PLAN, SELLER, use

BUYER = ("--name", "Acme B.V.", "--city", "Amsterdam", "--country", "NL", "--tax-id", "NL123456789B01")


def call(*arguments: str, command: Any = invoice, code: int = 0) -> str:
    done = CliRunner().invoke(command, arguments)
    if isinstance(done.exception, BreakevenError):
        raise done.exception
    assert done.exit_code == code, done.output
    return done.stdout


@pytest.fixture(scope="module")
def october(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the ledger below, made once and copied."""
    folder = tmp_path_factory.mktemp("october")
    use(folder / "ledger.sqlite", "acme", [f"2024-10-{day:02d}" for day in (1, 5, 9, 20, 31)])
    return folder


@pytest.fixture
def at(tmp_path: Path, october: Path) -> tuple[str, str]:
    """`-C` of a project with a customer who used 500 answers in October 2024."""
    settings = {"version": 1, "product": {"name": "reviews", "task": "text-classification"},
                "business": {"currency": "EUR", "price": {"plan": PLAN}}, "billing": {"seller": SELLER}}  # fmt: skip
    (tmp_path / "breakeven.yaml").write_text(json.dumps(settings))
    for name in ("ledger.sqlite", "private.sqlite"):
        shutil.copy(october / name, tmp_path / name)
    return "-C", str(tmp_path)


def test_from_a_draft_to_a_credited_invoice(at: tuple[str, str], tmp_path: Path) -> None:
    month = ("--month", "2024-10")
    drawn = call("acme", *month, *at)
    assert drawn.startswith("Draft invoice, acme\n1 October 2024 to 31 October 2024") and "54.62 EUR" in drawn
    assert json.loads(call("--customer", "acme", *month, "--json", *at))["total"]["amount"] == "54.62"
    assert "city" in call("customer", "acme", *BUYER, *at)
    issued = call("finalize", "acme", *month, *at)
    number = issued.split()[1].rstrip(":")
    assert number.startswith("INV-") and "Acme B.V., 2024-10, 54.62 EUR" in issued
    assert call("finalize", "--all", *month, *at).startswith(f"issued before: {number}")
    assert "2.14 EUR" in call("credit", number, "--lines", "2", "--reason", "an outage", *at)
    listed = json.loads(call("list", "--json", *at))
    assert [row["kind"] for row in listed] == ["credit_note", "invoice"] and listed[0]["about"] == number
    assert "credit note" in call("list", "--customer", "acme", *at)
    assert "54.62" in call("show", number, *at)
    for form, start in (("html", b"<!doctype html>"), ("pdf", b"%PDF-1.7"), ("xml", b"<?xml"), ("json", b"{")):
        out = tmp_path / f"invoice.{form}"
        call("show", number, "--format", form, "--out", str(out), *at)
        first = out.read_bytes()
        call("show", number, "--format", form, "--out", str(out), *at)
        assert first.startswith(start) and out.read_bytes() == first and out.stat().st_mode & 0o777 == 0o600
    assert b"factur-x.xml" in (tmp_path / "invoice.pdf").read_bytes()


def test_a_draft_can_be_looked_at_as_a_page(at: tuple[str, str], tmp_path: Path) -> None:
    call("acme", "--month", "2024-10", "--html", str(tmp_path / "draft.html"), *at)
    assert "Draft invoice" in (tmp_path / "draft.html").read_text()


def test_a_print_without_a_record_says_what_is_missing(at: tuple[str, str], tmp_path: Path) -> None:
    number = json.loads(call("finalize", "acme", "--month", "2024-10", "--json", *at))["number"]
    done = CliRunner().invoke(invoice, ["show", number, "--format", "pdf", "--out", str(tmp_path / "a.pdf"), *at])
    assert done.exit_code == 0 and "no EN 16931 record can be made of it" in done.stderr and "--city" in done.stderr
    with pytest.raises(UsageError, match="breakeven invoice customer 'acme' --city"):
        call("show", number, "--format", "xml", *at)


def test_buyers_are_set_part_by_part_and_forgotten(at: tuple[str, str]) -> None:
    call("customer", "acme", *BUYER, *at)
    assert json.loads(call("customer", "acme", "--city", "Utrecht", "--json", *at))["name"] == "Acme B.V."
    assert "tax_id" not in json.loads(call("customer", "acme", "--tax-id", "none", "--json", *at))
    assert json.loads(call("customer", "acme", "--forget", "--json", *at)).keys() == {"customer"}
    with pytest.raises(ConfigError, match=r"invoice customer: country.*two letters"):
        call("customer", "acme", "--country", "Netherlands", *at)


def test_a_month_is_given_up_with_a_reason(at: tuple[str, str]) -> None:
    assert "will not be billed" in call("void", "acme", "--month", "2024-10", "--reason", "pilot", *at)
    with pytest.raises(Refused, match="closed already"):
        call("finalize", "acme", "--month", "2024-10", *at)
    assert "nothing was issued yet" in call("list", *at)


@pytest.mark.parametrize(
    "wrong",
    [
        ("--month", "2024-10"),
        ("acme",),
        ("finalize", "--month", "2024-10"),
        ("finalize", "acme", "--all", "--month", "2024-10"),
        ("credit", "INV-2024-0001"),
        ("credit", "INV-2024-0001", "--lines", "a", "--reason", "x"),
        ("show", "INV-2024-0001", "--format", "docx"),
    ],
)
def test_what_cannot_be_meant_is_exit_2(at: tuple[str, str], wrong: tuple[str, ...]) -> None:
    call(*wrong, *at, code=2)


def verdict(folder: str, currency: str = "EUR") -> None:
    def cost(value: float, origin: str) -> dict[str, Any]:
        return {"value": value, "low": value / 2, "high": value * 2, "unit": f"{currency}/1000 answers",
                "origin": origin}  # fmt: skip

    path = Path(folder) / "artifacts" / "evaluate" / "verdict.json"
    path.parent.mkdir(parents=True)
    candidate = {"marginal_per_1000": cost(2.0, "measured"), "at_volume_per_1000": cost(400.0, "assumed")}
    path.write_text(json.dumps({"currency": currency, "chosen": "linear", "candidates": {"linear": candidate}}))


def test_margins_tell_both_costs_and_where_they_are_from(at: tuple[str, str]) -> None:
    verdict(at[1])
    use(Path(at[1]) / "ledger.sqlite", "other", ["2024-10-02"], quantity=10**5)
    found = json.loads(call("--month", "2024-10", "--json", *at, command=margin))
    rows = {row["name"]: row for row in found["customers"]}
    # 5 answers at 2 EUR a thousand; revenue before tax, of the draft
    assert rows["acme"]["costs"]["marginal"] == pytest.approx(
        {**rows["acme"]["costs"]["marginal"], "value": 0.01, "low": 0.005, "high": 0.02, "origin": "measured"}
    )
    assert (rows["acme"]["revenue"], rows["acme"]["margin"]) == ("45.90", pytest.approx(45.89))
    assert rows["acme"]["margin_at_volume"] == pytest.approx(43.90)
    assert "draft" in rows["acme"]["revenue_from"] and any("candidate linear" in line for line in found["origins"])
    number = json.loads(call("finalize", "acme", "--month", "2024-10", "--json", *at))["number"]
    call("credit", number, "--lines", "2", "--reason", "an outage", *at)
    again = json.loads(call("--month", "2024-10", "--json", *at, command=margin))["customers"][0]
    assert again["revenue"] == "44.10" and number in again["revenue_from"]
    assert "44.10" in call("--month", "2024-10", *at, command=margin)


def test_margins_need_a_cost_and_one_currency(at: tuple[str, str]) -> None:
    with pytest.raises(UsageError, match="no cost was measured yet"):
        call("--month", "2024-10", *at, command=margin)
    verdict(at[1], "USD")
    row = json.loads(call("--month", "2024-10", "--json", *at, command=margin))["customers"][0]
    assert row["margin"] is None and "EUR" in row["revenue_from"] and "USD" in row["revenue_from"]
    assert "nothing was used in 2024-09" in call("--month", "2024-09", *at, command=margin)


def test_the_commands_speak_chinese(at: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BREAKEVEN_LANG", "zh")
    assert "已开具 INV-" in call("finalize", "acme", "--month", "2024-10", *at)
    assert "编号" in call("list", *at)
