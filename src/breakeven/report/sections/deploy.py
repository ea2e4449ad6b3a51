"""The deploy section: the decision, the signed release, and the receipt that it answers as was evaluated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from breakeven.report.blocks import Block, Cell, Facts, Note
from breakeven.report.origins import quantity
from breakeven.report.sections.cells import loose, number, said
from breakeven.report.words import Words

if TYPE_CHECKING:
    from breakeven.project import Snapshot

DECISION = ("decision", "number", "release", "candidate", "verdict", "created", "key")
RELEASE = ("id", "package", "model", "model_version", "task", "runtimes", "hardware", "created", "key", "licences")
WITHHELD = "deploy-withheld"
CODES = ("release", "verdict", "key", "id", "package", "hardware", "sha256")
Pairs = list[tuple[str, Cell]]


def blocks(snapshot: Snapshot, words: Words) -> Iterator[Block]:
    """What was decided and why; where something was released: its identity, how to verify it, its parity."""
    held = snapshot.deploy
    if not held:
        return
    decision, release, parity = (held.get(part) or {} for part in ("decision", "release", "parity"))
    if decision:
        yield Facts(words("deploy-decision"), _chosen(decision, DECISION, words), step="deploy")
    if decision and not decision.get("release"):
        told = any(finding.get("code") == WITHHELD for finding in snapshot.findings)  # it names the reasons
        reasons = "" if told else "; ".join(str(reason) for reason in decision.get("reasons") or [])
        yield Note(f"{words('withheld')} {reasons}".strip(), tone="bad")
    if release:
        yield Facts(words("deploy-release"), _chosen(release, RELEASE, words), step="deploy")
        yield Note(words("verify"), command=verify_command(str(release.get("id") or decision.get("release"))))
    if parity:
        names = tuple(name for name, value in parity.items() if not isinstance(value, (list, dict)))
        yield Facts(words("deploy-parity"), _chosen(parity, names, words), step="deploy")


def verify_command(release: str) -> str:
    """The stock command that checks a release's signature, run in the project's folder."""
    return (
        f"model_signing verify key releases/{release} --signature releases/{release}/model.sig "
        "--public_key keys/release.pub"
    )


def _chosen(record: Mapping[str, Any], names: tuple[str, ...], words: Words) -> Pairs:
    """The named parts of a record that are there, nested ones on one line."""
    found: Pairs = []
    for name in names:
        value = record.get(name)
        if value in (None, "", [], {}) or name == "format":
            continue
        found.append((words.term("decision_number" if name == "number" else name), _leaf(name, value, words)))
    return found


def _leaf(name: str, value: Any, words: Words) -> Cell:
    if name == "decision":
        return said(words.term(str(value)))
    if quantity(value):
        return loose(value, "")
    if isinstance(value, Mapping):
        parts = (f"{words.term(str(key))} {_flat(item)}" for key, item in value.items() if item not in (None, ""))
        return said(words.joined(parts))
    if isinstance(value, bool):
        return Cell(words("yes" if value else "no"))
    if isinstance(value, int):
        return number(value, "")
    if isinstance(value, float):
        return loose(value, "")
    return said(value, code=name in CODES)


def _flat(value: Any) -> str:
    if isinstance(value, Mapping):
        return " ".join(str(item) for item in value.values() if item not in (None, ""))
    return str(value)
