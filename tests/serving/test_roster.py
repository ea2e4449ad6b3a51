"""A running service follows decisions: what it takes, what it refuses, and that nobody who asks meanwhile notices."""

from __future__ import annotations

import asyncio
import json
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from breakeven.errors import EnvironmentFault, IntegrityError
from breakeven.ledger import Ledger
from breakeven.packaging import decisions
from breakeven.packaging.release import Release
from breakeven.packaging.routing import Desk
from breakeven.serving import loading
from breakeven.serving.loading import Loaded
from breakeven.serving.roster import Roster
from tests.serving.conftest import Caller
from tests.serving.fakes import EchoPackage, Streaming
from tests.serving.shelf import Shelf


class Stage:
    """A service over fake packages that follows real signed decisions; green is served first."""

    def __init__(self, caller: Caller, shelf: Shelf, *, drain_seconds: float = 30.0) -> None:
        self.caller = caller
        self.shelf = shelf
        self.desk = Desk(shelf.releases, shelf.key)
        self.opened: dict[str, EchoPackage] = {}
        self.make: Callable[[Release], Any] = lambda release: EchoPackage()
        self.loader: Callable[..., Loaded] = self.fake
        decision = decisions.open_shipping(shelf.releases, shelf.trust)
        service = caller.service
        first = service.current
        first.name = shelf.names["green"]
        service.stand(type(service.standing)(first, served={first.name: first}))
        self.first = first
        self.roster = Roster(
            service,
            shelf.releases,
            shelf.trust,
            decision,
            loader=lambda release, threads: self.loader(release, threads=threads),
            drain_seconds=drain_seconds,
        )

    def fake(self, release: Release, *, threads: int) -> Loaded:
        self.opened[release.id] = self.make(release)
        return Loaded(self.opened[release.id], 1 << 20)

    async def ask(self, *inputs: Any, **more: Any) -> Any:
        found = await self.caller.send("POST", "/v1/predict", {"inputs": list(inputs), **more})
        return found.json

    def page(self) -> str:
        return self.caller.service.watch.page().decode()


@pytest.fixture
def stage(make: Callable[..., Caller], filled: Shelf, tmp_path: Path) -> Callable[..., Stage]:
    def build(package: EchoPackage | None = None, **options: Any) -> Stage:
        shelf = filled.copy(tmp_path / "project")
        shelf.ship("red")
        shelf.ship("green")
        return Stage(make(package), shelf, **options)

    return build


def test_a_decision_is_followed_warmed_and_the_old_release_closed(stage: Callable[..., Stage], ledger: Ledger) -> None:
    on = stage()

    async def story() -> None:
        await on.roster.begin()
        assert (await on.ask("a"))["model"] == on.shelf.names["green"]
        on.desk.rollback()
        status = await on.roster.look()
        assert (status["decision"], status["current"], status["refused"]) == (3, on.shelf.names["red"], None)
        assert on.opened[on.shelf.names["red"]].batches[0] == 1  # its own example, before anybody was sent to it
        assert (await on.ask("a"))["model"] == on.shelf.names["red"]
        await closed(on.first.package)
        await on.roster.end()

    asyncio.run(story())
    assert [event["model"] for event in ledger.events()] == [on.shelf.names["green"], on.shelf.names["red"]]
    noted = [(line["action"], line["subject"]) for line in ledger.audit() if line["actor"] == "server"]
    assert noted == [("releases.follow", on.shelf.names["red"]), ("releases.follow", on.shelf.names["green"])]
    assert "breakeven_decision 3.0" in on.page()


class Held(EchoPackage):
    """Answers when it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()

    def raw(self, inputs: list[str]) -> list[str]:
        self.go.wait(60)
        return super().raw(inputs)


def test_a_request_that_runs_finishes_on_the_release_it_began_on(stage: Callable[..., Stage]) -> None:
    held = Held()
    on = stage(held)

    async def story() -> None:
        await on.roster.begin()
        slow = asyncio.ensure_future(on.ask("a"))
        await asyncio.sleep(0.1)
        on.desk.rollback()
        await on.roster.look()
        assert (await on.ask("b"))["model"] == on.shelf.names["red"]  # at once, while the slow one runs
        assert not slow.done() and not held.closed
        held.go.set()
        assert (await slow)["model"] == on.shelf.names["green"]
        await closed(held)
        await on.roster.end()

    asyncio.run(story())


async def until(holds: Callable[[], bool]) -> None:
    """Waits for what must come soon; a busy machine may take a while."""
    late = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < late
        await asyncio.sleep(0.02)


async def closed(package: EchoPackage) -> None:
    await until(lambda: package.closed)


def compared(on: Stage) -> int:
    """Copies that the shadow has dealt with."""
    counts = on.roster.status()["shadow"]
    return sum(counts.get(outcome, 0) for outcome in ("agree", "differ", "refused", "failed", "dropped"))


def test_a_stream_that_outlives_the_deadline_is_told_and_charged_for_what_was_sent(
    stage: Callable[..., Stage], ledger: Ledger
) -> None:
    on = stage(EchoPackage(Streaming(), seconds=0.05), drain_seconds=0.2)

    async def story() -> Any:
        await on.roster.begin()
        body = {"inputs": [" ".join("word" for _ in range(200))], "stream": True}
        endless = asyncio.ensure_future(on.caller.send("POST", "/v1/predict", body))
        await asyncio.sleep(0.2)
        on.desk.rollback()
        await on.roster.look()
        found = await asyncio.wait_for(endless, 5)
        await on.roster.end()
        return found

    found = asyncio.run(story())
    assert b"shutting-down" in found.body and found.body.endswith(b"data: [DONE]\n\n")
    (event,) = ledger.events()
    assert 0 < event["quantities"]["output_tokens"] < 200


@pytest.mark.parametrize("how", ["changed", "unsigned", "missing"])
def test_a_release_that_fails_its_checks_never_takes_traffic(
    stage: Callable[..., Stage], how: str, ledger: Ledger
) -> None:
    on = stage()
    folder = on.shelf.releases / on.shelf.names["red"]
    on.desk.rollback()
    if how == "changed":
        (folder / "MODEL_CARD.md").write_text("# better\n")
    elif how == "unsigned":
        (folder / "model.sig").unlink()
    else:
        shutil.rmtree(folder)

    async def story() -> None:
        await on.roster.begin()
        for _ in range(2):
            status = await on.roster.look()
        assert (status["decision"], status["refused"]["decision"]) == (2, 3)
        assert (await on.ask("a"))["model"] == on.shelf.names["green"]
        ready = await on.caller.send("GET", "/readyz")
        assert (ready.status, ready.json["refused"]) == (200, {"decision": 3, "code": status["refused"]["code"]})
        assert status["refused"]["code"] in on.page()
        on.desk.releases.joinpath("current.json").touch()
        number = on.shelf.ship("blue")  # another decision heals it
        status = await on.roster.look()
        assert (status["decision"], status["refused"]) == (number, None)
        assert "breakeven_decision_refused{" not in on.page()
        await on.roster.end()

    asyncio.run(story())
    assert on.shelf.names["red"] not in on.opened
    assert sum(line["action"] == "releases.refuse" for line in ledger.audit()) == 1


def test_a_package_that_cannot_answer_its_own_example_is_closed_and_refused(stage: Callable[..., Stage]) -> None:
    on = stage()

    class Broken(EchoPackage):
        def raw(self, inputs: list[str]) -> list[str]:
            raise RuntimeError("kernel is not there")

    on.make = lambda release: Broken()
    on.desk.canary(on.shelf.names["blue"], 0.5)

    async def story() -> Any:
        await on.roster.begin()
        status = await on.roster.look()
        assert (await on.ask("a"))["model"] == on.shelf.names["green"]
        await on.roster.end()
        return status

    refused = asyncio.run(story())["refused"]
    assert refused["code"] == "release-unusable" and "kernel is not there" in refused["message"]
    assert on.opened[on.shelf.names["blue"]].closed


def test_half_a_decision_is_not_followed(stage: Callable[..., Stage]) -> None:
    on = stage()
    on.desk.rollback()
    on.desk.canary(on.shelf.names["blue"], 0.5)
    (on.shelf.releases / on.shelf.names["blue"] / "parity.json").write_text("{}")

    async def story() -> Any:
        await on.roster.begin()
        status = await on.roster.look()
        await on.roster.end()
        return status

    assert asyncio.run(story())["current"] == on.shelf.names["green"]
    assert on.opened[on.shelf.names["red"]].closed  # opened first, and for nothing


def test_a_decision_made_anew_in_the_place_of_a_damaged_one_is_followed(stage: Callable[..., Stage]) -> None:
    """Its number is that of the one that was moved away, which the server followed."""
    on = stage()
    folder = on.shelf.releases / "decisions" / "2"
    record = folder / "decision.json"

    async def story() -> None:
        await on.roster.begin()
        record.write_text(record.read_text().replace("green", "brown"))
        with pytest.raises(IntegrityError, match="nothing can be decided after a record that cannot") as told:
            on.desk.rollback()
        assert "move its folder out of decisions" in str(told.value)
        folder.rename(on.shelf.root / "aside")
        assert on.shelf.ship("blue") == 2
        status = await on.roster.look()
        assert (status["decision"], status["current"], status["refused"]) == (2, on.shelf.names["blue"], None)
        assert (await on.ask("a"))["model"] == on.shelf.names["blue"]
        await on.roster.end()

    asyncio.run(story())


def test_a_server_never_goes_back_to_an_older_decision(stage: Callable[..., Stage]) -> None:
    on = stage()
    shutil.rmtree(on.shelf.releases / "decisions" / "2")

    async def story() -> Any:
        await on.roster.begin()
        status = await on.roster.look()
        await on.roster.end()
        return status

    status = asyncio.run(story())
    assert (status["current"], status["refused"]["code"]) == (on.shelf.names["green"], "decision-backwards")


def test_a_release_that_does_not_fit_is_not_loaded(filled: Shelf, caplog: pytest.LogCaptureFixture) -> None:
    from breakeven.packaging.release import open_release

    release = open_release(filled.releases / filled.names["red"], filled.trust)
    need = loading.weights(release)
    assert 0 < need < loading.available()
    with (
        caplog.at_level("INFO"),
        pytest.raises(EnvironmentFault, match="needs at least 0 MB of memory for its weights"),
    ):
        loading.state_memory(release, free=need - 1)
    assert "of memory left" in caplog.text


def test_a_customer_stays_with_a_release_and_a_name_reaches_any(stage: Callable[..., Stage]) -> None:
    on = stage()
    on.desk.canary(on.shelf.names["blue"], 0.5)
    on.desk.beside(on.shelf.names["red"])

    async def story() -> None:
        await on.roster.begin()
        await on.roster.look()
        assert len({(await on.ask("a"))["model"] for _ in range(10)}) == 1
        for name in on.shelf.names.values():
            assert (await on.ask("a", model=name))["model"] == name
        assert (await on.ask("a", model="gone"))["error"]["code"] == "model-not-found"
        await on.roster.end()

    asyncio.run(story())


def test_what_a_canary_answered_before_it_was_one_is_not_counted_as_tried(stage: Callable[..., Stage]) -> None:
    on = stage()

    async def story() -> None:
        await on.roster.begin()
        for _ in range(5):
            await on.ask("a")
        await on.ask("boom")
        assert on.roster.status()["tried"] == {}
        on.desk.rollback()
        on.desk.canary(on.shelf.names["green"], 0.5)
        status = await on.roster.look()
        green, red = on.shelf.names["green"], on.shelf.names["red"]
        nothing = {"answered": 0, "failed": 0}
        assert status["requests"][green] == {"answered": 5, "failed": 1}
        assert status["tried"] == {green: nothing, red: nothing}
        await on.ask("a", model=green)
        await on.ask("boom", model=red)
        tried = on.roster.status()["tried"]
        assert tried == {green: {"answered": 1, "failed": 0}, red: {"answered": 0, "failed": 1}}
        await on.roster.end()

    asyncio.run(story())


def test_the_same_release_under_another_rule_is_swapped_too(stage: Callable[..., Stage]) -> None:
    on = stage()
    on.shelf.ship("green", rule={"kind": "argmax"})

    async def story() -> None:
        await on.roster.begin()
        await on.roster.look()
        assert on.caller.service.current is not on.first
        assert on.caller.service.current.rule == {"kind": "argmax"}
        assert list(on.caller.service.served) == [on.shelf.names["green"]]
        await on.roster.end()

    asyncio.run(story())


class Judged(EchoPackage):
    """Agrees with "a" only. `hold`: its answers wait for it."""

    def __init__(self, hold: threading.Event | None = None) -> None:
        super().__init__()
        self.held = hold
        self.info["tolerance"] = 0.01  # type: ignore[assignment]
        self.task.payload = lambda item: item  # type: ignore[attr-defined]
        self.task.agree = lambda one, other, tolerance: one == "a"  # type: ignore[attr-defined]

    def raw(self, inputs: list[str]) -> list[str]:
        if self.held is not None and "hello" not in inputs:
            assert self.held.wait(30)
        return super().raw(inputs)


def test_a_shadow_answers_copies_that_nobody_sees_or_pays(stage: Callable[..., Stage], ledger: Ledger) -> None:
    on = stage()
    on.make = lambda release: Judged()
    on.desk.shadow(on.shelf.names["blue"])

    async def story() -> Any:
        await on.roster.begin()
        await on.roster.look()
        for text in ("a", "a", "b", "boom"):
            await on.ask(text)
        assert (await on.ask("a", model=on.shelf.names["blue"]))["error"]["code"] == "model-not-found"
        await until(lambda: compared(on) == 3 and on.roster.status()["shadow"].get("same-answer") == 3)
        status = on.roster.status()
        on.desk.shadow(None)
        assert (await on.roster.look())["shadow"] is None
        await on.ask("a")
        await closed(on.opened[on.shelf.names["blue"]])
        await on.roster.end()
        return status

    status = asyncio.run(story())
    assert status["shadow"] == {"release": on.shelf.names["blue"], "agree": 2, "same-answer": 3, "differ": 1}
    assert f'breakeven_shadow_cases_total{{outcome="agree",release="{on.shelf.names["blue"]}"}} 2.0' in on.page()
    assert [event["model"] for event in ledger.events()] == [on.shelf.names["green"]] * 4
    assert on.opened[on.shelf.names["blue"]].closed


def test_a_shadow_that_cannot_keep_up_drops_copies_and_slows_nobody(stage: Callable[..., Stage]) -> None:
    on, hold = stage(), threading.Event()
    on.make = lambda release: Judged(hold)
    on.desk.shadow(on.shelf.names["blue"])

    async def story() -> Any:
        await on.roster.begin()
        await on.roster.look()
        for _ in range(20):  # the copies are held meanwhile
            assert len((await on.ask(*["a"] * 40))["outputs"]) == 40
        hold.set()
        await until(lambda: compared(on) == 800)
        status = on.roster.status()
        await on.roster.end()
        return status["shadow"]

    counts = asyncio.run(story())
    assert counts["dropped"] > 400
    assert counts["dropped"] + counts["agree"] == 800


def test_a_shadow_that_fails_is_counted_and_hurts_nobody(stage: Callable[..., Stage]) -> None:
    on = stage()

    class Failing(Judged):
        def raw(self, inputs: list[str]) -> list[str]:
            raise RuntimeError("no")

    on.make = lambda release: Failing()
    on.desk.shadow(on.shelf.names["blue"])

    async def story() -> Any:
        await on.roster.begin()
        await on.roster.look()
        assert (await on.ask("a"))["outputs"] == [{"echo": "a"}]
        await until(lambda: compared(on) == 1)
        status = on.roster.status()
        await on.roster.end()
        return status

    assert asyncio.run(story())["shadow"]["failed"] == 1


def test_a_new_decision_is_noticed_by_looking(stage: Callable[..., Stage]) -> None:
    on = stage()

    async def story() -> None:
        await on.roster.begin()
        following = asyncio.ensure_future(on.roster.follow())
        await asyncio.sleep(0.1)
        on.desk.rollback()
        for _ in range(40):
            await asyncio.sleep(0.1)
            if on.roster.decision.number == 3:
                break
        following.cancel()
        assert on.roster.decision.number == 3
        await on.roster.end()

    asyncio.run(story())


def test_what_a_decision_names_beside_is_followed_from_the_start(stage: Callable[..., Stage]) -> None:
    on = stage()
    on.desk.beside(on.shelf.names["blue"])
    on.roster.decision = decisions.open_shipping(on.shelf.releases, on.shelf.trust)
    on.roster.complete = False

    async def story() -> None:
        await on.roster.begin()
        assert sorted(on.caller.service.served) == sorted([on.shelf.names["green"], on.shelf.names["blue"]])
        assert on.caller.service.current is on.first
        await on.roster.end()

    asyncio.run(story())
    assert json.loads(json.dumps(on.roster.status()))["beside"] == [on.shelf.names["blue"]]


@pytest.mark.parametrize("agrees", [True, False])
def test_every_release_shows_on_this_machine_that_it_answers_as_it_was_measured(
    stage: Callable[..., Stage], agrees: bool
) -> None:
    on = stage()
    on.shelf.elsewhere("red", agrees=agrees)
    checked: list[dict[str, Any]] = []

    def load(release: Release, *, threads: int) -> Loaded:
        loaded = loading.load(release, threads=threads)
        checked.append(loaded.package.check_here())
        return loaded

    on.loader = load
    on.desk.canary(on.shelf.names["red"], 0.5)

    async def story() -> Any:
        await on.roster.begin()
        status = await on.roster.look()
        await on.roster.end()
        return status

    status = asyncio.run(story())
    if agrees:
        assert status["canary"] == on.shelf.names["red"]
        assert checked[0]["checked"] and checked[0]["moved"][0].startswith("hardware: another machine")
    else:
        assert (status["canary"], status["refused"]["code"], checked) == (None, "package-not-here", [])
