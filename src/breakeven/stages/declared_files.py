"""Files that the business section names: the cap table's Open Cap Format and the answers of price research.

The economics room knows no file; here they are found, read within limits and handed over.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from breakeven.artifacts import unreadable
from breakeven.errors import DataError, Finding, Place

if TYPE_CHECKING:
    from breakeven.economics.captable import CapTable
    from breakeven.economics.plan import BusinessPlan

MAX_MB = 50


def paths(root: Path, plan: BusinessPlan) -> tuple[Path, ...]:
    """What the section's results depend on besides the section; a file that is not there is told when it is read."""
    named = [] if plan.cap_table is None or plan.cap_table.ocf is None else [plan.cap_table.ocf]
    return tuple(path for path in (_place(root, name) for name in named) if path.exists())


def _place(root: Path, name: str) -> Path:
    return root / Path(name).expanduser()


def cap_table(root: Path, plan: BusinessPlan) -> tuple[CapTable | None, list[Finding]]:
    """The table of the declared files, and what of them it has no place for; None where the section holds it itself."""
    from breakeven.economics.ocf_read import read_ocf

    if plan.cap_table is None or plan.cap_table.ocf is None:
        return None, []
    read = read_ocf(_texts(_place(root, plan.cap_table.ocf)))
    if not read.left_out:
        return read.table, []
    found = Finding("cap-table-left-out", "warning", "business", None, {"found": list(read.left_out)})
    return read.table, [found]


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
