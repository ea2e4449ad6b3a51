"""The command that watches: rules judged, alerts sent, until it is told to stop."""

from __future__ import annotations

import contextlib
import json
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from breakeven.cli.options import answer, open_project, project_options, table
from breakeven.errors import EnvironmentFault, UsageError, render

if TYPE_CHECKING:
    from collections.abc import Sequence

    from breakeven.project import Project
    from breakeven.watching.alerting import Alert, Change
    from breakeven.watching.settings import Rule
    from breakeven.watching.watcher import Watched, Watcher

STATES = {
    "inactive": "alerts-state-inactive",
    "pending": "alerts-state-pending",
    "firing": "alerts-state-firing",
    "cannot-tell": "alerts-state-cannot-tell",
}
_SEVERITIES = {
    "info": "alerts-severity-info",
    "warning": "alerts-severity-warning",
    "critical": "alerts-severity-critical",
}
_LINES = {"firing": "alerts-line-firing", "again": "alerts-line-again", "resolved": "alerts-line-resolved"}
_HEADS = {"rule": "rule", "state": "state", "severity": "severity", "value": "value", "limit": "limit", "said": "about"}


@click.command()
@click.option("--once", is_flag=True, help="One round: exit 1 if something fires. For cron and for a look.")
@click.option("--status", is_flag=True, help="What the watching process wrote last; nothing is read or sent.")
@click.option(
    "--test", "tested", metavar="RULE", help="Send a test message to the receivers of RULE, and say what came."
)
@project_options
def alerts(
    once: bool, status: bool, tested: str | None, folder: str, overrides: tuple[str, ...], as_json: bool
) -> None:
    """Watch the servers, the ledger and drift by the rules of breakeven.yaml, and send what changes, until Ctrl-C.

    Without rules of one's own the ready-made ones are judged; without receivers changes are only printed. Run it beside
    the server, as a process of its own: one that watches itself cannot say that it is down.
    """
    if sum((once, status, tested is not None)) > 1:
        raise UsageError("alerts-one-part")
    watched = watched_of(open_project(folder, overrides), overrides)
    if status:
        _show_kept(watched, as_json)
    elif tested is not None:
        _test(watched, tested, as_json)
    else:
        _watch(watched, once=once, as_json=as_json)


def watched_of(project: Project, overrides: Sequence[str] = ()) -> Watched:
    """What a project's file says is watched."""
    from breakeven.ledger.book import ledger_place
    from breakeven.watching import ready_made, sources
    from breakeven.watching.reference import FOLDER
    from breakeven.watching.watcher import Watched

    settings = project.settings.watching
    gate = project.settings.evaluate.gates.get("latency_ms_p95")
    limit = getattr(gate, "max", None)
    rules = ready_made.rules_of(settings.alerts, latency_ms=limit, inputs_kept=settings.inputs is not None)
    command = [sys.executable, "-m", "breakeven", "drift", "--json", "-C", str(project.root)]
    command += [part for text in overrides for part in ("--set", text)]
    return Watched(
        project.name,
        project.root,
        project.store.root / FOLDER,
        settings.alerts,
        rules,
        ledger_place(project.root),
        drift=sources.DriftReader(command),
    )


def _watch(watched: Watched, *, once: bool, as_json: bool) -> None:
    from breakeven.watching.delivery import check
    from breakeven.watching.watcher import Watcher, alone

    for name, receiver in watched.alerts.receivers.items():
        check(name, receiver)
    with alone(watched.folder), contextlib.ExitStack() as stack:
        if watched.drift is not None:
            stack.callback(watched.drift.close)
        watcher = Watcher(watched)
        watcher.load()
        if once:
            _once(watcher, as_json)
            return
        _begin(watched, as_json)
        ended_by = _run(watcher, as_json)
    raise click.exceptions.Exit(128 + ended_by)


def _run(watcher: Watcher, as_json: bool) -> int:
    """Watches until a signal comes; which one."""
    from breakeven.serving.logs import configure

    lines, heard = configure(), list[int]()

    def stop(number: int, _frame: Any) -> None:
        heard.append(number)
        watcher.stop()

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        watcher.run(lambda changes: tell_changes(changes, as_json))
    finally:
        for number, action in before.items():
            signal.signal(number, action)
        lines.close()
    return heard[-1] if heard else int(signal.SIGTERM)


def _once(watcher: Watcher, as_json: bool) -> None:
    changes, left = watcher.once()
    watched = watcher.watched
    rows = [shown(alert, rules_by_name(watched)) for alert in watcher.board.each()]
    if as_json:
        answer({"alerts": rows, "changes": [_change(change) for change in changes],
                "undelivered": [{"receiver": letter.receiver, "error": letter.error} for letter in left]})  # fmt: skip
    else:
        _table(rows)
    for letter in left:
        fields = {"receiver": letter.receiver, "why": letter.error or "-", "count": letter.attempts}
        click.echo(render("alerts-undelivered", fields), err=True)
    if watcher.board.firing():
        raise click.exceptions.Exit(1)
    if left:
        raise click.exceptions.Exit(EnvironmentFault.exit_code)


def _begin(watched: Watched, as_json: bool) -> None:
    names = ", ".join(watched.alerts.receivers) or render("alerts-nobody", {})
    fields = {"rules": len(watched.rules), "servers": ", ".join(watched.alerts.servers), "receivers": names,
              "interval": watched.alerts.interval}  # fmt: skip
    if as_json:
        click.echo(json.dumps({"rules": [rule.name for rule in watched.rules], "servers": watched.alerts.servers,
                               "receivers": list(watched.alerts.receivers)}, ensure_ascii=False))  # fmt: skip
    else:
        click.echo(render("alerts-begin", fields), err=True)


def tell_changes(changes: Sequence[Change], as_json: bool) -> None:
    """A line a change: words, or an object a line."""
    from breakeven.watching.wording import moment, said

    for change in changes:
        if as_json:
            click.echo(json.dumps(_change(change), ensure_ascii=False))
            continue
        line = _LINES["again" if change.again else change.status]
        over = change.status == "resolved"
        fields = {"time": moment(change.alert.looked)[:19] + "Z", "rule": change.rule.name,
                  "severity": render(_SEVERITIES[change.rule.severity], {}),
                  "said": said(change.rule, change.alert, resolved=over)}  # fmt: skip
        click.echo(render(line, fields))
    sys.stdout.flush()


def _change(change: Change) -> dict[str, Any]:
    from breakeven.watching.wording import moment, said

    over = change.status == "resolved"
    return {"status": change.status, "again": change.again, "rule": change.rule.name,
            "labels": dict(change.alert.labels), "severity": change.rule.severity, "value": change.alert.value,
            "time": moment(change.alert.looked), "said": said(change.rule, change.alert, resolved=over)}  # fmt: skip


def rules_by_name(watched: Watched) -> dict[str, Rule]:
    """All rules that are judged, the one of sources that cannot be read among them."""
    from breakeven.watching.ready_made import source_rule

    return {rule.name: rule for rule in (*watched.rules, source_rule(watched.alerts))}


def shown(alert: Alert, rules: dict[str, Rule]) -> dict[str, Any]:
    """An alert as `--json` and tables have it; a rule that is no longer in the file has no limit."""
    from breakeven.watching.wording import moment

    rule = rules.get(alert.rule)
    held = alert.state != "inactive"
    return {
        "rule": alert.rule,
        "labels": dict(alert.labels),
        "state": alert.shown,
        "severity": None if rule is None else rule.severity,
        "value": alert.value,
        "threshold": None if rule is None else rule.threshold,
        "watch": None if rule is None else rule.watch,
        "since": moment(alert.since) if held and alert.since else None,
        "why": render(alert.why["code"], alert.why["fields"]) if alert.why is not None else None,
        "note": render(alert.note["code"], alert.note["fields"]) if held and alert.note is not None else None,
        "fires": alert.state == "firing",
    }


def _table(rows: list[dict[str, Any]]) -> None:
    """Rows as people read them."""
    from breakeven.watching.ready_made import SOURCE

    order = {"firing": 0, "pending": 1, "cannot-tell": 2, "inactive": 3}
    lines = [
        {
            **row,
            "state": render(STATES[row["state"]], {}),
            "severity": render(_SEVERITIES[row["severity"]], {}) if row["severity"] else "",
            "value": _written(row, row["value"]),
            "limit": _written(row, row["threshold"]),
            "said": ", ".join([*row["labels"].values(), *(part for part in (row["note"], row["why"]) if part)]),
        }
        for row in sorted(rows, key=lambda row: (order[row["state"]], row["rule"]))
        if row["rule"] != SOURCE or row["state"] != "inactive"
    ]
    table(lines, _HEADS, empty="nothing is watched yet", right=("value", "limit"))


def _written(row: dict[str, Any], value: float | None) -> str:
    """A value or limit in its measure's own way; of what is so or is not so, nothing."""
    from breakeven.watching.wording import WATCHED, written

    how = None if row["watch"] is None else WATCHED[row["watch"]][1]
    return "" if how in (None, "whether") or value is None else written(str(how), value)


def _show_kept(watched: Watched, as_json: bool) -> None:
    import time

    from breakeven.watching.alerting import Alert
    from breakeven.watching.watcher import kept_state
    from breakeven.watching.wording import moment

    state, now = kept_state(watched.folder), time.time()
    if not state:
        raise UsageError("alerts-never")
    rows = [shown(Alert.from_json(item, now), rules_by_name(watched)) for item in state["alerts"]]
    late = now - state["looked"] > 3 * state["interval"] + 15
    if as_json:
        answer({"looked": moment(state["looked"]), "stale": late, "waiting": len(state["outbox"]), "alerts": rows})
    else:
        _table(rows)
        fields = {"time": moment(state["looked"])[:19] + "Z", "waiting": len(state["outbox"])}
        click.echo(render("alerts-looked-late" if late else "alerts-looked", fields), err=True)
    if any(row["fires"] for row in rows):
        raise click.exceptions.Exit(1)


def _test(watched: Watched, name: str, as_json: bool) -> None:
    """One message to each receiver of a rule; exit 5 unless all arrived."""
    import time

    from breakeven.errors import BreakevenError
    from breakeven.watching.alerting import Alert, Change
    from breakeven.watching.delivery import check, deliver
    from breakeven.watching.watcher import receivers_of
    from breakeven.watching.wording import body, message_id

    rules = rules_by_name(watched)
    if name not in rules:
        raise UsageError("alerts-no-rule", name=name, allowed=list(rules))
    rule = rules[name]
    names = receivers_of(rule, watched.alerts)
    if not names:
        raise UsageError("alerts-no-receiver", name=name)
    now, failed = time.time(), list[dict[str, Any]]()
    alert = Alert(name, (("test", "true"),), "firing", rule.threshold, now, now, now, now, now)
    for receiver in names:
        said = body(watched.project, rule, receiver, [Change("firing", alert, rule)])
        try:
            check(receiver, watched.alerts.receivers[receiver])
            deliver(watched.alerts.receivers[receiver], message_id(said, now), said, folder=Path(watched.root))
        except BreakevenError as error:
            failed.append({"receiver": receiver, "error": str(error)})
            click.echo(render("alerts-undelivered", {"receiver": receiver, "why": str(error), "count": 1}), err=True)
        else:
            click.echo(render("alerts-delivered", {"receiver": receiver, "name": name}), err=True)
    if as_json:
        answer({"rule": name, "delivered": [one for one in names if one not in {item["receiver"] for item in failed}],
                "failed": failed})  # fmt: skip
    if failed:
        raise click.exceptions.Exit(EnvironmentFault.exit_code)
