"""Price research as settings: which file holds which study, under which columns, and what the asked prices are for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from breakeven.economics.fees import Terms
from breakeven.economics.money import Amount

Column = Annotated[str, Field(min_length=1)]


class Study(Terms):
    """A file of answers; its name alone stands for the usual column names."""

    file: str = Field(description="Table of the answers: CSV, Excel, Parquet or JSON lines")

    @model_validator(mode="before")
    @classmethod
    def _named(cls, data: Any) -> Any:
        return {"file": data} if isinstance(data, str) else data


class VanWestendorp(Study):
    """Four prices a respondent, one row each."""

    too_cheap: Column = Field("too_cheap", description="Column: so cheap that one would doubt it")
    cheap: Column = Field("cheap", description="Column: a bargain")
    expensive: Column = Field("expensive", description="Column: getting expensive")
    too_expensive: Column = Field("too_expensive", description="Column: too expensive to buy")


class GaborGranger(Study):
    """Would you buy at this price? One row an answer."""

    price: Column = Field("price", description="Column: the price that was asked")
    bought: Column = Field("bought", description="Column: 1 or 0, yes or no, true or false")
    ceiling: Annotated[float, Field(gt=0, le=1)] = Field(1.0, description="Share of the people who would ever buy")


class ConjointStudy(Study):
    """Choices among profiles, one row an alternative."""

    attributes: tuple[Column, ...] = Field(description="Columns that are categories; an opt-out is one more level")
    price: Column = Field("price", description="Column: the price of the alternative")
    question: Column = Field("question", description="Column: which alternatives were shown together")
    chosen: Column = Field("chosen", description="Column: 1 for the alternative that was chosen")
    ours: dict[str, str] = Field(description="Our profile: a level for every attribute, the price left open")
    against: tuple[dict[str, str | float], ...] = Field(
        min_length=1, description="What else is on offer: profiles with their prices, such as the opt-out"
    )

    @model_validator(mode="after")
    def _whole(self) -> ConjointStudy:
        if set(self.ours) != set(self.attributes):
            raise ValueError(f"in ours a level for each of {', '.join(self.attributes)}")
        wanted = {*self.attributes, self.price}
        if any(set(profile) != wanted for profile in self.against):
            raise ValueError(f"in against a value for each of {', '.join(sorted(wanted))}")
        return self


class Research(Terms):
    """What people said they would pay."""

    van_westendorp: VanWestendorp | None = None
    gabor_granger: GaborGranger | None = None
    conjoint: ConjointStudy | None = None
    unit: Literal["per_answer", "per_1000_answers", "per_customer"] | None = Field(
        None, description="What the asked prices are for; empty: what the declared price is for"
    )
    curve: Literal["gabor_granger", "conjoint"] | None = Field(
        None, description="Which study gives the demand curve, where both are there"
    )
    reference: Amount | None = Field(
        None, description="The price at which customers.new_per_month was declared; empty: the declared price"
    )

    @model_validator(mode="after")
    def _some(self) -> Research:
        if not self.studies():
            raise ValueError("van_westendorp, gabor_granger or conjoint")
        if self.curve is not None and self.curve not in self.studies():
            raise ValueError(f"the study {self.curve} where the curve is taken from it")
        if self.curve is None and self.gabor_granger is not None and self.conjoint is not None:
            raise ValueError("curve: gabor_granger or conjoint, where both are there")
        if self.reference is not None and self.reference <= 0:
            raise ValueError("a reference price above 0")
        return self

    def studies(self) -> Mapping[str, Study]:
        """The studies that are declared, by name."""
        names = ("van_westendorp", "gabor_granger", "conjoint")
        return {name: study for name in names if (study := getattr(self, name)) is not None}
