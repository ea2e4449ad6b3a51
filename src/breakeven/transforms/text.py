"""Transforms of text: one normal form, and personal data replaced by its kind."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from breakeven.data.personal import KINDS, mask
from breakeven.errors import ConfigError, Place
from breakeven.task import Task

# Control and format characters that carry no text; zero-width joiners stay, since emoji and Indic scripts need them.
_CONTROL = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060"
    r"\u2066-\u2069\ufeff]"
)
_SPACES = re.compile(r"[^\S\n]+")
_BREAKS = re.compile(r" ?\n[ \n]*")


class _TextTransform:
    """A transform that works text by text and has nothing to fit."""

    version: ClassVar[int] = 1

    def fit(self, task: Task, inputs: list[Any]) -> dict[str, Any]:
        """Nothing is learnt; the state is empty."""
        return {}

    def apply(self, task: Task, inputs: list[Any], state: Mapping[str, Any]) -> list[Any]:
        """Every input with its text changed; inputs without text pass through."""
        return [self._one(task, item) for item in inputs]

    def _one(self, task: Task, item: Any) -> Any:
        text = task.text_of(item)
        if text is None:
            return item
        changed = self.change(text)
        return item if changed == text else task.with_text(item, changed)

    def change(self, text: str) -> str:
        """The text as the model will see it."""
        raise NotImplementedError


class Normalise(_TextTransform):
    """NFC; no control, bidi or invisible characters; a run of spaces is one space, of breaks one break; ends cut."""

    def change(self, text: str) -> str:
        """The text in its one normal form; applying it twice changes nothing more."""
        if not text.isascii():
            text = unicodedata.normalize("NFC", text)
        text = _CONTROL.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
        text = _BREAKS.sub("\n", _SPACES.sub(" ", text)).strip()
        # Removing an invisible character can bring two that compose side by side.
        return text if text.isascii() else unicodedata.normalize("NFC", text)


class MaskPersonalData(_TextTransform):
    """Personal data replaced by its kind in brackets: `[mail]`, `[phone]`, `[card]`, `[national_id]`, `[ip]`."""

    def __init__(self, kinds: Sequence[str] = KINDS) -> None:
        unknown = sorted(set(kinds) - set(KINDS))
        if unknown:
            raise ConfigError(
                "unknown-personal-kind", at=Place(field="process.transforms"), found=unknown, allowed=list(KINDS)
            )
        self.kinds = tuple(kinds)

    def change(self, text: str) -> str:
        """The text with every find replaced."""
        return mask(text, self.kinds)
