"""Files that the business section names: the cap table's Open Cap Format and the answers of price research.

The economics room knows no file; here they are found, read within limits and handed over.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from breakeven.artifacts import unreadable
from breakeven.errors import DataError, Finding, Place

if TYPE_CHECKING:
    from breakeven.economics.captable import CapTable
    from breakeven.economics.ocf_read import OcfTable
    from breakeven.economics.plan import BusinessPlan
    from breakeven.economics.price_studies import Studied
    from breakeven.economics.research_sections import Research

MAX_MB = 50


def paths(root: Path, plan: BusinessPlan) -> tuple[Path, ...]:
    """What the section's results depend on besides the section; a file that is not there is told when it is read."""
    named = [] if plan.cap_table is None or plan.cap_table.ocf is None else [plan.cap_table.ocf]
    named += [study.file for each in _researches(plan) for study in each.studies().values()]
    return tuple(path for path in (_place(root, name) for name in named) if path.exists())


def _researches(plan: BusinessPlan) -> list[Research]:
    """The research of the section and of its segments."""
    parts = (plan.research, *(segment.research for segment in plan.segments.values()))
    return [each for each in parts if each is not None]


def studies(root: Path, plan: BusinessPlan | None) -> tuple[Path, ...]:
    """The files of the price research alone: a recommended price depends on them, the cap table moves none."""
    named = [] if plan is None or plan.research is None else [study.file for study in plan.research.studies().values()]
    return tuple(path for path in (_place(root, name) for name in named) if path.exists())


def _place(root: Path, name: str) -> Path:
    return root / Path(name).expanduser()


def cap_table(root: Path, plan: BusinessPlan) -> tuple[CapTable | None, list[Finding]]:
    """The table of the declared files, and what of them it has no place for; None where the section holds it itself."""
    if plan.cap_table is None or plan.cap_table.ocf is None:
        return None, []
    read = ocf(_place(root, plan.cap_table.ocf), plan.currency)
    if not read.left_out:
        return read.table, []
    found = Finding("cap-table-left-out", "warning", "business", None, {"found": list(read.left_out)})
    return read.table, [found]


def ocf(place: Path, currency: str | None = None) -> OcfTable:
    """The cap table in a file or folder of Open Cap Format; DataError where its money is not all in `currency`."""
    from breakeven.economics.ocf_read import read_ocf

    read = read_ocf(_texts(place))
    expected = currency or next(iter(read.currencies), "")
    if set(read.currencies) - {expected}:
        about = {"found": list(read.currencies), "currency": expected}
        raise DataError("cap-table-currency", at=Place(file=str(place)), **about)
    return read


def _texts(place: Path) -> Mapping[str, str]:
    """The texts of one file, or of every .json file of a folder, by their place."""
    files = sorted(place.glob("*.json")) if place.is_dir() else [place]
    if not files:
        raise DataError("cap-table-files", at=Place(file=str(place)))
    if sum(_size(file) for file in files) > MAX_MB * 1_000_000:
        raise DataError("cap-table-too-big", at=Place(file=str(place)), limit=MAX_MB)
    return {str(file): _text(file) for file in files}


def _size(file: Path) -> int:
    try:
        status = file.stat()
    except OSError as error:
        raise unreadable(file, error) from error
    if not file.is_file():
        raise DataError("cap-table-files", at=Place(file=str(file)))
    return status.st_size


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise DataError("cap-table-not-utf8", at=Place(file=str(file))) from None
    except OSError as error:
        raise unreadable(file, error) from error


def research(root: Path, plan: BusinessPlan, *, seed: int = 0) -> Studied | None:
    """What the declared studies show; None where there are none."""
    from breakeven.economics.price_studies import study

    if plan.research is None:
        return None
    tables = {name: rows(root, each.file) for name, each in plan.research.studies().items()}
    leading = plan.price.leading if plan.price is not None and plan.price.plan is None else None
    return study(plan.research, tables, leading=leading, seed=seed)


def studied(root: Path, plan: BusinessPlan, *, seed: int = 0) -> Studied | Mapping[str, Studied] | None:
    """The same, by segment where the section has segments."""
    if not plan.segments:
        return research(root, plan, seed=seed)
    found = {name: research(root, plan.of_segment(name), seed=seed) for name in plan.segments}
    return {name: each for name, each in found.items() if each is not None}


def rows(root: Path, name: str) -> list[dict[str, Any]]:
    """The rows of a table, strictly read: whatever the format, every cell as it stands there."""
    from breakeven.data.limits import Limits
    from breakeven.data.snapshots import Snapshots
    from breakeven.data.sources import Source, read

    nowhere = Snapshots(root / ".none")  # a file here is never fetched, so nothing is kept there
    found = read(name, Source(path=name), root, Limits(max_mb=MAX_MB), snapshots=nowhere, keep=[])
    table: list[dict[str, Any]] = found.frame.to_dicts()
    return table
