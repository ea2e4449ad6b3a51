"""Processed rows as the cases that models and scorings see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from breakeven.artifacts import unreadable
from breakeven.errors import IntegrityError, Place
from breakeven.task import Cases, Role, Task

if TYPE_CHECKING:
    import polars as pl

Split = Literal["train", "validation", "test"]
ROWS = "rows.parquet"
SHARED_ROLES = ("id", "time", "columns")  # every task has these beside its own roles


def load_cases(folder: Path, task: Task, fields: Mapping[str, Any], split: Split) -> Cases:
    """The cases of one side of the split, from the folder that `process` wrote, in the table's order.

    Inputs are as `Task.case` reads them, before any transform. `fields` maps role names to field names.
    """
    path = folder / ROWS
    frame = _read(path, columns_of(fields), split)
    rows = frame.drop("_id", "_unit").iter_rows(named=True)
    pairs = [task.case(row, fields) for row in rows]
    has_target = fields.get("target") is not None
    return Cases(
        ids=frame["_id"].to_list(),
        inputs=[item for item, _ in pairs],
        targets=[target for _, target in pairs] if has_target else None,
        slices={name: _texts(frame, name) for name in names_of(fields, "slices")},
        groups={name: _texts(frame, name) for name in names_of(fields, "groups")},
        columns={name: _numbers(frame, name, path) for name in names_of(fields, "columns")},
        units=frame["_unit"].to_list(),
    )


def names_of(fields: Mapping[str, Any], role: str) -> list[str]:
    """The field names that play a role, as a list; empty where none does."""
    value = fields.get(role)
    if value is None:
        return []
    return [value] if isinstance(value, str) else list(value)


def columns_of(fields: Mapping[str, Any]) -> list[str]:
    """Every field that plays any role, each once, in the order of the file."""
    return list(dict.fromkeys(name for role in fields for name in names_of(fields, role)))


def fields_of_kind(task: Task, fields: Mapping[str, Any], kind: str) -> list[str]:
    """Field names whose role the task declares with this kind (text, category ...)."""
    roles: Sequence[Role] = [role for role in task.roles if role.kind == kind]
    return list(dict.fromkeys(name for role in roles for name in names_of(fields, role.name)))


def _read(path: Path, columns: list[str], split: str) -> pl.DataFrame:
    import polars as pl

    wanted = list(dict.fromkeys([*columns, "_id", "_unit"]))
    try:
        lazy = pl.scan_parquet(path).filter(pl.col("_split") == split)
        return lazy.select(wanted).collect()
    except OSError as error:
        raise unreadable(path, error) from error
    except pl.exceptions.PolarsError as error:
        raise IntegrityError("rows-broken", at=Place(file=str(path)), reason=str(error).splitlines()[0]) from error


def _texts(frame: pl.DataFrame, name: str) -> list[Any]:
    import polars as pl

    texts: list[Any] = frame[name].cast(pl.String).to_list()
    return texts


def _numbers(frame: pl.DataFrame, name: str, path: Path) -> list[float]:
    import polars as pl

    try:
        values = frame[name].cast(pl.Float64)
    except pl.exceptions.PolarsError as error:
        raise IntegrityError("rows-not-a-number", at=Place(file=str(path), field=name)) from error
    return [0.0 if value is None else float(value) for value in values.to_list()]
