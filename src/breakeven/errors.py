"""Exceptions that stop and findings that inform, both rendered from one catalogue of codes.

An error is raised with a code and named fields; the words live in `catalogue/<language>/*.toml`, so that the terminal,
the HTTP answers, the report and a translation all say the same thing. Nothing here knows about any other room.
"""

from __future__ import annotations

import functools
import os
import re
import string
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

Level = Literal["info", "warning", "problem"]
TERM = "report-term-"
# Fields that may hold words said in English: what the system or a framework says, a name of ours.
PARTS = frozenset({"reason", "found", "what", "why", "purpose", "problem", "unit", "risk", "by"})
_TEXT = r'"((?:[^"\\]|\\["\\ntu])*)"'
_FORMS = re.compile(rf"\[([\w-]+)\]|([\w-]+) = {_TEXT}|([\w-]+) = \{{ text = {_TEXT} \}}|#.*|\s*")


@dataclass(frozen=True)
class Place:
    """Where a thing was found: any of a file, a line and column (from 1), a row, a field."""

    file: str | None = None
    line: int | None = None
    column: int | None = None
    row: int | None = None
    field: str | None = None

    def __str__(self) -> str:
        return self.said()

    def said(self, language: str | None = None) -> str:
        """The place in words: `reviews.csv:3:7`, `reviews.csv, row 5, field text`."""
        head = ":".join(str(part) for part in (self.file, self.line, self.column) if part is not None)
        parts = [head] if head else []
        if self.row is not None:
            parts.append(render("place-row", {"row": self.row}, language=language))
        if self.field is not None:
            parts.append(render("place-field", {"field": self.field}, language=language))
        return _joint("joint-words", language).join(parts)


class BreakevenError(Exception):
    """Root of every expected failure. `code` names a catalogue entry; `fields` fill its text."""

    exit_code = 70

    def __init__(self, code: str, *, at: Place | None = None, **fields: Any) -> None:
        self.code = code
        self.at = at or Place()
        self.fields = fields
        self.more: list[BreakevenError] = []  # further problems of the same kind, told after this one
        super().__init__(code)

    def located(self, **where: Any) -> BreakevenError:
        """The same error with more of its place known; used to add context on the way up."""
        missing = {name: value for name, value in where.items() if getattr(self.at, name) is None}
        self.at = replace(self.at, **missing)
        return self

    def __str__(self) -> str:
        return render(self.code, self.fields, at=self.at)

    def as_json(self, language: str | None = None) -> dict[str, Any]:
        """The error as the wire and `--json` carry it: the words in the reader's language, the code the same in all."""
        entry = catalogue(language).get(self.code, {})
        return {
            "code": self.code,
            "message": render(self.code, self.fields, at=self.at, language=language),
            "param": self.at.field,
            "hint": _hint(entry, self.fields, language) or None,
            "where": {name: value for name, value in asdict(self.at).items() if value is not None},
        }


class Refused(BreakevenError):
    """The answer is no: a gate refused, a reconciliation differs."""

    exit_code = 1


class UsageError(BreakevenError):
    """The command was called in a way that cannot work."""

    exit_code = 2


class ConfigError(UsageError):
    """The project file says something that cannot be meant."""


class DataError(BreakevenError):
    """The input data is broken or too little."""

    exit_code = 3


class InputError(DataError):
    """One payload of a request or a prediction is not what the task takes (HTTP 422)."""


class IntegrityError(BreakevenError):
    """A hash, signature, manifest or format does not hold; nothing was loaded."""

    exit_code = 4


class EnvironmentFault(BreakevenError):
    """The machine cannot do it now: disk, memory, port, database, permission, missing package, network."""

    exit_code = 5


class Busy(BreakevenError):
    """Another process holds what this one needs."""

    exit_code = 6


@dataclass(frozen=True)
class Finding:
    """Something a reader should know that does not stop the work. Rendered from the same catalogue."""

    code: str
    level: Level = "info"
    stage: str | None = None
    subject: str | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return render(self.code, self.fields)

    def as_json(self) -> dict[str, Any]:
        """The finding as artifacts and `--json` carry it, words included for readers without the catalogue."""
        return {
            "code": self.code,
            "level": self.level,
            "stage": self.stage,
            "subject": self.subject,
            "fields": dict(self.fields),
            "text": str(self),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Finding:
        """The inverse of `as_json`; the text is rendered anew."""
        return cls(
            data["code"], data.get("level", "info"), data.get("stage"), data.get("subject"), data.get("fields", {})
        )


def need_package(package: str, extra: str, *, purpose: str) -> EnvironmentFault:
    """The error for an optional package that is not installed; names the extra to install."""
    return EnvironmentFault("package-missing", package=package, extra=extra, purpose=purpose)


def message(code: str, **fields: Any) -> dict[str, Any]:
    """Words within words: as a field of an error or a finding it is rendered in the language of the whole."""
    return {"code": code, "fields": fields}


def term(name: str) -> dict[str, Any]:
    """A key of the data (a metric, a reason, a kind) as words within words; in plain words where nobody named it."""
    return message(f"{TERM}{name}")


def counted(counts: Mapping[str, int]) -> list[dict[str, Any]]:
    """How many of what, by keys of the data, as words within words."""
    return [message("counted", count=count, what=term(name)) for name, count in counts.items()]


class _Lenient(string.Formatter):
    """Fills `{name}` and leaves `?` for a name nobody gave: a message must never fail to print."""

    def __init__(self, language: str | None) -> None:
        self.language = language

    def get_value(self, key: int | str, args: Any, kwargs: Any) -> Any:
        value = kwargs.get(str(key), "?")
        return phrased(value, "parts", self.language) if key in PARTS and isinstance(value, str) else value

    def format_field(self, value: Any, format_spec: str) -> str:
        value = self._said(value)
        try:
            return str(super().format_field(value, format_spec))
        except (ValueError, TypeError):
            return str(value)

    def _said(self, value: Any) -> Any:
        """A message as its words, a list as its items side by side, anything else as it is."""
        if isinstance(value, (list, tuple, set)):
            joint = "joint-sentences" if any(map(_is_message, value)) else "joint-words"
            return _joint(joint, self.language).join(str(self._said(item)) for item in value)
        if _is_message(value):
            return render(value["code"], value["fields"], language=self.language)
        return value


def _is_message(value: Any) -> bool:
    return isinstance(value, Mapping) and value.keys() == {"code", "fields"}


def _joint(name: str, language: str | None) -> str:
    return catalogue(language)[name]["text"]


def fill(text: str, fields: Mapping[str, Any], language: str | None = None) -> str:
    """`text` with its `{name}` places filled from `fields`; lists and messages among them in `language`."""
    return _Lenient(language).vformat(text, (), fields)


def render(code: str, fields: Mapping[str, Any], *, at: Place | None = None, language: str | None = None) -> str:
    """The one sentence form: `where: what; expected ...; hint`."""
    entry = catalogue(language).get(code)
    if entry is None and code.startswith(TERM):
        return code.removeprefix(TERM).replace("_", " ")
    if entry is None:
        return f"{code}: " + ", ".join(f"{name}={value}" for name, value in fields.items())
    said = fill(entry["text"], fields, language)
    form = catalogue(language)["sentence-form"]
    where = at.said(language) if at is not None else ""
    if where:
        said = fill(form["text"], {"where": where, "said": said})
    if entry.get("expected"):
        expected = _apart(fill(entry["expected"], fields, language), form["expected"])
        said = fill(form["expected"], {"said": said, "expected": expected})
    hint = _hint(entry, fields, language)
    return fill(form["hint"], {"said": said, "hint": hint}) if hint else said


def _apart(text: str, form: str) -> str:
    """`text` as it stands in `form`: a space goes before Latin letters and signs where Chinese ones are before them."""
    before, text = form.split("{expected}")[0], text.strip()
    return f" {text}" if before and not before[-1].isascii() and text[:1].isascii() else text


def _hint(entry: Mapping[str, str], fields: Mapping[str, Any], language: str | None) -> str:
    """What to do next; empty where it depends on a field that nobody could supply: that is noise, not help."""
    text = entry.get("hint", "")
    named = [fields.get(name) for _, name, _, _ in string.Formatter().parse(text) if name]
    lacks = any(value is None or (isinstance(value, str) and value == "?") for value in named)
    return "" if lacks else fill(text, fields, language).strip()


def translated(said: str, prefix: str, language: str | None = None) -> str:
    """Words that were said in English, in a language: the first entry with `prefix` whose English fits them all.

    For sentences of rooms that know no catalogue, such as the checks of settings and the methods of measurements.
    """
    entries = catalogue(language)
    for code, pattern in _patterns(prefix):
        if found := pattern.fullmatch(said):
            parts = {name: translated(part, prefix, language) for name, part in found.groupdict().items()}
            return fill(entries[code]["text"], parts)
    return said


def phrased(said: str, page: str, language: str | None = None) -> str:
    """English words of others than this program (the system, a framework, a log), in a language that has the page.

    The first form of the page that fits them says them, and what it names within them too.
    """
    for pattern, text in _phrases(page, language or reader_language()):
        if found := pattern.fullmatch(said):
            parts = {name: phrased(part, page, language) for name, part in found.groupdict().items()}
            return string.Formatter().vformat(text, (), parts)
    return said


@functools.cache
def _phrases(page: str, language: str) -> list[tuple[re.Pattern[str], str]]:
    return [(form(english), text) for english, text in sayings(page, language).items()]


@functools.cache
def sayings(page: str, language: str) -> dict[str, str]:
    """A page of `catalogue/<language>/said/`: English words -> the same in the language; empty where there is none."""
    import tomllib
    from importlib.resources import files

    place = files("breakeven") / "catalogue" / language / "said" / f"{page}.toml"
    if not language.isalpha() or not place.is_file():
        return {}
    return tomllib.loads(place.read_text(encoding="utf-8"))


@functools.cache
def _patterns(prefix: str) -> list[tuple[str, re.Pattern[str]]]:
    """The English text of every entry with `prefix`, its `{places}` anything."""
    found = []
    for code, entry in catalogue("en").items():
        if code.startswith(prefix):
            found.append((code, form(entry["text"])))
    return found


def form(text: str) -> re.Pattern[str]:
    """What `text` fits, its `{places}` anything."""
    parts = string.Formatter().parse(text)
    return re.compile("".join(re.escape(plain) + (f"(?P<{name}>.+)" if name else "") for plain, name, _, _ in parts))


def reader_language(declared: str | None = None) -> str:
    """The language to speak: BREAKEVEN_LANG (`zh`, `zh_CN.UTF-8`), what is declared, a Chinese locale; else English."""
    named = os.environ.get("BREAKEVEN_LANG") or declared or _locale() or "en"
    return named.replace("-", "_").split(".")[0].split("_")[0].lower()


def _locale() -> str | None:
    """The terminal's language where it is Chinese; any other is answered in English."""
    set_ = next((value for name in ("LC_ALL", "LC_MESSAGES", "LANG") if (value := os.environ.get(name))), "")
    return "zh" if set_.lower().startswith("zh") else None


def catalogue(language: str | None = None) -> dict[str, dict[str, str]]:
    """All entries of a language, English filling what it lacks; None: the reader's language."""
    return _entries(language or reader_language())


@functools.cache
def _entries(language: str) -> dict[str, dict[str, str]]:
    from importlib.resources import files

    entries: dict[str, dict[str, str]] = {}
    for name in _unique(["en", language]):
        folder = files("breakeven") / "catalogue" / name
        if not name.isalpha() or not folder.is_dir():
            continue
        for page in sorted(folder.iterdir(), key=lambda item: item.name):
            if page.name.endswith(".toml"):
                entries.update(page_of(page.read_text(encoding="utf-8")))
    return entries


def page_of(text: str) -> dict[str, dict[str, str]]:
    """A page of the catalogue. The few forms of TOML that pages have are read here, many times as fast as by
    `tomllib`, for every command waits for it; a page with any other form is left to that.
    """
    import json
    import tomllib

    entries: dict[str, dict[str, str]] = {}
    entry: dict[str, str] | None = None
    for line in text.splitlines():
        found = _FORMS.fullmatch(line)
        if found is None or (entry is None and found[2]):
            return tomllib.loads(text)
        title, key, plain, code, words = found.groups()
        if title is not None:
            entry = entries[title] = {}
        elif key is not None and entry is not None:
            entry[key] = json.loads(f'"{plain}"') if "\\" in plain else plain
        elif code is not None:
            entries[code] = {"text": json.loads(f'"{words}"') if "\\" in words else words}
    return entries


def _unique(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))
