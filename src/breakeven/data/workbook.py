"""Excel workbooks: one sheet as a table of texts. No macro is run, no link followed, no formula computed."""

from __future__ import annotations

import io
import posixpath
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from xml.parsers import expat

from breakeven.data.columns import check_names
from breakeven.data.limits import MB, Limits, check_columns
from breakeven.data.zips import BROKEN, opened
from breakeven.errors import DataError, Place, need_package

if TYPE_CHECKING:
    import polars as pl

ZIP_RATIO = 100  # a workbook that unpacks to more than this is a bomb
_RELATION = "http://schemas.openxmlformats.org/officeDocument/2006/relationships id"


def read_excel(data: bytes, name: str, limits: Limits, *, sheet: str | None = None) -> tuple[pl.DataFrame, Formulas]:
    """(one sheet, cells as text; its formulas). A formula gives the value that was kept with it."""
    import polars as pl

    _check_workbook(data, name, limits)
    try:
        import fastexcel
    except ModuleNotFoundError as error:
        raise need_package("fastexcel", "excel", purpose="Excel files") from error
    try:
        book = fastexcel.read_excel(data)
        if sheet is not None and sheet not in book.sheet_names:
            raise DataError("sheet-unknown", at=Place(file=name), sheet=sheet, sheets=book.sheet_names)
        if not book.sheet_names:
            raise DataError("no-rows", at=Place(file=name), found="a workbook without a sheet")
        title = sheet or book.sheet_names[0]
        frame = pl.DataFrame(book.load_sheet(title, header_row=None, dtypes="string").to_arrow())
    except fastexcel.FastExcelError as error:
        raise DataError("excel-broken", at=Place(file=name), reason=str(error).splitlines()[0]) from error
    check_columns(frame.width, name, limits)
    if frame.height < 2:
        raise DataError(
            "no-rows", at=Place(file=name), found="a header and no rows" if frame.height else "an empty sheet"
        )
    titles = check_names(["" if cell is None else cell for cell in frame.row(0)], name, 1)
    body = frame.slice(1)
    body.columns = titles
    return body, formulas(data, title)


def _check_workbook(data: bytes, name: str, limits: Limits) -> None:
    if not data.startswith(b"PK"):
        return
    most = min(max(len(data), 100_000) * ZIP_RATIO, limits.memory_mb * MB)
    try:
        size = opened(data, name).size(most)
    except BROKEN as error:
        raise DataError("excel-broken", at=Place(file=name), reason=str(error)) from error
    if size > most:
        raise DataError("excel-bomb", at=Place(file=name), size=most // MB, ratio=ZIP_RATIO)


@dataclass
class Formulas:
    """Cells of a sheet that hold a formula, and those of them that no program ever kept a value with."""

    cells: int = 0
    without_value: int = 0


def formulas(data: bytes, sheet: str) -> Formulas:
    """Counts the formulas of a sheet of an .xlsx workbook; other kinds of workbooks are not looked into."""
    counter = _Counter()
    if not data.startswith(b"PK"):
        return counter.found
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            member = _member(archive, sheet)
            if member is not None:
                _parse(archive, member, counter.start, text=counter.text, end=counter.end)
    except (zipfile.BadZipFile, KeyError, expat.ExpatError, RuntimeError):
        return Formulas()  # the reader took the sheet all the same: there is nothing to say about its formulas
    return counter.found


def _parse(archive: zipfile.ZipFile, member: str, start: Any, *, text: Any = None, end: Any = None) -> None:
    """Streams a part through the handlers; names come as 'namespace name'. A part that declares entities is refused."""
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, text
    parser.StartDoctypeDeclHandler = _refuse
    with archive.open(member) as stream:
        parser.ParseFile(stream)


def _refuse(*_: Any) -> None:
    raise RuntimeError("a document type, which no workbook needs")


def _member(archive: zipfile.ZipFile, sheet: str) -> str | None:
    """The part that holds a sheet, as the workbook's own relations name it."""
    names = set(archive.namelist())
    if not {"xl/workbook.xml", "xl/_rels/workbook.xml.rels"} <= names:
        return None
    keys, targets = {}, {}

    def of_book(name: str, attributes: dict[str, str]) -> None:
        if name.endswith(" sheet"):
            keys[attributes.get("name")] = attributes.get(_RELATION)

    def of_relations(name: str, attributes: dict[str, str]) -> None:
        targets[attributes.get("Id")] = attributes.get("Target", "")

    _parse(archive, "xl/workbook.xml", of_book)
    _parse(archive, "xl/_rels/workbook.xml.rels", of_relations)
    member = posixpath.normpath(posixpath.join("/xl", targets.get(keys.get(sheet), ""))).lstrip("/")
    return member if member in names else None


class _Counter:
    """Cell by cell: whether it held a formula, and whether a value stood beside it."""

    def __init__(self) -> None:
        self.found = Formulas()
        self.formula = self.value = self.inside = False

    def start(self, name: str, attributes: Any) -> None:
        """A cell begins, or its formula or its value."""
        tag = name.rpartition(" ")[2]
        if tag == "c":
            self.formula = self.value = False
        self.formula |= tag == "f"
        self.inside = tag in ("v", "t")

    def text(self, text: str) -> None:
        """Anything written as the value counts."""
        self.value |= self.inside

    def end(self, name: str) -> None:
        """The cell is counted when it ends."""
        self.inside = False
        if name.rpartition(" ")[2] == "c" and self.formula:
            self.found.cells += 1
            self.found.without_value += not self.value
