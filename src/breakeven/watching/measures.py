"""What rules watch: one function a measure, from what was read to values by labels, or why nothing can be told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from breakeven.errors import BreakevenError, message
from breakeven.serving.wire import type_of
from breakeven.watching.history import Labels, View, quantile
from breakeven.watching.settings import Rule, seconds

Values = dict[Labels, float]

# Routes that watch the service rather than use it: they would thin every share out.
ASIDE = frozenset({"livez", "readyz", "metrics", "docs", "openapi", "v2-live", "v2-ready", "other"})
REFUSED = ("429", "503")


class CannotTell(Exception):
    """Nothing can be said; `why` is a message of the catalogue."""

    def __init__(self, code: str, **fields: Any) -> None:
        self.why = message(code, **fields)
        self.early = code == "alerts-not-yet"  # the first reading is still on its way
        super().__init__(code)

    @classmethod
    def because(cls, error: BreakevenError) -> CannotTell:
        """The same as an error that was raised on the way."""
        return cls(error.code, **error.fields)


@dataclass(frozen=True)
class Books:
    """What the ledger's owner said. `month`: usage rows of this month; `charges`: events by window in seconds."""

    customers: list[dict[str, Any]] = field(default_factory=list)
    month: list[dict[str, Any]] = field(default_factory=list)
    charges: Mapping[float, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Sources:
    """What one round read. `down`: by server, why it cannot be read (None: it can); a part that is a CannotTell could
    not be read at all.
    """

    view: View
    down: Mapping[str, dict[str, Any] | None] = field(default_factory=dict)
    books: Books | CannotTell = field(default_factory=Books)
    drift: Mapping[str, bool] | CannotTell = field(default_factory=dict)


Measure = Callable[[Rule, Sources], Values]


def measure(rule: Rule, sources: Sources) -> Values:
    """The values of a rule by labels; raises CannotTell."""
    return MEASURES[rule.watch](rule, sources)


def _server_down(_rule: Rule, sources: Sources) -> Values:
    return {(("server", server),): float(why is not None) for server, why in sources.down.items()}


def _error_share(rule: Rule, sources: Sources) -> Values:
    every = requests(rule, sources)
    bad = sum(count for labels, count in _routed(rule, sources, "breakeven_requests_total") if _is(rule, labels))
    if rule.route is None:  # a stream that broke was answered 200 before: its error alone tells of it
        told = sources.view.split("breakeven_requests_total", seconds(rule.window)).items()
        answered = sum(count for labels, count in told if _is(rule, dict(labels)))
        bad += max(_total(sources, "breakeven_errors_total", rule, {"type": rule.errors}) - answered, 0.0)
    return {(): min(bad / every, 1.0)}


def _is(rule: Rule, labels: Mapping[str, str]) -> bool:
    """Whether requests of these labels failed with an error of the rule's classes."""
    status = int(labels["status"])
    return status >= 400 and type_of(status) in rule.errors


def _refused_share(rule: Rule, sources: Sources) -> Values:
    every = requests(rule, sources)
    refused = sum(
        count for labels, count in _routed(rule, sources, "breakeven_requests_total") if labels["status"] in REFUSED
    )
    return {(): refused / every}


def _request_seconds(rule: Rule, sources: Sources) -> Values:
    return {(): _quantile(rule, sources, "breakeven_request_seconds_bucket")}


def _first_part_seconds(rule: Rule, sources: Sources) -> Values:
    return {(): _quantile(rule, sources, "breakeven_first_part_seconds_bucket")}


def _requests_per_second(rule: Rule, sources: Sources) -> Values:
    covered = _covered(rule, sources)
    return {(): sum(count for _, count in _routed(rule, sources, "breakeven_requests_total")) / covered}


def _units_per_minute(rule: Rule, sources: Sources) -> Values:
    wanted = {} if rule.meter is None else {"meter": [rule.meter]}
    return {(): _total(sources, "breakeven_units_total", rule, wanted) / _covered(rule, sources) * 60}


def _charged_per_minute(rule: Rule, sources: Sources) -> Values:
    covered = _covered(rule, sources)
    found = sources.view.split("breakeven_charged_total", seconds(rule.window))
    if not found:
        raise CannotTell("alerts-nothing-charged")
    return {labels: amount / covered * 60 for labels, amount in found.items()}


def _cost_per_answer(rule: Rule, sources: Sources) -> Values:
    return {
        (("currency", currency),): cost / _answers(rule, sources) for currency, cost in _costs(rule, sources).items()
    }


def _gross_margin(rule: Rule, sources: Sources) -> Values:
    """What is left of what was charged, as a share of it, in the one currency that both are in."""
    costs = _costs(rule, sources)
    _answers(rule, sources)
    charged = {
        dict(labels)["currency"]: amount
        for labels, amount in sources.view.split("breakeven_charged_total", seconds(rule.window)).items()
    }
    both = [currency for currency in costs if charged.get(currency, 0.0) > 0]
    if not both:
        raise CannotTell("alerts-nothing-charged")
    return {(("currency", one),): 1.0 - costs[one] / charged[one] for one in both}


def _cpu_seconds(rule: Rule, sources: Sources) -> Values:
    _covered(rule, sources)
    spent = sources.view.split("process_cpu_seconds_total", seconds(rule.window))
    if not spent:
        raise CannotTell("alerts-no-figure", name="process_cpu_seconds_total")
    return {(): sum(spent.values()) / _answers(rule, sources)}


def _queue_cases(_rule: Rule, sources: Sources) -> Values:
    return {(): _sum_gauge(sources, "breakeven_queue_cases")}


def _ledger_queue(_rule: Rule, sources: Sources) -> Values:
    return {(): _sum_gauge(sources, "breakeven_ledger_queue")}


def _memory_mb(_rule: Rule, sources: Sources) -> Values:
    """A server's own resident memory, each on its own: the one that grows is the one to look at."""
    found: Values = {
        (("server", server),): value / 1e6
        for server, history in sources.view.histories.items()
        for (name, _), value in history.gauges.items()
        if name == "process_resident_memory_bytes"
    }
    if not found:
        raise CannotTell("alerts-no-figure", name="process_resident_memory_bytes")
    return found


def _decision_refused(_rule: Rule, sources: Sources) -> Values:
    _sum_gauge(sources, "breakeven_queue_cases")  # raises where no server was read
    refused = sources.view.gauges("breakeven_decision_refused")
    return {labels: 1.0 for labels, _ in refused} or {(): 0.0}


def _spend_share(_rule: Rule, sources: Sources) -> Values:
    books = _books(sources)
    spent: dict[str, Decimal] = {}
    for row in books.month:
        spent[row["customer"]] = spent.get(row["customer"], Decimal(0)) + Decimal(row["price"] or 0)
    caps = {row["id"]: Decimal(str(row["terms"]["spend_cap"])) for row in books.customers if row["terms"]["spend_cap"]}
    return {
        (("customer", customer),): float(spent.get(customer, Decimal(0)) / cap) for customer, cap in caps.items() if cap
    }


def _quota_share(rule: Rule, sources: Sources) -> Values:
    books = _books(sources)
    used: dict[tuple[str, str], int] = {}
    for row in books.month:
        place = row["customer"], row["meter"]
        used[place] = used.get(place, 0) + row["quantity"]
    return {
        (("customer", row["id"]), ("meter", meter)): used.get((row["id"], meter), 0) / quota
        for row in books.customers
        for meter, quota in row["terms"]["quotas"].items()
        if quota and rule.meter in (None, meter)
    }


def _charges(rule: Rule, sources: Sources) -> Values:
    found = _books(sources).charges.get(seconds(rule.window))
    if found is None:
        raise CannotTell("alerts-ledger-not-asked")
    return {(): float(found)}


def _drifted(_rule: Rule, sources: Sources) -> Values:
    if isinstance(sources.drift, CannotTell):
        raise sources.drift
    if not sources.drift:
        raise CannotTell("alerts-drift-few")
    return {(("column", column),): float(drifted) for column, drifted in sources.drift.items()}


MEASURES: dict[str, Measure] = {
    "server_down": _server_down,
    "error_share": _error_share,
    "refused_share": _refused_share,
    "request_seconds": _request_seconds,
    "first_part_seconds": _first_part_seconds,
    "requests_per_second": _requests_per_second,
    "queue_cases": _queue_cases,
    "ledger_queue": _ledger_queue,
    "memory_mb": _memory_mb,
    "units_per_minute": _units_per_minute,
    "charged_per_minute": _charged_per_minute,
    "cost_per_answer": _cost_per_answer,
    "gross_margin": _gross_margin,
    "cpu_seconds_per_answer": _cpu_seconds,
    "decision_refused": _decision_refused,
    "spend_share": _spend_share,
    "quota_share": _quota_share,
    "charges": _charges,
    "drifted": _drifted,
}


def requests(rule: Rule, sources: Sources) -> float:
    """Requests of the rule's routes in its window; raises CannotTell where they are fewer than it asks for."""
    _covered(rule, sources)
    every = sum(count for _, count in _routed(rule, sources, "breakeven_requests_total"))
    if every < rule.at_least:
        raise CannotTell("alerts-too-few", found=round(every), least=rule.at_least)
    return every


def _routed(rule: Rule, sources: Sources, name: str) -> list[tuple[dict[str, str], float]]:
    """(labels, growth) of the series of a name that are of the rule's routes."""
    found = [
        (dict(labels), count)
        for labels, count in sources.view.split(name, seconds(rule.window)).items()
        if dict(labels).get("route", "") not in ASIDE
    ]
    return [(labels, count) for labels, count in found if rule.route in (None, labels.get("route"))]


def _quantile(rule: Rule, sources: Sources, name: str) -> float:
    _covered(rule, sources)
    buckets: dict[float, float] = {}
    for labels, count in _routed(rule, sources, name):
        bound = float(labels["le"])
        buckets[bound] = buckets.get(bound, 0.0) + count
    total = buckets.get(float("inf"), 0.0)
    value = quantile(rule.quantile, buckets)
    if value is None or total < rule.at_least:
        raise CannotTell("alerts-too-few", found=round(total), least=rule.at_least)
    return value


def _covered(rule: Rule, sources: Sources) -> float:
    """Seconds that the rule's window covers; raises CannotTell where no server was read twice in it."""
    covered, _ = sources.view.grown(seconds(rule.window))
    if covered <= 0:
        raise CannotTell("alerts-no-history")
    return covered


def _total(sources: Sources, name: str, rule: Rule, labels: Mapping[str, Any]) -> float:
    total = sources.view.total_of(name, seconds(rule.window), labels)
    if total is None:
        raise CannotTell("alerts-no-history")
    return total


def _answers(rule: Rule, sources: Sources) -> float:
    cases = _total(sources, "breakeven_release_cases_total", rule, {})
    if cases < rule.at_least:
        raise CannotTell("alerts-too-few", found=round(cases), least=rule.at_least)
    return cases


def _costs(rule: Rule, sources: Sources) -> dict[str, float]:
    """Cost of the window's answers by currency."""
    _covered(rule, sources)
    found: dict[str, float] = {}
    for labels, amount in sources.view.split("breakeven_cost_total", seconds(rule.window)).items():
        having = dict(labels)
        if having["kind"] == rule.cost:
            found[having["currency"]] = found.get(having["currency"], 0.0) + amount
    if not found:
        raise CannotTell("alerts-no-cost")
    return found


def _sum_gauge(sources: Sources, name: str) -> float:
    read = [value for _, value in sources.view.gauges(name)]
    if not read:
        raise CannotTell("alerts-no-server")
    return sum(read)


def _books(sources: Sources) -> Books:
    if isinstance(sources.books, CannotTell):
        raise sources.books
    return sources.books
