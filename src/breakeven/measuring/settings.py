"""The evaluate section of the file."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from breakeven.economics.drivers import Amount, Count, Driver, Number, Rate

SECONDS_EACH = 12.0  # of load a candidate: four a round, which is a search of some steps and a steady run
FORBID = ConfigDict(extra="forbid", frozen=True)


class Machine(BaseModel):
    """A machine that could be rented or owned, and how its speed is known."""

    model_config = FORBID

    name: str = Field(description="What you call it")
    price_per_hour: Amount = Field(description="Money an hour, in business.currency")
    memory_gb: float | None = Field(None, gt=0, description="Memory; a candidate that needs more is not put on it")
    cores: int = Field(1, ge=1, le=4096, description="Cores; capacity is measured on one and assumed to grow with them")
    measured: Literal["here"] | Annotated[float, Field(gt=0)] = Field(
        "here", description="'here': as fast as this machine, core by core; a number: so many times as fast, assumed"
    )
    owned: bool = Field(False, description="Owned machines pay their electricity")
    source: str | None = Field(None, description="Where the price was read: makes it quoted")
    as_of: str | None = Field(None, description="When it was read")


class Gate(BaseModel):
    """A limit that the packaged candidate must keep."""

    model_config = FORBID

    min: float | None = Field(None, description="At least")
    max: float | None = Field(None, description="At most")
    judge: Literal["bound", "point"] = Field("bound", description="'bound': the unsafe end of the interval must pass")

    @model_validator(mode="after")
    def _one_side(self) -> Gate:
        if (self.min is None) == (self.max is None):
            raise ValueError("exactly one of min and max")
        return self


class Demand(BaseModel):
    """How much is asked, where business.customers does not say."""

    model_config = FORBID

    answers_per_month: Count | None = Field(None, description="Answers sold in a month")
    peak_factor: Number = Field(Driver.of(3.0, origin="assumed"), description="Busiest hour over the mean hour")
    utilization: Rate = Field(Driver.of(0.3, origin="assumed"), description="Used only where no demand is declared")


class Load(BaseModel):
    """How long the load tests may take."""

    model_config = FORBID

    seconds: float | None = Field(
        None, ge=2, le=86_400, description="Wall seconds for all candidates together; default: 12 for each"
    )
    rounds: int = Field(3, ge=1, le=20, description="Rounds, interleaved over the candidates")

    def seconds_for(self, candidates: int) -> float:
        """Wall seconds for so many candidates together."""
        return SECONDS_EACH * candidates if self.seconds is None else self.seconds


class Power(BaseModel):
    """What a busy core draws where no counter measures it, and what power costs and emits."""

    model_config = FORBID

    watts_per_core: Amount = Field(Driver.of(8.0, origin="assumed"), description="Watts of one busy core")
    price_per_kwh: Amount = Field(Driver.of(0.15, origin="assumed"), description="Money; paid on owned machines only")
    grams_co2_per_kwh: Amount = Field(
        Driver.of(400.0, origin="assumed"), description="Carbon of the grid; always counted"
    )


class Alternative(BaseModel):
    """What else the customer could buy."""

    model_config = FORBID

    value: Number = Field(description="Value of one answer of it, against acting without an answer")
    price: Amount = Field(description="Its price an answer")


class Settings(BaseModel):
    """The evaluate section."""

    model_config = FORBID

    metric: str | None = Field(None, description="The metric in the first column; default: the task's first")
    payoff: dict[str, Any] = Field(
        default_factory=dict,
        description="Outcome -> what it is worth to the customer; 'alternative': what is done today",
    )
    alternatives: dict[str, Alternative] = Field(default_factory=dict, description="Other offers the customer has")
    switching_cost: Amount = Field(Driver.of(0.0), description="Cost of changing to this product, an answer")
    base_rates: dict[str, float] | None = Field(
        None, description="Share of every class in the market; default: the test's"
    )
    reject: Literal["by_payoff", "never"] | Annotated[float, Field(gt=0, lt=1)] | None = Field(
        None,
        description="by_payoff, never, or refuse below this probability; default: by_payoff if 'refused' is priced",
    )
    machines: tuple[Machine, ...] = Field(
        (), description="Machines to choose from; default: this one at an assumed price"
    )
    gates: dict[str, Gate] = Field(default_factory=dict, description="Measured name -> limit")
    demand: Demand = Field(default_factory=Demand)
    load: Load = Field(default_factory=Load)
    power: Power = Field(default_factory=Power)
    runtimes: int | tuple[str, ...] | None = Field(
        None, description="Runtimes to try: the first so many, or these by name; default: those that are quickly tried"
    )
    tolerance: float = Field(0.01, gt=0, le=1, description="How far two runtimes' outputs may differ and still agree")
    agreement: float = Field(0.99, gt=0, le=1, description="Share of validation rows on which runtimes must agree")
    amortize_months: int = Field(12, ge=1, le=120, description="Months over which training is paid back")
    draws: int = Field(2000, ge=200, le=100_000, description="Bootstrap draws behind the intervals")

    @field_validator("payoff")
    @classmethod
    def _readable(cls, payoff: dict[str, Any]) -> dict[str, Any]:
        from breakeven.metrics.payoff import read_term

        for name, declared in payoff.items():
            try:
                read_term(declared)
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
        return payoff

    @field_validator("base_rates")
    @classmethod
    def _sum_to_one(cls, rates: dict[str, float] | None) -> dict[str, float] | None:
        if rates is not None and (min(rates.values(), default=-1) < 0 or abs(sum(rates.values()) - 1) > 1e-6):
            raise ValueError(f"shares that are not negative and sum to 1, not to {sum(rates.values()):g}")
        return rates

    @field_validator("machines")
    @classmethod
    def _distinct(cls, machines: tuple[Machine, ...]) -> tuple[Machine, ...]:
        names = [machine.name for machine in machines]
        if len(set(names)) < len(names):
            raise ValueError("machine names used once")
        return machines
