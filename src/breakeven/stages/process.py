"""process: selects, drops, splits and reports; it never changes a value.

What changes values, in rows and requests alike, is a transform: fitted here on the training rows, applied by all who
read them.
"""

from __future__ import annotations

import difflib
from collections import Counter
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from breakeven.artifacts import write_json
from breakeven.data import duplicates, labels, splits
from breakeven.data.cases import ROWS, columns_of, fields_of_kind, load_cases
from breakeven.data.selection import Selection, strings
from breakeven.data.structured import write_parquet
from breakeven.errors import DataError, Finding, Level, Place, counted, message
from breakeven.pipeline import Context, Setup, Stage, Step

if TYPE_CHECKING:
    import polars as pl

VERSION = 1
FORMAT = 1
SPLITS = (splits.TRAIN, splits.VALIDATION, splits.TEST)
IMBALANCE = 20
_YEAR_FIRST = r"^\s*\d{4}[-/.]\d"
_ADVICE = {  # what to look at first where nothing is left
    "missing_target": "no-rows-labels",
    "empty_input": "no-rows-inputs",
    "missing_time": "no-rows-times",
    "conflicting_label": "no-rows-conflicts",
}


class Split(BaseModel):
    """Shares and the rule by which rows take sides."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    validation: float = Field(0.15, gt=0, lt=1, description="share of rows for choices made while training")
    test: float = Field(0.15, gt=0, lt=1, description="share of rows for the report only")
    by: str | None = Field(None, description="a field whose equal values stay on one side, and are resampled together")
    kind: Literal["hash", "stratified", "grouped", "temporal"] = Field(
        "hash",
        description="hash: no row changes side as data grows; stratified: exact shares of classes; temporal: newest "
        "rows are the test",
    )
    seed: int = Field(0, description="another seed is another split")

    @model_validator(mode="after")
    def _consistent(self) -> Split:
        if self.validation + self.test >= 1:
            raise ValueError("validation and test together must leave rows to train on")
        if self.kind == "grouped" and self.by is None:
            raise ValueError("kind grouped needs by: the field whose values stay together")
        if self.kind == "temporal" and self.by is not None:
            raise ValueError("kind temporal goes by time and takes no by")
        return self


class Settings(BaseModel):
    """What is dropped, how rows are split, and which transforms rows and requests go through."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    split: Split = Field(Split(), description="train, validation, test")
    deduplicate: Literal["near", "exact", "none"] = Field(
        "near", description="which repeats are dropped, the first kept"
    )
    conflicts: Literal["drop", "keep"] = Field("drop", description="rows of one text under different labels")
    rare_classes: Literal["stop", "drop"] = Field("stop", description="what to do about a class with a single row")
    personal_data: Literal["mask", "report", "drop"] = Field(
        "mask", description="mask: by a transform, in rows and requests alike; drop: the rows that hold any"
    )
    personal_kinds: list[Literal["mail", "national_id", "card", "ip", "phone"]] = Field(
        ["mail", "national_id", "card", "ip", "phone"], description="which kinds are looked for"
    )
    personal_names: bool | str = Field(
        False,
        description="count persons and places too, by presidio (extra 'pii'): true for the installed spaCy models, or "
        "the name or folder of one",
    )
    transforms: list[str | dict[str, dict[str, Any]]] = Field(
        ["normalise"], description="applied in this order to rows and requests"
    )


def run(context: Context) -> None:
    """Drops, splits, reports, and fits the transforms."""
    settings: Settings = context.setup.config.process
    rows = _start(context)
    rows_in = len(rows)
    if _is_category(context):
        for finding in labels.spelling(rows.targets(), rows.roles["target"]):
            context.find(finding)  # told before what they lead to: conflicts, rare classes
    rows.drop_missing()
    rows.drop_conflicts(drop=settings.conflicts == "drop")
    rows.drop_repeats(settings.deduplicate)
    personal_data = _personal(rows, settings, context)
    _drop_rare(rows, settings, context)
    _assign(rows, settings)
    _check_classes(rows, context)
    report = _report(rows, rows_in, context) | {"personal_data": personal_data}
    _find(rows, report, context)
    _write(rows, report, context)


def _start(context: Context) -> Selection:
    import polars as pl

    frame = pl.read_parquet(context.need("collect") / "table.parquet")
    by = context.setup.config.process.split.by
    if by is not None and by not in frame.columns:
        nearest = [*difflib.get_close_matches(by, frame.columns, 1), None]
        raise DataError("field-missing", at=Place(field=by), columns=frame.columns[:30], nearest=nearest[0])
    return Selection(frame, context.setup.config.collect.fields.roles())


def _personal(rows: Selection, settings: Settings, context: Context) -> dict[str, int]:
    """Counts personal data, and drops its rows where asked; masking is left to the transform."""
    fields = fields_of_kind(context.setup.task, rows.roles, "text")
    finds, holds = rows.count_personal(fields, settings.personal_kinds)
    if finds:
        action = {"mask": "personal-masked", "report": "personal-left", "drop": "personal-dropped"}
        words = {"found": counted(finds), "rows": sum(holds),
                 "action": message(action[settings.personal_data])}  # fmt: skip
        level: Level = "warning" if settings.personal_data == "report" else "info"
        context.find(Finding("personal-data", level, "process", fields=words))
    if settings.personal_data == "drop":
        rows.keep([not flag for flag in holds], "personal_data")
    return finds | _names(rows, fields, settings.personal_names, context)


def _names(rows: Selection, fields: list[str], wanted: bool | str, context: Context) -> dict[str, int]:
    """Persons and places counted where asked; a model's guesses are told, never masked."""
    if not wanted:
        return {}
    finds, unread = rows.count_names(fields, wanted if isinstance(wanted, str) else None)
    if finds:
        # A source has a location, too, and that is another thing.
        found = {"place" if kind == "location" else kind: count for kind, count in finds.items()}
        context.find(Finding("names-found", "warning", "process", fields={"found": counted(found)}))
    if unread:
        context.find(Finding("names-unread", "warning", "process", fields={"texts": unread}))
    return finds


def _drop_rare(rows: Selection, settings: Settings, context: Context) -> None:
    """Classes must be two or more, and a class of one row can be learnt or judged, never both."""
    if not len(rows):
        most = max(rows.dropped, key=lambda reason: rows.dropped[reason], default="")
        advice = message(_ADVICE[most]) if most in _ADVICE else ""
        raise DataError("no-rows-kept", at=Place(field="collect.fields"), dropped=counted(rows.dropped), advice=advice)
    if not _is_category(context):
        return
    counts = Counter(rows.targets())
    single = {label for label, count in counts.items() if count == 1}
    place = Place(field=rows.roles["target"])
    if single:
        labels.refuse_free_values(counts, rows.roles["target"], _distinct(rows))
    if single and settings.rare_classes == "stop" and len(counts) > 1:
        raise DataError(
            "class-of-one",
            at=place,
            classes=[labels.shown(label) for label in sorted(single)[:10]],
            counts=labels.listed(counts),
            before=_dropped(rows),
            spelling=_spelling(counts, rows.roles["target"]),
        )
    if len(counts) - len(single) < 2:
        raise DataError("one-class", at=place, counts=labels.listed(counts), before=_dropped(rows))
    rows.keep([target not in single for target in rows.targets()], "rare_class")


def _distinct(rows: Selection) -> dict[str, int]:
    """Column -> distinct values, of columns that could hold labels."""
    return {series.name: series.n_unique() for series in rows.frame.get_columns() if not series.dtype.is_float()}


def _spelling(counts: Counter[str], field: str) -> dict[str, Any] | str:
    """That some classes are one in several spellings, as the end of a hint; empty where none are."""
    found = [finding for finding in labels.spelling(list(counts), field) if finding.code == "labels-alike"]
    return message("spelling-too", **found[0].fields) if found else ""


def _dropped(rows: Selection) -> dict[str, Any] | str:
    """What was dropped before, as the end of a sentence; empty where nothing was."""
    return message("after-dropping", dropped=counted(rows.dropped)) if rows.dropped else ""


def _is_category(context: Context) -> bool:
    return any(role.name == "target" and role.kind == "category" for role in context.setup.task.roles)


def _assign(rows: Selection, settings: Settings) -> None:
    """`_id`, `_unit` and `_split` of every kept row."""
    import polars as pl

    split = settings.split
    ids, keys = rows.identities()
    units = ids
    if split.by is not None:
        units = keys = [value or "" for value in strings(rows.frame, split.by)]
    if split.kind == "temporal":
        sides = splits.temporal(_times(rows), split.validation, split.test)
    elif split.kind == "stratified":
        sides = splits.stratified(keys, rows.targets(), split.validation, split.test, split.seed)
    else:
        sides = splits.by_hash(keys, split.validation, split.test, split.seed)
    empty = [side for side in SPLITS if side not in set(sides.to_list())]
    if empty:
        place = Place(field="process.split")
        raise DataError("split-empty", at=place, empty=empty, rows=len(rows), kind=split.kind)
    columns = {"_id": ids, "_split": sides.to_list(), "_unit": units}
    rows.frame = rows.frame.with_columns(*(pl.Series(name, values) for name, values in columns.items()))


def _times(rows: Selection) -> pl.Series:
    import polars as pl

    name = rows.roles.get("time")
    if name is None:
        raise DataError("split-without-time", at=Place(field="process.split.kind"))
    series = rows.frame[name]
    if series.dtype != pl.String:
        return series
    clock = bool(series.str.contains(":").any())
    if not series.drop_nulls().str.contains(_YEAR_FIRST).all():
        raise _unreadable(series, clock=clock)  # 10/6/25 would be read, and as the year 10
    try:
        return series.str.to_datetime(time_zone="UTC") if clock else series.str.to_date()
    except (pl.exceptions.PolarsError, ValueError) as error:
        raise _unreadable(series, clock=clock) from error


def _unreadable(series: pl.Series, *, clock: bool) -> DataError:
    """Which of the times could not be read, and how many of them."""
    import polars as pl

    try:
        read = series.str.to_datetime(time_zone="UTC", strict=False) if clock else series.str.to_date(strict=False)
        readable = read.is_not_null() & series.str.contains(_YEAR_FIRST)
        bad = series.filter(~readable & series.is_not_null())
    except pl.exceptions.PolarsError:
        bad = series  # no form was found that any of them has
    words = {"example": bad[0] if len(bad) else series[0], "count": len(bad), "rows": len(series)}
    return DataError("time-unreadable", at=Place(field=series.name), **words)


def _check_classes(rows: Selection, context: Context) -> None:
    """Findings on classes too few to learn or to judge; a class that no training row shows is dropped."""
    if not _is_category(context):
        return
    sides = rows.frame["_split"].to_list()
    trained = {target for target, side in zip(rows.targets(), sides, strict=True) if side == splits.TRAIN}
    lost = sorted(set(rows.targets()) - trained)
    if lost:
        words: dict[str, Any] = {"classes": [labels.shown(label) for label in lost]}
        context.find(Finding("class-not-trained", "problem", "process", fields=words))
        rows.keep([target in trained for target in rows.targets()], "class_not_in_train")
    totals, tested = Counter(rows.targets()), _classes(rows)[splits.TEST]
    if few := labels.too_few_tested(totals, tested, context.setup.config.process.split.test):
        context.find(few)
    if max(totals.values()) > IMBALANCE * min(totals.values()):
        ordered = totals.most_common()
        words = {
            "most": labels.shown(ordered[0][0]),
            "least": labels.shown(ordered[-1][0]),
            "counts": labels.listed(totals),
        }
        context.find(Finding("classes-unbalanced", "info", "process", fields=words))


def _classes(rows: Selection) -> dict[str, dict[str, int]]:
    """Side -> class -> rows."""
    pairs = Counter(zip(rows.frame["_split"].to_list(), rows.targets(), strict=True))
    return {side: {label: count for (where, label), count in sorted(pairs.items()) if where == side} for side in SPLITS}


def _report(rows: Selection, rows_in: int, context: Context) -> dict[str, Any]:
    """`report.json`; what was dropped and what was kept add up to what came in, or this is a bug."""
    if rows_in != sum(rows.dropped.values()) + len(rows):
        raise AssertionError(f"{rows_in} rows came in, {dict(rows.dropped)} dropped, {len(rows)} kept")
    classes = _classes(rows) if _is_category(context) else {}
    totals = Counter(rows.targets()) if classes else Counter()
    sides = rows.frame["_split"].to_list()
    return {
        "format": FORMAT,
        "rows_in": rows_in,
        "dropped": dict(rows.dropped),
        "rows_out": len(rows),
        "splits": {side: sides.count(side) for side in SPLITS},
        "split_rule": context.setup.config.process.split.model_dump(mode="json"),
        "classes": classes,
        "balance": {label: count / len(rows) for label, count in sorted(totals.items())},
        "duplicates": {
            "exact": rows.found["exact"],
            "near": rows.found["near"],
            "across_split": _across(rows.roots, sides),
            "rule": duplicates.RULE,
        },
        "conflicts": rows.found["conflicts"],
        "near_conflicts": rows.found["near_conflicts"],
        "columns": _columns(rows),
    }


def _across(roots: list[str], sides: list[str]) -> int:
    """Rows outside training whose text, or nearly it, is also trained on."""
    trained = {root for root, side in zip(roots, sides, strict=True) if side == splits.TRAIN}
    return sum(side != splits.TRAIN and root in trained for root, side in zip(roots, sides, strict=True))


def _columns(rows: Selection) -> dict[str, Any]:
    """Missing values by column, and columns of one value."""
    columns = rows.frame.drop("_id", "_split", "_unit").get_columns()
    return {
        "missing": {series.name: int(series.null_count()) for series in columns if series.null_count()},
        "constant": [series.name for series in columns if series.drop_nulls().n_unique() <= 1],
    }


def _find(rows: Selection, report: dict[str, Any], context: Context) -> None:
    """What a reader of the report should not miss."""
    used, missing = columns_of(rows.roles), report["columns"]["missing"]
    texts = fields_of_kind(context.setup.task, rows.roles, "text")
    if texts and all(_holds_numbers(rows.frame[name]) for name in texts):
        words: dict[str, Any] = {"fields": texts, "task": context.setup.task.name}
        context.find(Finding("texts-are-numbers", "warning", "process", fields=words))
    for name in (name for name in report["columns"]["constant"] if name in used):
        context.find(Finding("column-constant", "warning", "process", name, {"field": name}))
    for name in (name for name in missing if name in used):
        words = {"field": name, "count": missing[name], "share": round(100 * missing[name] / len(rows), 1)}
        context.find(Finding("column-missing", "info", "process", name, words))
    exact, near = report["duplicates"]["exact"], report["duplicates"]["near"]
    if exact or near:
        shares = {
            f"{name}_share": round(100 * count / report["rows_in"], 1)
            for name, count in (("exact", exact), ("near", near))
        }
        context.find(Finding("texts-repeat", "info", "process", fields={"exact": exact, "near": near, **shares}))
    across = report["duplicates"]["across_split"]
    if across:
        context.find(Finding("text-on-both-sides", "problem", "process", fields={"rows": across}))
    if rows.found["skipped"]:
        words = {"pairs": rows.found["skipped"]}
        context.find(Finding("near-duplicates-capped", "warning", "process", fields=words))
    if rows.dropped:
        words = {"dropped": counted(rows.dropped), "rows_in": report["rows_in"], "rows_out": report["rows_out"]}
        context.find(Finding("rows-dropped", "info", "process", fields=words))


def _holds_numbers(series: pl.Series) -> bool:
    """Whether every value there is reads as a number; such columns are kept as text where they are the inputs."""
    import polars as pl

    return bool(series.cast(pl.Float64, strict=False).null_count() == series.null_count() < len(series))


def _write(rows: Selection, report: dict[str, Any], context: Context) -> None:
    from breakeven.transforms import Chain

    task, settings = context.setup.task, context.setup.config.process
    write_parquet(rows.frame, context.folder / ROWS)
    train = load_cases(context.folder, task, rows.roles, "train")
    Chain.fit(declared(settings), task, train.inputs).write(context.folder / "transforms.json")
    write_json(context.folder / "report.json", report)


def declared(settings: Settings) -> list[Any]:
    """The chain as declared, with masking at its end where personal data is to be masked."""
    chain: list[Any] = list(settings.transforms)
    if settings.personal_data == "mask":
        chain.append({"mask_personal_data": {"kinds": list(settings.personal_kinds)}})
    return chain


def steps(setup: Setup) -> list[Step]:
    """One step over the collected table."""
    values = {f"process.{name}": value for name, value in setup.config.process.model_dump(mode="json").items()}
    values |= {"collect.fields": setup.config.collect.fields.roles(), "task": [setup.task.name, setup.task.version]}
    return [Step("process", VERSION, run, values, needs=("collect",))]


def estimate(setup: Setup) -> list[dict[str, Any]]:
    """Seconds, for tables that one machine holds."""
    return [{"step": "process", "what": "duplicates, personal data, split", "minutes": 0.1, "memory_gb": 0.5,
             "download_mb": 0.0, "money": 0.0, "origin": "assumed"}]  # fmt: skip


STAGE = Stage("process", Settings, steps, estimate)
