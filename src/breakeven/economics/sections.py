"""The parts of the business section: price, customers, costs, people, milestones, money from outside, risks, tax.

Every number may be a distribution; a name in a list is how results and `--set` speak of an item. Months count from 1;
month 0 is the day before the first. Rates say in their name whether they are per month or per year.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from breakeven.economics.cap_sections import RoundTerms
from breakeven.economics.drivers import Amount, Count, CountEach, Driver, Growth, Number, Price, Rate
from breakeven.economics.plans import Plan as PricePlan
from breakeven.economics.research_sections import Research

ZERO = Driver.of(0.0, origin="assumed")
NAME = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 _-]{0,62}$")]
Month = Annotated[int, Field(ge=0, le=1200)]
Stream = Literal["new_customers", "churn", "price", "answers", "serving_cost", "payroll", "fixed_costs", "capacity"]
Milestoned = Literal["customers", "mrr", "arr", "answers", "revenue"]


class Section(BaseModel):
    """Settings that take no unknown key and cannot be changed once read."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DemandCurve(Section):
    """The share that buys, 1 / (1 + exp(slope x price - intercept)); its two numbers come from price research."""

    intercept: Number = Field(description="How much is wanted at no price")
    slope: Amount = Field(description="How fast that falls with the price")


class Response(Section):
    """How many come at another price than `reference`: by one elasticity, by points of a curve, or by a fitted one."""

    reference: Price = Field(description="The price at which the new customers were declared")
    elasticity: Number | None = Field(None, description="Percent of new customers for a percent of price; below 0")
    curve: list[tuple[float, float]] | None = Field(
        None, min_length=2, description="[price, share that buys], from price research"
    )
    demand: DemandCurve | None = Field(None, description="A fitted curve; research of the file fills it")

    @model_validator(mode="after")
    def _one(self) -> Response:
        if sum(kind is not None for kind in (self.elasticity, self.curve, self.demand)) != 1:
            raise ValueError("one of elasticity, curve and demand")
        if self.reference.mean <= 0.0:
            raise ValueError("a reference price above 0")
        prices = [price for price, _ in self.curve or []]
        if prices != sorted(set(prices)) or any(not 0.0 <= share <= 1.0 for _, share in self.curve or []):
            raise ValueError("rising prices and shares from 0 to 1 in curve")
        if self.curve is not None and not self.curve[0][0] <= self.reference.mean < self.curve[-1][0]:
            raise ValueError(f"a reference price on the curve ({prices[0]:g} to {prices[-1]:g})")
        return self


class Pricing(Section):
    """What customers pay. The parts add up; a plan by meters (`plan`) stands instead of them."""

    per_answer: Price | None = Field(None, description="For one answer")
    per_customer: Price | None = Field(None, description="A month, for each customer")
    per_new_customer: Price | None = Field(None, description="Once, when a customer comes: setup, hardware, project")
    plan: PricePlan | None = Field(None, description="A price plan by meters (see the pricing page)")
    change_per_year: Growth = Field(ZERO, description="Price rise a year, from the second year on")
    response: Response | None = Field(None, description="How new customers answer to per_answer, else per_customer")

    @model_validator(mode="after")
    def _some(self) -> Pricing:
        parts = (self.per_answer, self.per_customer, self.per_new_customer)
        if self.plan is not None and any(part is not None for part in parts):
            raise ValueError("either a plan, or per_answer, per_customer and per_new_customer; found both")
        if self.plan is None and all(part is None for part in parts):
            raise ValueError("one of per_answer, per_customer, per_new_customer or plan")
        if self.response is not None and self.per_answer is None and self.per_customer is None:
            raise ValueError("per_answer or per_customer where a response is declared")
        return self

    @property
    def leading(self) -> str:
        """The part of the price that customers look at."""
        return "per_answer" if self.per_answer is not None else "per_customer"


class Channel(Section):
    """A way to win customers with money: spend / cac, flattening out at `saturation_per_month`."""

    spend_per_month: Amount = Field(description="Money spent in a month")
    cac: Amount = Field(description="Spend that wins one customer while the channel is fresh")
    saturation_per_month: Count | None = Field(None, description="The most customers it can ever win in a month")
    start: Month = Field(1, description="First month")
    end: Month | None = Field(None, description="Last month; empty: it goes on")

    @field_validator("cac")
    @classmethod
    def _positive(cls, cac: Driver) -> Driver:
        if cac.mean <= 0.0 or cac.support[0] < 0.0:
            raise ValueError("cac above 0")
        return cac


class Curve(Section):
    """Churn that falls with age: each customer's rate is drawn from beta(alpha, beta) (shifted beta-geometric)."""

    alpha: Amount = Field(description="Beta parameter of churning")
    beta: Amount = Field(description="Beta parameter of staying")


class Sales(Section):
    """New customers are limited by the people who sell: each of `role` closes so many a month."""

    role: str = Field(description="A role of the team")
    closes_per_month: Count = Field(description="Customers that each of them can win in a month")


class MeterUse(Section):
    """How much a customer uses of a meter besides `answers`; both parts add up."""

    per_answer: Amount | None = Field(None, description="Units for each answer: tokens, images, seconds")
    per_month: Count | None = Field(None, description="Units a month, whatever is asked: payments, days, revenue")
    per_event: Annotated[float, Field(gt=0)] | None = Field(
        None, description="Units of one event, where a fee counts events (percentage)"
    )

    @model_validator(mode="after")
    def _some(self) -> MeterUse:
        if self.per_answer is None and self.per_month is None:
            raise ValueError("per_answer, per_month or both")
        return self


class Customers(Section):
    """Who comes, who goes, and how much each of them uses."""

    start: Count = Field(ZERO, description="Customers on day one")
    new_per_month: Count = Field(ZERO, description="New customers a month that come of themselves")
    new_growth_per_month: Growth = Field(ZERO, description="Growth of new_per_month from month to month")
    growth_per_month: Growth = Field(ZERO, description="New customers as a share of the present ones (word of mouth)")
    channels: dict[NAME, Channel] = Field(default_factory=dict)
    sales: Sales | None = None
    churn_per_month: Rate | None = Field(None, description="Share of the customers that leave in a month")
    churn_per_year: Rate | None = Field(None, description="The same by the year; a month's is 1-(1-c)^(1/12)")
    churn_by_month: list[Rate] | None = Field(
        None, description="Churn in a customer's 1st, 2nd ... month; the last one stays"
    )
    churn_curve: Curve | None = Field(None, description="Churn that falls with age; see the ledger's fit")
    expansion_per_month: Growth = Field(ZERO, description="Growth of what a customer uses and pays, while it stays")
    answers_each: CountEach = Field(ZERO, description="Answers a customer uses in a month")
    meters: dict[NAME, MeterUse] = Field(
        default_factory=dict, description="Other meters of a price plan; what test answers were counted to use fills it"
    )
    seats_each: CountEach | None = Field(None, description="Seats a customer has, for a price plan; empty: one")
    counting: Literal["expected", "whole"] = Field(
        "expected", description="whole: customers come and go one by one, by chance; matters while they are few"
    )
    seasonality: list[Annotated[float, Field(ge=0)]] | None = Field(
        None, min_length=12, max_length=12, description="Use in the 12 months of the year, against the mean of 1"
    )
    first_month: int = Field(1, ge=1, le=12, description="The calendar month of month 1, for the seasonality")
    collection_days: Amount = Field(ZERO, description="Days from invoice to money")
    bad_debt: Rate = Field(ZERO, description="Share of what is billed that is never paid")

    @model_validator(mode="after")
    def _one_churn(self) -> Customers:
        given = [
            name
            for name in ("churn_per_month", "churn_per_year", "churn_by_month", "churn_curve")
            if getattr(self, name) is not None
        ]
        if len(given) > 1:
            raise ValueError(f"one kind of churn; found {' and '.join(given)}")
        if "answers" in self.meters:
            raise ValueError("answers_each for the meter answers")
        if self.seasonality is not None and abs(sum(self.seasonality) / 12.0 - 1.0) > 0.01:
            raise ValueError(f"seasonality with a mean of 1; found {sum(self.seasonality) / 12.0:g}")
        return self


class Market(Section):
    """How many customers there can be, and how an idea spreads among them."""

    customers: Count = Field(description="Everybody who could ever buy (TAM), in customers")
    reachable: Rate = Field(Driver.of(1.0, origin="assumed"), description="Share our offer and channels reach (SAM)")
    share: Rate = Field(Driver.of(1.0, origin="assumed"), description="Share of those we can win (SOM)")
    innovation: Rate | None = Field(None, description="Bass p a month; with `imitation` it gives the new customers")
    imitation: Rate | None = Field(None, description="Bass q a month")

    @model_validator(mode="after")
    def _both(self) -> Market:
        if (self.innovation is None) != (self.imitation is None):
            raise ValueError("innovation and imitation together")
        return self


class Segment(Section):
    """One kind of customer with a price of its own."""

    price: Pricing
    customers: Customers
    market: Market | None = None
    research: Research | None = Field(None, description="What these customers said they would pay")


class Serving(Section):
    """What giving answers costs. Where a model was measured, the measured numbers fill what is left empty."""

    per_answer: Amount | None = Field(None, description="Paid per answer: somebody else's API, licence, network")
    machine_per_hour: Amount | None = Field(None, description="Price of one machine")
    capacity_per_second: Amount | None = Field(None, description="Answers a second that one machine gives in time")
    peak_factor: Amount = Field(Driver.of(3.0, origin="assumed"), description="Busiest hour over the mean hour")
    minimum_machines: int = Field(1, ge=0, le=100_000, description="Machines that run whatever is asked")
    utilization: Rate | None = Field(None, description="Declared; only compared with what the simulation finds")
    per_customer: Amount = Field(ZERO, description="A month: support, storage, accounts")
    review_per_answer: Amount = Field(ZERO, description="Checking by our own people, in the mean per answer")
    liability_per_answer: Amount = Field(ZERO, description="Damages we pay for errors, in the mean per answer")

    @model_validator(mode="after")
    def _whole(self) -> Serving:
        if (self.machine_per_hour is None) != (self.capacity_per_second is None):
            raise ValueError("machine_per_hour and capacity_per_second together")
        return self


class Payments(Section):
    """What being paid costs."""

    percentage: Rate = Field(ZERO, description="Share of what is billed that the payment provider keeps")
    per_invoice: Amount = Field(ZERO, description="Each customer gets one invoice a month")


class Fixed(Section):
    """Something paid every month, whatever is sold."""

    name: NAME = Field(description="What you call it")
    per_month: Amount = Field(description="Money a month")
    start: Month = Field(1, description="First month")
    end: Month | None = Field(None, description="Last month; empty: it goes on")
    growth_per_year: Growth = Field(ZERO, description="Rise from each year to the next")
    kind: Literal["general", "sales", "development", "serving"] = Field(
        "general", description="Where it stands among the costs; serving lowers the gross margin"
    )
    needs: str | None = Field(None, description="Begins when this milestone is met")


class Capital(Section):
    """Something bought that lasts: paid in its month, written off evenly over its life."""

    name: NAME = Field(description="What you call it")
    amount: Amount = Field(description="Its price")
    month: Month = Field(0, description="When it is bought; 0: before the first month")
    life_months: int = Field(36, ge=1, le=600, description="Months over which it is written off")
    needs: str | None = Field(None, description="Bought when this milestone is met")


class Training(Section):
    """Training and retraining of the model."""

    per_run: Amount = Field(ZERO, description="Money for one training")
    every_months: int = Field(0, ge=0, le=600, description="0: once, before the first month")


class Costs(Section):
    """Everything that is paid besides people."""

    serving: Serving = Field(default_factory=Serving)
    payments: Payments = Field(default_factory=Payments)
    fixed: list[Fixed] = Field(default_factory=list)
    capital: list[Capital] = Field(default_factory=list)
    training: Training | None = Field(None, description="Measured training fills this where it is left empty")


class Role(Section):
    """People with one job. `per_customers` hires one more for every so many customers."""

    role: NAME = Field(description="The job")
    salary_per_month: Amount = Field(description="For one of them, before the load")
    count: Count = Field(Driver.of(1.0), description="How many")
    load: Growth = Field(Driver.of(0.2, origin="assumed"), description="What an employer pays on top, as a share")
    start: Month = Field(1, description="First month")
    end: Month | None = Field(None, description="Last month; empty: they stay")
    per_customers: Count | None = Field(None, description="One more for every so many customers")
    raise_per_year: Growth = Field(ZERO, description="Rise from each year to the next")
    kind: Literal["general", "sales", "development", "support"] = Field(
        "general", description="Where they stand among the costs; support lowers the gross margin"
    )
    needs: str | None = Field(None, description="Hired when this milestone is met")

    @field_validator("per_customers")
    @classmethod
    def _positive(cls, per: Driver | None) -> Driver | None:
        if per is not None and per.support[0] <= 0.0:
            raise ValueError("customers per person above 0")
        return per


class Milestone(Section):
    """A gate in time: met in the first month in which the metric is at least `value`, if that is not after `by`."""

    name: NAME = Field(description="What you call it")
    metric: Milestoned = Field(description="What is measured")
    value: Amount = Field(description="At least this")
    by: Month | None = Field(None, description="At the latest in this month; empty: any")


class Funding(Section):
    """Money from outside: a round or a grant (kept), or a loan (paid back evenly, with interest)."""

    name: NAME = Field(description="What you call it")
    kind: Literal["round", "grant", "loan"] = Field(
        "round", description="A round and a grant are kept, a loan is paid back"
    )
    amount: Amount = Field(description="Money")
    month: Month = Field(0, description="When it comes; 0: before the first month")
    probability: Rate | None = Field(None, description="That it closes; drawn in every scenario")
    needs: str | None = Field(None, description="Closes only where this milestone was met before its month")
    closed: bool = Field(False, description="True: agreed and certain. An open round with neither counts for nothing")
    interest_per_year: Rate = Field(ZERO, description="Of a loan")
    months: int = Field(36, ge=1, le=600, description="Of a loan, until it is paid back")
    terms: RoundTerms | None = Field(
        None, description="What is given for the money of a round: priced shares, a SAFE or a note; needs a cap_table"
    )

    @model_validator(mode="after")
    def _whole_terms(self) -> Funding:
        if self.terms is not None and (self.kind != "round" or not self.amount.certain or self.amount.mean <= 0.0):
            raise ValueError("terms on a round of one certain amount above 0: who owns what is computed exactly")
        return self


class Mitigation(Section):
    """Something done against a risk, with its cost; it changes the likelihood, the effect, or both."""

    name: NAME = Field(description="What you would do")
    cost: Amount = Field(ZERO, description="Once, at the start")
    cost_per_month: Amount = Field(ZERO, description="Every month")
    likelihood: Rate = Field(Driver.of(1.0), description="Factor on the likelihood")
    effect: Rate = Field(Driver.of(1.0), description="Part of the effect that is left")
    chosen: bool = Field(False, description="True: it is part of the plan")


class Risk(Section):
    """Something that may happen, once, inside the simulation."""

    name: NAME = Field(description="What may happen")
    likelihood: Rate = Field(description="That it happens within the plan's months; any of them alike")
    effect: dict[Stream, Annotated[float, Field(ge=0)]] = Field(
        default_factory=dict, description="Factor on a stream while it lasts: {churn: 2, new_customers: 0.5}"
    )
    cost: Amount = Field(ZERO, description="Paid when it happens")
    duration_months: int | None = Field(None, ge=1, le=1200, description="None: it stays")
    owner: str | None = Field(None, description="Who looks after it")
    source: str | None = Field(None, description="The finding that raised it")
    mitigations: list[Mitigation] = Field(default_factory=list)


class Taxes(Section):
    """Tax on profit: max(0, profit after losses carried forward) x rate, month by month."""

    rate: Rate = Field(ZERO, description="Share of the profit")
    losses: Amount = Field(ZERO, description="Losses from before month 1 that may still be set off")


class Exit(Section):
    """What the company is worth at the end, as a multiple of the yearly recurring revenue."""

    arr_multiple: Amount = Field(description="Price of the company at the end, in years of recurring revenue")
