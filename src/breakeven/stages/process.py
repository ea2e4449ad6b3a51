"""process: selects, drops, splits and reports; it never changes a value. What changes values alike in rows and requests is
a transform, fitted here on the training rows."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from breakeven.artifacts import write_json
from breakeven.data import duplicates, personal, splits
from breakeven.data.cases import ROWS, cases, columns_of, fields_of_kind, names_of
from breakeven.errors import DataError, Finding, Place
from breakeven.pipeline import Context, Setup, Stage, Step

if TYPE_CHECKING:
    import polars as pl

VERSION = 1
FORMAT = 1
SPLITS = (splits.TRAIN, splits.VALIDATION, splits.TEST)
# 97 rows of a class give its recall an interval of about ten points to either side.
ROWS_A_CLASS = 97
IMBALANCE = 20


class Split(BaseModel):
    """Shares and the rule by which rows take sides."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    validation: float = Field(0.15, gt=0, lt=1, description="share of rows for choices made while training")
    test: float = Field(0.15, gt=0, lt=1, description="share of rows for the report only")
    by: str | None = Field(None, description="a field whose equal values stay on one side, and are resampled together")
    kind: Literal["hash", "stratified", "grouped", "temporal"] = Field(
        "hash", description="hash: no row changes side as data grows; stratified: exact shares of classes; temporal: newest "
                            "rows are the test")
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
    deduplicate: Literal["near", "exact", "none"] = Field("near", description="which repeats are dropped, the first kept")
    conflicts: Literal["drop", "keep"] = Field("drop", description="rows of one text under different labels")
    rare_classes: Literal["stop", "drop"] = Field("stop", description="what to do about a class with a single row")
    personal_data: Literal["mask", "report", "drop"] = Field(
        "mask", description="mask: by a transform, in rows and requests alike; drop: the rows that hold any")
    personal_kinds: list[Literal["mail", "national_id", "card", "ip", "phone"]] = Field(
        list(personal.KINDS), description="which kinds are looked for")
    personal_names: bool = Field(False, description="count persons and places too, by presidio (extra 'pii')")
    transforms: list[str | dict[str, dict[str, Any]]] = Field(
        ["normalise"], description="applied in this order to rows and requests")


@dataclass
class Work:
    """The table on its way: the rows still kept, their texts, and what was dropped why."""

    frame: pl.DataFrame
    roles: dict[str, Any]
    texts: list[str]
    dropped: Counter[str] = field(default_factory=Counter)
    found: dict[str, Any] = field(default_factory=dict)

    def keep(self, mask: Any, reason: str) -> None:
        """Drops the rows where `mask` is false and counts them."""
        import polars as pl

        flags = [bool(flag) for flag in mask]
        gone = len(flags) - sum(flags)
        if gone:
            self.dropped[reason] += gone
            self.frame = self.frame.filter(pl.Series(flags))
            self.texts = [text for text, flag in zip(self.texts, flags, strict=True) if flag]

    def targets(self) -> list[str] | None:
        """The target of every row as text; None where there is no target."""
        import polars as pl

        name = self.roles.get("target")
        return None if name is None else [str(value) for value in self.frame[name].cast(pl.String).to_list()]


def run(context: Context) -> None:
    """Drops, splits, reports, and fits the transforms."""
    settings: Settings = context.setup.config.process
    work = _start(context)
    rows_in = work.frame.height
    _drop_missing(work)
    _drop_duplicates(work, context)
    _personal(work, settings, context)
    _drop_rare(work, settings, context)
    _assign(work, settings, context)
    _check_classes(work, context)
    report = _report(work, rows_in, context)
    _write(work, report, context)


def _start(context: Context) -> Work:
    import polars as pl

    frame = pl.read_parquet(context.need("collect") / "table.parquet")
    roles = context.setup.config.collect.fields.roles()
    by = context.setup.config.process.split.by
    if by is not None and by not in frame.columns:
        raise DataError("field-missing", at=Place(field=by), columns=frame.columns[:30], nearest=frame.columns[0])
    return Work(frame, roles, _texts(frame, names_of(roles, "inputs")))


def _texts(frame: pl.DataFrame, names: list[str]) -> list[str]:
    """What two rows are compared by: their inputs joined, in the form that ignores case and white space."""
    import polars as pl

    joined = frame.select(pl.concat_str([pl.col(name).cast(pl.String).fill_null("") for name in names], separator="\n"))
    return [duplicates.normal(text) for text in joined.to_series().to_list()]


def _drop_missing(work: Work) -> None:
    target, time = work.roles.get("target"), work.roles.get("time")
    if target is not None:
        labels = work.frame[target]
        if labels.null_count() == len(labels):
            raise DataError("no-labels", at=Place(field=target), rows=len(labels))
        blank = labels.cast(str).str.strip_chars() == ""
        work.keep((~(labels.is_null() | blank.fill_null(True))).to_list(), "missing_target")
    work.keep([bool(text) for text in work.texts], "empty_input")
    if time is not None:
        work.keep(work.frame[time].is_not_null().to_list(), "missing_time")


def _drop_duplicates(work: Work, context: Context) -> None:
    """Conflicts first, then exact, then near repeats; the first of the table stays, so appended rows change nothing."""
    settings: Settings = context.setup.config.process
    first: dict[str, int] = {}
    firsts = [first.setdefault(text, row) for row, text in enumerate(work.texts)]
    exact = sum(place != row for row, place in enumerate(firsts))
    conflicting = _conflicting(work, firsts)
    work.found.update(exact=exact, conflicts=sum(conflicting))
    if settings.conflicts == "drop":
        work.keep([not flag for flag in conflicting], "conflicting_label")
    if settings.deduplicate != "none":
        seen: set[str] = set()
        work.keep([not (text in seen or seen.add(text)) for text in work.texts], "exact_duplicate")  # type: ignore[func-returns-value]
    near = _near(work, context)
    repeats = (near.parent >= 0).tolist()
    work.found["near"] = sum(repeats) if settings.deduplicate != "none" else sum(repeats) - exact
    work.found["roots"] = [work.texts[root] for root in near.roots().tolist()]
    if settings.deduplicate == "near":
        work.keep([not flag for flag in repeats], "near_duplicate")
        work.found["roots"] = list(work.texts)


def _conflicting(work: Work, firsts: list[int]) -> list[bool]:
    targets = work.targets()
    if targets is None:
        return [False] * len(firsts)
    labels: dict[int, set[str]] = {}
    for place, target in zip(firsts, targets, strict=True):
        labels.setdefault(place, set()).add(target)
    return [len(labels[place]) > 1 for place in firsts]


def _near(work: Work, context: Context) -> duplicates.Near:
    """Near repeats among the kept rows, and how many of them carry another label than the text they repeat."""
    found = duplicates.near(work.texts)
    targets = work.targets()
    if targets is not None:
        pairs = [(row, parent) for row, parent in enumerate(found.parent.tolist()) if parent >= 0]
        work.found["near_conflicts"] = sum(targets[row] != targets[parent] for row, parent in pairs)
    if found.skipped:
        context.find(Finding("near-duplicates-capped", "warning", "process", fields={"pairs": found.skipped}))
    return found


def _personal(work: Work, settings: Settings, context: Context) -> None:
    """Counts personal data in every text field, drops its rows where asked; masking is left to the transform."""
    names = fields_of_kind(context.setup.task, work.roles, "text")
    counted: Counter[str] = Counter()
    holds = [False] * work.frame.height
    for name in names:
        texts = work.frame[name].cast(str).to_list()
        found, flags = personal.count(texts, settings.personal_kinds)
        counted.update(found)
        holds = [one or other for one, other in zip(holds, flags, strict=True)]
        if settings.personal_names:
            counted.update(personal.names([text for text in texts if text]))
    work.found["personal"] = dict(counted)
    if counted:
        action = {"mask": "masked in rows and requests", "report": "left as they are", "drop": "their rows dropped"}
        fields = {"found": ", ".join(f"{count} {kind}" for kind, count in counted.items()), "rows": sum(holds),
                  "action": action[settings.personal_data]}
        level: Any = "warning" if settings.personal_data == "report" else "info"
        context.find(Finding("personal-data", level, "process", fields=fields))
    if settings.personal_data == "drop" and any(holds):
        work.found["roots"] = [root for root, flag in zip(work.found["roots"], holds, strict=True) if not flag]
        work.keep([not flag for flag in holds], "personal_data")


def _drop_rare(work: Work, settings: Settings, context: Context) -> None:
    """One class is no problem to learn; a class of one row can be learnt or judged, never both."""
    name = work.roles.get("target")
    if name is None or not _is_category(context):
        return
    counts = Counter(work.targets() or [])
    stated = _counts(counts)
    if not counts:
        raise DataError("no-rows-kept", dropped=dict(work.dropped))
    single = sorted(label for label, count in counts.items() if count == 1)
    if single and settings.rare_classes == "stop" and len(counts) > 1:
        raise DataError("class-of-one", at=Place(field=name), classes=single[:10], counts=stated)
    if single:
        targets = work.targets() or []
        rare = [target in single for target in targets]
        work.found["roots"] = [root for root, flag in zip(work.found["roots"], rare, strict=True) if not flag]
        work.keep([not flag for flag in rare], "rare_class")
        counts = Counter(work.targets() or [])
    if len(counts) < 2:
        raise DataError("one-class", at=Place(field=name), counts=stated)


def _is_category(context: Context) -> bool:
    return any(role.name == "target" and role.kind == "category" for role in context.setup.task.roles)


def _assign(work: Work, settings: Settings, context: Context) -> None:
    """`_id`, `_unit` and `_split` of every kept row."""
    import polars as pl

    split = settings.split
    ids, keys = _identities(work)
    units = ids
    if split.by is not None:
        units = keys = [str(value) for value in work.frame[split.by].cast(pl.String).fill_null("").to_list()]
    shares: Any = (split.validation, split.test)
    if split.kind == "temporal":
        sides = splits.temporal(_times(work), *shares)
    elif split.kind == "stratified":
        sides = splits.stratified(keys, work.targets() or [""] * len(keys), *shares, split.seed)
    else:
        sides = splits.by_hash(keys, *shares, split.seed)
    work.frame = work.frame.with_columns(pl.Series("_id", ids), pl.Series("_split", sides.tolist()), pl.Series("_unit", units))
    counts = Counter(sides.tolist())
    empty = [side for side in SPLITS if not counts[side]]
    if empty:
        raise DataError("split-empty", at=Place(field="process.split"), empty=empty, rows=work.frame.height, kind=split.kind)
    work.found["across_split"] = _across(work.found["roots"], sides.tolist())


def _identities(work: Work) -> tuple[list[str], list[str]]:
    """(ids, keys the split hangs on): the declared id, else the content; near-repeats share the key of their first."""
    name = work.roles.get("id")
    roots: list[str] = work.found["roots"]
    if name is None:
        repeated: Counter[str] = Counter()
        ids = []
        for text in work.texts:
            repeated[text] += 1
            ids.append(_digest(text) + (f"-{repeated[text]}" if repeated[text] > 1 else ""))
        return ids, [_digest(root) for root in roots]
    ids = [str(value) for value in work.frame[name].cast(str).to_list()]
    if len(set(ids)) < len(ids):
        twice = next(value for value, count in Counter(ids).items() if count > 1)
        raise DataError("id-not-unique", at=Place(field=name), value=twice, rows=len(ids) - len(set(ids)))
    of_root = dict(zip(reversed(work.texts), reversed(ids), strict=True))
    return ids, [of_root.get(root, value) for root, value in zip(roots, ids, strict=True)]


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=10).hexdigest()


def _times(work: Work) -> pl.Series:
    import polars as pl

    name = work.roles.get("time")
    if name is None:
        raise DataError("split-without-time", at=Place(field="process.split.kind"))
    series = work.frame[name]
    if series.dtype != pl.String:
        return series
    try:
        return series.str.to_datetime(strict=True, time_zone=None) if series.str.contains(":").any() else series.str.to_date()
    except (pl.exceptions.PolarsError, ValueError) as error:
        raise DataError("time-unreadable", at=Place(field=name), example=series[0]) from error


def _across(roots: list[str], sides: list[str]) -> int:
    """Rows outside training whose text, or nearly it, is also trained on."""
    trained = {root for root, side in zip(roots, sides, strict=True) if side == splits.TRAIN}
    return sum(side != splits.TRAIN and root in trained for root, side in zip(roots, sides, strict=True))


def _check_classes(work: Work, context: Context) -> None:
    """Findings on classes that are too few to learn from or to judge; a class nobody trains on is dropped."""
    import polars as pl

    if work.roles.get("target") is None or not _is_category(context):
        return
    sides, targets = work.frame["_split"].to_list(), work.targets() or []
    counts = {side: Counter(t for t, s in zip(targets, sides, strict=True) if s == side) for side in SPLITS}
    lost = sorted(set(targets) - set(counts[splits.TRAIN]))
    if lost:
        context.find(Finding("class-not-trained", "problem", "process", fields={"classes": lost}))
        flags = [target not in lost for target in targets]
        work.found["roots"] = [root for root, flag in zip(work.found["roots"], flags, strict=True) if flag]
        work.keep(flags, "class_not_in_train")
    test = context.setup.config.process.split.test
    for label in sorted(counts[splits.TRAIN]):
        found = counts[splits.TEST][label]
        if found < ROWS_A_CLASS:
            share = (counts[splits.TRAIN][label] + counts[splits.VALIDATION][label] + found) / len(targets)
            fields = {"label": label, "found": found, "needed": ROWS_A_CLASS, "rows": round(ROWS_A_CLASS / test / share)}
            context.find(Finding("test-rows-few", "problem" if not found else "warning", "process", label, fields))
    totals = Counter(targets)
    if max(totals.values()) > IMBALANCE * min(totals.values()):
        fields = {"most": totals.most_common(1)[0][0], "least": totals.most_common()[-1][0], "counts": _counts(totals)}
        context.find(Finding("classes-unbalanced", "info", "process", fields=fields))
    assert work.frame.select(pl.len()).item() == len(work.texts)


def _report(work: Work, rows_in: int, context: Context) -> dict[str, Any]:
    """`report.json`; what was dropped and what was kept add up to what came in, or this is a bug."""
    frame, rows_out = work.frame, work.frame.height
    assert rows_in == sum(work.dropped.values()) + rows_out, "dropped rows do not add up"
    targets, sides = work.targets(), frame["_split"].to_list()
    classes = {side: dict(sorted(Counter(t for t, s in zip(targets or [], sides, strict=bool(targets)) if s == side).items()))
               for side in SPLITS} if _is_category(context) else {}
    totals = Counter(targets or []) if classes else Counter()
    columns = _column_findings(frame, work, context)
    if work.found["across_split"]:
        context.find(Finding("text-on-both-sides", "problem", "process", fields={"rows": work.found["across_split"]}))
    if work.dropped:
        fields = {"dropped": ", ".join(f"{count} {reason.replace('_', ' ')}" for reason, count in work.dropped.items()),
                  "rows_in": rows_in, "rows_out": rows_out}
        context.find(Finding("rows-dropped", "info", "process", fields=fields))
    return {
        "format": FORMAT, "rows_in": rows_in, "dropped": dict(work.dropped), "rows_out": rows_out,
        "splits": {side: sides.count(side) for side in SPLITS}, "classes": classes,
        "duplicates": {"exact": work.found["exact"], "near": work.found["near"], "across_split": work.found["across_split"],
                       "rule": duplicates.RULE},
        "conflicts": work.found["conflicts"], "near_conflicts": work.found.get("near_conflicts", 0),
        "personal_data": work.found["personal"], "columns": columns,
        "balance": {label: count / rows_out for label, count in sorted(totals.items())},
        "split_rule": context.setup.config.process.split.model_dump(mode="json"),
    }


def _column_findings(frame: pl.DataFrame, work: Work, context: Context) -> dict[str, Any]:
    """Missing values by column, and columns of one value."""
    own = ("_id", "_split", "_unit")
    missing = {s.name: int(s.null_count()) for s in frame.get_columns() if s.null_count() and s.name not in own}
    constant = [s.name for s in frame.get_columns() if s.name not in own and s.drop_nulls().n_unique() <= 1]
    for name in sorted(set(constant) & set(columns_of(work.roles))):
        context.find(Finding("column-constant", "warning", "process", name, {"field": name}))
    for name in sorted(set(missing) & set(columns_of(work.roles))):
        fields = {"field": name, "count": missing[name], "share": round(100 * missing[name] / max(frame.height, 1), 1)}
        context.find(Finding("column-missing", "info", "process", name, fields))
    return {"missing": missing, "constant": constant}


def _write(work: Work, report: dict[str, Any], context: Context) -> None:
    from breakeven.transforms import Chain

    settings: Settings = context.setup.config.process
    work.frame.write_parquet(context.folder / ROWS, compression="zstd", statistics=False)
    train = cases(context.folder, context.setup.task, work.roles, "train")
    Chain.fit(declared(settings), context.setup.task, train.inputs).write(context.folder / "transforms.json")
    write_json(context.folder / "report.json", report)


def declared(settings: Settings) -> list[Any]:
    """The chain as declared, with masking at its end where personal data is to be masked."""
    chain: list[Any] = list(settings.transforms)
    if settings.personal_data == "mask":
        chain.append({"mask_personal_data": {"kinds": list(settings.personal_kinds)}})
    return chain


def _counts(counts: Counter[str]) -> str:
    return ", ".join(f"{label}: {count}" for label, count in counts.most_common(20))


def steps(setup: Setup) -> list[Step]:
    """One step over the collected table."""
    values = {f"process.{name}": value for name, value in setup.config.process.model_dump(mode="json").items()}
    values |= {"collect.fields": setup.config.collect.fields.roles(), "task": [setup.task.name, setup.task.version]}
    return [Step("process", VERSION, run, values, needs=("collect",))]


def estimate(setup: Setup) -> list[dict[str, Any]]:
    """Seconds for the sizes that one machine holds."""
    return [{"step": "process", "what": "duplicates, personal data, split", "minutes": 0.1, "memory_gb": 0.5,
             "download_mb": 0.0, "money": 0.0, "origin": "assumed"}]


STAGE = Stage("process", Settings, steps, estimate)
