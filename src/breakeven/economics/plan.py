"""The business section as one settings object, its numbers by dotted name, and the plan with some of them replaced."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field, model_validator

from breakeven.economics import dimensions
from breakeven.economics.cap_sections import CapTableSettings
from breakeven.economics.draws import copula_factor
from breakeven.economics.drivers import Amount, Driver, Number, Rate
from breakeven.economics.research_sections import Research
from breakeven.economics.sections import (
    NAME,
    ZERO,
    Costs,
    Customers,
    Exit,
    Funding,
    Market,
    Milestone,
    Pricing,
    Risk,
    Role,
    Section,
    Segment,
    Taxes,
)

# What may be drawn anew every month; everything else happens once, or is a rate of growth.
MONTHLY = frozenset(
    [
        "per_answer",
        "per_customer",
        "per_new_customer",
        "new_per_month",
        "growth_per_month",
        "churn_per_month",
        "churn_per_year",
        "expansion_per_month",
        "answers_each",
        "spend_per_month",
        "cac",
        "saturation_per_month",
        "closes_per_month",
        "bad_debt",
        "per_month",
        "salary_per_month",
        "other_per_month",
        "cost_per_month",
        "machine_per_hour",
        "capacity_per_second",
        "peak_factor",
        "review_per_answer",
        "liability_per_answer",
        "percentage",
        "per_invoice",
    ]
)


class Part(NamedTuple):
    """What the simulation reads of one segment."""

    price: Pricing | None
    customers: Customers
    market: Market | None


def _in_currency(part: Any, currency: Any) -> Any:
    """A section (or segment) whose price plan states its currency."""
    price = part.get("price") if isinstance(part, Mapping) else None
    plan = price.get("plan") if isinstance(price, Mapping) else None
    if not isinstance(plan, Mapping) or "currency" in plan:
        return part
    return {**part, "price": {**price, "plan": {**plan, "currency": currency}}}  # type: ignore[dict-item]


class BusinessPlan(Section):
    """The business section of breakeven.yaml; complete in itself, with or without a model."""

    currency: str = Field("USD", pattern=r"^[A-Z]{3}$", description="ISO 4217 code; every amount is in it")
    months: int = Field(36, ge=1, le=600, description="How far the plan looks")
    scenarios: int = Field(10_000, ge=1, le=10_000_000, description="How many futures are drawn")
    random: Literal["pseudo", "quasi"] = Field("pseudo", description="quasi: 16 scramblings of a Sobol sequence")
    seed: int | None = Field(None, ge=0, lt=2**32, description="Default: the project's")
    what: str | None = Field(None, description="What you sell, in one sentence")
    buyers: str | None = Field(None, description="To whom, in one sentence")
    price: Pricing | None = None
    customers: Customers = Field(default_factory=Customers)
    segments: dict[NAME, Segment] = Field(default_factory=dict, description="Instead of price and customers")
    market: Market | None = None
    research: Research | None = Field(None, description="What people said they would pay; see the price research page")
    costs: Costs = Field(default_factory=Costs)
    team: list[Role] = Field(default_factory=list)
    cash: Amount | None = Field(None, description="On the account on day one; empty: the plan shows what is needed")
    funding: list[Funding] = Field(default_factory=list)
    cap_table: CapTableSettings | None = Field(None, description="Who owns the company; see the financing page")
    milestones: list[Milestone] = Field(default_factory=list)
    risks: list[Risk] = Field(default_factory=list)
    raised_risks: Literal["show", "count", "ignore"] = Field(
        "show",
        description="Risks that findings of other stages suggest: show what they would do, count them, or neither",
    )
    other_per_month: Number = Field(ZERO, description="Other money in a month; below 0: money out")
    tax: Taxes = Field(default_factory=Taxes)
    discount_rate: Annotated[float, Field(ge=0, le=10)] = Field(0.15, description="A year, for NPV")
    interest_on_cash_per_year: Rate = Field(ZERO, description="Earned on what is on the account")
    exit: Exit | None = None
    liquidation_value: Amount = Field(ZERO, description="What is left to the owners at ruin")
    growth_in_month_1: bool = Field(False, description="True: rates of growth act before the first invoice, not after")
    correlations: list[tuple[str, str, float]] = Field(
        default_factory=list, description="[driver, driver, correlation], of the normals behind them"
    )

    @model_validator(mode="before")
    @classmethod
    def _currency_of_plans(cls, data: Any) -> Any:
        """A price plan that states no currency is in the section's."""
        if not isinstance(data, Mapping):
            return data
        given, currency = dict(data), data.get("currency", "USD")
        if isinstance(given.get("segments"), Mapping):
            given["segments"] = {name: _in_currency(part, currency) for name, part in given["segments"].items()}
        return _in_currency(given, currency)

    @model_validator(mode="after")
    def _one_currency(self) -> BusinessPlan:
        for part in self.parts().values():
            plan = part.price.plan if part.price else None
            if plan is not None and plan.currency != self.currency:
                raise ValueError(f"one currency; found {self.currency} and a price plan in {plan.currency}")
        return self

    @model_validator(mode="after")
    def _consistent(self) -> BusinessPlan:
        if self.segments and self.model_fields_set & {"price", "customers", "market", "research"}:
            raise ValueError("segments, or price, customers, market and research; found both")
        named = {milestone.name for milestone in self.milestones}
        waiting = [item.needs for item in self.team] + [item.needs for item in self.funding]
        waiting += [item.needs for item in self.costs.fixed] + [item.needs for item in self.costs.capital]
        for needs in waiting:
            if needs is not None and needs not in named:
                raise ValueError(f"'needs' names a milestone; found '{needs}', known: {', '.join(named) or 'none'}")
        for label, names in self._names().items():
            twice = {name for name in names if names.count(name) > 1}
            if twice:
                raise ValueError(f"names in {label} that differ, not '{sorted(twice)[0]}' twice")
        return self

    @model_validator(mode="after")
    def _owned(self) -> BusinessPlan:
        if self.cap_table is None and any(item.terms is not None for item in self.funding):
            raise ValueError("a cap_table where a round states its terms")
        return self

    @model_validator(mode="after")
    def _drawn(self) -> BusinessPlan:
        for name, driver in self.drivers().items():
            last = name.rsplit(".", 1)[-1]
            if driver.each == "customer" and not driver.certain and not last.endswith("_each"):
                raise ValueError(f"each: customer only where each customer has its own (answers_each), not at {name}")
            if driver.each == "month" and last not in MONTHLY:
                raise ValueError(f"each: month only for what is paid, used, won or lost every month, not at {name}")
        return self

    @model_validator(mode="after")
    def _sellable(self) -> BusinessPlan:
        roles = {role.role: role for role in self.team}
        for part in self.parts().values():
            sales = part.customers.sales
            if sales is not None and (sales.role not in roles or roles[sales.role].needs is not None):
                raise ValueError(f"a role of the team that waits for no milestone in sales, not '{sales.role}'")
        return self

    @model_validator(mode="after")
    def _correlated(self) -> BusinessPlan:
        once = [name for name, driver in self.drivers().items() if not driver.certain and driver.each == "once"]
        copula_factor(once, {(one, other): value for one, other, value in self.correlations})
        return self

    @model_validator(mode="after")
    def _in_units(self) -> BusinessPlan:
        for name, driver in self.drivers().items():
            expected = dimensions.FIELDS.get(name.rsplit(".", 1)[-1])
            if driver.unit is not None and expected is not None:
                try:
                    dimensions.check(driver.unit, expected, currency=self.currency)
                except ValueError as error:
                    raise ValueError(f"{name} in {error}") from None
        return self

    def _names(self) -> dict[str, list[str]]:
        return {
            "team": [item.role for item in self.team],
            "funding": [item.name for item in self.funding],
            "costs.fixed": [item.name for item in self.costs.fixed],
            "risks": [item.name for item in self.risks],
            "costs.capital": [item.name for item in self.costs.capital],
            "milestones": [item.name for item in self.milestones],
        }

    def parts(self) -> dict[str, Part]:
        """Segments by the prefix of their drivers' names: '' for a plan without segments."""
        if self.segments:
            return {
                f"segments.{name}.": Part(segment.price, segment.customers, segment.market)
                for name, segment in self.segments.items()
            }
        return {"": Part(self.price, self.customers, self.market)}

    def of_segment(self, name: str) -> BusinessPlan:
        """A segment as a plan of its own, its numbers without the prefix: for what looks at one kind of customer."""
        part = self.segments[name]
        own: dict[str, Any] = {"price": part.price, "customers": part.customers, "market": part.market}
        own |= {"research": part.research, "segments": {}, "correlations": []}
        return self.model_copy(update=own)

    def with_customers(self, prefix: str, customers: Customers) -> BusinessPlan:
        """The plan with other customers in one of its parts; `prefix` as `parts` names it."""
        if not prefix:
            return self.model_copy(update={"customers": customers})
        name = prefix.removeprefix("segments.").removesuffix(".")
        segment = self.segments[name].model_copy(update={"customers": customers})
        return self.model_copy(update={"segments": {**self.segments, name: segment}})

    def drivers(self) -> dict[str, Driver]:
        """Every declared number by its dotted name, in the order of the file's schema."""
        return dict(_walk(self, ""))


def _walk(node: Any, prefix: str) -> list[tuple[str, Driver]]:
    if isinstance(node, Driver):
        return [(prefix, node)]
    found: list[tuple[str, Driver]] = []
    for name, child in _children(node):
        found += _walk(child, f"{prefix}.{name}" if prefix else name)
    return found


def _children(node: Any) -> list[tuple[str, Any]]:
    if isinstance(node, Section):
        return [(name, getattr(node, name)) for name in type(node).model_fields]
    if isinstance(node, Mapping):
        return [(str(key), value) for key, value in node.items()]
    if isinstance(node, list):
        return [
            (str(getattr(item, "name", None) or getattr(item, "role", None) or number), item)
            for number, item in enumerate(node)
        ]
    return []


def replaced(plan: BusinessPlan, changes: Mapping[str, Driver]) -> BusinessPlan:
    """The plan with drivers of these dotted names replaced; an unknown name is a ValueError."""
    unknown = set(changes) - set(plan.drivers())
    if unknown:
        raise ValueError(f"no driver is called '{sorted(unknown)[0]}'; known: {', '.join(sorted(plan.drivers()))}")
    changed: BusinessPlan = _rebuilt(plan, "", changes)
    return changed


def _rebuilt(node: Any, prefix: str, changes: Mapping[str, Driver]) -> Any:
    if isinstance(node, Driver):
        return changes.get(prefix, node)
    made = {name: _rebuilt(child, f"{prefix}.{name}" if prefix else name, changes) for name, child in _children(node)}
    if isinstance(node, Section):
        return node.model_copy(update=made)
    if isinstance(node, Mapping):
        return {key: made[str(key)] for key in node}
    return list(made.values()) if isinstance(node, list) else node
