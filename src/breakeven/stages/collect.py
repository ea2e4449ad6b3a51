"""collect: every source into one table, as found. It filters, derives and limits as the file says, and no more."""

from __future__ import annotations

import datetime
import difflib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, create_model, model_validator

from breakeven import tasks
from breakeven.artifacts import Manifest, file_hash, fingerprint, now, write_json
from breakeven.data import card as cards
from breakeven.data.cases import SHARED_ROLES, columns_of, names_of
from breakeven.data.expressions import derived, kept
from breakeven.data.limits import Limits, check_size, is_folder, regular
from breakeven.data.packages import cache_folder
from breakeven.data.sample import limited
from breakeven.data.snapshots import Snapshots
from breakeven.data.sources import Found, Source, of_text, read
from breakeven.data.structured import write_parquet
from breakeven.errors import ConfigError, DataError, Finding, IntegrityError, Place
from breakeven.pipeline import Context, Setup, Stage, Step
from breakeven.task import Task

if TYPE_CHECKING:
    import polars as pl

VERSION = 1
TABLE = "table.parquet"
EXPIRED = "older than"
TRIED_MB = 50.0
_AGE = re.compile(r"(\d+)\s*(h|d|w)")
_HOURS = {"h": 1, "d": 24, "w": 168}


class SharedFields(BaseModel):
    """Roles that fields can play in every task."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    slices: list[str] = Field([], description="fields to report every metric by")
    groups: list[str] = Field([], description="protected attributes, for fairness")
    id: str | None = Field(None, description="a stable id of the row: the split hangs on it")
    time: str | None = Field(None, description="when the row came about: for a split by time")
    columns: list[str] = Field([], description="columns of numbers that a payoff multiplies")
    other: dict[str, str | list[str]] = Field({}, description="roles that a task from outside this program declares")

    def roles(self) -> dict[str, str | list[str]]:
        """Role -> field names, without roles that nobody plays."""
        given = self.model_dump(mode="json")
        return {name: value for name, value in {**given.pop("other"), **given}.items() if value}


def _with_roles_of_tasks() -> type[SharedFields]:
    """The shared roles and those that the tasks of the table declare: a new task needs no line here."""
    roles = {role.name: role for name in tasks.TABLE for role in tasks.find(name).roles}
    more: dict[str, Any] = {
        name: (str | list[str] | None if role.many else str | None, Field(None, description=role.description))
        for name, role in roles.items()
        if name not in SharedFields.model_fields
    }
    return create_model("Fields", __base__=SharedFields, __doc__="Which field of the table plays which role.", **more)


if TYPE_CHECKING:
    Fields = SharedFields
else:
    Fields = _with_roles_of_tasks()


class Settings(BaseModel):
    """Where the data comes from, and which field plays which role."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str | Source | None = Field(
        None, description="shorthand for one source: a path, an address, or its settings"
    )
    sources: dict[str, str | Source] = Field({}, description="several sources by name, put one below the other")
    fields: Fields = Field(description="which field plays which role of the task")
    derive: dict[str, str] = Field({}, description="new columns as SQL expressions, over all sources together")
    where: str | None = Field(None, description="SQL condition that kept rows meet, such as length(text) > 0")
    limit: int | None = Field(
        None, gt=0, description="at most this many rows, stratified by target and slices; null: all"
    )
    licence: str | None = Field(None, description="licence of the data, where a source states none")
    rights: str | None = Field(None, description="rights in the content, where a source states none")
    provenance: str | None = Field(None, description="where the data was gathered, where a source states nothing")
    max_age: str | None = Field(None, description="remote sources are read anew after this long: 12h, 7d, 2w")
    memory_mb: int = Field(4_000, gt=0, description="memory that reading may take; a larger source is refused")
    max_columns: int = Field(2_000, gt=0, le=100_000, description="most columns of a table")
    max_cell_mb: float = Field(10.0, gt=0, le=1_000, description="largest single cell")

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        if (self.source is None) == (not self.sources):
            raise ValueError("give either source or sources")
        if self.max_age is not None and not _AGE.fullmatch(self.max_age):
            raise ValueError("max_age is a number and h, d or w, such as 7d")
        return self

    def named(self) -> dict[str, Source]:
        """Every source by name; the shorthand is called 'source'."""
        given = self.sources or {"source": self.source or ""}
        return {name: of_text(item) if isinstance(item, str) else item for name, item in given.items()}


@dataclass
class Gathered:
    """The table as it will be written, its card, and what is known of its sources."""

    frame: pl.DataFrame
    card: dict[str, Any]
    sources: list[dict[str, Any]]


def run(context: Context) -> None:
    """Reads, joins, filters and limits; writes the table, its card and its Croissant metadata."""
    write(context, gathered(context))


def gathered(context: Context) -> Gathered:
    """All sources as one table, filtered and limited, with its card."""
    setup, settings = context.setup, context.setup.config.collect
    roles = checked_roles(settings.fields.roles(), setup.task)
    expired = str(context.step.settings.get("snapshot", "")).startswith(EXPIRED)
    snapshots = Snapshots(context.store.root / "snapshots", refresh=expired)
    frame, dropped, found = _table(setup, snapshots, roles)
    for finding in (finding for item in found for finding in item.findings):
        context.find(finding)
    before = frame.height
    frame = limited(frame, settings.limit, names_of(roles, "target") + names_of(roles, "slices"), setup.seed)
    if frame.height < before:
        context.find(Finding("rows-limited", "info", "collect", fields={"rows": before, "limit": frame.height}))
    return Gathered(frame, _card(setup, frame, found, dropped, before), [item.card for item in found])


def checked_roles(roles: dict[str, Any], task: Task) -> dict[str, Any]:
    """The roles if the task knows them all and none that it requires is missing."""
    known = {role.name: role for role in task.roles}
    allowed = [*known, *SHARED_ROLES]
    for name in roles:
        if name not in allowed:
            nearest = [*difflib.get_close_matches(name, allowed, 1), None]
            raise ConfigError(
                "unknown-role",
                at=Place(field=f"collect.fields.{name}"),
                role=name,
                task=task.name,
                allowed=allowed,
                nearest=nearest[0],
            )
    for role in known.values():
        if role.required and not names_of(roles, role.name):
            raise ConfigError(
                "role-missing",
                at=Place(field="collect.fields"),
                role=role.name,
                task=task.name,
                description=role.description,
            )
    _check_target_apart(roles, task)
    return roles


def _check_target_apart(roles: dict[str, Any], task: Task) -> None:
    """The target among what the model reads would be the answer given away."""
    for role in (role for role in task.roles if role.required and role.name != "target"):
        for field in names_of(roles, "target"):
            if field in names_of(roles, role.name):
                place = Place(field=f"collect.fields.{role.name}")
                raise ConfigError("target-is-input", at=place, field=field, role=role.name)


def _table(setup: Setup, snapshots: Snapshots, roles: dict[str, Any]) -> tuple[pl.DataFrame, int, list[Found]]:
    """(rows that `where` keeps, how many it dropped, what was found in each source)."""
    settings = setup.config.collect
    found = [_read(name, source, setup, snapshots, roles) for name, source in settings.named().items()]
    frame = derived(_joined(found), settings.derive, "collect.derive")
    _check_fields(frame, roles, _place_of(settings))
    return *kept(frame, settings.where, "collect.where"), found


def tried(setup: Setup) -> int | None:
    """Rows that local files give, read and checked as a run would; None where a source is remote or takes long."""
    sources = list(setup.config.collect.named().values())
    if any(source.path is None for source in sources):
        return None
    if sum(_size_mb(setup.root / Path(source.path or "").expanduser()) for source in sources) > TRIED_MB:
        return None
    roles = checked_roles(setup.config.collect.fields.roles(), setup.task)
    frame, _, _ = _table(setup, Snapshots(setup.root / setup.area / "snapshots"), roles)
    height: int = frame.height
    return height


def _read(name: str, source: Source, setup: Setup, snapshots: Snapshots, roles: dict[str, Any]) -> Found:
    settings = setup.config.collect
    limits = Limits(settings.memory_mb, settings.max_columns, settings.max_cell_mb)
    keep = [field for role in ("id", "inputs", "target", "slices", "groups") for field in names_of(roles, role)]
    unit = setup.config.process.split.by if source.ledger is not None else None
    found = read(name, source, setup.root, limits, snapshots=snapshots, keep=keep, roles=roles, unit=unit)
    for part in ("licence", "rights", "provenance"):
        found.card[part] = found.card[part] or getattr(settings, part)
    return found


def _joined(found: list[Found]) -> pl.DataFrame:
    import polars as pl

    if len(found) == 1:
        return found[0].frame
    try:
        return pl.concat([item.frame for item in found], how="diagonal_relaxed")
    except pl.exceptions.PolarsError as error:
        names = [item.card["name"] for item in found]
        raise DataError(
            "sources-differ", at=Place(field="collect.sources"), sources=names, reason=str(error).splitlines()[0]
        ) from error


def _check_fields(frame: pl.DataFrame, roles: dict[str, Any], file: str | None) -> None:
    for name in columns_of(roles):
        if name not in frame.columns:
            nearest = [*difflib.get_close_matches(name, frame.columns, 1), None]
            raise DataError(
                "field-missing", at=Place(file=file, field=name), columns=frame.columns[:30], nearest=nearest[0]
            )


def _place_of(settings: Settings) -> str | None:
    sources = list(settings.named().values())
    return sources[0].location if len(sources) == 1 else None


def _card(setup: Setup, frame: pl.DataFrame, found: list[Found], dropped: int, before: int) -> dict[str, Any]:
    settings = setup.config.collect
    roles = settings.fields.roles()
    kinds = {field: role.kind for role in setup.task.roles for field in names_of(roles, role.name)}
    kinds |= dict.fromkeys(names_of(roles, "id"), "id") | dict.fromkeys(names_of(roles, "time"), "time")
    filtered = dropped + sum(item.card["dropped"] for item in found)
    where = settings.where or next((source.where for source in settings.named().values() if source.where), None)
    return {
        "format": cards.FORMAT,
        "rows": frame.height,
        "rows_read": before + filtered,
        "columns": cards.columns(frame, kinds),
        "sources": [{name: value for name, value in item.card.items() if name != "dropped"} for item in found],
        "filtered": {"where": where, "dropped": filtered},
        "limit": settings.limit,
        "limited": {
            "dropped": before - frame.height,
            "seed": setup.seed,
            "stratified_by": names_of(roles, "target") + names_of(roles, "slices"),
        },
    }


def write(context: Context, table: Gathered) -> None:
    """table.parquet, card.json and croissant.json into the step's folder."""
    path = context.folder / TABLE
    write_parquet(table.frame, path)
    write_json(context.folder / "card.json", table.card)
    name = str(context.setup.config.product.name)
    write_json(context.folder / "croissant.json", cards.croissant(name, table.card, file_hash(path), now()))
    if any(source["rights"] == "not established" for source in table.sources):
        context.find(Finding("rights-not-established", "warning", "collect"))


def _files(setup: Setup, sources: dict[str, Source]) -> tuple[Path, ...]:
    files: list[Path] = []
    memory = setup.config.collect.memory_mb
    for source in sources.values():
        if source.path is not None:
            path = setup.root / Path(source.path).expanduser()
            files.append(regular(path, folder=is_folder(path)))
            if not is_folder(path):
                # Asked before planning hashes the content, which takes long for a file that is refused anyway.
                check_size(path.stat().st_size, str(path), Limits(memory_mb=memory, max_mb=source.max_mb))
    return tuple(files)


def _refresh(setup: Setup) -> bool:
    return bool(getattr(setup, "refresh", False))


def _state(setup: Setup, sources: dict[str, Source]) -> str | None:
    """What stands for the content of remote sources: their snapshots' hashes, as they were when the step last ran.

    A refresh reads them now, so that a step whose sources gave the same again stays fresh.
    """
    remote = [source for source in sources.values() if source.remote]
    if not remote:
        return None
    root = setup.root / setup.area
    try:
        manifest = Manifest.read(root / "collect")
    except IntegrityError:
        manifest = None  # the plan says so
    last = (manifest.inputs.get("settings", {}) if manifest else {}).get("snapshot", "first")
    if _refresh(setup):
        last = _refreshed(setup, remote, last)
    if manifest is None:
        return "first"
    age = setup.config.collect.max_age
    if age is not None and _older(manifest.created, age):
        return f"{EXPIRED} {age}: {now()[:10]}"
    return str(last)


def _refreshed(setup: Setup, remote: list[Source], last: str) -> str:
    settings = setup.config.collect
    kept_ = Snapshots(setup.root / setup.area / "snapshots")
    before = [kept_.digest(source) for source in remote]
    anew = Snapshots(kept_.folder, refresh=True)
    limits = Limits(settings.memory_mb, settings.max_columns, settings.max_cell_mb)
    for source in remote:
        _ = anew.table(source, limits) if source.url_env else anew.data(source, limits)
    after = [kept_.digest(source) for source in remote]
    return last if before == after else fingerprint(after)


def _older(created: str, age: str) -> bool:
    match = _AGE.fullmatch(age)
    assert match is not None, "checked with the settings"
    hours = int(match[1]) * _HOURS[match[2]]
    made = datetime.datetime.fromisoformat(created)
    return datetime.datetime.now(datetime.UTC) - made > datetime.timedelta(hours=hours)


def steps(setup: Setup) -> list[Step]:
    """One step; local files count by content, remote ones by the snapshot that was read."""
    settings = setup.config.collect
    sources = settings.named()
    checked_roles(settings.fields.roles(), setup.task)
    values = {f"collect.{name}": value for name, value in settings.model_dump(mode="json", exclude={"max_age"}).items()}
    values["collect.fields"] = settings.fields.roles()
    values["seed"] = setup.seed
    if (state := _state(setup, sources)) is not None:
        values["snapshot"] = state
    if any(source.ledger is not None for source in sources.values()):
        values["ledger"] = _ledger_state(setup)
    return [Step("collect", VERSION, run, values, _files(setup, sources))]


def _ledger_state(setup: Setup) -> str:
    """What stands for the ledger's rows: their hash when they were last asked for. A refresh asks now."""
    if _refresh(setup):
        from breakeven.data.ledger_source import labelled

        return labelled(setup.root, setup.config.collect.fields.roles(), unit=setup.config.process.split.by).digest
    try:
        manifest = Manifest.read(setup.root / setup.area / "collect")
    except IntegrityError:
        manifest = None  # the plan says so
    last = (manifest.inputs.get("settings", {}) if manifest else {}).get("ledger", "first")
    return str(last)


def estimate(setup: Setup) -> list[dict[str, Any]]:
    """One row: memory by the size of local files, downloads by the stated size of what is not cached yet."""
    sources = list(setup.config.collect.named().values())
    sizes = [_size_mb(setup.root / Path(source.path).expanduser()) for source in sources if source.path is not None]
    archives = {str(source.sha256): source.size_mb or 0.0 for source in sources if source.package is not None}
    missing = [size for digest, size in archives.items() if not (cache_folder() / digest).is_dir()]
    missing += [source.size_mb or 0.0 for source in sources if source.remote]
    return [{
        "step": "collect", "what": ", ".join(source.location for source in sources), "minutes": sum(missing) / 120,
        "memory_gb": round(0.2 + 4 * sum(sizes) / 1000, 2), "download_mb": round(sum(missing), 1), "money": 0.0,
        "origin": "assumed",
    }]  # fmt: skip


def _size_mb(path: Path) -> float:
    try:
        return path.stat().st_size / 1e6
    except OSError:
        return 0.0


STAGE = Stage("collect", Settings, steps, estimate)
