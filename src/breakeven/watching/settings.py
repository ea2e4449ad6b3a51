"""The `watching` section of the project file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from breakeven.serving.inputs import Keep

_DAY = 86_400.0


class Inputs(BaseModel):
    """Which answered requests are kept, and how long."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    keep: Literal["inputs-and-outputs", "outputs"] = Field(
        "inputs-and-outputs", description="What is kept of a request: inputs and outputs, or outputs alone"
    )
    share: float = Field(1.0, gt=0, le=1, description="Share of the requests that is kept, drawn by their ids")
    days: int = Field(30, ge=1, le=3650, description="After how many days a kept request is erased")

    def wanted(self) -> Keep:
        """The same as the server takes it."""
        from breakeven.serving.inputs import Keep

        return Keep(self.share, self.days * _DAY, inputs=self.keep == "inputs-and-outputs")


class Settings(BaseModel):
    """The watching section."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    inputs: Inputs | None = Field(
        None,
        description="Keep requests of customers who consented (`breakeven customers terms NAME --consent yes`); "
        "absent: nothing is kept",
    )
