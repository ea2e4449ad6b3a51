"""On PostgreSQL rules over the ledger are read beside the servers, and nothing is written by looking."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from breakeven.ledger import open_ledger
from breakeven.ledger.customers import Terms
from breakeven.ledger.events import Charge
from breakeven.ledger.plans import PricePlan
from breakeven.serving.launch import ServerProcess
from breakeven.watching.history import View
from breakeven.watching.measures import Sources, measure
from breakeven.watching.settings import Rule
from breakeven.watching.sources import LedgerReader
from tests.ledger.cluster import Cluster, programs
from tests.ledger.conftest import cluster, database  # noqa: F401  fixtures of the ledger
from tests.watching.shop import ask, free_port, run, watching, write

pytestmark = pytest.mark.slow


def test_caps_quotas_and_charges_are_read_from_postgresql(database: str) -> None:  # noqa: F811
    with open_ledger(database) as ledger:
        terms = Terms.from_json({"spend_cap": "1", "quotas": {"answers": 400}})
        customer = ledger.customers.add("acme", terms=terms)
        plan = ledger.keep_plan(PricePlan.of({"answers": "0.004"}))
        ledger.record([Charge(customer.id, {"answers": 100}, id=f"e{n}", plan=plan.version) for n in range(2)])
        before = ledger.verify()
        sources = Sources(View({}, 0.0), books=LedgerReader(database, [3600.0])())
        assert ledger.verify() == before

    def value(watch: str, **more: object) -> float:
        (found,) = measure(Rule.model_validate({"name": "r", "watch": watch, **more}), sources).values()
        return found

    assert value("spend_share", above=0.9) == 0.8
    assert value("quota_share", above=0.9) == 0.5
    assert value("charges", below=1, window="1h") == 2


CAP = {"name": "cap", "watch": "spend_share", "above": 0.5}
QUIET = {"name": "quiet", "watch": "charges", "below": 1, "window": "1h"}
DOWN = {"name": "down", "watch": "server_down", "above": 0}


@pytest.fixture
def own() -> Iterator[Cluster]:
    """A PostgreSQL that a test may stop."""
    where = programs()
    if where is None:
        pytest.skip("PostgreSQL is not installed")
    with tempfile.TemporaryDirectory(prefix="breakeven-postgres-") as folder:
        made = Cluster(Path(folder), where)
        yield made
        made.stop()


def test_top_and_alerts_of_two_servers_on_postgresql_through_its_restart(tmp_path: Path, own: Cluster) -> None:
    url = own.create().replace("tester@", "tester:hunter2@")
    given = {"BREAKEVEN_DATABASE_URL": url}
    ports = [free_port(), free_port()]
    addresses = [f"http://127.0.0.1:{port}" for port in ports]
    write(tmp_path, addresses, rules=[CAP, QUIET, DOWN])
    plan = {"rates": {"answers": "0.01"}}

    def at(port: int) -> ServerProcess:
        return ServerProcess("nowhere", port=port, ledger=url, module="tests.serving.echo_server", plan=plan)

    with at(ports[0]) as one, at(ports[1]) as other:
        run(tmp_path, "customers", "terms", "load test", "--spend-cap", "1", **given)
        quiet = json.loads(run(tmp_path, "alerts", "--once", "--json", code=1, **given).stdout)
        assert [change["rule"] for change in quiet["changes"]] == ["quiet"]
        for running in (one, other):
            for _ in range(3):
                assert ask(running, *["x"] * 10) == 200
        with watching(tmp_path, **given) as watcher:
            assert watcher.wait(1) == [("firing", "cap")]
            frame = json.loads(run(tmp_path, "top", "--once", "--json", **given).stdout)
            assert [server["ready"] for server in frame["servers"]] == [True, True]
            (customer,) = frame["customers"]
            assert (customer["customer"], customer["requests"], customer["price"]) == ("load test", 6, 0.6)
            assert {row["rule"] for row in frame["alerts"]["alerts"] if row["fires"]} == {"cap", "quiet"}
            assert "load test" in run(tmp_path, "top", "--once", **given).stdout
            own.stop()
            blind = watcher.until(lambda state: "alerts-unreachable" in str(state) or "ledger-" in str(state["alerts"]))
            assert [alert["state"] for alert in blind["alerts"] if alert["rule"] == "cap"] == ["firing"], (
                "it ends nothing"
            )
            frame = json.loads(run(tmp_path, "top", "--once", "--json", **given).stdout)
            assert frame["customers"] is None and frame["customers_why"], frame
            assert "hunter2" not in json.dumps([frame, blind])
            shown = run(tmp_path, "top", "--once", **given).stdout
            assert "hunter2" not in shown and "Traceback" not in shown
            own.start()
            watcher.until(lambda state: not any(alert["why"] for alert in state["alerts"]))
            assert ask(one, "x") == ask(other, "x") == 200
        frame = json.loads(run(tmp_path, "top", "--once", "--json", **given).stdout)
        assert frame["customers"][0]["requests"] == 8
    with open_ledger(url) as ledger:
        assert ledger.verify()["holds"]
