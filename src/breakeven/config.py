"""A generic reader: a YAML file to typed settings, or file:line:column, what was found and what to write instead.

Every value keeps its place, so that an error found later by a pydantic model still points at the line that caused it.
"""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_origin

from breakeven.artifacts import unreadable
from breakeven.errors import ConfigError, Place, UsageError, render, translated
from breakeven.yaml12 import MAX_BYTES, Where, kind, parse

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

    Settings = TypeVar("Settings", bound=BaseModel)

_SECRET_KEY = re.compile(r"(?i)(^|_)(password|passwd|secret|token|api_?key|access_?key|private_?key)$")
_SECRET_VALUE = re.compile(
    r"^(sk-[A-Za-z0-9_-]{16,}|ghp_[A-Za-z0-9]{20,}|hf_[A-Za-z0-9]{20,}|AKIA[0-9A-Z]{16}|-----BEGIN )"
)
_URL_PASSWORD = re.compile(
    r"(?i)^[a-z][a-z0-9+.-]*://([^/@\s:]*:[^/@\s]+@|[^\s#]*[?&](access_?|auth_?|x-amz-)?"
    r"(password|secret|token|api_?key|key|sig|signature|credential)=[^&\s])"
)
_PYDANTIC_WORDS = re.compile(r"a (valid string)|a valid dictionary( or (instance|object) .*)?")


@dataclass
class Document:
    """A read file: its plain data, the place of every key and value, and its text."""

    file: str
    data: dict[str, Any]
    marks: dict[Where, tuple[int, int]] = field(default_factory=dict)
    text: str = ""
    overridden: set[Where] = field(default_factory=set)

    def place(self, path: Where) -> Place:
        """Where a value (else its nearest parent) stands."""
        name = ".".join(str(part) for part in path)
        for end in range(len(path), -1, -1):
            if path[:end] in self.overridden:
                return Place(file=f"--set {'.'.join(str(part) for part in path[:end])}", field=name)
            if path[:end] in self.marks:
                line, column = self.marks[path[:end]]
                return Place(self.file, line, column, field=name or None)
        return Place(self.file, field=name or None)

    def get(self, *path: str | int) -> Any:
        """The plain value at a path, None where there is none."""
        value: Any = self.data
        for part in path:
            try:
                value = value[part]
            except (KeyError, IndexError, TypeError):
                return None
        return value

    def validate(self, model: type[Settings], at: Where = ()) -> Settings:
        """The part at `at` as typed settings; the first problem is raised, the others stand in its `more`."""
        from pydantic import ValidationError

        try:
            return model.model_validate(self.get(*at))
        except ValidationError as error:
            raise _first(list(_problems(self, model, at, error))) from None

    def override(self, assignments: Iterable[str]) -> None:
        """Applies `section.key=value` settings; the value is read as YAML."""
        for assignment in assignments:
            dotted, sign, text = assignment.partition("=")
            if not sign or not dotted.strip():
                raise UsageError("set-form", found=assignment)
            path = tuple(int(part) if part.isdigit() else part for part in dotted.strip().split("."))
            value = parse(text, file=f"--set {dotted}")[0] if text.strip() else None
            _assign(self.data, path, value)
            self.overridden.add(path)
        _refuse_secrets(self)


def load(path: Path, model: type[Settings], overrides: Sequence[str] = ()) -> tuple[Settings, Document]:
    """The settings of a file and the document behind them."""
    document = read(path)
    document.override(overrides)
    return document.validate(model), document


def read(path: Path) -> Document:
    """The document of a YAML file, within the limits; raises ConfigError with a place."""
    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise ConfigError("config-absent", at=Place(file=str(path))) from None
    except IsADirectoryError:
        raise ConfigError("config-folder", at=Place(file=str(path))) from None
    except OSError as error:
        raise unreadable(path, error) from error
    if len(raw) > MAX_BYTES:
        raise ConfigError("config-too-big", at=Place(file=str(path)), limit=MAX_BYTES)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError("config-not-utf8", at=Place(str(path), line), offset=error.start) from None
    document = parse_mapping(text, file=str(path))
    _refuse_secrets(document)
    return document


def parse_mapping(text: str, *, file: str) -> Document:
    """A document whose top level must be a mapping."""
    if not _has_content(text):
        raise ConfigError("config-empty", at=Place(file=file))
    value, marks = parse(text, file=file)
    if not isinstance(value, dict):
        raise ConfigError("config-not-mapping", at=Place(file, 1, 1), found=kind(value))
    return Document(file, value, marks, text)


def _has_content(text: str) -> bool:
    return any(
        line.strip() and not line.lstrip().startswith("#") and line.strip() not in ("---", "...")
        for line in text.splitlines()
    )


def _refuse_secrets(document: Document) -> None:
    """A literal secret in the file is refused; its value is never shown."""
    for path, value in _walk(document.data, ()):
        if not isinstance(value, str) or not value:
            continue
        key = str(path[-1]) if path else ""
        if _SECRET_KEY.search(key) or _SECRET_VALUE.match(value) or _URL_PASSWORD.match(value):
            raise ConfigError("config-secret", at=document.place(path), key=key)


def _walk(value: Any, path: Where) -> Iterator[tuple[Where, Any]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _walk(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _walk(item, (*path, index))
    else:
        yield path, value


def _assign(data: Any, path: Where, value: Any) -> None:
    for part, following in itertools.pairwise(path):
        if isinstance(data, list):
            data = data[_index(data, part, path)]
        else:
            if not isinstance(data.get(part), (dict, list)):
                data[part] = [] if isinstance(following, int) else {}
            data = data[part]
    last = path[-1]
    if isinstance(data, list):
        data[_index(data, last, path)] = value
    else:
        data[last] = value


def _index(items: list[Any], part: str | int, path: Where) -> int:
    """A list is addressed by position or by the `name` of its items."""
    if isinstance(part, int) and part < len(items):
        return part
    for position, item in enumerate(items):
        if isinstance(item, dict) and item.get("name") == part:
            return position
    raise UsageError("set-place", path=".".join(str(piece) for piece in path), part=part, count=len(items))


def _first(problems: list[ConfigError]) -> ConfigError:
    first = problems[0]
    first.more = list(problems[1:])
    return first


def _problems(document: Document, model: type[BaseModel], at: Where, error: ValidationError) -> Iterator[ConfigError]:
    """Pydantic's errors in our words, each at its place; the branches of a union are told as one."""
    grouped: dict[tuple[Where, str], list[Any]] = {}
    for item in error.errors(include_url=False):
        path = _data_path(document.get(*at), item["loc"], item["type"])
        kind = item["type"] if item["type"] in ("extra_forbidden", "missing") else "value"
        grouped.setdefault((path, kind), []).append(item)
    deepest = {path for path, _ in grouped}
    for (path, kind), items in grouped.items():
        # A union's other branches complain about the whole; where one branch points deeper, that is the useful word.
        if (
            kind == "value"
            and any(len(other) > len(path) and other[: len(path)] == path for other in deepest)
            and len(items) > 1
        ):
            continue
        yield _problem(document, model, (at, path), kind, items)


def _problem(
    document: Document, model: type[BaseModel], paths: tuple[Where, Where], kind: str, items: list[Any]
) -> ConfigError:
    at, path = paths
    full = (*at, *path)
    name = ".".join(str(part) for part in full)
    if kind == "extra_forbidden":
        allowed = sorted(_fields(model, path[:-1]))
        nearest = difflib.get_close_matches(str(path[-1]), allowed, 1, 0.5)
        place = document.place((*full, "")) if (*full, "") in document.marks else document.place(full)
        code = "unknown-key" if nearest else "unknown-key-plain"
        if str(path[-1]).isdigit():  # 20,000 within braces is the number 20 and a key 000
            code = "unknown-key-number"
        return ConfigError(
            code,
            at=Place(place.file, place.line, place.column, field=None),
            key=name,
            allowed=allowed,
            nearest=nearest[0] if nearest else None,
        )
    if kind == "missing":
        place = document.place(full[:-1])
        return ConfigError("missing-key", at=Place(place.file, place.line, place.column), key=name)
    expected = render("joint-or", {}).join(dict.fromkeys(_expected(item) for item in items))
    place = document.place(full)
    return ConfigError(
        "bad-value",
        at=Place(place.file, place.line, place.column),
        key=name or "the file",
        found=_shown(items[0].get("input")),
        expected=expected,
    )


# What pydantic's checks expect, by their type; other checks say it themselves.
_EXPECTS = {
    "string_type": "expects-text",
    "int_type": "expects-integer",
    "int_parsing": "expects-integer",
    "int_from_float": "expects-integer",
    "float_type": "expects-number",
    "float_parsing": "expects-number",
    "bool_type": "expects-boolean",
    "bool_parsing": "expects-boolean",
    "dict_type": "expects-mapping",
    "model_type": "expects-mapping",
    "list_type": "expects-list",
    "tuple_type": "expects-list",
    "literal_error": "expects-one-of",
    "greater_than": "expects-above",
    "greater_than_equal": "expects-least",
    "less_than": "expects-below",
    "less_than_equal": "expects-most",
    "string_pattern_mismatch": "expects-form",
    "too_short": "expects-items",
    "string_too_short": "expects-longer",
    "string_too_long": "expects-shorter",
    "finite_number": "expects-finite",
}
# Forms that people meet first, in words.
_FORMS = {
    r"^[a-z0-9][a-z0-9-]{0,62}$": "form-product",
    r"^[a-z0-9][a-z0-9._-]{0,62}$": "form-candidate",
    r"^[A-Z]{3}$": "form-currency",
    r"^\d{4}-\d{2}-\d{2}$": "form-day",
}


def _expected(item: Mapping[str, Any]) -> str:
    if item["type"] in _EXPECTS:
        about = dict(item.get("ctx") or {})
        if item["type"] == "literal_error":
            about["expected"] = re.findall(r"'[^']*'", str(about["expected"])) or [about["expected"]]
            if len(about["expected"]) == 1:
                return str(about["expected"][0])
        if form := _FORMS.get(str(about.get("pattern"))):
            return render(form, about)
        return render(_EXPECTS[item["type"]], about)
    message = str(item["msg"])
    for prefix in ("Value error, ", "Input should be ", "Assertion failed, "):
        message = message.removeprefix(prefix)
    message = _PYDANTIC_WORDS.sub(lambda match: "text" if match[1] else "a mapping", message)
    # The message says "found X" by itself; a scalar is not told twice.
    found = item.get("input")
    if isinstance(found, (dict, list)):
        return translated(message, "setting-")
    return translated(message.removesuffix(f", not {found!r}").removesuffix(f", not {found}"), "setting-")


def _shown(value: Any) -> str:
    if isinstance(value, (dict, list)):
        return kind(value)
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _data_path(data: Any, loc: tuple[str | int, ...], kind: str) -> Where:
    """Pydantic's location without the names of union branches: only what can be walked in the data."""
    path: list[str | int] = []
    for index, part in enumerate(loc):
        last = index == len(loc) - 1
        if isinstance(data, dict) and part in data:
            data = data[str(part)]
        elif isinstance(data, list) and isinstance(part, int) and part < len(data):
            data = data[part]
        elif not (last and kind == "missing"):
            continue
        path.append(part)
    return tuple(path)


def _fields(model: Any, path: Where) -> set[str]:
    """Names that a mapping at `path` below a model may have; the union of all branches."""
    from pydantic import BaseModel

    if isinstance(model, type) and issubclass(model, BaseModel):
        if not path:
            return {info.alias or name for name, info in model.model_fields.items()}
        for name, info in model.model_fields.items():
            if path[0] in (name, info.alias):
                return _fields(info.annotation, path[1:])
        return set()
    origin, arguments = get_origin(model), get_args(model)
    if origin in (list, tuple, set, dict):
        return _fields(arguments[-1], path[1:]) if path and arguments else set()
    found: set[str] = set()
    for argument in arguments:
        if not isinstance(argument, str):
            found |= _fields(argument, path)
    return found
