"""The contracts that every kind of problem and every model keep: Task, Scoring, Model, Predictor.

A task is light: it names its field roles, meters, outcomes and models, parses a payload, counts usage, and says when
two answers are equal. What needs arrays (scores, calibration, answer rules) is its `Scoring`; what needs a framework
is a `Model`. Both are named by module path and loaded on use.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from breakeven.errors import ConfigError, Finding, InputError, Place, UsageError, need_package

if TYPE_CHECKING:
    import numpy as np
    from pydantic import BaseModel

Kind = Literal["text", "number", "category", "image", "audio", "time", "id"]
Payoff = Mapping[str, Any]


def load_reference(reference: str, *, extra: str | None = None) -> Any:
    """The object behind `package.module:name`; a missing optional package names the extra that brings it."""
    module_name, _, attribute = reference.partition(":")
    try:
        return getattr(importlib.import_module(module_name), attribute)
    except ModuleNotFoundError as error:
        if error.name and error.name.split(".")[0] == "breakeven":
            raise UsageError("reference-unknown", reference=reference) from error
        raise need_package(error.name or module_name, extra or "all", purpose=reference) from error


def bytes_of(payload: Any, *, field: str = "input") -> bytes:
    """The bytes of a payload whose schema says `contentEncoding: base64`: as they are (from a form), or from base64
    text (from JSON). InputError `input-not-bytes` names the field.
    """
    import base64
    import binascii

    if isinstance(payload, (bytes, bytearray)):
        return bytes(payload)
    if isinstance(payload, str):
        try:
            return base64.b64decode(payload.encode("ascii"), validate=True)
        except (binascii.Error, ValueError) as error:
            raise InputError("input-not-bytes", at=Place(field=field), found="text") from error
    raise InputError("input-not-bytes", at=Place(field=field), found=type(payload).__name__)


@dataclass(frozen=True)
class Reply:
    """A generated answer, or a part of one, as chat and completion routes show it. `finish` "length": it was cut."""

    text: str
    finish: Literal["stop", "length", "content_filter"] = "stop"


@dataclass(frozen=True)
class Role:
    """One part a field of the data can play in a task."""

    name: str
    kind: Kind
    many: bool = False
    required: bool = True
    description: str = ""


@dataclass(frozen=True)
class ModelEntry:
    """A row of a task's table of models: where it lives, the extra it needs, the version of its artifacts."""

    reference: str
    version: int = 1
    extra: str | None = None
    description: str = ""

    def load(self) -> type[Model]:
        """The model class; its module is light, frameworks are imported by its methods."""
        model: type[Model] = load_reference(self.reference, extra=self.extra)
        return model


@dataclass(frozen=True)
class MetricInfo:
    """What a reader must know of a metric to gate on it."""

    unit: str
    higher_is_better: bool
    description: str
    low: float | None = None
    high: float | None = None


@dataclass
class Cases:
    """Rows as models and scorings see them; every list is over the same cases, in the same order.

    ids: stable row ids. inputs: payloads as `Task.parse` returns them. targets: truths, None where the task has none.
    slices, groups: values by field name. columns: numeric columns a payoff may multiply. units: what to resample by.
    """

    ids: list[str]
    inputs: list[Any]
    targets: list[Any] | None = None
    slices: dict[str, list[Any]] = field(default_factory=dict)
    groups: dict[str, list[Any]] = field(default_factory=dict)
    columns: dict[str, list[float]] = field(default_factory=dict)
    units: list[str] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, indices: Sequence[int]) -> Cases:
        """The cases at `indices`, in that order."""

        def pick(values: list[Any] | None) -> list[Any] | None:
            return None if values is None else [values[i] for i in indices]

        return Cases(
            [self.ids[i] for i in indices],
            [self.inputs[i] for i in indices],
            pick(self.targets),
            {name: [values[i] for i in indices] for name, values in self.slices.items()},
            {name: [values[i] for i in indices] for name, values in self.groups.items()},
            {name: [values[i] for i in indices] for name, values in self.columns.items()},
            pick(self.units),
        )


class Predictor(ABC):
    """A loaded model that answers. One object answers one batch at a time; it keeps no state between calls.

    `spends`: every call costs money at a provider, so packaging asks about each row once and nothing is timed again.
    `tokens_per_batch`: of a predictor that takes any number of inputs and makes its own batches, by tokens; it may be
    set. None: all inputs of a call are one batch.
    """

    spends: ClassVar[bool] = False
    tokens_per_batch: int | None = None

    @abstractmethod
    def predict(self, inputs: list[Any]) -> list[Any]:
        """One raw output an input, in order. Never depends on who else is in the batch."""

    def stream(self, item: Any) -> Iterator[Any]:
        """Parts of the answer to one input as they come. Only for models that stream."""
        raise UsageError("no-stream")

    def session(self) -> Session | None:
        """A stateful policy's session: state goes in and comes out, nothing hides in the server. None: stateless."""
        return None

    def sizes(self, inputs: list[Any]) -> list[int] | None:
        """Work an input, in the model's own unit (tokens): batches are built by it. None: all alike."""
        return None

    def close(self) -> None:  # noqa: B027  most predictors hold nothing to free
        """Frees what was loaded."""


class Session(Protocol):
    """A policy over time, as a pure step."""

    def start(self, seed: int) -> Any:
        """The first state, JSON-able."""

    def step(self, state: Any, observation: Any) -> tuple[Any, Any]:
        """(next state, answer) for an observation."""


class TrainContext(Protocol):
    """What `Model.fit` is given beside its rows (implemented by stages/train.py)."""

    folder: Path  # scratch; everything left here is the trained artifact
    checkpoints: Path  # survives a killed run; a finished fit may leave it full
    cache: Path  # per-user cache of downloaded and converted weights
    seed: int
    threads: int
    budget_seconds: float | None  # wall time this candidate may train for; None: no limit
    example: Any  # one parsed input

    def need(self, candidate: str) -> Path:
        """The trained folder of another candidate this one names."""

    def shared(self, key: Mapping[str, Any], build: Callable[[Path], None]) -> Path:
        """A shared artifact (embeddings, converted weights), built once per key, folder returned."""

    def progress(self, done: float, total: float, **figures: float) -> None:
        """Shown as a bar with time left; figures such as loss are shown beside it."""

    def find(self, finding: Finding) -> None:
        """Records a finding with the artifact, for example `still-improving`."""


class Model(ABC):
    """One way to solve a task. Artifacts are safetensors and JSON, never pickles.

    `settings` holds the candidate's own keys of the file (pydantic, extra forbidden). The methods import frameworks.
    """

    settings: ClassVar[type[BaseModel]]

    def __init__(self, settings: BaseModel, task: Task) -> None:
        self.options = settings
        self.task = task

    def needs(self) -> tuple[str, ...]:
        """Names of other candidates whose trained folders `fit` reads."""
        return ()

    def trains_by_steps(self) -> bool:
        """Whether `fit` can stop at a step: such candidates share the time budget, the others take what they take."""
        return False

    def estimate(self, rows: int) -> dict[str, float]:
        """Before anything starts: minutes, memory_gb, download_mb, money, and answer_seconds (one row, one core) where
        an answer takes more than a moment. Rough, stated as assumed."""
        return {"minutes": 0.0, "memory_gb": 0.1, "download_mb": 0.0, "money": 0.0}

    def fit(self, train: Cases, validation: Cases, context: TrainContext) -> dict[str, Any]:
        """Writes the trained artifact to `context.folder` and returns the training record (JSON). Absent: untuned."""
        return {}

    def runtimes(self) -> tuple[str, ...]:
        """Runtimes `package` can write; the first is the portable reference."""
        return ("reference",)

    def runtimes_by_default(self) -> tuple[str, ...]:
        """Those that are tried where nobody asks for others: what is quickly tried and may win."""
        return self.runtimes()

    @abstractmethod
    def package(self, trained: Path, folder: Path, runtime: str, sample: list[Any]) -> None:
        """Writes all that `load` needs for one runtime into `folder`. `sample`: validation inputs, for scales."""

    @abstractmethod
    def load(self, folder: Path, runtime: str, *, threads: int) -> Predictor:
        """A predictor over what `package` wrote. Reads only that folder; never the network."""


class Scoring(Protocol):
    """How a task's raw outputs become answers and how answers are judged. Arrays are over cases, first axis n."""

    def pack(self, raw: list[Any]) -> dict[str, np.ndarray]:
        """Raw outputs as named arrays, for storage."""

    def unpack(self, arrays: Mapping[str, np.ndarray]) -> list[Any]:
        """The inverse of `pack`."""

    def calibrate(self, raw: list[Any], targets: list[Any], facts: Mapping[str, Any]) -> dict[str, Any]:
        """Calibration fitted on validation rows, JSON-able; {} for none."""

    def calibrated(self, raw: list[Any], calibration: Mapping[str, Any]) -> list[Any]:
        """Raw outputs after calibration."""

    def rule(self, payoff: Payoff, base_rates: Mapping[str, float] | None, facts: Mapping[str, Any]) -> dict[str, Any]:
        """The answer rule as JSON; pure. `facts` is the package's own record (classes, train rates)."""

    def decide(self, raw: list[Any], rule: Mapping[str, Any]) -> list[Any]:
        """Answers as served, from calibrated raw outputs."""

    def outcome_names(self, facts: Mapping[str, Any]) -> tuple[str, ...]:
        """Every outcome that a payoff may price."""

    def outcomes(self, answers: list[Any], cases: Cases, facts: Mapping[str, Any]) -> np.ndarray:
        """[n, len(outcome_names)] counts of each outcome per case."""

    def metrics(
        self, answers: list[Any], raw: list[Any], cases: Cases, weights: np.ndarray, facts: Mapping[str, Any]
    ) -> dict[str, np.ndarray]:
        """Metric -> values [b], for weights [b, n] (bootstrap draws of case counts)."""

    def pictures(self, answers: list[Any], raw: list[Any], cases: Cases, facts: Mapping[str, Any]) -> dict[str, Any]:
        """What the report draws: for classification confusion, reliability bins, per-class and per-slice tables."""


class Task(ABC):
    """A kind of problem. Stages speak to this and name no concrete task.

    `generates`: which of the OpenAI-compatible requests `prompt` understands; such a task counts in the meters
    `input_tokens` and `output_tokens`. `sampling`: which options of such a request it honours (`temperature` ...).
    `embeds`: its outputs are vectors.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    roles: ClassVar[tuple[Role, ...]]
    meters: ClassVar[tuple[str, ...]] = ("answers",)
    models: ClassVar[Mapping[str, ModelEntry]]
    metrics: ClassVar[Mapping[str, MetricInfo]]
    scoring_reference: ClassVar[str]
    resample_by: ClassVar[Literal["row", "unit"]] = "row"
    streams: ClassVar[bool] = False
    generates: ClassVar[tuple[Literal["chat", "text"], ...]] = ()
    sampling: ClassVar[frozenset[str]] = frozenset()
    embeds: ClassVar[bool] = False

    def scoring(self) -> Scoring:
        """The task's scoring, loaded on use."""
        scoring: Scoring = load_reference(self.scoring_reference)()
        return scoring

    def model(self, name: str) -> ModelEntry:
        """The entry of a model by name, or an error that suggests the nearest."""
        import difflib

        if name not in self.models:
            nearest = difflib.get_close_matches(name, self.models, 1)
            raise ConfigError(
                "unknown-model",
                model=name,
                task=self.name,
                allowed=sorted(self.models),
                nearest=nearest[0] if nearest else "majority",
            )
        return self.models[name]

    @abstractmethod
    def facts(self, train: Cases) -> dict[str, Any]:
        """What a package must remember of its training rows: classes, their rates, limits. JSON-able."""

    @abstractmethod
    def case(self, row: Mapping[str, Any], fields: Mapping[str, Any]) -> tuple[Any, Any]:
        """(input, target) of one row; `fields` maps role names to field names."""

    @abstractmethod
    def input_schema(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        """JSON Schema of one input of `/v1/predict`."""

    @abstractmethod
    def output_schema(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        """JSON Schema of one output."""

    @abstractmethod
    def parse(self, payload: Any, facts: Mapping[str, Any]) -> Any:
        """A checked input from a decoded JSON payload; raises InputError naming the field."""

    @abstractmethod
    def payload(self, item: Any) -> Any:
        """The JSON payload that `parse` turns into `item`."""

    @abstractmethod
    def render(self, raw: Any, answer: Any, facts: Mapping[str, Any]) -> Any:
        """The JSON output of one answer."""

    @abstractmethod
    def agree(self, one: Any, other: Any, tolerance: float) -> bool:
        """Whether two raw outputs count as equal."""

    def usage(self, item: Any, output: Any) -> dict[str, int]:
        """Quantity by meter for one answer."""
        return {"answers": 1}

    def most(self, item: Any) -> dict[str, int]:
        """What one answer can use at most, for meters where that is not 1: as much of a limit is reserved before it is
        computed, so that many at once cannot pass it together.
        """
        return {}

    def prompt(self, request: Mapping[str, Any]) -> Any:
        """The payload of a generation request: `messages` (role and content each) or `prompt`, and options."""
        raise UsageError("no-generation", task=self.name)

    def reply(self, output: Any) -> Reply:
        """What an output says; a stream gives the list of its parts so far, one part alone for what is new."""
        raise UsageError("no-generation", task=self.name)

    def vector(self, output: Any) -> list[float]:
        """The embedding that an output is."""
        raise UsageError("no-embedding", task=self.name)

    def text_of(self, item: Any) -> str | None:
        """The text of an input, for transforms and drift; None where it has none."""
        return None

    def with_text(self, item: Any, text: str) -> Any:
        """The input with its text replaced (the inverse of `text_of`)."""
        return item
