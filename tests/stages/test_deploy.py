"""deploy: a signed release and decision, or neither; the server is a fake at the seam except in the last test."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest

from breakeven import pipeline
from breakeven.artifacts import HashCache, Store, read_json, write_json
from breakeven.errors import BreakevenError, EnvironmentFault, IntegrityError
from breakeven.measuring import parity
from breakeven.models.baseline import Majority, MajoritySettings
from breakeven.packaging import decisions, signing
from breakeven.packaging.package import build, open_package
from breakeven.packaging.routing import Desk
from breakeven.stages import deploy
from breakeven.task import Cases
from breakeven.tasks import find
from breakeven.watching import reference

TASK = find("text-classification")
TEXTS = [f"text number {i}" for i in range(12)]
LABELS = ["good", "bad", "good"] * 4
GATES = [{"gate": "macro_f1", "limit": 0.7, "kind": "min", "judged": "bound", "passes": "yes"}]


def quantity(value: float) -> dict[str, Any]:
    return {"value": value, "low": value - 0.1, "high": value + 0.1, "unit": "share", "origin": "measured", "n": 12}


class World:
    """A project whose earlier steps write what deploy reads."""

    def __init__(self, root: Path) -> None:
        self.root, self.store = root, Store(root / "artifacts")
        self.chosen: str | None = "majority"
        self.rates = (0.7, 0.3)
        self.payoff = 1.0
        self.settings: dict[str, Any] = {}
        self.said: list[str] = []
        self.key = root / "keys" / "release.key"
        signing.make_key(self.key)

    @property
    def trust(self) -> Path:
        return signing.public_path(self.key)

    def collect(self, context: pipeline.Context) -> None:
        source = {"name": "reviews", "sha256": "ab" * 32, "licence": "MIT", "rights": None}
        write_json(context.folder / "card.json", {"format": 1, "sources": [source]})

    def process(self, context: pipeline.Context) -> None:
        ids = [str(i) for i in range(12)]
        split = ["test"] * 8 + ["validation"] * 4
        columns = {"text": TEXTS, "label": LABELS, "_id": ids, "_split": split, "_unit": ids}
        pl.DataFrame(columns).write_parquet(context.folder / "rows.parquet")
        write_json(context.folder / "report.json", {"format": 1, "rows_in": 12, "dropped": {}, "rows_out": 12})

    def train(self, context: pipeline.Context) -> None:
        record = {"classes": ["bad", "good"], "rates": list(self.rates), "format": 1}
        write_json(context.folder / "majority.json", record)
        write_json(context.folder / "training.json", {"format": 1, "seconds": 0.1, "steps": 0, "base": None})

    def evaluate(self, context: pipeline.Context) -> None:
        facts = {"classes": ["bad", "good"], "train_rates": {"bad": 0.7, "good": 0.3}, "max_characters": 1000}
        validation = Cases([str(i) for i in range(8, 12)], TEXTS[8:], LABELS[8:])
        place = context.folder / "package"
        build(
            Majority(MajoritySettings(), TASK), trained=context.need("train/majority"), folder=place, facts=facts,
            candidate="majority", model_name="majority", chain=None, cases=validation, task=TASK, calibration={},
            seconds=0.01,
        )  # fmt: skip
        with open_package(place) as package:
            raw = package.raw(TEXTS[:8])
        np.savez(context.folder / "test.npz", ids=np.array([str(i) for i in range(8)]), **TASK.scoring().pack(raw))

    def verdict(self, context: pipeline.Context) -> None:
        rule = TASK.scoring().rule({"correct": self.payoff, "wrong": -1.0}, None, facts())
        judged = {"metrics": {"macro_f1": quantity(0.8)}, "gates": GATES, "rule": rule, "why_not": None}
        if self.chosen is None:
            judged["why_not"] = "costs more than it is worth"
        found = {"format": 1, "task": TASK.name, "metric": "macro_f1", "currency": "USD", "basis": "price",
                 "margin": {},
                 "candidates": {"majority": judged}, "chosen": self.chosen,
                 "sentence": {"text": "ship 'majority': nothing else pays"}}  # fmt: skip
        write_json(context.folder / "verdict.json", found)
        write_json(context.folder / "measurements.json", {"majority": {"macro_f1": quantity(0.8)}})

    def setup(self) -> pipeline.Setup:
        config = SimpleNamespace(
            product=SimpleNamespace(name="demo", description="Sorts reviews"), deploy=deploy.Settings(**self.settings),
            collect=SimpleNamespace(fields={"inputs": ["text"], "target": "label"}),
            train=SimpleNamespace(candidates=[SimpleNamespace(name="majority")]),
        )  # fmt: skip
        return pipeline.Setup(self.root, config, TASK, 0)

    def run(self, receipt: Any = None) -> list[str]:
        planned = self.plan(receipt or agreeing)
        return pipeline.run(planned, self.setup(), self.store, self)

    def plan(self, receipt: Any = None) -> list[pipeline.Planned]:
        (mine,) = deploy.steps(self.setup())
        if receipt is not None:
            mine = dataclasses.replace(mine, run=functools.partial(deploy.run, receipt=receipt))
        step = pipeline.Step
        rates, payoff = {"rates": self.rates}, {"payoff": self.payoff, "chosen": self.chosen}
        steps = [
            step("collect", 1, self.collect),
            step("process", 1, self.process, needs=("collect",)),
            step("train/majority", 1, self.train, settings=rates, needs=("process",)),
            step("evaluate/majority", 1, self.evaluate, needs=("train/majority", "process")),
            step("evaluate/verdict", 1, self.verdict, settings=payoff, needs=("evaluate/majority",)),
            mine,
        ]
        return pipeline.plan(steps, self.store, HashCache(self.root / "hashes.json"))

    def update(self, step: str, done: float, total: float, figures: Any) -> None:
        """Progress is not looked at."""

    def say(self, text: str) -> None:
        self.said.append(text)

    def decision(self) -> dict[str, Any]:
        return dict(read_json(self.store.folder("deploy") / "decision.json"))

    def findings(self) -> list[str]:
        return [finding.code for finding in pipeline.findings_of(self.store, "deploy")]


def facts() -> dict[str, Any]:
    return {"classes": ["bad", "good"], "train_rates": {"bad": 0.7, "good": 0.3}}


def agreeing(package: Path, **given: Any) -> dict[str, Any]:
    from breakeven.packaging.package import identity

    return {"package": identity(package), "rows": len(given["raw"]), "agree": len(given["raw"])}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_the_choice_becomes_a_signed_release(world: World) -> None:
    world.run()
    release, decision = decisions.open_current(world.root / "releases", world.trust)
    assert release.id.startswith("demo-") and decision.number == 1
    assert decision.rule == world.decision()["rule"]
    assert decision.info["gates"] == {"majority": GATES}
    with release.open() as package:
        assert package.answer(package.raw(["anything"]), decision.rule) == ["bad"]


def test_the_release_tells_from_what_it_was_made(world: World) -> None:
    world.run()
    info = decisions.open_current(world.root / "releases", world.trust)[0].info
    assert set(info["lineage"]["steps"]) == {
        "collect", "process", "train/majority", "evaluate/majority", "evaluate/verdict",
    }  # fmt: skip
    assert info["lineage"]["sources"][0]["sha256"] == "ab" * 32
    assert info["measurements"]["macro_f1"]["value"] == 0.8
    assert info["key"] == signing.key_id(world.trust)


def test_the_card_says_that_rights_are_not_established(world: World) -> None:
    world.run()
    release, _ = decisions.open_current(world.root / "releases", world.trust)
    card = (release.folder / "MODEL_CARD.md").read_text()
    assert "**not established**" in card and "nothing else pays" in card and "Sorts reviews" in card


def test_nothing_stale_nothing_done(world: World) -> None:
    world.run()
    assert world.run() == []
    assert decisions.numbers(world.root / "releases") == [1]


def test_a_new_payoff_keeps_the_release_and_signs_a_new_decision(world: World) -> None:
    world.run()
    first = world.decision()["release"]
    world.payoff = 5.0
    assert world.run() == ["evaluate/verdict", "deploy"]
    assert (world.decision()["release"], world.decision()["number"]) == (first, 2)
    assert world.findings() == ["deploy-same-release"]
    assert decisions.open_current(world.root / "releases", world.trust)[1].number == 2


def test_a_new_package_is_a_new_release(world: World) -> None:
    world.run()
    first = world.decision()["release"]
    world.rates = (0.6, 0.4)
    world.run()
    assert world.decision()["release"] != first
    assert (world.root / "releases" / first).is_dir()


def test_no_choice_withholds_and_leaves_what_is_served(world: World) -> None:
    world.run()
    world.chosen = None
    world.run()
    assert world.decision()["decision"] == "withhold"
    assert world.decision()["reasons"] == ["majority: costs more than it is worth"]
    assert world.findings() == ["deploy-withheld"]
    assert decisions.open_current(world.root / "releases", world.trust)[1].number == 1


def test_no_choice_at_first_makes_no_release(world: World) -> None:
    world.chosen = None
    world.run()
    assert world.decision()["release"] is None
    assert not list((world.root / "releases").glob("demo-*"))


def test_answers_that_differ_publish_nothing(world: World) -> None:
    def differing(package: Path, **given: Any) -> dict[str, Any]:
        raise IntegrityError("parity-differs", rows=8, agree=7, first="3", what="good is served as bad")

    with pytest.raises(IntegrityError, match="7 of 8 test rows agree"):
        world.run(differing)
    assert not list((world.root / "releases").glob("demo-*"))
    assert not list((world.root / "releases").glob(".new-*"))
    assert not world.store.folder("deploy").exists()


def test_a_missing_key_names_the_command_that_makes_one(world: World) -> None:
    world.key.unlink()
    with pytest.raises(EnvironmentFault, match=r"make a new one \(python -m"):
        world.run()


def test_a_key_that_others_can_read_is_a_finding(world: World) -> None:
    world.key.chmod(0o644)
    world.run()
    assert world.findings() == ["key-exposed"]


def test_what_drift_is_measured_from_is_made_beside_the_release(world: World) -> None:
    world.run()
    release, decision = decisions.open_current(world.root / "releases", world.trust)
    assert reference.read(reference.place(world.store.root, release.id, decision.rule)).rows == 12
    assert world.findings() == []


def test_a_reference_that_cannot_be_made_is_a_finding_and_the_release_serves(world: World) -> None:
    (world.root / "artifacts").mkdir()
    (world.root / "artifacts" / "watching").write_text("a file where the folder belongs")
    world.run()
    assert decisions.open_current(world.root / "releases", world.trust)[1].number == 1
    assert world.findings() == ["deploy-no-reference"]


def test_a_release_that_was_changed_is_not_decided_on_again(world: World) -> None:
    world.run()
    place = world.root / "releases" / world.decision()["release"]
    (place / "MODEL_CARD.md").write_text("all is well")
    world.payoff = 5.0
    with pytest.raises(IntegrityError, match=r"changed since: .*MODEL_CARD\.md"):
        world.run()


def test_a_new_key_is_told_what_to_do_with_the_old_release(world: World) -> None:
    world.run()
    for path in (world.key, world.trust):
        path.unlink()
    signing.make_key(world.key)
    with pytest.raises(IntegrityError, match="sign with the former key, or move the folder away"):
        world.run()


def test_a_deleted_release_is_made_again(world: World) -> None:
    import shutil

    world.run()
    shutil.rmtree(world.root / "releases")
    assert world.run() == ["deploy"]
    assert decisions.open_current(world.root / "releases", world.trust)[1].number == 1


def test_old_releases_are_pruned(world: World) -> None:
    world.settings = {"keep": 1}
    for share in (0.6, 0.7, 0.8):
        world.rates = (share, 1 - share)
        world.run()
    assert [path.name for path in (world.root / "releases").glob("demo-*")] == [world.decision()["release"]]
    assert world.findings() == ["deploy-pruned"]


@pytest.mark.parametrize("settings", [{"keep": 0}, {"parity_rows": 0}, {"tolerance": 0}, {"unknown": 1}])
def test_settings_that_cannot_be_meant_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="1 validation error"):
        deploy.Settings(**settings)


def changed(world: World, rate: float) -> str:
    """The release of a model trained on other rates; what is served may be another one."""
    world.rates = (rate, 1 - rate)
    world.run()
    record = world.decision()
    return str((record.get("canary") or record)["release"])


def test_a_new_release_starts_as_a_canary_of_the_current_one(world: World) -> None:
    world.settings = {"canary": "10%"}
    first, second = changed(world, 0.7), changed(world, 0.6)
    assert second != first and world.findings() == ["deploy-canary"]
    record = decisions.open_shipping(world.root / "releases", world.trust)
    assert record.canary is not None
    assert (record.release, record.canary.release, record.canary.share) == (first, second, 0.1)
    assert record.canary.rule is not None and record.info["canary"]["candidate"] == "majority"
    assert world.run() == []
    # Promoted, it answers by the rule that it was decided on with; the next one starts as a canary again.
    desk = Desk(world.root / "releases", world.key)
    assert desk.canary(second, 0.5)["canary"]["rule"] == record.canary.rule
    promoted = desk.promote()
    assert (promoted["release"], promoted["rule"], promoted["canary"]) == (second, record.canary.rule, None)
    third = changed(world, 0.8)
    assert decisions.open_shipping(world.root / "releases", world.trust).release == second != third


def test_the_first_release_serves_everybody_whatever_the_canary(world: World) -> None:
    world.settings = {"canary": 0.1}
    world.run()
    record = decisions.open_shipping(world.root / "releases", world.trust)
    assert record.number == 1 and record.canary is None and record.release is not None


def test_a_new_payoff_of_the_current_release_makes_no_canary(world: World) -> None:
    world.settings = {"canary": 0.1}
    world.run()
    world.payoff = 5.0
    world.run()
    record = decisions.open_shipping(world.root / "releases", world.trust)
    assert (record.number, record.canary) == (2, None) and world.findings() == ["deploy-same-release"]


def test_without_the_setting_the_canary_becomes_the_release(world: World) -> None:
    world.settings = {"canary": 0.1}
    changed(world, 0.7)
    second = changed(world, 0.6)
    world.settings = {}
    world.run()
    record = decisions.open_shipping(world.root / "releases", world.trust)
    assert (record.release, record.canary) == (second, None)


@pytest.mark.parametrize("share", [0, 1, "100%", "ten", "x%", -0.1, True])
def test_a_canary_of_nobody_or_of_everybody_is_refused(share: Any) -> None:
    with pytest.raises(ValueError, match="canary"):
        deploy.Settings(canary=share)


class Server:
    """Stands in for the server: answers as the package does, with an error of choice."""

    def __init__(self, change: Any = None) -> None:
        self.change = change

    def __call__(self, folder: Path, *, rule: Any, unsigned: bool) -> Server:
        return self

    def __enter__(self) -> Server:
        self.url, self.key = "http://127.0.0.1:9", "none"
        return self

    def __exit__(self, *exception: object) -> None:
        """Nothing was started."""


def compare(world: World, change: Any = None, evaluated: Any = None) -> parity.Count:
    """Counts parity of the toy's answers, changed on their way."""
    world.run()
    with open_package(world.store.folder("evaluate/majority") / "package") as package:
        cases = Cases([str(i) for i in range(8)], TEXTS[:8])
        raw = evaluated or package.raw(cases.inputs)

        def post(payloads: list[Any]) -> list[Any]:
            found = package.raw(payloads)
            outputs = package.render(found, package.answer(found, None))
            return [change(output, len(payloads)) for output in outputs] if change else outputs

        return parity._compare(package, cases, raw, range(8), rule=None, tolerance=0.01, post=post)


def test_parity_counts_every_row(world: World) -> None:
    counted = compare(world)
    assert (counted.rows, counted.agree, counted.refused) == (8, 8, 0)


def test_parity_sees_another_label(world: World) -> None:
    counted = compare(world, lambda output, together: {**output, "label": "good"})
    assert counted.agree == 0 and counted.differing[0][1] == "bad is served as good"


def test_parity_forgives_a_label_tipped_by_company_alone(world: World) -> None:
    counted = compare(world, lambda output, together: {**output, "label": "good"} if together > 1 else output)
    assert counted.agree == 8


def test_parity_sees_a_number_beyond_the_tolerance(world: World) -> None:
    within = compare(world, lambda output, together: {**output, "probability": output["probability"] + 0.009})
    assert within.agree == 8 and within.worst == pytest.approx(0.009)
    beyond = compare(world, lambda output, together: {**output, "probability": output["probability"] + 0.011})
    assert beyond.agree == 0


def test_parity_sees_answers_that_were_not_evaluated(world: World) -> None:
    counted = compare(world, evaluated=[[0.5, 0.5]] * 8)
    assert counted.differing[0][1] == "another output than was evaluated"


def test_a_row_that_no_request_can_carry_is_counted_and_not_compared(world: World) -> None:
    world.run()
    with open_package(world.store.folder("evaluate/majority") / "package") as package:
        cases = Cases(["0", "1"], ["", "fine"])
        raw = package.raw(["fine", "fine"])
        post = lambda payloads: package.render(package.raw(payloads), ["bad"] * len(payloads))  # noqa: E731
        counted = parity._compare(package, cases, raw, [0, 1], rule=None, tolerance=0.01, post=post)
    assert (counted.rows, counted.agree, counted.refused) == (1, 1, 1)


def test_a_server_that_does_not_answer_is_an_environment_fault(world: World) -> None:
    world.run()
    folder = world.store.folder("evaluate/majority") / "package"
    with pytest.raises(EnvironmentFault, match="no answer: ConnectError"):
        parity.receipt(folder, task=TASK, cases=Cases(["0"], TEXTS[:1]), raw=[[0.7, 0.3]], rule=None, rows=4,
                       server=Server())  # fmt: skip


@pytest.mark.slow
def test_the_real_server_gives_the_evaluated_answers(world: World) -> None:
    world.run(parity.receipt)
    release, _ = decisions.open_current(world.root / "releases", world.trust)
    assert (release.parity["rows"], release.parity["agree"]) == (8, 8)
    assert world.said == ["deploy: 8 test rows over HTTP"]


@pytest.mark.slow
def test_the_real_server_is_found_out_when_it_answers_otherwise(world: World) -> None:
    world.run()
    folder = world.store.folder("evaluate/majority") / "package"
    with pytest.raises(BreakevenError, match="0 of 4 test rows agree"):
        parity.receipt(folder, task=TASK, cases=Cases(list("0123"), TEXTS[:4]), raw=[[0.1, 0.9]] * 4, rule=None, rows=4)
