"""The labels of the report in the reader's language, from the same catalogue as errors and findings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from breakeven.errors import catalogue, fill, render, translated
from breakeven.quantity import Quantity
from breakeven.report import numbers

PREFIX = "report-"
PER_CLASS = ("precision", "recall", "f1")  # metrics that are told for each class: `f1_positive`


class Words:
    """Labels by short name: `words("candidate")` is the text of the entry `report-candidate`."""

    def __init__(self, language: str = "en") -> None:
        self.language = language
        self._entries = catalogue(language)

    def __call__(self, name: str, /, **fields: Any) -> str:
        """The label, its `{places}` filled; an unknown name is shown as it is, so that nothing is hidden."""
        entry = self._entries.get(PREFIX + name)
        return fill(entry["text"], fields, self.language) if entry else name

    def term(self, name: str) -> str:
        """A metric, meter, reason or other key of the data: its label, else the key in words."""
        entry = self._entries.get(f"{PREFIX}term-{name}")
        if entry:
            return entry["text"]
        owner, slash, part = name.rpartition("/")
        if slash:
            return f"{owner}/{self.term(part)}"
        metric, _, label = name.partition("_")
        return f"{self.term(metric)} {label}" if metric in PER_CLASS else name.replace("_", " ")

    def joined(self, items: Iterable[str], *, sentences: bool = False) -> str:
        """Items, or whole sentences, side by side as the language joins them."""
        return self._entries["joint-sentences" if sentences else "joint-words"]["text"].join(items)

    def method(self, method: str | None) -> str | None:
        """How a number was found; artifacts say it in English, in parts whose patterns the catalogue knows."""
        if not method or self.language == "en":
            return method
        parts = (translated(part, f"{PREFIX}method-", self.language) for part in method.split("; "))
        return self.joined(parts, sentences=True)

    def unit(self, unit: str) -> str:
        """A unit in the reader's language; as it is where the catalogue has no word for it."""
        entry = self._entries.get(f"{PREFIX}unit-{unit.replace(' ', '-').replace('/', '-').replace(',', '')}")
        return entry["text"] if entry else unit

    def amount(self, quantity: Quantity | None) -> str:
        """Value, interval and unit in one line, in the reader's language."""
        return numbers.full(quantity, self.unit)

    def finding(self, finding: Mapping[str, Any]) -> str:
        """A finding in the reader's language; its own text where the catalogue does not know the code."""
        code = str(finding.get("code", ""))
        if code in self._entries:
            return render(code, finding.get("fields") or {}, language=self.language)
        return str(finding.get("text") or code)

    def why_not(self, judged: Mapping[str, Any]) -> str:
        """Why a candidate of the verdict was not chosen; empty where it has no reason."""
        code, fields = judged.get("why_not_code"), judged.get("why_not_fields")
        if not code or fields is None:
            return str(judged.get("why_not") or "")
        return self.finding({"code": code, "fields": fields})
