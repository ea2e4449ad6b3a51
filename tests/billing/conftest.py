from __future__ import annotations

import datetime
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from breakeven.billing.issue import Office
from breakeven.billing.settings import Settings
from breakeven.economics.plans import Plan
from breakeven.ledger import clock, commands, open_ledger
from breakeven.ledger.events import Charge
from tests.ledger.cluster import Cluster, programs

TODAY = datetime.date(2024, 11, 2)
SELLER = {
    "name": "Reviewly GmbH", "street": "Torstraße 12", "postcode": "10119", "city": "Berlin", "country": "DE",
    "tax_id": "DE123456789", "email": "billing@reviewly.example", "phone": "+49 30 1234567",
    "bank": {"iban": "DE02120300000000202051", "bic": "BYLADEM1001"},
}  # fmt: skip
BUYER = {
    "name": "Acme Support B.V.", "street": "Keizersgracht 100", "postcode": "1015 AA", "city": "Amsterdam",
    "country": "NL", "tax_id": "NL123456789B01",
}  # fmt: skip
PLAN = {
    "name": "growth", "version": 2, "currency": "EUR",
    "fees": [
        {"kind": "flat", "price": 49, "name": "base fee"},
        {"kind": "per_unit", "meter": "answers", "price": "0.004"},
    ],
    "discounts": [{"name": "annual contract", "rate": "0.1"}],
    "taxes": [{"name": "VAT", "rate": "0.19"}],
}  # fmt: skip


def business(plan: dict[str, Any]) -> Any:
    made = Plan.model_validate(plan)
    return SimpleNamespace(currency=made.currency, price=SimpleNamespace(plan=made, per_answer=None))


def office(place: str | Path, *, plan: dict[str, Any] = PLAN, today: datetime.date = TODAY, **settings: Any) -> Office:
    declared = {"seller": SELLER, **settings}
    return Office(str(place), business(plan), Settings.model_validate(declared), today)


def use(place: str | Path, customer: str, moments: list[str], quantity: int = 100, **charge: Any) -> str:
    """Records an event at each moment (2024-10-05 or with a time) for a customer; returns the customer's id."""
    with open_ledger(place) as ledger:
        owner = ledger.customers.add(customer).id
        ledger.record(
            Charge(owner, {"answers": quantity}, time=clock.moment(moment, "time") or 0, **charge) for moment in moments
        )
    return owner


def know(place: str | Path, customer: str, **buyer: Any) -> None:
    """Sets what is known of a buyer."""
    commands.call(place, "invoices.buyer", customer=customer, body={**BUYER, **buyer})


@pytest.fixture(scope="session")
def october(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the ledger below, made once and copied: making one syncs the disk many times."""
    folder = tmp_path_factory.mktemp("october")
    use(folder / "ledger.sqlite", "acme", [f"2024-10-{day:02d}" for day in (1, 5, 9, 20, 31)])
    know(folder / "ledger.sqlite", "acme")
    return folder


@pytest.fixture
def place(tmp_path: Path, october: Path) -> Path:
    """A ledger with a customer who used 500 answers in October."""
    shutil.copytree(october, tmp_path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.sock", "*.lock"))
    return tmp_path / "ledger.sqlite"


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    found = programs()
    if found is None:
        pytest.skip("PostgreSQL is not installed")
    folder = Path(tempfile.mkdtemp(prefix="breakeven-pg-", dir="/tmp"))
    try:
        started = Cluster(folder, found)
        yield started
        started.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def database(cluster: Cluster) -> Iterator[str]:
    url = cluster.create()
    yield url
    cluster.drop(url)


@pytest.fixture
def document(place: Path) -> dict[str, Any]:
    """An issued invoice."""
    from breakeven.billing.issue import finalize

    return finalize(office(place), "acme", "2024-10")
