"""The data card: what was found in a table, column by column; and the same as Croissant 1.1 metadata."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from breakeven.data.personal import mask

if TYPE_CHECKING:
    import polars as pl

FORMAT = 1
EXAMPLES = 3
EXAMPLE_CHARACTERS = 120
COUNT_EXACTLY = 100_000  # above this many rows, distinct values are estimated and marked so
_TIME = re.compile(r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?)?")
_CROISSANT = "http://mlcommons.org/croissant/1.1"
_TYPES = {"integer": "sc:Integer", "number": "sc:Float", "boolean": "sc:Boolean", "time": "sc:Date"}


def columns(frame: pl.DataFrame, roles: Mapping[str, str]) -> list[dict[str, Any]]:
    """One entry a column: kind, missing, distinct, range, examples. `roles`: kinds that the task declares."""
    counted = _distinct(frame)
    return [
        _column(series, roles.get(series.name), counted[series.name], frame.height > COUNT_EXACTLY)
        for series in frame.get_columns()
    ]


def _distinct(frame: pl.DataFrame) -> dict[str, int]:
    import polars as pl

    count = pl.all().approx_n_unique() if frame.height > COUNT_EXACTLY else pl.all().n_unique()
    row: dict[str, int] = frame.select(count).row(0, named=True)
    return row


def _column(series: pl.Series, kind: str | None, distinct: int, estimated: bool) -> dict[str, Any]:
    missing = int(series.null_count())
    examples = series.drop_nulls().head(EXAMPLES).to_list()
    entry: dict[str, Any] = {
        "name": series.name,
        "kind": kind or guess(series, distinct),
        "dtype": str(series.dtype),
        "missing": missing,
        "distinct": max(distinct - (missing > 0), 0),
        "distinct_estimated": estimated,
        "examples": [_example(value) for value in examples],
        "min": None,
        "max": None,
    }
    if series.dtype.is_numeric() or series.dtype.is_temporal():
        entry["min"], entry["max"] = _short(series.min()), _short(series.max())
    return entry


def guess(series: pl.Series, distinct: int) -> str:
    """The kind of a column nobody declared: number, time, category, id or text."""
    import polars as pl

    rows = max(len(series) - series.null_count(), 1)
    if series.dtype.is_temporal():
        return "time"
    if series.dtype == pl.Boolean:
        return "category"
    if series.dtype.is_numeric():
        return "id" if series.dtype.is_integer() and distinct == rows and rows > 20 else "number"
    sample = [str(value) for value in series.drop_nulls().head(50).to_list()]
    if sample and all(_TIME.fullmatch(value) for value in sample):
        return "time"
    if distinct <= max(20, rows // 50):
        return "category"
    longest = max((len(value) for value in sample), default=0)
    return "id" if distinct >= rows * 0.99 and longest <= 40 and not any(" " in value for value in sample) else "text"


def _example(value: Any) -> Any:
    """A value as an example: a card is passed around, so personal data in it is masked."""
    return _short(mask(value) if isinstance(value, str) else value)


def _short(value: Any) -> Any:
    if isinstance(value, bool | int) or value is None:
        return value
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else str(value)
    text = str(value)
    return text if len(text) <= EXAMPLE_CHARACTERS else text[: EXAMPLE_CHARACTERS - 1] + "…"


def croissant(name: str, card: Mapping[str, Any], table_sha256: str, created: str) -> dict[str, Any]:
    """Croissant 1.1 metadata of the collected table; checked by the format's own validator in a test."""
    sources: Sequence[Mapping[str, Any]] = card["sources"]
    licences = sorted({str(source["licence"]) for source in sources if source.get("licence")})
    rights = sorted({str(source["rights"]) for source in sources if source.get("rights")})
    return {
        "@context": _context(),
        "@type": "sc:Dataset",
        "name": name,
        "conformsTo": _CROISSANT,
        "description": f"The table collected for {name}: {card['rows']} rows from {len(sources)} source(s).",
        "license": licences or ["not established"],
        "usageInfo": rights or None,
        "url": _url(sources),
        "version": "1.0.0",
        "datePublished": created[:10],
        "creator": {"@type": "sc:Organization", "name": name},
        "citeAs": f"{name}, collected table",
        "isBasedOn": [str(source["location"]) for source in sources],
        "distribution": [
            {
                "@type": "cr:FileObject",
                "@id": "table",
                "name": "table.parquet",
                "contentUrl": "table.parquet",
                "encodingFormat": "application/x-parquet",
                "sha256": table_sha256,
            }
        ],
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": "rows",
                "name": "rows",
                "field": [_field(column) for column in card["columns"]],
            }
        ],
    }


def _field(column: Mapping[str, Any]) -> dict[str, Any]:
    dtype = str(column["dtype"])
    kind = (
        "integer"
        if dtype.startswith(("Int", "UInt"))
        else "number"
        if dtype.startswith("Float")
        else "boolean"
        if dtype == "Boolean"
        else "time"
        if dtype.startswith("Date")
        else "text"
    )
    return {
        "@type": "cr:Field",
        "@id": f"rows/{column['name']}",
        "name": column["name"],
        "description": f"{column['kind']}; {column['missing']} missing",
        "dataType": _TYPES.get(kind, "sc:Text"),
        "source": {"fileObject": {"@id": "table"}, "extract": {"column": column["name"]}},
    }


def _url(sources: Sequence[Mapping[str, Any]]) -> str:
    first = str(sources[0]["location"]) if sources else ""
    return first if first.startswith("http") else "table.parquet"


def _context() -> dict[str, Any]:
    """The context of the Croissant specification, as its section on JSON-LD prints it."""
    plain = (
        "column",
        "extract",
        "field",
        "fileProperty",
        "fileObject",
        "fileSet",
        "format",
        "includes",
        "isLiveDataset",
        "jsonPath",
        "key",
        "md5",
        "parentField",
        "path",
        "recordSet",
        "references",
        "regex",
        "repeated",
        "replace",
        "samplingRate",
        "separator",
        "source",
        "subField",
        "transform",
    )
    context: dict[str, Any] = {
        "@language": "en",
        "@vocab": "https://schema.org/",
        "sc": "https://schema.org/",
        "cr": "http://mlcommons.org/croissant/",
        "rai": "http://mlcommons.org/croissant/RAI/",
        "dct": "http://purl.org/dc/terms/",
        "prov": "http://www.w3.org/ns/prov#",
        "citeAs": "cr:citeAs",
        "conformsTo": "dct:conformsTo",
        "data": {"@id": "cr:data", "@type": "@json"},
        "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
        "examples": {"@id": "cr:examples", "@type": "@json"},
        "equivalentProperty": "cr:equivalentProperty",
    }
    context.update({name: f"cr:{name}" for name in plain})
    return context
