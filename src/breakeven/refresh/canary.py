"""A running canary, looked at as often as one likes: back if it is surely worse, to everybody once it answered enough.

Four watches share one alarm: what customers say of answers, requests that fail, how long answers take, and labels other
than the champion's to the same inputs. The bounds of each hold at all looks together (`watches`).
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from breakeven.data.ledger_source import label_of
from breakeven.ledger.commands import kept_inputs
from breakeven.refresh import same_inputs
from breakeven.refresh.same_inputs import Notes
from breakeven.refresh.watches import Tally, Watched, above, slower, worse

if TYPE_CHECKING:
    from breakeven.packaging.decisions import Decision
    from breakeven.packaging.release import Release
    from breakeven.task import Task

Step = Literal["wait", "back", "promote"]
WATCHES = ("feedback", "failures", "latency", "answers")
NOTES = Path("refresh") / "canary.json"


@dataclass(frozen=True)
class Limits:
    """When a canary ends. It serves everybody after `answers` of its requests or after `hours`, whichever is first;
    None: not by that. `alarm`: the chance that a canary as good as the champion is rolled back. It may be `slower`
    times as slow (95th percentile), and `differ` of its labels may be others.
    """

    answers: int | None = 1000
    hours: float | None = None
    alarm: float = 0.05
    slower: float = 1.5
    differ: float = 0.3


@dataclass(frozen=True)
class Counted:
    """What a running server counted by release while this canary ran: requests answered and failed, and how long
    answers took. Empty where none runs. `behind`: why a server that runs does not follow the canary's decision.
    """

    requests: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    latency: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    behind: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, status: Mapping[str, Any] | None) -> Counted:
        """Out of the status of a server."""
        found = status or {}
        return cls(found.get("tried") or {}, found.get("latency") or {}, found.get("refused"))

    def failures(self, name: str) -> Tally:
        """Requests of a release that failed."""
        found = self.requests.get(name) or {}
        failed = int(found.get("failed", 0))
        return Tally(failed, failed + int(found.get("answered", 0)))


@dataclass(frozen=True)
class Trial:
    """A canary that runs: the decision, the champion's release, the project's folder and its task."""

    decision: Decision
    champion: Release
    root: Path
    task: Task


@dataclass(frozen=True)
class Look:
    """What a look found. `figures`: by watch, with bounds; `watch`: the one that fired; `behind`: why a running server
    does not follow the canary's decision, where it is not promoted for that.
    """

    step: Step
    figures: dict[str, Any] = field(default_factory=dict)
    watch: str | None = None
    behind: Mapping[str, Any] | None = None


def concluded(watched: Mapping[str, Watched], limits: Limits, *, hours: float, answers: int) -> Look:
    """What to do now, by what the watches saw."""
    figures = {name: one.figures for name, one in watched.items()}
    fired = next((name for name, one in watched.items() if one.fired), None)
    if fired is not None:
        return Look("back", figures, fired)
    enough = limits.answers is not None and answers >= limits.answers
    late = limits.hours is not None and hours >= limits.hours
    return Look("promote" if enough or late else "wait", figures)


def judge(place: str | Path, trial: Trial, counted: Counted, limits: Limits) -> Look:
    """A look at a canary; `place`: the ledger."""
    decision, share = trial.decision, limits.alarm / len(WATCHES)
    assert decision.canary is not None, "asked only where a canary runs"
    canary, champion = decision.canary.release, str(decision.release)
    notes, waiting = Notes.read(trial.root / NOTES, decision.number), list[dict[str, Any]]()

    def passing() -> Iterator[dict[str, Any]]:
        for case in kept_inputs(place, since=str(decision.info["created"])):
            if case["release"] == canary and notes.lacks(case, len(waiting)):
                waiting.append(case)
            yield case

    said = feedback_of(passing(), (canary, champion))
    taken = {name: counted.latency.get(name) or {} for name in (canary, champion)}
    watched = {
        "feedback": worse(said[canary], said[champion], share),
        "failures": worse(counted.failures(canary), counted.failures(champion), share),
        "latency": slower(taken[canary], taken[champion], limits.slower, share),
        "answers": answers_of(trial, notes, waiting, limits.differ, share),
    }
    age = datetime.datetime.now(datetime.UTC) - datetime.datetime.fromisoformat(str(decision.info["created"]))
    answered = counted.failures(canary).all
    look = concluded(watched, limits, hours=age.total_seconds() / 3600, answers=answered)
    # A canary that a running server cannot take has answered nobody, however many hours pass.
    behind = counted.behind is not None and counted.behind.get("decision") == decision.number
    return Look("wait", look.figures, behind=counted.behind) if behind and look.step == "promote" else look


def answers_of(trial: Trial, notes: Notes, cases: Sequence[Mapping[str, Any]], limit: float, alarm: float) -> Watched:
    """The watch of labels to the same inputs. A champion that cannot be opened is told, and ends no canary."""
    try:
        notes = same_inputs.compared(notes, cases, trial.champion, trial.decision, task=trial.task)
    except Exception as error:  # a task's own code may raise anything
        return Watched({"unknown": str(error) or type(error).__name__})
    if not notes.tally.all:
        return Watched()
    # The chance is shared with the bounds of what the comparison allows.
    return above(notes.tally, same_inputs.allowed(trial.decision, limit, alarm / 2), alarm / 2)


def wrong(words: Sequence[Mapping[str, Any]], output: Any) -> bool | None:
    """Whether an answer was wrong by the customer's last word; None where that is not said."""
    known = label_of(words, output)
    if known is not None:
        return known != str(output.get("label") if isinstance(output, Mapping) else output)
    last = next((word for word in reversed(words) if "correct" in word or word.get("label") is not None), None)
    return True if last is not None and last.get("correct") is False else None


def feedback_of(cases: Iterable[Mapping[str, Any]], names: Sequence[str]) -> dict[str, Tally]:
    """Release -> kept answers that somebody spoke of, and how many of them were wrong."""
    counts = {name: [0, 0] for name in names}
    for case in cases:
        said = wrong(case["feedback"], case["output"]) if case["release"] in counts else None
        if said is not None:
            counts[case["release"]][0] += said
            counts[case["release"]][1] += 1
    return {name: Tally(bad, total) for name, (bad, total) in counts.items()}
