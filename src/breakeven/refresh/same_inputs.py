"""What the champion would have answered to the inputs that the canary answered, and how often that is another label.

Canary and champion answer different customers, so that their answers differ says nothing of the releases; the same
inputs do. Only kept inputs can be asked again, so customers who did not consent are not looked at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from breakeven.artifacts import read_json, write_json
from breakeven.errors import BreakevenError
from breakeven.packaging import release
from breakeven.packaging.opened import open_package
from breakeven.refresh.watches import Tally, bounds

if TYPE_CHECKING:
    from breakeven.packaging.decisions import Decision
    from breakeven.packaging.release import Release
    from breakeven.task import Task

MOST_CASES = 2000  # of a canary; what it is by then, it is
MOST_AT_ONCE = 256  # of a look, so that one does not take long
FEWEST_AT_ONCE = 16  # below, opening the champion's model does not pay
_FORMAT = 1


@dataclass(frozen=True)
class Notes:
    """What former looks at the canary of a decision found, kept so that no input is asked twice; ids alone."""

    path: Path
    decision: int
    bad: int = 0
    done: tuple[str, ...] = ()

    @classmethod
    def read(cls, path: Path, decision: int) -> Notes:
        """The notes of a decision; those of another, or of what cannot be read, are none."""
        try:
            found = read_json(path)
            if (found["format"], found["decision"]) == (_FORMAT, decision):
                return cls(path, decision, int(found["bad"]), tuple(found["done"]))
        except (BreakevenError, KeyError, TypeError, ValueError):
            pass
        return cls(path, decision)

    def with_more(self, bad: int, done: Sequence[str]) -> Notes:
        """The same with some more cases, written down."""
        notes = Notes(self.path, self.decision, self.bad + bad, (*self.done, *done))
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_json(self.path, {"format": _FORMAT, "decision": self.decision, "bad": notes.bad, "done": notes.done})
        return notes

    def lacks(self, case: Mapping[str, Any], waiting: int) -> bool:
        """Whether a case is still to be compared, where so many are waiting for it already."""
        room = min(MOST_AT_ONCE, MOST_CASES - len(self.done))
        return waiting < room and _labelled(case) and _name(case) not in self._known

    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset(self.done)

    @property
    def tally(self) -> Tally:
        """Of how many labels, how many were others."""
        return Tally(self.bad, len(self.done))


def compared(
    notes: Notes, cases: Sequence[Mapping[str, Any]], champion: Release, decision: Decision, *, task: Task
) -> Notes:
    """The notes with some more of the canary's kept cases (those that they lack), answered by the champion as well."""
    if len(cases) < FEWEST_AT_ONCE:
        return notes
    with open_package(champion.folder / release.MODEL, task=task) as package:
        if package.predictor.spends:  # each answer costs money at a provider
            return notes
        items = [package.parse(case["input"]) for case in cases]
        raw = package.raw(items)
        outputs = package.render(raw, package.answer(raw, decision.rule))
    bad = sum(case["output"]["label"] != output.get("label") for case, output in zip(cases, outputs, strict=True))
    return notes.with_more(bad, [_name(case) for case in cases])


def _labelled(case: Mapping[str, Any]) -> bool:
    output = case["output"]
    return case["input"] is not None and isinstance(output, Mapping) and "label" in output


def _name(case: Mapping[str, Any]) -> str:
    return f"{case['event']}:{case['item']}"


def allowed(decision: Decision, limit: float, alarm: float) -> float:
    """How often the canary's label may be another: `limit`, or what the comparison found on its test rows where that is
    more. A challenger that learnt something new has to answer otherwise.
    """
    parts = ((decision.info.get("refresh") or {}).get("comparison") or {}).values()
    known = [Tally(part["differ"], part["n"]) for part in parts if part and "differ" in part]
    return max([limit, *(bounds(tally, alarm)[1] for tally in known)])
