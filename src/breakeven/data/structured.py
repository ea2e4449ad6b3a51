"""JSON Lines, Parquet and folders of text files as tables."""

from __future__ import annotations

import io
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from breakeven.data.columns import check_names
from breakeven.data.encoding import to_utf8
from breakeven.data.limits import MB, Limits, check_columns, check_size, read_bytes, regular
from breakeven.errors import DataError, EnvironmentFault, Place

if TYPE_CHECKING:
    import polars as pl

MAX_FILES = 1_000_000
LIST_TIMES = 15  # one JSON list is read whole: what that takes, in sizes of the file
_ROWS = 20_000  # objects held at a time


def read_json_lines(data: bytes, name: str, limits: Limits) -> pl.DataFrame:
    """One object a line (or one list of objects). Numbers keep their digits; nested values stay JSON text."""
    import polars as pl

    names: dict[str, None] = {}
    parts: list[pl.DataFrame] = []
    objects = _objects(data, name, limits)
    # Row by row Python takes many times the file; in blocks that never holds for more than one of them.
    while rows := list(itertools.islice(objects, _ROWS)):
        keys = dict.fromkeys(key for row in rows for key in row)
        names |= keys
        check_columns(len(names), name, limits)
        columns = {key: [_cell(row.get(key)) for row in rows] for key in keys}
        parts.append(pl.DataFrame(columns, schema=dict.fromkeys(keys, pl.String)))
    if not parts:
        raise DataError("no-rows", at=Place(file=name), found="the file is empty")
    titles = check_names(list(names), name)
    frame = pl.concat(parts, how="diagonal")
    frame.columns = titles
    return frame


def _objects(data: bytes, name: str, limits: Limits) -> Iterator[dict[str, Any]]:
    if data.lstrip()[:1] == b"[":
        check_size(len(data), name, limits, times=LIST_TIMES)
        for item in _json(data, name, None):
            yield _object(item, name, None)
        return
    for number, line in enumerate(io.BytesIO(data), 1):
        if line.strip():
            yield _object(_json(line, name, number), name, number)


def _object(item: Any, name: str, line: int | None) -> dict[str, Any]:
    if not isinstance(item, dict):
        raise DataError("json-not-an-object", at=Place(file=name, line=line), found=type(item).__name__)
    return item


def _json(text: bytes, name: str, line: int | None) -> Any:
    try:
        return json.loads(text, parse_float=_Written, parse_constant=_no_constant, object_pairs_hook=_once)
    except RecursionError as error:
        raise DataError("json-lines-deep", at=Place(file=name, line=line)) from error
    except ValueError as error:
        column = getattr(error, "colno", None)
        reason = getattr(error, "msg", None) or str(error)
        raise DataError(
            "json-lines-broken",
            at=Place(file=name, line=line or getattr(error, "lineno", None), column=column),
            reason=reason,
        ) from error


class _Written(float):
    """A number that remembers how it was written: the columns decide later whether a float can hold it."""

    text: str

    def __new__(cls, text: str) -> _Written:
        made = super().__new__(cls, text)
        made.text = text
        return made


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in names if names.count(key) > 1)!r} stands twice")
    return found


def _cell(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, _Written):
        return value.text
    return json.dumps(value, ensure_ascii=False)


def read_parquet(data: bytes, name: str, limits: Limits) -> pl.DataFrame:
    """A Parquet table. The footer is checked, and the size it promises is held against the budget, before decoding."""
    import polars as pl

    place = Place(file=name)
    if len(data) < 12 or data[-4:] != b"PAR1":
        raise DataError("parquet-truncated", at=place)
    if int.from_bytes(data[-8:-4], "little") > len(data) - 12:
        raise DataError("parquet-footer", at=place)
    try:
        names = pl.read_parquet_schema(io.BytesIO(data))
        check_columns(len(names), name, limits)
        check_names(list(names), name, None)
        rows = pl.scan_parquet(io.BytesIO(data)).select(pl.len()).collect().item()
        if rows * max(len(names), 1) * 8 > limits.memory_mb * MB:
            raise DataError("source-over-memory", at=place, need=rows * len(names) * 8 // MB, budget=limits.memory_mb)
        frame = pl.read_parquet(io.BytesIO(data))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError, OverflowError) as error:
        raise DataError("parquet-broken", at=place, reason=str(error).splitlines()[0][:200]) from error
    if not frame.height:
        raise DataError("no-rows", at=place, found="a table of 0 rows")
    return _flat(frame)


def write_parquet(frame: pl.DataFrame, path: Path) -> None:
    """`frame` into a file; a full or failing disk is named, whatever the library calls it."""
    import polars as pl

    try:
        # The lowest level takes a tenth of the time less, and a twentieth of the space more.
        frame.write_parquet(path, compression="zstd", compression_level=1, statistics=False)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise EnvironmentFault(
            "file-unwritable", at=Place(file=str(path)), reason=str(error).splitlines()[0]
        ) from error


def _flat(frame: pl.DataFrame) -> pl.DataFrame:
    """Nested columns as JSON text, categories as text, decimals as text (their digits matter)."""
    import polars as pl

    nested = [
        pl.col(name).struct.json_encode()
        if isinstance(kind, pl.Struct)
        else pl.col(name).map_elements(lambda value: json.dumps(list(value), default=str), return_dtype=pl.String)
        for name, kind in frame.schema.items()
        if kind.is_nested()
    ]
    plain = [
        pl.col(name).cast(pl.String)
        for name, kind in frame.schema.items()
        if isinstance(kind, pl.Categorical | pl.Enum | pl.Decimal)
    ]
    unsigned = [pl.col(name).cast(pl.String) for name, kind in frame.schema.items() if kind in (pl.UInt64, pl.Int128)]
    return frame.with_columns(*nested, *plain, *unsigned)


def read_folder(folder: Path, limits: Limits, *, encoding: str | None = None) -> tuple[pl.DataFrame, str]:
    """A text a file, the name of its sub-folder as `label`, its path as `id`; and the encodings found, joined."""
    import polars as pl

    regular(folder, folder=True)
    paths, rows, encodings, total = text_files(folder), [], set(), 0
    for path in paths:
        data = read_bytes(path, limits)
        total += len(data)
        if total > limits.max_mb * MB:
            raise DataError("source-too-large", at=Place(file=str(folder)), limit=limits.max_mb)
        text, found = to_utf8(data, str(path), encoding)
        encodings.add(found)
        rows.append((path.relative_to(folder).as_posix(), path.parent.name, text.decode()))
    if not rows:
        raise DataError("no-rows", at=Place(file=str(folder)), found="no <label>/<name>.txt below the folder")
    return pl.DataFrame(rows, schema=["id", "label", "text"], orient="row"), ", ".join(sorted(encodings))


def text_files(folder: Path) -> list[Path]:
    """The text files one level below a folder, sorted; links out of it and other kinds of files are left out."""
    # Not by a glob: that leaves out what it may not read, and says nothing.
    labels = [path for path in _listed(folder) if path.is_dir() and not path.is_symlink()]
    texts = (path for label in labels for path in _listed(label) if path.suffix == ".txt")
    found = [path for path in texts if path.is_file() and not path.is_symlink()]
    if len(found) > MAX_FILES:
        raise DataError("folder-too-many-files", at=Place(file=str(folder)), found=len(found), limit=MAX_FILES)
    return found


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise EnvironmentFault(
            "file-unreadable", at=Place(file=str(folder)), reason=error.strerror or str(error)
        ) from error
