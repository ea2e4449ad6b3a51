"""What was made from what: steps, fingerprints, machines, versions, the file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from breakeven.report import numbers
from breakeven.report import pictures as draw
from breakeven.report.blocks import Block, Cell, Facts, Listing, Picture, Section, Table, Tone
from breakeven.report.origins import counted, measured
from breakeven.report.sections.cells import machine_words, said
from breakeven.report.words import Words

if TYPE_CHECKING:
    from breakeven.project import Snapshot

Manifests = Mapping[str, Mapping[str, Any]]
STATES: dict[str, Tone] = {"fresh": "good", "stale": "unsure", "missing": "quiet"}


def section(snapshot: Snapshot, words: Words) -> Section:
    """Every step with its fingerprint, what it needs, when it was made and how often it was run; the file itself."""
    made = {name: manifest for name, manifest in snapshot.lineage.items() if manifest}
    state = {item["step"]: str(item["state"]) for item in snapshot.states}
    blocks: list[Block] = [_graph(made, state, words), _steps(snapshot, made, state, words=words)] if made else []
    versions = {name: value for held in made.values() for name, value in (held.get("versions") or {}).items()}
    known = {"hardware-keys": dict(_machines(snapshot, words)), "versions": {**versions, **snapshot.versions}}
    for title, pairs in known.items():
        if pairs:
            blocks.append(
                Facts(words(title), [(name, said(value, code=title == "versions")) for name, value in pairs.items()])
            )
    if snapshot.config_text:
        blocks.append(Listing(words("the-file"), snapshot.config_text))
    return Section("lineage", words("lineage"), blocks)


def _graph(made: Manifests, state: Mapping[str, str], words: Words) -> Picture:
    columns: dict[str, list[tuple[str, str, str]]] = {}
    for name in state or made:
        digest = str(made.get(name, {}).get("fingerprint", ""))
        columns.setdefault(_column(name), []).append((name, digest, state.get(name, "fresh")))
    needs = {name: list(manifest.get("needs") or {}) for name, manifest in made.items()}
    names = {"title": words("lineage-title"), "description": words("lineage-caption")}
    drawn = draw.lineage("lineage", list(columns.values()), needs, names)
    return Picture("lineage", names["title"], drawn, names["description"])


def _steps(snapshot: Snapshot, made: Manifests, state: Mapping[str, str], *, words: Words) -> Table:
    rows = []
    for name, held in made.items():
        found = state.get(name, "")
        seconds, runs = measured(held.get("seconds"), "s"), counted(snapshot.counters.get(name, 0), "runs")
        cells = [
            Cell(name, code=True),
            Cell(str(held.get("fingerprint", ""))[:16], code=True),
            Cell(words.term(found), tone=STATES.get(found, "")),
            said(held.get("created")),
            Cell(numbers.duration(held.get("seconds")), seconds),
            Cell(quantity=runs),
            Cell(", ".join(held.get("needs") or {}), code=True),
        ]
        rows.append([replace(cell, step=name) for cell in cells])
    heads = [words(name) for name in ("step", "fingerprint", "state", "created", "took", "runs", "needs")]
    return Table(words("every-step"), heads, rows)


def _machines(snapshot: Snapshot, words: Words) -> Iterator[tuple[str, str]]:
    """The machines that numbers name by their key, in words."""
    for held in [
        (snapshot.speed or {}).get("hardware"),
        *(record.get("hardware") for record in snapshot.train.values()),
    ]:
        if isinstance(held, Mapping) and held.get("key"):
            yield str(held["key"]), machine_words(held, words)


def _column(step: str) -> str:
    """Steps of one stage share a column; the verdict and the load test stand after the packages they read."""
    return {"evaluate/speed": "evaluate-2", "evaluate/verdict": "evaluate-3"}.get(step, step.split("/")[0])
