"""Cells that several sections use, and the candidates of the verdict."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from breakeven.quantity import Origin, Quantity
from breakeven.report import numbers
from breakeven.report.blocks import Cell, Tone
from breakeven.report.origins import counted, quantity
from breakeven.report.words import Words

if TYPE_CHECKING:
    from breakeven.project import Snapshot

DIGEST = re.compile(r"[0-9a-f]{32,}")
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\S*")
Candidates = Mapping[str, Mapping[str, Any]]


def candidates(snapshot: Snapshot) -> Candidates:
    """The verdict's candidates, in the order of the ladder."""
    found: Candidates = (snapshot.verdict or {}).get("candidates") or {}
    return found


def shown_candidate(snapshot: Snapshot) -> str | None:
    """The candidate whose details are drawn: the chosen one, else the one of highest value, else the last."""
    found = candidates(snapshot)
    chosen = (snapshot.verdict or {}).get("chosen")
    if chosen in found:
        return str(chosen)
    worth = {name: held.value for name, item in found.items() if (held := quantity(item.get("value_per_1000")))}
    return max(worth, key=lambda name: worth[name]) if worth else next(reversed(list(found)), None)


def cell(data: Any, *, bare: bool = False) -> Cell:
    """A quantity's cell (`bare`: its head names the unit); what was not found out is n/a."""
    held = quantity(data)
    return Cell(quantity=held, bare=bare) if held else Cell(numbers.MISSING, tone="quiet")


def in_percent(held: Quantity) -> Quantity:
    """A share of money or customers as a reader says it: in percent."""
    return replace(held, unit="probability") if held.unit == "share" else held


def number(value: Any, unit: str = "rows") -> Cell:
    """A counted number's cell; n/a where the artifact does not say."""
    held = counted(value, unit) if isinstance(value, (int, float)) else quantity(value)
    return Cell(quantity=held) if held else Cell(numbers.MISSING, tone="quiet")


def said(value: Any, *, code: bool = False) -> Cell:
    """Words of an artifact; n/a where there are none."""
    if value is None or value == "":
        return Cell(numbers.MISSING, tone="quiet")
    text = " ".join("".join(letter if letter.isprintable() else " " for letter in str(value)).split())
    if MOMENT.fullmatch(text):
        return Cell(numbers.moment(text) or text)
    return Cell(text, code=code or bool(DIGEST.fullmatch(text)))


def judged(share: Any, words: str, origin: Origin, *, tone: Tone = "", method: str | None = None) -> Cell:
    """Words that state a share (`best: 97%`), with the share itself as their number."""
    if not isinstance(share, (int, float)):
        return Cell(words, tone=tone)
    return Cell(words, Quantity(float(share), "probability", origin, method=method), tone=tone)


def origin_of(found: Mapping[str, Any], name: str) -> Origin:
    """The origin of a candidate's number; assumed where it is not known."""
    held = quantity(found.get(name))
    return held.origin if held else "assumed"


def loose(data: Any, unit: str, origin: Origin = "measured") -> Cell:
    """A cell of Quantity JSON, or of a bare number that an artifact states in `unit`; n/a for neither."""
    bare = isinstance(data, (int, float)) and not isinstance(data, bool)
    return Cell(quantity=Quantity(float(data), unit, origin)) if bare else cell(data)


def machine_words(hardware: Any, words: Words) -> str:
    """A machine in words: processor, cores, memory, accelerators, system."""
    if not isinstance(hardware, Mapping):
        return str(hardware or "")
    parts = [str(hardware["cpu"])] if hardware.get("cpu") else []
    parts += [
        f"{hardware[key]} {unit}"
        for key, unit in (("cores", words.term("cores")), ("memory_gb", "GB"))
        if hardware.get(key)
    ]
    gpus = hardware.get("gpu")
    parts += [str(gpu) for gpu in gpus] if isinstance(gpus, list) else [str(gpus)] if gpus else []
    return ", ".join([*parts, *([str(hardware["os"])] if hardware.get("os") else [])])


def volumes_cell(intervals: Any, origin: Origin, words: Words) -> Cell:
    """Monthly volumes as words, the first of them as their number; a single point is no volume to sell at."""
    if not isinstance(intervals, list):
        return cell(None)
    wide = [(low, high) for low, high in intervals if high is None or high > low]
    held = Quantity(float(wide[0][0]), "answers/month", origin) if wide else None
    return Cell(spans(wide, words), held)


def spans(intervals: Sequence[tuple[float, float | None]], words: Words) -> str:
    """Intervals of volume as words: `from 12,300`, `12,300 to 15,000 and from 18,200`; none is said."""
    said = []
    for low, high in intervals:
        start = numbers.count(low)
        said.append(words("from", low=start) if high is None else words("from-to", low=start, high=numbers.count(high)))
    return words("and").join(said) if said else words("at-no-volume")
