"""One refresh: new rows, the candidates trained anew in an area of their own, the comparison, and a signed decision.

Nothing that serves is touched before the decision; whatever fails on the way leaves it as it was.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from breakeven.artifacts import locked, read_json
from breakeven.data.cases import ROWS, load_cases
from breakeven.data.ledger_source import labelled
from breakeven.errors import Busy, ConfigError, Place, message
from breakeven.ledger.book import ledger_place
from breakeven.ledger.commands import customers_list
from breakeven.packaging import decisions, release
from breakeven.packaging.opened import open_package
from breakeven.packaging.routing import Desk
from breakeven.packaging.signing import check_key
from breakeven.pipeline import Context, Quiet
from breakeven.project import Project
from breakeven.refresh import rows, voices
from breakeven.refresh.comparison import Terms, judged, refusals
from breakeven.stages import deploy, train

if TYPE_CHECKING:
    from breakeven.measuring.worth import Bench
    from breakeven.packaging.decisions import Decision
    from breakeven.packaging.release import Release
    from breakeven.pipeline import Progress
    from breakeven.refresh.canary import Counted, Limits
    from breakeven.refresh.rows import Parts
    from breakeven.task import Cases

EVERYBODY = 1.0
_STABLE = ("hash", "grouped")


@dataclass(frozen=True)
class Wish:
    """What is asked of a refresh. `share`: of the customers who meet the challenger first; 1: everybody at once."""

    terms: Terms = field(default_factory=Terms)
    share: float = 0.1
    reason: str | None = None


class Refresh:
    """A refresh of one project: `plan()` says what it would do, `run()` does it."""

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        overrides: Sequence[str] = (),
        wish: Wish | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.project = Project(folder, overrides=overrides, area=rows.AREA)
        self.root = self.project.root
        self.wish = wish or Wish()
        self.progress = progress or Quiet()
        key = self.root / Path(self.project.settings.deploy.sign_with).expanduser()
        self.desk = Desk(self.root / deploy.RELEASES, key, self.wish.reason)

    def plan(self) -> dict[str, Any]:
        """What is there to learn from, and which steps would run; nothing is written."""
        champion, _ = self._champion()
        steps = [
            {"step": item.step.name, "state": item.state, "why": item.why}
            for item in self.project.plan(["evaluate"], refresh=True)
            if item.state != "fresh"
        ]
        return {"outcome": "planned", "champion": champion.id, "ledger": self._ledger(), "steps": steps}

    def forget(self) -> dict[str, Any]:
        """Removes tables that hold rows of whoever was erased; see `rows.forget`."""
        with self._held():
            return {"outcome": "forgotten", **self._forget()}

    def watch(self, limits: Limits, counted: Counted) -> dict[str, Any]:
        """One look at the running canary. `outcome`: no-canary, waits, rolled-back or promoted."""
        from breakeven.refresh.canary import Trial, judge

        check_key(self.desk.key)
        with self._held():
            champion, decision = decisions.open_current(self.desk.releases, self.desk.trust)
            if decision.canary is None:
                return {"outcome": "no-canary", "champion": decision.release}
            trial = Trial(decision, champion, self.root, self.project.task)
            found = judge(ledger_place(self.root), trial, counted, limits)
            told = {"champion": decision.release, "challenger": decision.canary.release, "watches": found.figures}
            if found.step == "wait":
                return {"outcome": "waits", **told, **({"behind": found.behind} if found.behind else {})}
            reason = self.wish.reason or f"refresh: {found.watch or 'no watch fired'}"
            seen = {"fired": found.watch, "figures": found.figures}
            desk = replace(self.desk, reason=reason, watch=seen, after=decision.number)
            if found.step == "back":
                return {"outcome": "rolled-back", **told, "watch": found.watch, "decision": desk.canary(None)}
            return {"outcome": "promoted", **told, "decision": desk.promote()}

    def run(self) -> dict[str, Any]:
        """The whole of it; what came out, as JSON. `outcome`: unchanged, refused, canary or promoted."""
        check_key(self.desk.key)
        with self._held():
            champion, decision = self._champion()
            if decision.canary is not None:
                raise Busy(
                    "refresh-canary-runs", at=Place(file=str(self.desk.releases)), release=decision.canary.release
                )
            told: dict[str, Any] = {"champion": champion.id, "forgotten": self._forget(), "ledger": self._ledger()}
            sides = rows.sides_of(self.root, champion)
            self.project.run(["process"], refresh=True, progress=self.progress)
            told["rows"] = self._counted(sides)
            if not told["rows"]["new"]:
                return {"outcome": "unchanged", **told}
            self.project.run(["evaluate"], progress=self.progress)
            return self._decided(champion, decision, sides, told)

    def _champion(self) -> tuple[Release, Decision]:
        split = self.project.settings.process.split.kind
        if split not in _STABLE:
            raise ConfigError("refresh-split", at=Place(field="process.split.kind"), found=split, allowed=_STABLE)
        return decisions.open_current(self.desk.releases, self.desk.trust)

    def _ledger(self) -> dict[str, int] | None:
        """How many cases the ledger holds, and how many give a row; None where no source reads it."""
        settings = self.project.settings.collect
        if settings is None or all(source.ledger is None for source in settings.named().values()):
            return None
        return labelled(self.root, settings.fields.roles(), unit=self.project.settings.process.split.by).counts

    def _forget(self) -> dict[str, Any]:
        from breakeven.errors import BreakevenError
        from breakeven.ledger.commands import subjects_erased

        try:
            erased = subjects_erased(ledger_place(self.root))
        except BreakevenError as error:
            if error.code != "ledger-missing":
                raise
            return {"rows": {}, "releases": []}
        return rows.forget(self.project, erased)

    def _counted(self, sides: Mapping[str, str]) -> dict[str, int]:
        import polars as pl

        folder = self.project.store.folder("process")
        ids = pl.read_parquet(folder / "rows.parquet", columns=["_id"])["_id"].to_list()
        return {"all": len(ids), "new": sum(name not in sides for name in ids)}

    def _decided(
        self, champion: Release, decision: Decision, sides: Mapping[str, str], told: dict[str, Any]
    ) -> dict[str, Any]:
        verdict = read_json(self.project.store.folder(deploy.VERDICT) / "verdict.json")
        chosen = verdict.get("chosen")
        told["candidate"] = chosen
        if chosen is None:
            return self._refused(champion, told, [message("refresh-gates", why=why_none(verdict))])
        cases = self._cases()
        parts = rows.parts_of(cases.ids, sides)
        told["rows"] |= {"fair": len(parts.fair), "fresh": len(parts.fresh), "established": len(parts.established),
                         "left_out": len(parts.seen)}  # fmt: skip
        parts = self._heard(cases, parts, sides, told)
        bench = self._bench(cases, champion)
        answers = self._answers(champion, decision, cases), self._challenger(str(chosen), verdict, cases)
        told["comparison"] = judged(bench, parts, *answers)
        why = refusals(told["comparison"], self.wish.terms)
        return self._refused(champion, told, why) if why else self._shipped(champion, verdict, told)

    def _heard(self, cases: Cases, parts: Parts, sides: Mapping[str, str], told: dict[str, Any]) -> Parts:
        """The parts with what others say, where one customer gave most of the new rows; a finding tells who."""
        path = self.project.store.folder("process") / ROWS
        voice = voices.loudest(path, sides)
        if voice is None:
            return parts
        customers = [str(one["id"]) for one in customers_list(ledger_place(self.root))]
        told["findings"] = [voice.finding(customers).as_json()]
        return replace(parts, others=voices.of_others(path, cases.ids, parts.fresh, voice))

    def _cases(self) -> Cases:
        setup = self.project.setup()
        return load_cases(self.project.store.folder("process"), setup.task, train.fields_of(setup), "test")

    def _bench(self, cases: Cases, champion: Release) -> Bench:
        """The verdict's bench over the classes of both; without a payoff a right answer is worth one."""
        from breakeven.measuring.worth import Bench, Plan, enough_draws

        settings, store = self.project.settings.evaluate, self.project.store
        names = [candidate.name for candidate in self.project.settings.train.candidates]
        quality = read_json(store.folder(f"evaluate/{names[0]}") / "quality.json")
        facts, former = quality["facts"], read_json(champion.folder / release.MODEL / "package.json")["facts"]
        if "classes" in facts:
            facts = {**facts, "classes": sorted({*facts["classes"], *former.get("classes", [])})}
        priced = any(name != "alternative" for name in settings.payoff)
        plan = Plan(
            settings.payoff if priced else {"correct": 1.0},
            settings.base_rates,
            settings.reject,
            enough_draws(settings.draws, len(cases)),
            self.project.settings.seed,
        )
        return Bench(self.project.task, cases, facts, plan, quality.get("columns", {}))

    def _answers(self, champion: Release, decision: Decision, cases: Cases) -> list[Any]:
        """What the release that serves answers to the test rows, by the rule that it is served by."""
        self.progress.say(f"refresh: {len(cases)} test rows to {champion.id}")
        with open_package(champion.folder / release.MODEL, task=self.project.task) as package:
            return package.answer(package.raw(cases.inputs), decision.rule)

    def _challenger(self, chosen: str, verdict: Mapping[str, Any], cases: Cases) -> list[Any]:
        from breakeven.measuring.quality import read_answers

        folder = self.project.store.folder(f"evaluate/{chosen}")
        raw = read_answers(folder, self.project.task, cases.ids)
        return self.project.task.scoring().decide(raw, verdict["candidates"][chosen]["rule"])

    def _refused(self, champion: Release, told: dict[str, Any], why: list[dict[str, Any]]) -> dict[str, Any]:
        """Signs that this challenger is withheld; what serves goes on serving."""
        product = self.project.settings.product
        record = {
            "product": product.name if product else None,
            "release": None, "package": None, "candidate": None, "rule": None, "verdict": self._verdict(),
            "choice": {"chosen": told.get("candidate")}, "gates": {}, "reasons": _texts(why),
        }  # fmt: skip
        written = self.desk.withhold("refresh", {**record, "refresh": self._facts(champion, told)})
        return {"outcome": "refused", **told, "reasons": why, "decision": written}

    def _shipped(self, champion: Release, verdict: Mapping[str, Any], told: dict[str, Any]) -> dict[str, Any]:
        """Publishes the challenger and signs that it serves a share of the customers, or everybody."""
        chosen, share = str(verdict["chosen"]), self.wish.share
        with decisions.publishing(self.desk.releases) as scratch:
            context = self._context(scratch)
            name, package = deploy.release_chosen(context, verdict, scratch, key=self.desk.key,
                                                  key_name=check_key(self.desk.key))  # fmt: skip
        rows.remember(self.root, self.project.store)
        if name == champion.id:
            return {"outcome": "unchanged", **told}
        rule = verdict["candidates"][chosen].get("rule")
        named = decisions.Named(name, package, rule, share if share < EVERYBODY else None)
        record = {"verdict": self._verdict(), "refresh": self._facts(champion, told)}
        written = self.desk.introduce(named, "refresh", over=champion.id, facts=record)
        outcome = "canary" if share < EVERYBODY else "promoted"
        deploy.keep_reference(context, verdict, name)
        told["findings"] = [*told.get("findings", []), *(finding.as_json() for finding in context.findings)]
        return {"outcome": outcome, **told, "challenger": name, "share": share, "decision": written}

    def _context(self, scratch: Path) -> Context:
        setup = self.project.setup()
        step = replace(deploy.STAGE.steps(setup)[0], volatile=False)
        return Context(setup, self.project.store, step, scratch, "", self.progress)

    def _verdict(self) -> str | None:
        manifest = self.project.store.manifest(deploy.VERDICT)
        return manifest.fingerprint if manifest else None

    def _facts(self, champion: Release, told: Mapping[str, Any]) -> dict[str, Any]:
        """What the signed record says of the refresh."""
        parts = {name: told.get(name) for name in ("candidate", "rows", "ledger", "comparison", "findings")}
        return {"champion": champion.id, "probability": self.wish.terms.probability, **parts}

    def _held(self) -> contextlib.AbstractContextManager[None]:
        """Only one refresh of a project at a time; a second one gets Busy."""
        return locked(self.root / rows.FOLDER / ".lock", "refresh-locked")


def why_none(verdict: Mapping[str, Any]) -> str:
    """Why no candidate was chosen: the verdict's sentence, and what it says of each."""
    said = [str((verdict.get("sentence") or {}).get("text") or "-")]
    each = {name: one.get("why_not") for name, one in (verdict.get("candidates") or {}).items()}
    return "; ".join([*said, *(f"{name}: {why}" for name, why in each.items() if why)])


def _texts(why: Sequence[Mapping[str, Any]]) -> list[str]:
    from breakeven.errors import render

    return [render(str(one["code"]), one["fields"], language="en") for one in why]
