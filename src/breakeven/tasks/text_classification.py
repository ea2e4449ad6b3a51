"""Texts into classes: reviews, mails, tickets. One string in, one probability a class out.

Light: no arrays, no framework. How answers are judged is in `metrics.classification`, how they are found in `models`.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from breakeven.errors import InputError, Place, render
from breakeven.task import Cases, MetricInfo, ModelEntry, Role, Task

MAX_CHARACTERS = 100_000
_ENCODER = "breakeven.models.encoder:Encoder"


class TextClassification(Task):
    """One text, one label. A raw output is a list of probabilities over `facts["classes"]`, in that order."""

    name: ClassVar[str] = "text-classification"
    version: ClassVar[int] = 1
    roles: ClassVar[tuple[Role, ...]] = (
        Role("inputs", "text", many=True, description="the text; several fields are joined by a line break"),
        Role("target", "category", description="the label to predict"),
        Role("slices", "category", many=True, required=False, description="fields to report every metric by"),
        Role("groups", "category", many=True, required=False, description="protected attributes, for fairness"),
    )
    meters: ClassVar[tuple[str, ...]] = ("answers",)
    models: ClassVar[Mapping[str, ModelEntry]] = {
        "majority": ModelEntry("breakeven.models.baseline:Majority", description="always the commonest class"),
        "naive-bayes": ModelEntry(
            "breakeven.models.naive_bayes:NaiveBayes", description="counts of words and characters; no extra needed"
        ),
        "linear": ModelEntry(
            "breakeven.models.linear:Linear",
            extra="linear",
            description="TF-IDF of words and characters, logistic regression; any language",
        ),
        "minilm-l6": ModelEntry(_ENCODER, extra="text", description="all-MiniLM-L6-v2, 22.7 M parameters; English"),
        "multilingual-e5-small": ModelEntry(
            _ENCODER, extra="text", description="multilingual-e5-small, 117.7 M parameters; 100 languages"
        ),
        "encoder": ModelEntry(
            _ENCODER, extra="text", description="any encoder: give `weights`, a path or a Hugging Face id"
        ),
        "remote": ModelEntry("breakeven.models.remote:Remote", description="somebody else's API, at its quoted price"),
    }
    metrics: ClassVar[Mapping[str, MetricInfo]] = {
        "macro_f1": MetricInfo("share", True, "F1 averaged over classes, each class alike", 0.0, 1.0),
        "accuracy": MetricInfo("share", True, "answers that are right", 0.0, 1.0),
        "mcc": MetricInfo("correlation", True, "Matthews correlation of answer and truth", -1.0, 1.0),
        "log_loss": MetricInfo("nats", False, "mean negative log probability of the truth", 0.0, None),
        "expected_calibration_error": MetricInfo("share", False, "mean gap of stated and found certainty", 0.0, 1.0),
    }
    scoring_reference: ClassVar[str] = "breakeven.metrics.classification:Classification"

    def facts(self, train: Cases) -> dict[str, Any]:
        """Classes sorted as text, their shares of the training rows, and the longest text that is taken."""
        targets = train.targets or []
        classes = sorted(set(targets))
        counts = dict.fromkeys(classes, 0)
        for target in targets:
            counts[target] += 1
        total = max(len(targets), 1)
        return {
            "classes": classes,
            "train_rates": {name: counts[name] / total for name in classes},
            "max_characters": MAX_CHARACTERS,
        }

    def case(self, row: Mapping[str, Any], fields: Mapping[str, Any]) -> tuple[Any, Any]:
        """(text, label) of a row; a missing part of several is left out of the joined text."""
        names = fields["inputs"]
        names = [names] if isinstance(names, str) else names
        text = row[names[0]] if len(names) == 1 else joined([row[name] for name in names])
        target = fields.get("target")
        return ("" if text is None else str(text)), None if target is None else label(row[target])

    def input_schema(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        """A string, or an object whose string fields are joined by a line break in the order declared."""
        text = {"type": "string", "minLength": 1, "maxLength": facts.get("max_characters", MAX_CHARACTERS)}
        if names := facts.get("fields"):
            known = {"type": "object", "minProperties": 1, "additionalProperties": False}
            return {"oneOf": [text, {**known, "properties": dict.fromkeys(names, text)}]}
        return {"oneOf": [text, {"type": "object", "minProperties": 1, "additionalProperties": text}]}

    def output_schema(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        """The label and the probability of every class."""
        classes = list(facts["classes"])
        share = {"type": "number", "minimum": 0, "maximum": 1}
        return {
            "type": "object",
            "required": ["label", "probability", "probabilities"],
            "additionalProperties": False,
            "properties": {
                "label": {"enum": classes},
                "probability": share,
                "probabilities": {"type": "object", "properties": dict.fromkeys(classes, share)},
            },
        }

    def parse(self, payload: Any, facts: Mapping[str, Any]) -> str:
        """The text of a payload. Special tokens in it are plain text; what no encoder can take is refused."""
        longest = int(facts.get("max_characters", MAX_CHARACTERS))
        if isinstance(payload, Mapping):
            parts = [checked(value, str(name), longest) for name, value in _ordered(payload, facts)]
            text = joined(parts)
            if len(text) > longest:
                raise InputError("input-too-long", at=Place(field="input"), found=len(text), limit=longest)
        else:
            text = checked(payload, "input", longest)
        if not text.strip():
            raise InputError("input-empty", at=Place(field="input"))
        return text

    def payload(self, item: Any) -> Any:
        """The text itself."""
        return item

    def render(self, raw: Any, answer: Any, facts: Mapping[str, Any]) -> Any:
        """Label, its probability, and every class's probability."""
        probabilities = {name: round(float(p), 6) for name, p in zip(facts["classes"], raw, strict=True)}
        return {"label": answer, "probability": probabilities.get(answer, 0.0), "probabilities": probabilities}

    def agree(self, one: Any, other: Any, tolerance: float) -> bool:
        """Every probability within `tolerance`, and the same class first unless the two first are that close."""
        gap = max((abs(a - b) for a, b in zip(one, other, strict=True)), default=0.0)
        if not gap <= tolerance:  # also refuses NaN
            return False
        first, second = _argmax(one), _argmax(other)
        return first == second or min(abs(p[first] - p[second]) for p in (one, other)) <= tolerance

    def text_of(self, item: Any) -> str | None:
        """The text."""
        return str(item)

    def with_text(self, item: Any, text: str) -> Any:
        """The new text."""
        return text


def _ordered(payload: Mapping[str, Any], facts: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """The fields of an object in the order in which training joined them; one that training did not have is refused.

    A package that does not say which fields it learned from takes any, in the order given.
    """
    names: Sequence[str] = facts.get("fields") or ()
    if not names:
        return [(str(name), value) for name, value in payload.items()]
    for name in payload:
        if name not in names:
            nearest = difflib.get_close_matches(str(name), names, 1, 0.3)
            about = {"name": str(name)[:60], "allowed": list(names), "nearest": nearest[0] if nearest else names[0]}
            raise InputError("input-field-unknown", at=Place(field=str(name)[:60]), **about)
    return [(name, payload[name]) for name in names if name in payload]


def checked(value: Any, field: str, longest: int) -> str:
    """A string that UTF-8 can carry, or an InputError that names the field."""
    if not isinstance(value, str):
        raise InputError("input-not-text", at=Place(field=field), found=_kind(value))
    if len(value) > longest:
        raise InputError("input-too-long", at=Place(field=field), found=len(value), limit=longest)
    if "\x00" in value:
        raise InputError("input-character", at=Place(field=field), character="NUL", position=value.index("\x00"))
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            "input-character", at=Place(field=field), character="half of a surrogate pair", position=error.start
        ) from error
    return value


def joined(parts: Sequence[Any]) -> str:
    """Several fields as one text: those that are there, a line break between."""
    return "\n".join(str(part) for part in parts if part is not None and part != "")


def label(value: Any) -> str | None:
    """A label as text: 1, 1.0 and '1' are one class; None stays missing."""
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _argmax(values: Sequence[float]) -> int:
    return max(range(len(values)), key=values.__getitem__)


def _kind(value: Any) -> str:
    codes = {bool: "kind-boolean", int: "kind-number", float: "kind-number", list: "kind-list", dict: "kind-object"}
    code = codes.get(type(value))
    return render(code, {}) if code else "null" if value is None else type(value).__name__
