"""Rules become alerts: inactive, pending, firing and back, with one change told once. Pure: it knows no clock or file.

Words as Prometheus uses them: an alert is pending until its rule held for `for`, then firing, then resolved once the
rule has not held for `keep_firing_for`. What cannot be told changes nothing, is not fine either, and is not counted as
time in which a rule held.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from breakeven.artifacts import fingerprint
from breakeven.watching.history import Labels
from breakeven.watching.measures import CannotTell, Values
from breakeven.watching.settings import Rule, seconds

State = Literal["inactive", "pending", "firing"]
Notes = Mapping[Labels, "dict[str, Any] | None"]

OUTAGE = 600.0  # a longer pause between two looks is not taken as time in which a rule held


@dataclass
class Alert:
    """One rule for one set of labels. Times in seconds since 1970."""

    rule: str
    labels: Labels = ()
    state: State = "inactive"
    value: float | None = None
    since: float = 0.0  # when the rule began to hold
    last_held: float = 0.0
    looked: float = 0.0  # when something was told last
    fired: float = 0.0
    told: float = 0.0  # when it was last sent as firing
    why: dict[str, Any] | None = None  # why nothing can be told now
    note: dict[str, Any] | None = None  # more of what is so, such as why a server does not answer

    @property
    def fingerprint(self) -> str:
        """The same for the same rule and labels, for ever."""
        return fingerprint([self.rule, self.labels])[:16]

    @property
    def shown(self) -> str:
        """The state as people are told it: what fired goes on firing while nothing can be told."""
        return "cannot-tell" if self.why is not None and self.state != "firing" else self.state

    def as_json(self) -> dict[str, Any]:
        """What a later process goes on from."""
        return {**asdict(self), "labels": [list(pair) for pair in self.labels]}

    @classmethod
    def from_json(cls, data: dict[str, Any], now: float) -> Alert:
        """The inverse; no time of it lies after `now`."""
        times = {name: min(float(data[name]), now) for name in ("since", "last_held", "looked", "fired", "told")}
        labels = tuple((str(key), str(value)) for key, value in data["labels"])
        return cls(data["rule"], labels, data["state"], data["value"], why=data["why"], note=data["note"], **times)


@dataclass(frozen=True)
class Change:
    """What somebody must hear: `firing` (also again, after the repeat interval) or `resolved`."""

    status: Literal["firing", "resolved"]
    alert: Alert
    rule: Rule
    again: bool = False


@dataclass
class Board:
    """All alerts of all rules, as they stand."""

    alerts: dict[str, dict[Labels, Alert]] = field(default_factory=dict)

    def judge(
        self, rule: Rule, found: Values | CannotTell, now: float, repeat: float, *, notes: Notes | None = None
    ) -> list[Change]:
        """Takes what a rule's measure gave and returns what changed. `notes`: more of what is so, by labels."""
        held = self.alerts.setdefault(rule.name, {})
        if isinstance(found, CannotTell):
            if not held:
                held[()] = Alert(rule.name)
            for alert in held.values():
                alert.why, alert.value = found.why, None
            return []
        steps = []
        for labels, value in found.items():
            alert = held.setdefault(labels, Alert(rule.name, labels))
            alert.note = (notes or {}).get(labels) or alert.note
            steps.append(_step(alert, rule, value, now, repeat))
        changes = [change for change in steps if change is not None]
        for labels in [labels for labels in held if labels not in found]:
            change = _step(held[labels], rule, None, now, repeat)  # a customer who left, a server no longer listed
            changes += [] if change is None else [change]
            if held[labels].state == "inactive":
                del held[labels]
        return changes

    def forget(self, rules: list[Rule]) -> list[Change]:
        """Ends what fires of rules that are no longer there; so its receivers hear that it is over."""
        names = {rule.name for rule in rules}
        changes = []
        for name in [name for name in self.alerts if name not in names]:
            for alert in self.alerts.pop(name).values():
                if alert.state == "firing":
                    gone = Rule.model_validate({"name": name, "watch": "server_down", "above": 0})
                    changes.append(Change("resolved", alert, gone))
        return changes

    def each(self) -> Iterator[Alert]:
        """All alerts."""
        for held in self.alerts.values():
            yield from held.values()

    def firing(self) -> list[Alert]:
        """Those that fire."""
        return [alert for alert in self.each() if alert.state == "firing"]


def holds(rule: Rule, value: float, *, firing: bool) -> bool:
    """Whether a rule holds at a value; one that fires holds until the value is back at `clear`."""
    limit = rule.clear if firing and rule.clear is not None else rule.threshold
    return value > limit if rule.above is not None else value < limit


def _step(alert: Alert, rule: Rule, value: float | None, now: float, repeat: float) -> Change | None:
    """One look at one alert; `value` None: there is nothing left that could hold."""
    pause = now - alert.looked
    if alert.looked and (alert.why is not None or pause > OUTAGE):
        alert.since, alert.last_held = min(alert.since + pause, now), min(alert.last_held + pause, now)
    alert.value, alert.looked, alert.why = value, now, None
    if value is None or not holds(rule, value, firing=alert.state == "firing"):
        return _eased(alert, rule, now)
    alert.last_held = now
    if alert.state == "inactive":
        alert.state, alert.since = "pending", now
    if alert.state == "pending" and now - alert.since >= seconds(rule.hold):
        alert.state, alert.fired, alert.told = "firing", now, now
        return Change("firing", alert, rule)
    if alert.state == "firing" and now - alert.told >= repeat:
        alert.told = now
        return Change("firing", alert, rule, again=True)
    return None


def _eased(alert: Alert, rule: Rule, now: float) -> Change | None:
    if alert.state == "pending":
        alert.state = "inactive"
    elif alert.state == "firing" and now - alert.last_held >= seconds(rule.keep_firing_for):
        alert.state = "inactive"
        return Change("resolved", alert, rule)
    return None
