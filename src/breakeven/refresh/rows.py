"""Which rows a release was made from, which are fresh to it, and what must be forgotten of older tables."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from breakeven.artifacts import Store, write_atomic
from breakeven.data.cases import ROWS, names_of
from breakeven.errors import Place, UsageError

if TYPE_CHECKING:
    from breakeven.ledger.subjects import Erased
    from breakeven.packaging.release import Release
    from breakeven.project import Project

FOLDER = "refresh"
AREA = f"{FOLDER}/artifacts"
AREAS = ("artifacts", AREA)
_HOLDING = ("collect", "process", "train", "evaluate")  # steps whose files hold rows, or parts of some


@dataclass(frozen=True)
class Parts:
    """Places of test cases: `fair` were never trained or chosen on by the champion; of these, `fresh` are unknown to it
    and `established` are those it was judged on. `seen`: left out. `others`: the fresh ones that are not of the
    customer who gave most of the new rows, where there is one.
    """

    fair: list[int]
    fresh: list[int]
    established: list[int]
    seen: list[int]
    others: list[int] | None = None


def parts_of(ids: Iterable[str], sides: Mapping[str, str]) -> Parts:
    """Test cases by what the champion knows of them; `sides`: row id -> side, of the champion's rows."""
    known = [sides.get(name) for name in ids]
    fresh = [place for place, side in enumerate(known) if side is None]
    established = [place for place, side in enumerate(known) if side == "test"]
    seen = [place for place, side in enumerate(known) if side not in (None, "test")]
    return Parts(sorted([*fresh, *established]), fresh, established, seen)


def sides_of(root: Path, release: Release) -> dict[str, str]:
    """Row id -> side of every row that a release was made from; UsageError where that is not known here any more."""
    import polars as pl

    digest = str(release.info["lineage"]["steps"].get("process", {}).get("fingerprint"))
    path = _remembered(root, digest)
    if not path.is_file():
        found = (Store(root / area) for area in AREAS)
        stores = [store for store in found if _fingerprint(store) == digest]
        if not stores:
            raise UsageError("refresh-rows-unknown", at=Place(file=str(root)), release=release.id)
        remember(root, stores[0])
    frame = pl.read_parquet(path)
    return dict(zip(frame["_id"].to_list(), frame["_split"].to_list(), strict=True))


def remember(root: Path, store: Store) -> None:
    """Keeps ids and sides of the rows that a store holds now, so that they outlive it. No text is kept."""
    import io

    import polars as pl

    buffer = io.BytesIO()
    pl.read_parquet(store.folder("process") / ROWS, columns=["_id", "_split"]).write_parquet(buffer)
    write_atomic(_remembered(root, str(_fingerprint(store))), buffer.getvalue(), mode=0o600)


def _remembered(root: Path, digest: str) -> Path:
    return root / FOLDER / "rows" / f"{digest[:32]}.parquet"


def _fingerprint(store: Store) -> str | None:
    manifest = store.manifest("process")
    return None if manifest is None else manifest.fingerprint


def forget(project: Project, erased: Erased) -> dict[str, Any]:
    """Removes the steps of every area whose table holds rows of whoever was erased: `{rows: {area: rows}, releases}`.

    They are made anew by the next run or refresh, without those rows. `releases` names the releases whose example or
    check rows repeat such a text; a signed release is not changed: retire it and remove its folder.
    """
    from breakeven.project import Project as Opened

    counts: dict[str, int] = {}
    texts: set[str] = set()
    for area in AREAS:
        held = _held(project, project.root / area, erased)
        if not held:
            continue
        with Opened(project.root, area=area).lock():
            for step in _HOLDING:
                shutil.rmtree(project.root / area / step, ignore_errors=True)
        counts[area] = len(held)
        texts |= set(held)
    return {"rows": counts, "releases": _repeating(project.root / "releases", texts) if texts else []}


def _held(project: Project, area: Path, erased: Erased) -> list[str]:
    """The texts of an area's rows that must be forgotten, in the form in which texts are compared."""
    import polars as pl

    from breakeven.data.ledger_source import CUSTOMER, REQUEST, erased_rows
    from breakeven.data.selection import compared

    path = area / "collect" / "table.parquet"
    if not path.is_file() or CUSTOMER not in pl.read_parquet_schema(path):
        return []
    frame = pl.read_parquet(path)
    gone = frame.filter(pl.Series(erased_rows(frame[CUSTOMER], frame[REQUEST], erased), dtype=pl.Boolean))
    assert project.settings.collect is not None, "an area with a table was collected"
    return compared(gone, names_of(project.settings.collect.fields.roles(), "inputs"))


def _repeating(releases: Path, texts: set[str]) -> list[str]:
    """Releases whose packaged example or check rows hold one of the texts."""
    from breakeven.data.duplicates import normal

    found = set()
    for pattern in ("*/model/package.json", "*/model/check.json"):
        for path in releases.glob(pattern):
            if any(normal(text) in texts for text in _strings(json.loads(path.read_text("utf-8")))):
                found.add(path.parts[-3])
    return sorted(found)


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)
