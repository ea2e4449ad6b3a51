"""Running servers at a glance: one frame of figures over the last half minute, for the terminal or as data."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from breakeven.errors import EnvironmentFault, render
from breakeven.watching.history import STARTED, History, View, quantile
from breakeven.watching.measures import ASIDE, REFUSED, CannotTell
from breakeven.watching.sources import PAGE_SECONDS, Poll, Server, ask_owner, read_server
from breakeven.watching.wording import moment

WINDOW = 30.0
_CUSTOMERS_HOUR = 3600.0
_MOST_CUSTOMERS = 10
_COSTS = ("marginal", "at_volume")


class Overview:
    """Reads servers again and again. `ledger`: see `ledger_place`, None where there is no project. `read` and `ask` are
    the seams for tests.
    """

    def __init__(
        self,
        servers: Sequence[str],
        *,
        ledger: str | None = None,
        window: float = WINDOW,
        read: Callable[[str], Server] = read_server,
        ask: Callable[..., Any] = ask_owner,
    ) -> None:
        self.servers = list(servers)
        self.window = window
        self.histories = {address: History() for address in servers}
        self._down: dict[str, dict[str, Any] | None] = {}
        self._polls = {address: _poll(read, address) for address in servers}
        self._seen: dict[str, object] = {}
        self._customers: Poll[list[dict[str, Any]]] | None = None
        if ledger is not None:
            self._customers = Poll(lambda: customers(ledger, ask), every=5.0, patience=5.0)

    def look(self) -> None:
        """Reads every server once; EnvironmentFault `top-no-server` where the first look finds none at all."""
        for poll in self._polls.values():
            poll.begin()
        if self._customers is not None:
            self._customers.begin()  # a database takes its time to be opened
        for address, poll in self._polls.items():
            self._down[address] = self._take(address, poll.wait(2 * PAGE_SECONDS))
        if not any(history.times for history in self.histories.values()):
            why = next(why for why in self._down.values() if why is not None)
            raise EnvironmentFault("top-no-server", servers=", ".join(self.servers), why=why)

    def _take(self, address: str, found: Server | CannotTell) -> dict[str, Any] | None:
        history = self.histories[address]
        if self._seen.get(address) is found and isinstance(found, Server):
            found = CannotTell("alerts-silent", seconds=round(2 * PAGE_SECONDS))
        if isinstance(found, CannotTell) or found.page is None:
            history.gauges = {}
            return found.why
        self._seen[address] = found
        try:
            history.add(found.page, time.time(), longest=self.window)
        except EnvironmentFault as error:
            return CannotTell.because(error).why
        return found.why

    def frame(self) -> dict[str, Any]:
        """The figures as they stand; rates are None until a server was read twice."""
        now = time.time()
        view = View(self.histories, now)
        covered, _ = view.grown(self.window)
        return {
            "time": moment(now),
            "seconds": round(covered, 1),
            "servers": [self._server(address, now) for address in self.servers],
            "traffic": traffic(view, self.window),
            "releases": releases(view, self.window),
            "errors": errors(view, self.window),
            "units_per_minute": {dict(labels)["meter"]: rate for labels, rate in
                                 _rates(view, "breakeven_units_total", self.window, 60.0).items()},
            "money": money(view, self.window),
            **self._who(),
        }  # fmt: skip

    def _server(self, address: str, now: float) -> dict[str, Any]:
        gauges = {name: value for (name, _), value in self.histories[address].gauges.items()}
        why, began = self._down.get(address), gauges.get(STARTED)
        memory = gauges.get("process_resident_memory_bytes")
        spent, covered = self._cpu(address, now)
        decision = gauges.get("breakeven_decision")
        return {
            "server": address,
            "ready": why is None,
            "why": None if why is None else render(why["code"], why["fields"]),
            "up_seconds": None if began is None else round(max(now - began, 0.0)),
            "memory_mb": None if memory is None else round(memory / 1e6, 1),
            "cores_busy": round(spent / covered, 3) if covered else None,
            "decision": None if decision is None else int(decision),
            "decision_refused": "breakeven_decision_refused" in gauges,
        }

    def _cpu(self, address: str, now: float) -> tuple[float, float]:
        covered, grown = self.histories[address].grown(self.window, now)
        return grown.get(("process_cpu_seconds_total", ()), 0.0), covered

    def _who(self) -> dict[str, Any]:
        if self._customers is None:
            return {"customers": None, "customers_why": None}
        found = self._customers.now()
        if isinstance(found, CannotTell):
            return {"customers": None, "customers_why": render(found.why["code"], found.why["fields"])}
        return {"customers": found, "customers_why": None}


def traffic(view: View, window: float) -> dict[str, Any]:
    """Requests, answers, percentiles of seconds, batches and queues of all servers together."""
    covered, _ = view.grown(window)
    counts = {labels: count for labels, count in view.split("breakeven_requests_total", window).items()
              if dict(labels)["route"] not in ASIDE}  # fmt: skip
    every = sum(counts.values())
    refused = sum(count for labels, count in counts.items() if dict(labels)["status"] in REFUSED)
    seconds = _buckets(view, "breakeven_request_seconds_bucket", window)
    first = _buckets(view, "breakeven_first_part_seconds_bucket", window)
    batches = view.total("breakeven_batch_cases_count", window) or 0.0
    cases = view.total("breakeven_batch_cases_sum", window)
    found: dict[str, Any] = {
        "requests_per_second": every / covered if covered else None,
        "answers_per_second": (cases or 0.0) / covered if covered else None,
        "refused_share": refused / every if every else None,
        **{f"p{share}_seconds": quantile(share / 100, seconds) for share in (50, 95, 99)},
        "first_part_p95_seconds": quantile(0.95, first),
        "batch_cases": (cases or 0.0) / batches if batches else None,
        "queue_cases": _gauge(view, "breakeven_queue_cases"),
        "ledger_queue": _gauge(view, "breakeven_ledger_queue"),
    }
    return {name: round(value, 6) if isinstance(value, float) else value for name, value in found.items()}


def releases(view: View, window: float) -> list[dict[str, Any]]:
    """Every release that answers or stands in the shadow, with its share of the customers."""
    roles: dict[str, list[tuple[str, float]]] = {}
    for labels, share in view.gauges("breakeven_release_served"):
        held = dict(labels)
        roles.setdefault(held["release"], []).append((held["role"], share))
    requests = _rates(view, "breakeven_release_requests_total", window, 1.0)
    cases, spent = (view.split(f"breakeven_release_{name}_total", window) for name in ("cases", "inference_seconds"))
    covered, _ = view.grown(window)
    memory = {dict(labels)["release"]: value for labels, value in view.gauges("breakeven_release_memory_bytes")}
    shadow = view.split("breakeven_shadow_cases_total", window)
    names = list(roles) or sorted({dict(labels)["release"] for labels in requests})  # a server that follows nothing
    rows = []
    for name in names:
        mine = (("release", name),)
        answered, seconds = cases.get(mine, 0.0), spent.get(mine, 0.0)
        outcome = {kind: requests.get((("outcome", kind), *mine)) for kind in ("answered", "failed")}
        copies = {dict(labels)["outcome"]: count for labels, count in shadow.items() if dict(labels)["release"] == name}
        compared = copies.get("agree", 0.0) + copies.get("differ", 0.0)
        role, share = max(roles.get(name, [("current", 1.0)]), key=lambda held: held[1])
        rows.append({
            "release": name,
            "role": role,
            "share": share,
            "requests_per_second": _rounded(outcome["answered"]),
            "failed_per_second": _rounded(outcome["failed"]),
            "answers_per_second": _rounded(answered / covered if covered else None),
            "ms_per_answer": _rounded(seconds / answered * 1000 if answered else None),
            "memory_mb": _rounded(memory[name] / 1e6) if name in memory else None,
            "shadow_agrees": _rounded(copies.get("agree", 0.0) / compared if compared else None),
        })  # fmt: skip
    return rows


def errors(view: View, window: float) -> list[dict[str, Any]]:
    """Errors a minute by class and code, the most frequent first."""
    found = [
        {**dict(labels), "per_minute": round(rate, 3)}
        for labels, rate in _rates(view, "breakeven_errors_total", window, 60.0).items()
        if rate > 0
    ]
    return sorted(found, key=lambda row: -row["per_minute"])


def money(view: View, window: float) -> dict[str, Any]:
    """Per currency what a minute brings and costs: `{charged, cost: {kind}, margin: {kind}, margin_share: {kind}}`."""
    charged = {dict(labels)["currency"]: rate for labels, rate in
               _rates(view, "breakeven_charged_total", window, 60.0).items()}  # fmt: skip
    costs: dict[str, dict[str, float]] = {}
    for labels, rate in _rates(view, "breakeven_cost_total", window, 60.0).items():
        held = dict(labels)
        costs.setdefault(held["currency"], {})[held["kind"]] = rate
    found = {}
    for currency in sorted(charged.keys() | costs.keys()):
        brought, cost = charged.get(currency, 0.0), costs.get(currency, {})
        found[currency] = {
            "charged_per_minute": brought,
            "cost_per_minute": {kind: cost[kind] for kind in _COSTS if kind in cost},
            "margin_per_minute": {kind: brought - cost[kind] for kind in _COSTS if kind in cost},
            "margin_share": {kind: round(1 - cost[kind] / brought, 6) for kind in _COSTS if kind in cost and brought},
        }
    return found


def customers(place: str, ask: Callable[..., Any] = ask_owner) -> list[dict[str, Any]]:
    """Who used most in the last hour: `{customer, requests, units, price, currency}`, by price, then by units."""
    start = datetime.fromtimestamp(time.time() - _CUSTOMERS_HOUR, UTC).isoformat()
    sums: dict[str, dict[str, Any]] = {}
    counts: dict[str, dict[tuple[str, str, str], int]] = {}
    for row in ask(place, "usage", customer=None, start=start, end=None):
        blank = {"customer": row["name"] or row["customer"], "requests": 0, "units": {}, "price": 0.0, "currency": None}
        held = sums.setdefault(row["customer"], blank)
        held["units"][row["meter"]] = held["units"].get(row["meter"], 0) + row["quantity"]
        events = counts.setdefault(row["customer"], {})
        where = row["key"], row["model"], row["plan"]
        events[where] = max(events.get(where, 0), row["events"])  # an event is in the row of each of its meters
        held["requests"] = sum(events.values())
        held["price"] += float(row["price"] or 0)
        held["currency"] = row["currency"] or held["currency"]
    rows = sorted(sums.values(), key=lambda row: (-row["price"], -sum(row["units"].values())))
    return [{**row, "price": round(row["price"], 9)} for row in rows[:_MOST_CUSTOMERS]]


def alerts(folder: Path) -> dict[str, Any] | None:
    """What the watching process wrote last: `{looked, stale, alerts}`, alerts that are not inactive; None: never."""
    from breakeven.watching.watcher import kept_state

    state, now = kept_state(folder), time.time()
    if not state:
        return None
    held = [item for item in state["alerts"] if item["state"] != "inactive"]
    stale = now - state["looked"] > 3 * state["interval"] + 15
    return {"looked": moment(state["looked"]), "stale": stale, "alerts": held}


def _poll(read: Callable[[str], Server], address: str) -> Poll[Server]:
    return Poll(lambda: read(address), every=0.0, patience=2 * PAGE_SECONDS)


def _rates(view: View, name: str, window: float, each: float) -> dict[Any, float]:
    covered, _ = view.grown(window)
    return {labels: count / covered * each for labels, count in view.split(name, window).items()} if covered else {}


def _buckets(view: View, name: str, window: float) -> Mapping[float, float]:
    found: dict[float, float] = {}
    for labels, count in view.split(name, window).items():
        held = dict(labels)
        if held.get("route", "") not in ASIDE:
            bound = float(held["le"])
            found[bound] = found.get(bound, 0.0) + count
    return found


def _gauge(view: View, name: str) -> float | None:
    read = [value for _, value in view.gauges(name)]
    return sum(read) if read else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
