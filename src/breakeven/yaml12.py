"""YAML 1.2 text to plain values with places, within limits.

The text is composed to nodes, never constructed, and turned into values by the YAML 1.2 core schema: `no`, `on` and
`12:30` are text, `08` is 8, `1e3` is 1000.0. Size, depth, count and aliases are bounded before anything recursive runs.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import Any

from breakeven.errors import ConfigError, Place, render

MAX_BYTES = 1_000_000
MAX_DEPTH = 64
MAX_NODES = 100_000

Where = tuple[str | int, ...]
_INT = re.compile(r"[-+]?[0-9]+")
_OCT = re.compile(r"0o[0-7]+")
_HEX = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_SPECIAL = {".inf": math.inf, "+.inf": math.inf, "-.inf": -math.inf, ".nan": math.nan}
_CORE = "tag:yaml.org,2002:"


def parse(text: str, *, file: str) -> tuple[Any, dict[Where, tuple[int, int]]]:
    """The plain value of a YAML text, and the line and column (from 1) of every value by its path."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError
    from ruamel.yaml.reader import ReaderError

    try:
        _check_depth(text, file)
        yaml = YAML(typ="rt", pure=True)
        yaml.allow_duplicate_keys = True
        node = yaml.compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(file, mark.line + 1, mark.column + 1) if mark else Place(file)
        problem = _one_line(error.problem or error.context)
        raise ConfigError("config-tab" if "'\\t'" in problem else "config-syntax", at=place, problem=problem) from None
    except ReaderError as error:
        raise ConfigError(
            "config-character", at=_at(text, error.position, file), found=f"U+{error.character:04X}"
        ) from None
    except (YAMLError, RecursionError, ValueError) as error:
        raise ConfigError("config-syntax", at=Place(file=file), problem=_one_line(error)[:200]) from None
    if node is None:
        return None, {}
    _check_count(node, file)
    converter = _Converter(file)
    return converter.value(node, (), 0), converter.marks


def _at(text: str, position: int, file: str) -> Place:
    """Line and column of a character."""
    line = text.count("\n", 0, position) + 1
    return Place(file, line, position - text.rfind("\n", 0, position))


def _one_line(words: object) -> str:
    return " ".join(str(words).split())


def _check_depth(text: str, file: str) -> None:
    """Bounds nesting from the event stream, before anything recursive sees the text."""
    from ruamel.yaml import YAML
    from ruamel.yaml.events import AliasEvent, MappingEndEvent, MappingStartEvent, SequenceEndEvent, SequenceStartEvent

    depth = nodes = 0
    for event in YAML(typ="rt", pure=True).parse(text):
        if isinstance(event, (MappingStartEvent, SequenceStartEvent)):
            depth += 1
        elif isinstance(event, (MappingEndEvent, SequenceEndEvent)):
            depth -= 1
        nodes += not isinstance(event, AliasEvent)
        if depth > MAX_DEPTH:
            mark = event.start_mark
            raise ConfigError("config-too-deep", at=Place(file, mark.line + 1, mark.column + 1), limit=MAX_DEPTH)
        if nodes > 2 * MAX_NODES:
            raise ConfigError("config-too-many", at=Place(file=file), limit=MAX_NODES)


def _check_count(node: Any, file: str) -> None:
    """Bounds the values that aliases multiply to, and how deep they nest, without making any of them."""
    counts: dict[int, int] = {}

    def count(item: Any, depth: int) -> int:
        if depth > MAX_DEPTH:
            raise ConfigError("config-too-deep", at=_start(item, file), limit=MAX_DEPTH)
        if isinstance(item.value, str):
            return 1
        if (known := counts.get(id(item))) is None:
            parts = (entry[1] if isinstance(entry, tuple) else entry for entry in item.value)
            known = counts[id(item)] = 1 + sum(count(part, depth + 1) for part in parts)
            if known > MAX_NODES:
                raise ConfigError("config-too-many", at=_start(item, file), limit=MAX_NODES)
        return known

    count(node, 0)


def _start(node: Any, file: str) -> Place:
    return Place(file, node.start_mark.line + 1, node.start_mark.column + 1)


class _Converter:
    """Composed nodes to plain values. How many they are was bounded before."""

    def __init__(self, file: str) -> None:
        self._file = file
        self.marks: dict[Where, tuple[int, int]] = {}

    def value(self, node: Any, path: Where, depth: int) -> Any:
        place = _start(node, self._file)
        if depth > MAX_DEPTH:
            raise ConfigError("config-too-deep", at=place, limit=MAX_DEPTH)
        self.marks.setdefault(path, (node.start_mark.line + 1, node.start_mark.column + 1))
        if isinstance(node.value, str):
            return _scalar(node, place)
        if str(node.tag) not in (f"{_CORE}map", f"{_CORE}seq"):
            raise ConfigError("config-tag", at=place, tag=node.tag)
        if str(node.tag) == f"{_CORE}seq":
            return [self.value(item, (*path, index), depth + 1) for index, item in enumerate(node.value)]
        return self._mapping(node, path, depth)

    def _mapping(self, node: Any, path: Where, depth: int) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            place = Place(self._file, key_node.start_mark.line + 1, key_node.start_mark.column + 1)
            if not isinstance(key_node.value, str):
                raise ConfigError("config-key", at=place, found=kind(key_node.value))
            key = key_node.value
            if key in result:
                raise ConfigError("config-duplicate", at=place, key=key)
            # An unknown key is shown where the key stands, a bad value where the value stands: the key's mark is kept
            # under the path with a trailing "", the value's under the path itself.
            self.marks[(*path, key, "")] = (key_node.start_mark.line + 1, key_node.start_mark.column + 1)
            result[key] = self.value(value_node, (*path, key), depth + 1)
        return result


def _scalar(node: Any, place: Place) -> Any:
    tag, text = str(node.tag), node.value
    plain = node.style is None
    if tag.startswith("!") or not tag.startswith(_CORE):
        raise ConfigError("config-tag", at=place, tag=tag)
    if tag == f"{_CORE}str" and not plain:
        return text
    if not plain:
        return text
    return resolve(text)


def resolve(text: str) -> Any:
    """A plain scalar by the YAML 1.2 core schema. A decimal that a float cannot hold exactly enough stays a Decimal."""
    if text in ("", "~", "null", "Null", "NULL"):
        return None
    if text in ("true", "True", "TRUE"):
        return True
    if text in ("false", "False", "FALSE"):
        return False
    if _INT.fullmatch(text):
        return int(text) if len(text) <= 400 else text
    if _OCT.fullmatch(text):
        return int(text[2:], 8)
    if _HEX.fullmatch(text):
        return int(text[2:], 16)
    if _FLOAT.fullmatch(text):
        number = float(text)
        return number if Decimal(repr(number)) == Decimal(text) or math.isinf(number) else Decimal(text)
    return _SPECIAL.get(text.lower(), text)


def kind(value: Any) -> str:
    """A value's kind in words, for messages."""
    if isinstance(value, dict):
        return render("kind-mapping", {})
    if isinstance(value, (list, tuple)):
        return render("kind-list", {})
    if value is None:
        return render("kind-nothing", {})
    return render("kind-value", {"type": type(value).__name__, "value": f"{value!r}"[:60]})
