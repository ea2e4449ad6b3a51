"""The rules that are judged where a project writes none: what every product that is sold should hear of."""

from __future__ import annotations

from typing import Any

from breakeven.watching.settings import Alerts, Rule

_MINUTES = {"for": "5m"}
READY: tuple[dict[str, Any], ...] = (
    {"name": "server-down", "watch": "server_down", "above": 0, "for": "1m", "keep_firing_for": "30s",
     "severity": "critical"},
    {"name": "errors", "watch": "error_share", "above": 0.05, "clear": 0.02, "severity": "critical", **_MINUTES},
    {"name": "slow", "watch": "request_seconds", "above": 1.0, **_MINUTES},
    {"name": "refused", "watch": "refused_share", "above": 0.05, "clear": 0.02, **_MINUTES},
    {"name": "decision-refused", "watch": "decision_refused", "above": 0, "for": "1m", "keep_firing_for": "30s"},
    {"name": "spend-cap", "watch": "spend_share", "above": 0.9, "severity": "info"},
    {"name": "quota", "watch": "quota_share", "above": 0.9, "severity": "info"},
    {"name": "losing-money", "watch": "gross_margin", "below": 0, "window": "1h", "for": "15m", "at_least": 100},
)  # fmt: skip
DRIFT: dict[str, Any] = {"name": "drift", "watch": "drifted", "above": 0, "keep_firing_for": "0s"}
SOURCE = "cannot-tell"  # the alert of a source that cannot be read


def rules_of(alerts: Alerts, *, latency_ms: float | None = None, inputs_kept: bool = False) -> list[Rule]:
    """All rules that are judged. `latency_ms`: the project's gate on the p95, which `slow` takes as its threshold.
    One's own rules replace ready-made ones of the same name.
    """
    ready = {str(item["name"]): item for item in (*READY, *([DRIFT] if inputs_kept else [])) if alerts.ready_made}
    if latency_ms is not None and "slow" in ready:
        ready["slow"] = {**ready["slow"], "above": min(latency_ms / 1000, 59.0)}
    own = {rule.name: rule for rule in alerts.rules}
    return [*(Rule.model_validate(item) for name, item in ready.items() if name not in own), *own.values()]


def source_rule(alerts: Alerts) -> Rule:
    """The rule behind a source that cannot be read: servers (where no rule watches them), the ledger, drift."""
    return Rule.model_validate(
        {"name": SOURCE, "watch": "server_down", "above": 0, "for": alerts.no_data_for, "keep_firing_for": "0s"}
    )
