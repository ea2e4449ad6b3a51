"""The `watching` section of the project file."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

if TYPE_CHECKING:
    from breakeven.serving.inputs import Keep

_DAY = 86_400.0
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": _DAY}

Duration = Annotated[str, Field(pattern=r"^([0-9]{1,6}[smhd])+$")]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]
Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$")]
Watched = Literal[
    "server_down", "error_share", "refused_share", "request_seconds", "first_part_seconds", "requests_per_second",
    "queue_cases", "ledger_queue", "memory_mb", "units_per_minute", "charged_per_minute", "cost_per_answer",
    "gross_margin", "cpu_seconds_per_answer", "decision_refused", "spend_share", "quota_share", "charges", "drifted",
]  # fmt: skip
ErrorClass = Literal[
    "server_error", "overloaded_error", "timeout_error", "rate_limit_error", "invalid_request_error",
    "authentication_error", "permission_error", "not_found_error", "method_not_allowed_error", "conflict_error",
]  # fmt: skip
Severity = Literal["info", "warning", "critical"]


def seconds(duration: str) -> float:
    """Seconds of a duration as the file writes it: `30s`, `5m`, `1h30m`, `7d`."""
    return sum(int(count) * _UNITS[unit] for count, unit in re.findall(r"([0-9]+)([smhd])", duration))


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


class Rule(BaseModel):
    """What is watched, and when somebody must hear of it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name = Field(description="Name of the rule; a ready-made rule of the same name is replaced")
    watch: Watched = Field(description="What is watched: see docs/watching.md for each")
    above: float | None = Field(None, allow_inf_nan=False, description="The rule holds while the value is above this")
    below: float | None = Field(None, allow_inf_nan=False, description="Or while the value is below this")
    clear: float | None = Field(
        None,
        allow_inf_nan=False,
        description="Once firing, it holds until the value is back at this; default: threshold",
    )
    hold: Duration = Field("0s", alias="for", description="How long it must hold before it fires; until then: pending")
    keep_firing_for: Duration = Field("5m", description="How long it goes on firing after it last held: no flapping")
    window: Duration = Field("5m", description="The stretch that shares, quantiles and rates are taken over")
    at_least: int = Field(
        20, ge=1, description="Requests (answers, for money) in the window below which nothing can be told"
    )
    severity: Severity = Field("warning", description="How bad it is, for whoever receives it")
    to: list[Name] | None = Field(None, description="Names of the receivers; default: watching.alerts.to, else all")
    quantile: float = Field(0.95, gt=0, lt=1, description="Of request_seconds and first_part_seconds: 0.95 is the p95")
    route: str | None = Field(None, description="Only this route, such as predict; default: all that answer customers")
    errors: list[ErrorClass] = Field(
        ["server_error", "overloaded_error", "timeout_error"], description="Of error_share: the classes that count"
    )
    meter: str | None = Field(None, description="Of units_per_minute and quota_share: only this meter")
    cost: Literal["marginal", "at_volume"] = Field(
        "at_volume", description="Of cost_per_answer and gross_margin: which"
    )
    description: str = Field("", max_length=1000, description="What to do when it fires; sent along")

    @model_validator(mode="after")
    def _consistent(self) -> Rule:
        if (self.above is None) == (self.below is None):
            raise ValueError("exactly one of above and below")
        over = self.above is not None
        threshold = self.threshold
        if self.clear is not None and (self.clear > threshold if over else self.clear < threshold):
            raise ValueError("clear on the good side of the threshold, or at it")
        if seconds(self.window) <= 0:
            raise ValueError("a window of more than 0s")
        if self.watch in ("request_seconds", "first_part_seconds") and threshold >= _LONGEST_SECONDS:
            raise ValueError("a threshold below 60, where the server's histogram of seconds ends")
        return self

    @property
    def threshold(self) -> float:
        """`above` or `below`, whichever is given."""
        return self.above if self.above is not None else self.below or 0.0


_LONGEST_SECONDS = 60  # the last bucket of serving.watch.SECONDS; a test holds them together


class Receiver(BaseModel):
    """Who hears of alerts: a webhook or a command. Exactly one of url, url_env and command."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str | None = Field(None, description="Webhook: POST with a JSON body as Prometheus Alertmanager sends it")
    url_env: Variable | None = Field(None, description="Or the environment variable that holds the address")
    secret_env: Variable | None = Field(
        None, description="Environment variable of the secret that signs a webhook (HMAC-SHA256, Standard Webhooks)"
    )
    allow_private: bool = Field(False, description="Let a webhook lead to a private, loopback or link-local address")
    command: list[str] | None = Field(
        None,
        min_length=1,
        description="Or a program and its arguments, without a shell; the alert is its standard input",
    )
    environment: list[Variable] = Field(
        [], description="Environment variables that the command may see, beside PATH, HOME, LANG and TZ"
    )
    timeout: Duration = Field("10s", description="Time limit of one attempt")

    @model_validator(mode="after")
    def _one(self) -> Receiver:
        given = [name for name in ("url", "url_env", "command") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError("exactly one of url, url_env and command")
        if self.url is not None and not self.url.lower().startswith(("http://", "https://")):
            raise ValueError("url must begin with http:// or https://")
        if self.command is not None and self.secret_env is not None:
            raise ValueError("secret_env for a webhook only; a command sees what environment names")
        return self


class Alerts(BaseModel):
    """Rules over the running servers, the ledger and drift, and who hears of them: `breakeven alerts`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    servers: list[str] = Field(
        ["http://127.0.0.1:8000"], min_length=1, description="Addresses of the servers, one each process"
    )
    interval: Duration = Field("15s", description="How often servers are read and rules judged")
    ledger_interval: Duration = Field("1m", description="How often the ledger is asked")
    drift_interval: Duration = Field("1h", description="How often drift is computed, where a rule watches it")
    repeat_interval: Duration = Field("4h", description="How often an alert that goes on firing is sent again")
    no_data_for: Duration = Field("5m", description="After how long a source that cannot be read is an alert itself")
    give_up_after: Duration = Field("1d", description="How long a message that cannot be delivered is tried again")
    receivers: dict[Name, Receiver] = Field({}, description="Who hears of alerts, by name")
    to: list[Name] | None = Field(None, description="Receivers of rules that name none; default: all")
    ready_made: bool = Field(True, description="Whether the ready-made rules are judged beside one's own")
    rules: list[Rule] = Field([], description="One's own rules")

    @model_validator(mode="after")
    def _named(self) -> Alerts:
        names = [rule.name for rule in self.rules]
        if len(set(names)) < len(names):
            raise ValueError("a name of its own for every rule")
        named = {name for rule in self.rules for name in rule.to or ()} | set(self.to or ())
        if named - self.receivers.keys():
            raise ValueError(
                f"receivers that are declared; not declared: {', '.join(sorted(named - self.receivers.keys()))}"
            )
        if not all(address.lower().startswith(("http://", "https://")) for address in self.servers):
            raise ValueError("servers must begin with http:// or https://")
        if seconds(self.interval) < 1:
            raise ValueError("an interval of at least 1s")
        return self


class Settings(BaseModel):
    """The watching section."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    inputs: Inputs | None = Field(
        None,
        description="Keep requests of customers who consented (`breakeven customers terms NAME --consent yes`); "
        "absent: nothing is kept",
    )
    alerts: Alerts = Field(
        default_factory=lambda: Alerts(), description="Who hears of what; `breakeven alerts` watches and sends"
    )
