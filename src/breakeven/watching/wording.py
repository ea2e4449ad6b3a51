"""What an alert says: a sentence for people, and the JSON body that receivers of Prometheus Alertmanager read."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any

from breakeven.artifacts import fingerprint
from breakeven.errors import render
from breakeven.watching.alerting import Alert, Change
from breakeven.watching.history import Labels
from breakeven.watching.ready_made import SOURCE
from breakeven.watching.settings import Rule

VERSION = "4"  # of Alertmanager's webhook body
_NEVER = "0001-01-01T00:00:00Z"  # its word for an alert that has not ended
_MOST = 500  # alerts in one message

# watch -> (words, how a value is written)
WATCHED: dict[str, tuple[str, str]] = {
    "server_down": ("watched-server-down", "whether"),
    "error_share": ("watched-error-share", "share"),
    "refused_share": ("watched-refused-share", "share"),
    "request_seconds": ("watched-request-seconds", "seconds"),
    "first_part_seconds": ("watched-first-part-seconds", "seconds"),
    "requests_per_second": ("watched-requests-per-second", "number"),
    "queue_cases": ("watched-queue-cases", "number"),
    "ledger_queue": ("watched-ledger-queue", "number"),
    "memory_mb": ("watched-memory-mb", "number"),
    "units_per_minute": ("watched-units-per-minute", "number"),
    "charged_per_minute": ("watched-charged-per-minute", "number"),
    "cost_per_answer": ("watched-cost-per-answer", "number"),
    "gross_margin": ("watched-gross-margin", "share"),
    "cpu_seconds_per_answer": ("watched-cpu-seconds-per-answer", "seconds"),
    "decision_refused": ("watched-decision-refused", "whether"),
    "spend_share": ("watched-spend-share", "share"),
    "quota_share": ("watched-quota-share", "share"),
    "charges": ("watched-charges", "number"),
    "drifted": ("watched-drifted", "whether"),
}


def said(rule: Rule, alert: Alert, *, resolved: bool = False) -> str:
    """One sentence: what is so, and where."""
    about = about_labels(alert.labels)
    if alert.note is not None and not resolved:
        about = render("alert-because", {"about": about, "why": alert.note})
    if rule.name == SOURCE:
        return render("alert-source-over" if resolved else "alert-source", {"about": about})
    words, how = WATCHED[rule.watch]
    what = render(words, {"quantile": f"p{rule.quantile * 100:g}", "window": rule.window})
    # Labels that are gone: a server or customer that is no longer there. A decision that is followed has none either.
    if resolved and alert.value is None and rule.watch != "decision_refused":
        return render("alert-gone", {"what": what, "about": about})
    if how == "whether":
        return render("alert-not" if resolved else "alert-is", {"what": what, "about": about})
    code = "alert-back" if resolved else "alert-above" if rule.above is not None else "alert-below"
    fields = {"what": what, "about": about, "value": written(how, alert.value),
              "threshold": written(how, rule.threshold)}  # fmt: skip
    return render(code, fields)


def about_labels(labels: Labels) -> str:
    """The labels behind a sentence: ` (customer acme)`, or nothing."""
    return render("alert-about", {"labels": [f"{key} {value}" for key, value in labels]}) if labels else ""


def written(how: str, value: float | None) -> str:
    """A value in its measure's own way (see WATCHED): a share in percent, seconds, a number."""
    if value is None:
        return "-"
    if how == "share":
        return f"{value * 100:.3g}%"
    return f"{value:.3g} s" if how == "seconds" else f"{value:.4g}"


def body(project: str, rule: Rule, receiver: str, changes: Sequence[Change]) -> dict[str, Any]:
    """The body of one message: all that changed of one rule in one round."""
    shared = {"alertname": rule.name, "severity": rule.severity, "project": project}
    alerts = [_alert(shared, change) for change in changes[:_MOST]]
    common = {key: value for key, value in alerts[0]["labels"].items()
              if all(alert["labels"].get(key) == value for alert in alerts)}  # fmt: skip
    return {
        "version": VERSION,
        "groupKey": f'{{}}:{{alertname="{rule.name}"}}',
        "truncatedAlerts": len(changes) - len(alerts),
        "status": "firing" if any(change.status == "firing" for change in changes) else "resolved",
        "receiver": receiver,
        "groupLabels": {"alertname": rule.name},
        "commonLabels": common,
        "commonAnnotations": {"description": rule.description} if rule.description else {},
        "externalURL": "",
        "alerts": alerts,
    }


def _alert(shared: dict[str, str], change: Change) -> dict[str, Any]:
    alert, rule, over = change.alert, change.rule, change.status == "resolved"
    annotations = {"summary": said(rule, alert, resolved=over)}
    if rule.name != SOURCE:
        annotations |= {"value": "" if alert.value is None else f"{alert.value:.6g}", "watch": rule.watch,
                        "threshold": f"{rule.threshold:.6g}"}  # fmt: skip
    if rule.description:
        annotations["description"] = rule.description
    return {
        "status": change.status,
        "labels": {**dict(alert.labels), **shared},
        "annotations": annotations,
        "startsAt": moment(alert.fired),
        "endsAt": moment(alert.looked) if over else _NEVER,
        "generatorURL": "",
        "fingerprint": alert.fingerprint,
    }


def message_id(body: dict[str, Any], now: float) -> str:
    """The id of a message, the same at every attempt."""
    return f"alert_{fingerprint([body, round(now * 1000)])[:24]}"


def moment(seconds: float) -> str:
    """A time in UTC as RFC 3339."""
    found = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return found.isoformat(timespec="milliseconds").replace("+00:00", "Z")
