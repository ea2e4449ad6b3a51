"""What was made from what: steps, fingerprints, machines, versions, the file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from breakeven.report import numbers
from breakeven.report import pictures as draw
from breakeven.report.blocks import Block, Cell, Facts, Listing, Picture, Section, Table, Tone
from breakeven.report.sections.cells import machine_words
from breakeven.report.words import Words

if TYPE_CHECKING:
    from breakeven.project import Snapshot

STATES: dict[str, Tone] = {"fresh": "good", "stale": "unsure", "missing": "quiet"}


def section(snapshot: Snapshot, words: Words) -> Section:
    """Every step with its fingerprint, what it needs, when it was made and how often it was run; the file itself."""
    blocks: list[Block] = []
    made = {name: manifest for name, manifest in snapshot.lineage.items() if manifest}
    state = {item["step"]: str(item["state"]) for item in snapshot.states}
    if made:
        columns: dict[str, list[tuple[str, str, str]]] = {}
        for name in state or made:
            digest = str(made.get(name, {}).get("fingerprint", ""))
            columns.setdefault(_column(name), []).append((name, digest, state.get(name, "fresh")))
        needs = {name: list(manifest.get("needs") or {}) for name, manifest in made.items()}
        names = {"title": words("lineage-title"), "description": words("lineage-caption")}
        blocks.append(
            Picture(
                "lineage",
                names["title"],
                draw.lineage("lineage", list(columns.values()), needs, names),
                words("lineage-caption"),
            )
        )
        rows = [
            [
                Cell(name, code=True),
                Cell(str(held.get("fingerprint", ""))[:16], code=True),
                Cell(words.term(state.get(name, "")), tone=STATES.get(state.get(name, ""), "")),
                Cell(str(held.get("created", "")).replace("T", " ").replace("+00:00", "")),
                Cell(numbers.duration(held.get("seconds"))),
                Cell(str(snapshot.counters.get(name, 0))),
                Cell(", ".join(held.get("needs") or {}), code=True),
            ]
            for name, held in made.items()
        ]
        heads = [words(name) for name in ("step", "fingerprint", "state", "created", "took", "runs", "needs")]
        blocks.append(Table(words("every-step"), heads, rows))
    machines = dict(_machines(snapshot))
    if machines:
        blocks.append(Facts(words("hardware-keys"), [(key, Cell(text)) for key, text in machines.items()]))
    versions = {
        **{name: value for held in made.values() for name, value in (held.get("versions") or {}).items()},
        **snapshot.versions,
    }
    if versions:
        blocks.append(
            Facts(words("versions"), [(name, Cell(str(value), code=True)) for name, value in versions.items()])
        )
    if snapshot.config_text:
        blocks.append(Listing(words("the-file"), snapshot.config_text))
    return Section("lineage", words("lineage"), blocks)


def _machines(snapshot: Snapshot) -> Iterator[tuple[str, str]]:
    """The machines that numbers name by their key, in words."""
    for held in [
        (snapshot.speed or {}).get("hardware"),
        *(record.get("hardware") for record in snapshot.train.values()),
    ]:
        if isinstance(held, Mapping) and held.get("key"):
            yield str(held["key"]), machine_words(held)


def _column(step: str) -> str:
    """Steps of one stage share a column; the verdict and the load test stand after the packages they read."""
    return {"evaluate/speed": "evaluate-2", "evaluate/verdict": "evaluate-3"}.get(step, step.split("/")[0])
