"""Whole refreshes of a small project: real training, packages, servers, signatures and ledger."""

from __future__ import annotations

import fcntl
import json
import shutil
from pathlib import Path

import pytest

from breakeven.errors import Busy, ConfigError, UsageError
from breakeven.ledger import open_ledger
from breakeven.ledger.commands import audit
from breakeven.ledger.subjects import erase
from breakeven.packaging.decisions import open_shipping
from breakeven.packaging.signing import public_path
from breakeven.refresh.line import Refresh, Wish
from breakeven.refresh.rows import AREA
from tests.small_shop import NEW, answered, breakeven, make, said_of, texts

pytestmark = [pytest.mark.slow, pytest.mark.alone]  # a challenger has to keep up with its load test


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that was run once and serves its first release."""
    root = make(tmp_path_factory.mktemp("shop"))
    assert breakeven(root, "run")["verdict"]["chosen"] == "words"
    return root


@pytest.fixture
def shop(released: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(released, tmp_path / "shop"))


def serving(root: Path) -> tuple[str | None, str | None]:
    """(release, canary) of the decision in force."""
    now = open_shipping(root / "releases", public_path(root / "keys" / "release.key"))
    return now.release, None if now.canary is None else now.canary.release


def audited(root: Path) -> list[str]:
    """Subjects of the audit log's lines about refreshes."""
    return [line["subject"] for line in audit(root / "ledger.sqlite") if line["action"] == "releases.refresh"]


def test_what_customers_say_is_learnt_tried_on_some_and_promoted(shop: Path) -> None:
    champion, _ = serving(shop)
    answered(shop, "Ann", said_of(texts(150, 2, of=NEW)))
    answered(shop, "Bob", [(text, label, {"label": "nonsense"}) for text, label in texts(5, 9, of=NEW)], consent=False)
    planned = breakeven(shop, "refresh", "--dry-run")
    assert planned["ledger"]["labelled"] == 150
    assert not (shop / AREA / "collect").exists()

    done = breakeven(shop, "refresh", "--share", "25%", "--reason", "a new kind of review")
    assert done["outcome"] == "canary"
    assert done["rows"]["new"] == 150 and done["rows"]["left_out"] == 0
    fresh = done["comparison"]["fresh"]
    assert fresh["challenger"]["value"] > fresh["champion"]["value"] + 0.005
    assert done["comparison"]["established"]["worse"] < 0.9
    assert serving(shop) == (champion, done["challenger"])
    record = done["decision"]
    assert (record["action"], record["reason"], record["canary"]["share"]) == ("refresh", "a new kind of review", 0.25)
    assert record["canary"]["rule"]["classes"] == ["bad", "good"]
    assert audited(shop) == [done["champion"]]

    with pytest.raises(Busy, match="a canary is running already"):
        Refresh(shop).run()
    breakeven(shop, "releases", "promote")
    assert serving(shop) == (done["challenger"], None)
    again = breakeven(shop, "refresh")
    assert (again["outcome"], again["champion"]) == ("unchanged", done["challenger"])


def test_bad_labels_are_refused_and_nothing_that_serves_is_touched(shop: Path) -> None:
    before = serving(shop), sorted(path.name for path in (shop / "releases").iterdir())
    answered(shop, "Mallory", said_of(texts(900, 3), truly=False))
    done = breakeven(shop, "refresh", code=1)
    assert done["outcome"] == "refused"
    assert "refresh-forgets" in [one["code"] for one in done["reasons"]]
    assert (serving(shop), sorted(path.name for path in (shop / "releases").iterdir())) == before
    record = json.loads((shop / "releases" / "decisions" / "2" / "decision.json").read_text())
    assert (record["decision"], record["action"]) == ("withhold", "refresh")
    assert "worse" in record["reasons"][0]
    assert (shop / "releases" / "decisions" / "2" / "model.sig").is_file()
    assert audited(shop) == ["withheld"]


def test_one_customers_wrong_labels_on_a_new_kind_are_told_and_others_convict_them(shop: Path) -> None:
    before = serving(shop)
    answered(shop, "Mallory", said_of(texts(300, 3, of=NEW), truly=False))
    alone = breakeven(shop, "refresh", "--dry-run")
    assert alone["ledger"]["labelled"] == 300
    answered(shop, "Ann", said_of(texts(120, 2, of=NEW)))
    done = breakeven(shop, "refresh", code=1)
    with open_ledger(shop / "ledger.sqlite") as ledger:
        mallory = ledger.customers.find("Mallory")
    (found,) = done["findings"]
    assert (found["code"], found["level"]) == ("refresh-one-customer", "warning")
    assert (found["fields"]["customer"], found["fields"]["rows"], found["fields"]["of"]) == (mallory, 300, 420)
    others = done["comparison"]["others"]
    assert others["n"] >= 10 and others["challenger"]["value"] < others["champion"]["value"]
    assert "refresh-one-word" in [one["code"] for one in done["reasons"]]
    assert done["decision"]["refresh"]["findings"] == done["findings"]
    assert serving(shop) == before


def test_tables_with_rows_of_the_erased_are_removed(shop: Path) -> None:
    answered(shop, "Ann", said_of(texts(40, 2, of=NEW)))
    Refresh(shop).project.run(["process"], refresh=True)
    with open_ledger(shop / "ledger.sqlite") as ledger:
        erase(ledger, "Ann")
    done = Refresh(shop).forget()
    assert done["rows"] == {AREA: 40}
    assert not (shop / AREA / "collect").exists() and not (shop / AREA / "process").exists()
    assert (shop / "artifacts" / "collect").exists()  # it holds no row of hers
    assert Refresh(shop).forget()["rows"] == {}


def test_two_at_once_unknown_rows_and_moving_splits_are_refused(shop: Path) -> None:
    with pytest.raises(ConfigError, match="lets rows change side"):
        Refresh(shop, overrides=("process.split.kind=stratified",)).run()
    (shop / "refresh").mkdir(exist_ok=True)
    with open(shop / "refresh" / ".lock", "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        held.write("4711\n")
        held.flush()
        with pytest.raises(Busy, match=r"another refresh of this project is running \(process 4711\)"):
            Refresh(shop, wish=Wish()).run()
    shutil.rmtree(shop / "artifacts" / "process")
    with pytest.raises(UsageError, match="trained on are not known here any more"):
        Refresh(shop).run()
