"""A Snapshot becomes a Report: the sentence, the table, and a section a stage, in the reader's language."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from breakeven.artifacts import now
from breakeven.report import numbers, origins
from breakeven.report.blocks import Block, Cell, Findings, Note, Report, Section, Table
from breakeven.report.sections import business, collect, deploy, evaluate, gallery, lineage, process, train
from breakeven.report.sections.cells import number
from breakeven.report.words import Words

if TYPE_CHECKING:
    from breakeven.project import Snapshot

ORDER = ("collect", "process", "train", "evaluate", "deploy", "business")
ROOTS, REASON = 3, 160  # changes named where something is stale, and how long a reason may be
SHOWN = 4  # findings on the first screen; the others unfold
LEVELS = {"problem": 0, "warning": 1, "info": 2}


def compose(snapshot: Snapshot) -> Report:
    """Everything the renderers need, every number registered in the appendix."""
    words = Words(snapshot.language)
    verdict = snapshot.verdict or {}
    report = Report(
        name=snapshot.name,
        task=snapshot.task,
        language=snapshot.language,
        sentence=sentence(snapshot, words),
        verdict=standing(verdict),
        basis=basis(verdict, words),
        sections=[
            Section("answer", "", answer(snapshot, words)),
            *(section(snapshot, words, name) for name in ORDER),
            lineage.section(snapshot, words),
        ],
        made=now(),
        versions=snapshot.versions,
    )
    return origins.registered(report, snapshot.lineage, words)


def standing(verdict: Mapping[str, Any]) -> Literal["ship", "none", "missing"]:
    """Whether a candidate ships, none pays, or nobody knows yet."""
    if not verdict.get("candidates"):
        return "missing"
    return "ship" if verdict.get("chosen") else "none"


def sentence(snapshot: Snapshot, words: Words) -> str:
    """The answer in one sentence; where there is none yet, what makes it."""
    said = (snapshot.verdict or {}).get("sentence") or {}
    return words.finding(said) if said else words("no-answer")


def basis(verdict: Mapping[str, Any], words: Words) -> list[str]:
    """What the answer rests on: price, demand, test rows and how often they were looked at."""
    if not verdict.get("candidates"):
        return []
    price = origins.quantity((verdict.get("price") or {}).get("declared"))
    demand = origins.quantity((verdict.get("demand") or {}).get("answers_per_month"))
    found = [words("basis-price", price=words.amount(price)) if price else words("basis-no-price")]
    if demand:
        found.append(words("basis-demand", demand=numbers.amount(demand)))
    if verdict.get("n_test"):
        looks = verdict.get("test_looks")
        found.append(words("basis-test", n=numbers.count(verdict["n_test"])))
        if looks:
            found.append(words("basis-looks", looks=looks) if looks != 1 else words("basis-looks-once"))
    return found


def answer(snapshot: Snapshot, words: Words) -> list[Block]:
    """The first screen below the sentence: what is stale, the table, what to know first, the pictures."""
    blocks: list[Block] = list(stale(snapshot, words))
    if (snapshot.verdict or {}).get("candidates"):
        blocks.append(evaluate.main_table(snapshot, words))
    else:
        blocks.append(states(snapshot, words))
    if standing(snapshot.verdict or {}) == "none":
        blocks += evaluate.obstacles(snapshot, words)
    blocks += [replace(block, fold=SHOWN) for block in findings(pressing(snapshot), words)]
    first = gallery.frontier(snapshot, words)
    blocks += [first] if first is not None else []
    blocks += business.pictures(snapshot, words)
    return blocks


def stale(snapshot: Snapshot, words: Words) -> list[Note]:
    """One note where steps that were run no longer agree with the file: what changed, not what merely follows."""
    old = [item for item in snapshot.states if item["state"] == "stale"]
    if not old:
        return []
    roots = [item for item in old if not item.get("follows")] or old
    said = [f"{item['step']} ({_clip(item['why'])})" if item["why"] else item["step"] for item in roots[:ROOTS]]
    more = len(old) - len(said)
    text = words.joined([*said, *([words("and-more", count=more)] if more else [])], sentences=True)
    return [Note(words("stale", steps=text), command="breakeven run", tone="bad")]


def _clip(text: str) -> str:
    return text if len(text) <= REASON else text[: REASON - 1] + "…"


def states(snapshot: Snapshot, words: Words) -> Table:
    """Every step with its state, why, and how often it was run."""
    tones: dict[str, Any] = {"fresh": "good", "stale": "unsure", "missing": "quiet"}
    rows = [
        [
            Cell(item["step"], code=True),
            Cell(words.term(item["state"]), tone=tones.get(item["state"], "")),
            number(snapshot.counters.get(item["step"], 0), "runs"),
            Cell(_clip(item["why"] or "")),
        ]
        for item in snapshot.states
    ]
    return Table(words("status"), [words("step"), words("state"), words("runs"), words("why")], rows)


def section(snapshot: Snapshot, words: Words, name: str) -> Section:
    """One stage: its tables and its findings, or the command that makes it."""
    blocks = list(_BUILDERS[name](snapshot, words))
    if not blocks:
        blocks = [Note(words("missing", stage=name), command=f"breakeven run {name}", tone="quiet")]
    blocks += findings([item for item in every_finding(snapshot) if item.get("stage") == name], words)
    return Section(name, words(f"stage-{name}"), blocks)


_BUILDERS = {
    "collect": collect.blocks,
    "process": process.blocks,
    "train": train.blocks,
    "evaluate": evaluate.blocks,
    "deploy": deploy.blocks,
    "business": business.blocks,
}


def every_finding(snapshot: Snapshot) -> list[Mapping[str, Any]]:
    """Findings of all steps, problems first, none twice."""
    kept: dict[tuple[Any, ...], Mapping[str, Any]] = {}
    more: Sequence[Mapping[str, Any]] = (snapshot.verdict or {}).get("findings") or []
    for item in [
        *snapshot.findings,
        *({"stage": "evaluate", **found, **({} if found.get("stage") else {"stage": "evaluate"})} for found in more),
    ]:
        kept.setdefault((item.get("code"), item.get("subject"), str(item.get("fields"))), item)
    return sorted(kept.values(), key=lambda item: LEVELS.get(str(item.get("level")), 3))


def pressing(snapshot: Snapshot) -> list[Mapping[str, Any]]:
    """The findings that a reader must know: problems, then warnings."""
    return [item for item in every_finding(snapshot) if item.get("level") in ("problem", "warning")]


def findings(items: Sequence[Mapping[str, Any]], words: Words) -> list[Findings]:
    """A block of findings, or none; a subject that the text does not name is put before it."""
    found = []
    for item in items:
        text, subject = words.finding(item), str(item.get("subject") or "")
        about = words("part-of", whole=subject, part=text) if subject and subject not in text else text
        found.append((str(item.get("level", "info")), about, str(item.get("code", ""))))
    return [Findings(found)] if found else []
