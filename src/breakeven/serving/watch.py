"""Prometheus figures with small, fixed label sets: a route's name, never a path; an error's code, never its text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from breakeven.serving.wire import type_of

if TYPE_CHECKING:
    from breakeven.ledger.plans import PricePlan

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_CASES = (1, 2, 4, 8, 16, 32, 64, 128)
_KNOWN_AMOUNTS = 4096

FindCosts = Callable[[str], Mapping[str, tuple[str, float]]]


class ReleaseFigures:
    """The counters of one release; those of `Watch` count all releases together."""

    def __init__(self, watch: Watch, release: str) -> None:
        self._watch = watch
        self._name = release
        self._costs: list[tuple[Counter, float]] = []
        self.answered = watch.by_release.labels(release, "answered")
        self.failed = watch.by_release.labels(release, "failed")
        self._cases = watch.cases_by_release.labels(release)
        self._seconds = watch.seconds_by_release.labels(release)

    def batch(self, cases: int, seconds: float) -> None:
        """Counts a batch; called on the worker's thread."""
        self._watch.batch(cases, seconds)
        self._cases.inc(cases)
        self._seconds.inc(seconds)
        for counter, each in self._costs:
            counter.inc(cases * each)

    def costs(self, found: Mapping[str, tuple[str, float]]) -> None:
        """What a case of this release costs from now on: (currency, amount) by kind of cost."""
        self._costs = [(self._watch.cost.labels(kind, currency), each) for kind, (currency, each) in found.items()]
        for kind, (currency, each) in found.items():
            self._watch.cost_each.labels(self._name, kind, currency).set(each)

    def requests(self) -> dict[str, int]:
        """Requests answered and failed so far."""
        return {"answered": int(self.answered._value.get()), "failed": int(self.failed._value.get())}


class Watch:
    """The counters of one service, in a registry of its own."""

    def __init__(self, queued: Callable[[], int], waiting: Callable[[], int]) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)  # start time, memory, CPU seconds: read when the page is, not before
        self._about_requests()
        self._about_money()
        self._batch = self._histogram("batch_cases", "Cases answered together", buckets=_CASES)
        self._inference = self._counter("inference_seconds", "Seconds in the model")
        self._gauge("queue_cases", "Cases that wait for the model").set_function(queued)
        self._gauge("ledger_queue", "Charges that wait for a commit").set_function(waiting)
        self._about_releases()
        self._kept = self._counter("inputs", "Cases for the input log, by what became of them", "outcome")
        self._by_route: dict[tuple[str, int], tuple[Counter, Histogram]] = {}
        self._by_meter: dict[str, Counter] = {}
        self._by_currency: dict[str, Counter] = {}
        self._amounts: dict[tuple[object, ...], float] = {}
        self._figures: dict[str, ReleaseFigures] = {}
        self._find_costs: FindCosts | None = None

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"breakeven_{name}", text, labels, registry=self._registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"breakeven_{name}", text, labels, registry=self._registry)

    def _histogram(self, name: str, text: str, *labels: str, buckets: tuple[float, ...] = SECONDS) -> Histogram:
        return Histogram(f"breakeven_{name}", text, labels, buckets=buckets, registry=self._registry)

    def _about_requests(self) -> None:
        self._requests = self._counter("requests", "Requests answered", "route", "status")
        self._seconds = self._histogram("request_seconds", "Seconds from head to answer", "route")
        self._first = self._histogram(
            "first_part_seconds", "Seconds from head to a stream's first part (time to first token)"
        )
        self._errors = self._counter("errors", "Requests refused or failed", "type", "code")

    def _about_money(self) -> None:
        self._units = self._counter("units", "Metered units answered", "meter")
        self._charged = self._counter("charged", "Price of what was answered, before rounding", "currency")
        self.cost = self._counter(
            "cost", "Measured cost of the cases answered, by kind: marginal or at_volume", "kind", "currency"
        )
        self.cost_each = self._gauge("release_cost", "Measured cost of a case", "release", "kind", "currency")

    def _about_releases(self) -> None:
        self.by_release = self._counter("release_requests", "Requests by release", "release", "outcome")
        self.cases_by_release = self._counter("release_cases", "Cases answered by release", "release")
        self.seconds_by_release = self._counter("release_inference_seconds", "Seconds in the model", "release")
        self._memory = self._gauge("release_memory_bytes", "What opening it added", "release")
        self._runtime = self._gauge(
            "release_runtime",
            "1 for the runtime that answers, and how it stands here: as_measured, checked or fell_back",
            *("release", "runtime", "state"),
        )
        self._served = self._gauge("release_served", "Share of customers", "release", "role")
        self._decision = self._gauge("decision", "Number of the decision followed")
        self._refused = self._gauge("decision_refused", "Number of a decision that is not followed", "code")
        self._shadow = self._counter("shadow_cases", "Cases copied to the shadow", "release", "outcome")

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Counts a request."""
        pair = self._by_route.get((route, status))
        if pair is None:
            pair = self._requests.labels(route, str(status)), self._seconds.labels(route)
            self._by_route[route, status] = pair
        pair[0].inc()
        pair[1].observe(seconds)

    def first(self, seconds: float) -> None:
        """Counts how long a stream's reader waited for its first part."""
        self._first.observe(seconds)

    def refused(self, code: str, status: int = 500) -> None:
        """Counts an error by its class and its code, which comes from the catalogue and so from a bounded set."""
        self._errors.labels(type_of(status), code).inc()

    def used(self, quantities: Mapping[str, int], plan: PricePlan | None = None) -> None:
        """Counts what was charged, and its price where a plan is given. The exact price is the ledger's."""
        if plan is not None and plan.rates:
            charged = self._by_currency.get(plan.currency)
            if charged is None:
                charged = self._by_currency[plan.currency] = self._charged.labels(plan.currency)
            charged.inc(self._amount(plan, quantities))
        for meter, quantity in quantities.items():
            counter = self._by_meter.get(meter)
            if counter is None:
                counter = self._by_meter[meter] = self._units.labels(meter)
            counter.inc(max(quantity, 0))

    def batch(self, cases: int, seconds: float) -> None:
        """Counts a batch; called on the worker's thread."""
        self._batch.observe(cases)
        self._inference.inc(seconds)

    def _amount(self, plan: PricePlan, quantities: Mapping[str, int]) -> float:
        """What quantities cost; most requests are alike, and exact arithmetic takes longer than looking it up."""
        known = (plan.version, *quantities.items())
        amount = self._amounts.get(known)
        if amount is None:
            if len(self._amounts) >= _KNOWN_AMOUNTS:
                self._amounts.clear()
            amount = self._amounts[known] = float(plan.amount(quantities))
        return amount

    def release(self, name: str) -> ReleaseFigures:
        """The counters of a release."""
        figures = self._figures[name] = ReleaseFigures(self, name)
        if self._find_costs is not None:
            figures.costs(self._find_costs(name))
        return figures

    def costs(self, find: FindCosts) -> None:
        """Counts from now on what cases cost; `find(release)` gives (currency, cost of a case) by kind, or nothing."""
        self._find_costs = find
        for name, figures in self._figures.items():
            figures.costs(find(name))

    def opened(self, release: str, loaded: Any) -> None:
        """States what opening a release added to the process, in bytes, and which runtime answers here."""
        self._memory.labels(release).set(loaded.added)
        here = getattr(loaded.package, "here", {})
        state = "fell_back" if here.get("fell_back") else "checked" if here.get("checked") else "as_measured"
        self._runtime.labels(release, getattr(loaded.package, "runtime", "unknown"), state).set(1)

    def follows(self, decision: int, shares: Mapping[tuple[str, str], float]) -> None:
        """States the decision in force; `shares`: share of the customers by (release, role)."""
        self._decision.set(decision)
        self._refused.clear()
        self._served.clear()
        for (release, role), share in shares.items():
            self._served.labels(release, role).set(share)

    def refuses(self, decision: int, code: str) -> None:
        """States a decision that is not followed, and why."""
        self._refused.clear()
        self._refused.labels(code).set(decision)

    def shadowed(self, release: str, outcome: str, cases: int = 1) -> None:
        """Counts what became of copies: agree, differ, refused, failed, dropped; same-answer beside the first two."""
        self._shadow.labels(release, outcome).inc(cases)

    def kept(self, outcome: str, cases: int) -> None:
        """Counts cases for the input log: kept, no-consent, dropped, too-large, failed."""
        if cases:
            self._kept.labels(outcome).inc(cases)

    def page(self) -> bytes:
        """The text that Prometheus reads."""
        return generate_latest(self._registry)
