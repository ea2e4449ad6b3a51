"""The deploy section: decision, release, parity."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from breakeven.report.blocks import Block, Cell, Facts, Note
from breakeven.report.origins import measured, quantity
from breakeven.report.sections.cells import number
from breakeven.report.words import Words

if TYPE_CHECKING:
    from breakeven.project import Snapshot


def blocks(snapshot: Snapshot, words: Words) -> Iterator[Block]:
    """The decision, the release with its signature, and the parity receipt."""
    held = snapshot.deploy
    if not held:
        return
    for key in ("decision", "release", "parity"):
        part = held.get(key)
        if isinstance(part, Mapping):
            pairs = [(words.term(str(name)), _leaf(value)) for name, value in _leaves(part)]
            yield Facts(words(f"deploy-{key}"), pairs, step="deploy")
    decision = held.get("decision") or {}
    if decision and not decision.get("release"):
        yield Note(words("withheld"), tone="bad")


def _leaves(data: Mapping[str, Any], depth: int = 0) -> Iterator[tuple[str, Any]]:
    """The scalars of a record in two levels; deeper parts stand in the artifact itself."""
    for name, value in data.items():
        if isinstance(value, Mapping) and quantity(value) is None:
            if depth < 1:
                yield from ((f"{name}, {key}", item) for key, item in _leaves(value, depth + 1))
        elif value not in (None, "", []) and name != "format":
            if isinstance(value, list):
                if all(isinstance(item, (str, int, float)) for item in value):
                    yield name, ", ".join(str(item) for item in value)
            else:
                yield name, value


def _leaf(value: Any) -> Cell:
    held = quantity(value)
    if held:
        return Cell(quantity=held)
    if isinstance(value, bool):
        return Cell(str(value).lower())
    if isinstance(value, int):
        return number(value, "")
    if isinstance(value, float):
        return Cell(quantity=measured(value, ""))
    text = str(value)
    return Cell(text, code=len(text) > 24 and " " not in text)
